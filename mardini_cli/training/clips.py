"""Training windows from clips: every frame waits in memory as bytes, a batch is cut from them.

Room: training. A batch is a function of (seed, step) alone, so that a run can stop and resume.

Dimension key
    b  windows     f  slots     h, w  pixels
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mardini_cli.errors import ConfigError, DamagedMediaError
from mardini_cli.media.bulk import Bulk, clip_bytes
from mardini_cli.tasks.cuts import find_cuts

CLIPS = (
    ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts",
    ".ogv", ".wmv", ".flv", ".3gp", ".mxf", ".y4m", ".gif",
)  # fmt: skip
"""Endings of what is looked for in folders; a list may name anything."""
_STILL = 0.6 / 255  # mean change a frame, below which nothing moves
_CUT = 0.16  # mean change of one step, above which it is another shot
_BLACK = 0.03  # mean of the brightest frame, below which nothing is to be seen


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One film in memory."""

    name: str
    frames: Tensor
    """``f 3 h w`` uint8."""
    rate: float
    change: Tensor
    """Mean absolute step from each frame to the next, ``f-1``, in [0, 1]."""
    cuts: tuple[int, ...] = ()
    """Frames that begin a new shot."""
    group: str = ""
    """Where it comes from: the folder below the one that was named, for instance."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A clip on disk."""

    path: Path
    group: str


def files(folders: Sequence[Path], endings: Sequence[str]) -> list[Path]:
    """Every file under the folders with one of the endings, in the order of their names."""
    return sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in endings
    )


def listed(data: Sequence[Path]) -> list[Entry]:
    """Clips of folders, of lists and by their own names, in the order of their paths.

    A list is a text file with a path a line, relative to the list; ``#`` begins a remark. Clips of
    a folder are grouped by the folder below it, those of a list by the folder that they are in.

    Raises:
        ConfigError: no clip found.
    """
    found: dict[Path, str] = {}
    for named in data:
        if named.is_dir():
            for path in files([named], CLIPS):
                below = path.relative_to(named).parts
                found[path] = f"{named.name}/{below[0]}" if len(below) > 1 else named.name
        elif named.suffix.lower() == ".txt" and named.is_file():
            lines = named.read_text(encoding="utf-8").splitlines()
            paths = (line.partition("#")[0].strip() for line in lines)
            found |= {(p := named.parent / path): p.parent.name for path in paths if path}
        elif named.is_file():
            found[named] = named.parent.name
    if not found:
        raise ConfigError(
            f"no clips in {', '.join(map(str, data)) or 'data: it is empty'}",
            needed=f"files ending in {' '.join(CLIPS)}; or .txt lists of clips",
            do="name their folder in data",
        )
    return [Entry(path, found[path]) for path in sorted(found)]


def load(data: Sequence[Path], short: int, bad: float = 1.0) -> tuple[list[Clip], list[str]]:
    """Decode every clip that folders and lists name.

    Args:
        data: see ``listed``.
        short: short side in memory, pixels, at most.
        bad: share of the files that may fail to decode.

    Returns:
        The clips in the order of their paths, and the names of files that do not decode.

    Raises:
        ConfigError: no clip found, or too many that do not decode.
    """
    entries = listed(data)
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(lambda entry: _read(entry, short), entries))
    skipped = [entry.path.name for entry, clip in zip(entries, read, strict=True) if clip is None]
    check_bad(skipped, len(entries), bad)
    return [clip for clip in read if clip is not None], skipped


def check_bad(skipped: Sequence[str], count: int, bad: float) -> None:
    """Refuse data of which too much does not decode: something else is wrong then.

    Raises:
        ConfigError: more than a share ``bad`` of ``count`` files.
    """
    if len(skipped) > bad * count:
        some = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        raise ConfigError(
            f"{len(skipped)} of {count} clips do not decode: {some}",
            needed=f"at most {bad:.0%} of them",
            do="look at these files, or raise bad",
        )


def _read(entry: Entry, short: int) -> Clip | None:
    try:
        read = clip_bytes(entry.path, short)
    except DamagedMediaError:
        return None  # named to the user by ``load``
    return clip_of(read, entry.path.stem, entry.group)


def clip_of(read: Bulk, name: str, group: str) -> Clip:
    """A clip of frames that were decoded."""
    planes = torch.from_numpy(read.frames).permute(0, 3, 1, 2).contiguous()
    return Clip(name, planes, read.rate, change(planes), find_cuts(read.steps), group)


def change(frames: Tensor) -> Tensor:
    """Mean absolute step from each frame to the next, in [0, 1], on small pictures."""
    thumbs = torch.cat(
        [F.adaptive_avg_pool2d(part.float().mean(1), (36, 64)) for part in frames.split(64)]
    )
    return (thumbs[1:] - thumbs[:-1]).abs().mean((1, 2)).div(255)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A clip, and where windows may begin in it."""

    clip: Clip
    starts: tuple[tuple[int, Tensor], ...]
    """Strides, the same one more than once where it shall be drawn more often, and their starts."""
    moves: bool
    """Whether the starts are those of stretches that move."""


def usable(clips: Iterable[Clip], slots: int, side: int, fps: float = 0.0) -> list[Source]:
    """The clips that are large and long enough, and have a stretch without a cut.

    Stretches that move go before still ones, and clips that move before still clips; black ones go
    with the still.

    Raises:
        ConfigError: not one.
    """
    found = [
        source
        for clip in clips
        if min(clip.frames.shape[-2:]) >= side
        and (source := source_of(clip, slots, fps)) is not None
    ]
    if not found:
        raise ConfigError(
            f"no clip has {slots} frames of {side} x {side} pixels without a cut",
            needed="longer or larger clips",
            do="lower side, or add clips",
        )
    return [source for source in found if source.moves] or found


def source_of(clip: Clip, slots: int, fps: float = 0.0) -> Source | None:
    """Where windows may begin in a clip; None where there is no place."""
    moving: list[tuple[int, Tensor]] = []
    still: list[tuple[int, Tensor]] = []
    shot = torch.zeros(len(clip.frames), dtype=torch.long)
    shot[list(clip.cuts)] = 1
    shot = shot.cumsum(0)
    light = clip.frames[:, :, ::8, ::8].float().mean((1, 2, 3)) / 255
    for stride, times in strides(clip.rate, fps):
        span = stride * (slots - 1)
        if span >= len(clip.frames):
            continue
        steps = clip.change.unfold(0, span, 1)  # start span
        whole = (steps.amax(1) < _CUT) & (shot[span:] == shot[:-span])
        seen = light.unfold(0, span + 1, 1).amax(1) >= _BLACK
        moves = whole & seen & (steps.sum(1) > _STILL * slots)
        moving += [(stride, moves.nonzero().flatten())] * times if moves.any() else []
        still += [(stride, whole.nonzero().flatten())] * times if whole.any() else []
    if not still:
        return None
    return Source(clip, tuple(moving or still), bool(moving))


def strides(rate: float, fps: float = 0.0) -> Iterator[tuple[int, int]]:
    """Frames from one slot to the next, and how often each: of ``fps`` slots a second, or without
    it about 1/30 s and its multiples."""
    if fps:
        yield max(1, round(rate / fps)), 1
        return
    base = max(1, round(rate / 30))
    for multiple, times in ((1, 2), (2, 2), (3, 1), (4, 1)):
        yield base * multiple, times


def weights(sources: Sequence[Source], *, balance: bool) -> Tensor:
    """How often each source is drawn: by the root of its length; with balance, groups alike."""
    seconds = [len(source.clip.frames) / source.clip.rate for source in sources]
    found = torch.tensor(seconds).sqrt()
    if balance:
        groups = [source.clip.group for source in sources]
        for group in set(groups):
            mine = torch.tensor([one == group for one in groups])
            found[mine] /= found[mine].sum()
    return found


class Drawn(NamedTuple):
    """Windows, and where their slots stand."""

    frames: Tensor
    """``b f 3 h w`` uint8."""
    times: Tensor
    """``b f`` float32: 1 is the usual step from slot to slot."""
    bad: tuple[str, ...] = ()
    """Clips that were met on the way and do not decode."""


class ClipWindows:
    """Draws windows: any clip, any moving stretch without a cut, any crop, mirrored or not.

    Args:
        sources: what to draw from.
        slots: of a window.
        side: of a crop, pixels.
        jitter: how far slots leave their even places, in steps; the ends stay.
        balance: whether groups of clips are drawn alike.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        slots: int,
        side: int,
        jitter: float = 0.0,
        *,
        balance: bool = False,
    ) -> None:
        self.sources, self.slots, self.side, self.jitter = sources, slots, side, jitter
        self.weights = weights(sources, balance=balance)

    def draw(self, count: int, kept: Tensor, rng: torch.Generator, first: int = 0) -> Drawn:
        """See ``batches.Windows``."""
        del first
        if not count:
            nothing = torch.zeros(0, len(kept), 3, self.side, self.side, dtype=torch.uint8)
            return Drawn(nothing, torch.zeros(0, len(kept)))
        drawn = [self._window(kept, rng) for _ in range(count)]
        frames, times = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return Drawn(frames, times)

    def _window(self, kept: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        source = self.sources[int(torch.multinomial(self.weights, 1, generator=rng))]
        stride, index = self._stretch(source, rng)
        index, times = jittered(index, stride, self.jitter, rng)
        if bool(torch.rand(1, generator=rng) < 0.5):
            index, times = index.flip(0), self.slots - 1 - times.flip(0)
        return self._crop(source.clip.frames, index[kept], rng), times[kept]

    def stretch(self, source: Source, rng: torch.Generator) -> Tensor:
        """Draw the frames of a window, rising."""
        return self._stretch(source, rng)[1]

    def _stretch(self, source: Source, rng: torch.Generator) -> tuple[int, Tensor]:
        stride, starts = source.starts[_one_of(len(source.starts), rng)]
        start = int(starts[_one_of(len(starts), rng)])
        return stride, start + stride * torch.arange(self.slots)

    def _crop(self, frames: Tensor, index: Tensor, rng: torch.Generator) -> Tensor:
        h, w = frames.shape[-2:]
        side = self.side
        if bool(torch.rand(1, generator=rng) < 0.3):
            side = min(h, w)  # the whole height, made smaller: sharper, faster
        top = int(torch.randint(h - side + 1, (1,), generator=rng))
        left = int(torch.randint(w - side + 1, (1,), generator=rng))
        window = frames[index, :, top : top + side, left : left + side]
        if side != self.side:
            window = F.interpolate(window.float(), self.side, mode="area").round().to(torch.uint8)
        flip, turn = torch.rand(2, generator=rng) < torch.tensor([0.5, 0.15])
        if flip:
            window = window.flip(-1)
        return (window.transpose(-1, -2) if turn else window).contiguous()


def jittered(
    index: Tensor, stride: int, jitter: float, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Move inner slots by up to ``jitter`` steps, to whole frames; and say where all slots stand.

    Returns:
        Frames of the slots, and their times, both ``f``, rising.
    """
    times = torch.arange(len(index), dtype=torch.float32)
    if not jitter:  # draws nothing then
        return index, times
    moved = (torch.rand(len(index), generator=rng) * 2 - 1) * jitter * stride
    moved = moved.trunc().long()
    moved[0] = moved[-1] = 0
    return index + moved, times + moved / stride


def _one_of(count: int, rng: torch.Generator) -> int:
    return int(torch.randint(count, (1,), generator=rng))
