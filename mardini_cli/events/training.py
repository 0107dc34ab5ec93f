"""Training runs: how they end, what they leave, and what they would cost.

Room: events (floor 1).
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A training run came to its end."""

    output: Path
    """The weights folder."""
    steps: int
    """Training steps of this call; a run that was stopped before had others."""
    elapsed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Paused:
    """A training run saved its state and ended before its time, because it was asked to."""

    output: Path
    """The folder of the run; the same command goes on from it."""
    stage: str
    step: int
    """Steps of that stage that are done."""
    elapsed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Cached:
    """What a training stage needs of its batches lies on disk."""

    output: Path
    stage: str
    steps: int
    """Batches that were kept."""
    size: int
    """Bytes on disk."""
    elapsed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """A run's averaged weights lie in a folder of their own, ready to share."""

    output: Path
    run: Path
    stage: str
    """The last one that they have been through, or are in the middle of."""
    step: int | None
    """Where in the middle; None at its end."""
    size: int
    """Bytes of tensors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StagePrice:
    """What one stage of a training run asks for."""

    name: str
    steps: int
    minutes: float
    """Time that ends the stage before its steps do; 0: none."""
    moving: int
    """Parameters that are trained."""
    still: int
    """Parameters that are used as they are."""
    planner_tokens: int
    """A step, over all processes."""
    denoiser_tokens: int
    flops: int
    """Floating-point operations of a step, there and back, over all processes."""
    memory: int
    """Bytes for one process: weights, gradients, optimiser, average, and what a step keeps."""
    measured: float | None
    """Seconds a step, where the log of this run tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Priced:
    """What a training run would cost."""

    preset: str
    parameters: int
    stages: tuple[StagePrice, ...]
    processes: int
    device: str
    rate: float
    """FLOP/s of one device in matrix products, measured now."""
    least_hours: float
    """If every operation ran at that rate; no run is faster."""
    expected_hours: float | None
    """From the pace that the log of this run tells; None before it has one."""
