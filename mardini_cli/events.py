"""What happened, as data: the events that ``api`` yields and ``cli.screen`` draws.

Room: events (floor 1). Frozen dataclasses; times are ``Fraction`` seconds, sizes bytes.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """The whole job, before a frame is decoded."""

    source: Path
    output: Path
    task: str
    given: int
    """Frames that the user has."""
    made: int
    """Frames that the model will make."""
    windows: int
    width: int
    height: int
    start: Fraction
    """Time of the first frame, seconds."""
    end: Fraction
    """Time of the last frame, seconds."""
    steps: int
    seed: int
    weights: str
    device: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the work is."""

    done: int
    total: int
    elapsed: float
    """Seconds since the work began."""
    unit: str = "frames"
    """What is counted: frames written, or training steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Warned:
    """Something a person should know, and that did not stop the work."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The file stands under its name."""

    output: Path
    frames: int
    made: int
    duration: Fraction
    """From the first frame's time to the end of the last frame, seconds."""
    elapsed: float
    size: int
    """Bytes on disk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Methods were compared over a folder of clips."""

    output: Path
    """The report."""
    clips: int
    windows: int
    table: str
    """Means of every protocol and method, Markdown."""
    elapsed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A training run came to its end."""

    output: Path
    """The weights folder."""
    steps: int
    """Training steps of this call; a run that was stopped before had others."""
    elapsed: float


Event = Planned | Progress | Warned | Finished | Measured | Trained
