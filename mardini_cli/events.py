"""What happened, as data: the events that ``api`` yields and ``cli.screen`` draws.

Room: events (floor 1). Frozen dataclasses; times are ``Fraction`` seconds, sizes bytes.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

SCHEMA = 1
"""Version of the events' form; it grows when a field is renamed, removed or means something else.
New events and new fields leave it as it is."""


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
class Benched:
    """It was measured how fast this machine makes frames."""

    table: str
    """Markdown: seconds by stage, memory, operations, for every cell."""
    report: str
    """All of it as JSON."""
    written: Path | None
    """Where the report stands, if it was asked for."""
    calibration: Path | None
    """Where later jobs find what their time is estimated from; None: nothing was kept."""
    elapsed: float


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
class Located:
    """Where a name of weights leads."""

    name: str
    kind: str
    """release, folder, file or hub."""
    path: Path | None
    """None: on the Hub, and not in the cache."""
    revision: str | None
    """Commit in the Hub's cache, or digest of a release."""
    preset: str | None
    size: int
    """Bytes of its tensors here."""
    ways: tuple[str, ...]
    """Where the name was looked for, in order; empty where nothing was looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """Weights lie in the Hub's cache, whole and checked."""

    output: Path
    name: str
    revision: str
    """The commit that the name stood for."""
    files: int
    size: int
    """Bytes."""
    elapsed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Intact:
    """Every byte of weights is what it should be."""

    name: str
    path: Path
    size: int
    """Bytes that were compared with a digest; 0: there was none to compare with."""
    digest: str
    tensors: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """Weights were taken out of the Hub's cache."""

    name: str
    path: Path
    size: int
    """Bytes that are free again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """Weights lie on the Hub; in a dry run, what would be sent."""

    name: str
    address: str
    revision: str | None
    """The new commit; None in a dry run."""
    files: tuple[str, ...]
    size: int
    private: bool
    dry_run: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """One line of ``mardini doctor``."""

    name: str
    state: str
    """ok, warning or failed; a failure stops the main job."""
    found: str
    do: str
    """What to do about it; empty if nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was promised of a result, and what was found."""

    name: str
    passed: bool
    found: str
    needed: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """A result was compared with its source."""

    source: Path
    output: Path
    passed: bool
    checks: tuple[Check, ...]
    frames: int
    """Frames of the result."""
    psnr: tuple[float | None, ...]
    """Mean over the given frames, a plane each, dB; None where all are equal."""
    elapsed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """A clip as the program sees it. Times and gaps are exact seconds."""

    path: Path
    container: str
    codec: str
    frames: int
    start: Fraction
    end: Fraction
    duration: Fraction
    """From the first frame's time to the end of the last frame."""
    rate: Fraction | None
    """Mean frames a second; None for a single frame."""
    even: bool
    """Whether all gaps are equal, but for rounding to the file's clock."""
    shortest: Fraction | None
    longest: Fraction | None
    """Gaps between frames; None for a single frame."""
    clock: Fraction
    """A tick of the file, seconds."""
    width: int
    height: int
    """As a person sees it, upright."""
    rotation: int
    """Degrees by which the stored picture is turned counter-clockwise to stand upright."""
    aspect: Fraction | None
    """Width of a pixel over its height; None where the file does not tell."""
    pixel_format: str
    bits: int
    transparent: bool
    interlaced: bool
    matrix: str
    primaries: str
    transfer: str
    range: str
    """Names of the colour tags; ``untagged`` where the file does not tell."""
    cuts: tuple[int, ...]
    """Frames that begin a new shot, from 0."""
    held: int
    """Frames that repeat the one before."""
    streams: tuple[str, ...]
    chapters: int
    notices: tuple[str, ...]
    times: tuple[Fraction, ...]
    """Of every frame; empty unless asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """Why a job, or one item of a batch, came to no result."""

    code: str
    """Stable: one of ``docs/errors.md``."""
    found: str
    needed: str
    do: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What a result was made from stands beside it."""

    output: Path
    address: str = ""
    """Where it was sent; the file itself is gone then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduced:
    """A result was made once more from its record."""

    output: Path
    same: bool
    """Whether every byte is the same."""
    sha256: str
    recorded: str
    """The SHA-256 that the record tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Began:
    """An item of a batch is being worked on."""

    task: str
    source: str
    """A path or an address."""
    items: int
    """Of the whole batch."""
    attempt: int = 1
    """Above 1 where the item was lost with its machine, and begins anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one item of a batch came out."""

    item: int
    task: str
    source: str
    state: str
    """done, failed, skipped, planned, or stopped: not reached before the batch ended."""
    outputs: tuple[str, ...] = ()
    """Paths, or addresses where results were sent."""
    code: str = ""
    """Of the error."""
    message: str = ""
    elapsed: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Batched:
    """A batch came to its end."""

    items: int
    """Those of this shard."""
    done: int
    failed: int
    skipped: int
    stopped: int
    outcomes: tuple[Outcome, ...]
    elapsed: float


Event = (
    Planned
    | Progress
    | Window
    | Resumed
    | Skipped
    | Warned
    | Finished
    | Measured
    | Benched
    | Trained
    | Paused
    | Exported
    | Cached
    | Priced
    | Located
    | Fetched
    | Intact
    | Removed
    | Pushed
    | Examined
    | Drawn
    | Joined
    | Verified
    | Probed
    | Failed
    | Recorded
    | Reproduced
    | Began
    | Batched
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OfItem:
    """An event of one item of a batch; in JSON it is that event, with the number of the item."""

    item: int
    """From 1, the same on every machine and in every shard."""
    event: Event
