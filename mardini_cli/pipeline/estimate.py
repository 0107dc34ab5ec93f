"""How long a job will take on this machine, from what ``mardini bench`` measured on it.

Room: pipeline. Arithmetic on sizes; one small file in the user's cache.

The time of each stage is linear in a few counts (its loads): of pixels, tokens and pairs of tokens
that attend. The bench runs a few small windows, and the seconds of a count follow by least
squares; a job of any size is then a sum. Files are read and written at so many seconds a
pixel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mardini_cli.config import ModelConfig, SamplerConfig
from mardini_cli.device import name_of
from mardini_cli.diffusion.sampler import needs
from mardini_cli.model.guided import working_size
from mardini_cli.model.tiles import TOKEN
from mardini_cli.remembered import Remembered
from mardini_cli.tasks.plan import Plan

Loads = dict[str, tuple[float, ...]]
"""By stage: its counts."""
SPEEDS = Remembered("speed", format=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """What one unit of each load takes, seconds."""

    stages: Mapping[str, tuple[float, ...]]
    """By stage of the model, as in ``Loads``."""
    read: float
    """To decode and convert one pixel of a given frame."""
    write: float
    """To convert and encode one pixel of a made frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What the loads of a window depend on, besides how many frames are given and made."""

    config: ModelConfig
    size: tuple[int, int]
    """Height and width of the frames, pixels."""
    sampler: SamplerConfig
    resolution: int | None = None
    """Short side at which motion is worked out, pixels; None is the model's choice."""


def window_loads(shape: Shape, given: int, made: int) -> Loads:
    """Count the work of one window by stage; every given frame is encoded."""
    config, (high, wide) = shape.config, shape.size
    frame = high * wide
    work = frame
    if config.guided:
        rows, cols = working_size(shape.size, shape.resolution or config.guided.resolution)
        work = rows * cols
    slots, tokens = given + made, work / TOKEN**2
    steps = shape.sampler.steps
    signals = len(needs(shape.sampler.guidance)) if steps else 0
    across = slots * tokens if config.denoiser.attention == "st" else slots
    passes = signals * tokens * (steps * made + given)  # given frames pass the denoiser once
    pairs = signals * tokens * (steps * made * (tokens + across) + given * tokens)
    return {
        "look": (given * work,),
        "plan": (slots,),
        "denoise": (passes, pairs),
        "decode": (made * work, made * frame),
    }


def job_loads(shape: Shape, plan: Plan) -> Loads:
    """Count the work of a whole plan; a given frame that windows share is encoded once."""
    total: dict[str, list[float]] = {}
    for window in plan.windows:
        for stage, counts in window_loads(shape, len(window.given), len(window.made)).items():
            so_far = total.setdefault(stage, [0.0] * len(counts))
            total[stage] = [a + b for a, b in zip(so_far, counts, strict=True)]
    seen = len(
        {(s.given, s.index if s.given is None else 0) for w in plan.windows for s in w.given}
    )
    uses = sum(len(window.given) for window in plan.windows)
    if uses:
        total["look"] = [count * seen / uses for count in total["look"]]
    return {stage: tuple(counts) for stage, counts in total.items()}


def fitted(samples: Sequence[tuple[Loads, Mapping[str, float]]]) -> dict[str, tuple[float, ...]]:
    """Find the seconds of a unit of each load, from windows that were timed.

    Least squares of the relative errors; nothing takes less than no time.

    Args:
        samples: loads of a window, and the seconds of its stages.
    """
    stages: dict[str, tuple[float, ...]] = {}
    for stage in samples[0][0]:
        rows = [
            (np.array(loads[stage]) / seconds[stage])
            for loads, seconds in samples
            if any(loads[stage]) and seconds[stage] > 0
        ]
        count = len(samples[0][0][stage])
        stages[stage] = _least(np.stack(rows)) if rows else (0.0,) * count
    return stages


def seconds(speed: Speed, loads: Loads, pixels: tuple[float, float], overlapping: bool) -> float:
    """Tell how long a job takes.

    Args:
        speed: of this machine.
        loads: of the job.
        pixels: of all given frames that are read, and of all made ones that are written.
        overlapping: whether files and model run side by side, as with a GPU, or share the cores.
    """
    model = sum(
        unit * count
        for stage, counts in loads.items()
        for unit, count in zip(speed.stages.get(stage, (0.0,) * len(counts)), counts, strict=True)
    )
    files = pixels[0] * speed.read + pixels[1] * speed.write
    return max(model, files) if overlapping else model + files


def key_of(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> str:
    """Name what a speed is of: the model's sizes, the machine, the number type, the threads."""
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    number = str(dtype).removeprefix("torch.")
    return f"{config.preset}, {name_of(device)}, {number}{threads}"


def known(key: str) -> Speed | None:
    """Look up what was measured before; None where nothing was, or the file is no use."""
    try:
        entry = SPEEDS.entries()[key]
        stages = {stage: tuple(map(float, units)) for stage, units in entry["stages"].items()}
        return Speed(stages=stages, read=float(entry["read"]), write=float(entry["write"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def remember(key: str, speed: Speed) -> Path:
    """Keep a speed for later jobs; those of other machines and models stay."""
    return SPEEDS.keep(key, asdict(speed))


def _least(rows: NDArray[np.float64]) -> tuple[float, ...]:
    """Solve rows @ x = 1 without negative numbers: over all sets of columns, which are few."""
    count = rows.shape[1]
    best, least = np.zeros(count), float(len(rows))
    for size in range(1, count + 1):
        for columns in combinations(range(count), size):
            some = rows[:, columns]
            found, *_ = np.linalg.lstsq(some, np.ones(len(rows)), rcond=None)
            error = float(np.square(some @ found - 1).sum())
            if (found >= 0).all() and error < least * (1 - 1e-9):
                best, least = np.zeros(count), error
                best[list(columns)] = found
    return tuple(map(float, best))
