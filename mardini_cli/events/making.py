"""Making frames: what is planned, how far it is, and what comes of it.

Room: events (floor 1).
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
    cuts: int = 0
    """Cuts of the source that nothing is made across."""
    held: int = 0
    """Frames of the source that repeat the one before."""
    drawing: str = ""
    """Every window with its frames, where it was asked for."""
    estimate: float = 0.0
    """Seconds that the work will take here; 0: ``mardini bench`` has not measured this machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the work is."""

    done: int
    total: int
    elapsed: float
    """Seconds since the work began."""
    unit: str = "frames"
    """What is counted: frames written, or training steps."""
    restored: int = 0
    """Those of ``total`` that cost next to nothing, since earlier work made them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The frames of a window, or of several that are made at once, are made."""

    times: tuple[Fraction, ...]
    """When each of them is shown in the result, seconds; they are written in time order."""
    elapsed: float
    """Seconds since the work began."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumed:
    """The work goes on from what earlier work left."""

    folder: Path
    """Where that is kept."""
    kept: int
    """Made frames that are there."""
    made: int
    """All that are to be made."""
    other: tuple[str, ...] = ()
    """What is another one than it was, and may only round otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """The result stands there already, and was to be left alone."""

    output: Path


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
    address: str = ""
    """Where it was sent; the file itself is gone then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A picture, film or list for eyes stands beside the result."""

    output: Path
    what: str
    """What it shows."""
    address: str = ""
    """Where it was sent; the file itself is gone then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """A border between two windows, or between given and made frames, was measured."""

    time: Fraction
    """Of the later frame, seconds."""
    step: float
    """Mean size of the change from the frame before, in [0, 1]."""
    usual: float
    """95th percentile of such steps inside the clip itself."""
    colour: float
    """Largest change of a channel's mean since the nearest given frame, in [0, 1]."""
    sharpness: float
    """Fine detail over that of the nearest given frame; 1 is as sharp."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """Why a job, or one item of a batch, came to no result."""

    code: str
    """Stable: one of ``docs/errors.md``."""
    found: str
    needed: str
    do: str
