"""Training windows from clips: every frame waits in memory as bytes, a batch is cut from them.

Room: training. A batch is a function of (seed, step) alone, so that a run can stop and resume.

Dimension key
    b  windows     f  slots     h, w  pixels
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mardini_cli.errors import ConfigError, DamagedMediaError
from mardini_cli.media.bulk import clip_bytes

CLIPS = (".mp4", ".mov", ".mkv", ".webm", ".m4v", ".avi")
_STILL = 0.6 / 255  # mean change a frame, below which nothing moves
_CUT = 0.16  # mean change of one step, above which it is another shot


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One shot in memory."""

    name: str
    frames: Tensor
    """``f 3 h w`` uint8."""
    rate: float
    change: Tensor
    """Mean absolute step from each frame to the next, ``f-1``, in [0, 1]."""


def files(folders: Sequence[Path], endings: Sequence[str]) -> list[Path]:
    """Every file under the folders with one of the endings, in the order of their names."""
    return sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in endings
    )


def load(folders: Sequence[Path], short: int) -> tuple[list[Clip], list[str]]:
    """Decode every clip under the folders.

    Returns:
        The clips in the order of their names, and the names of files that do not decode.

    Raises:
        ConfigError: no clip found.
    """
    paths = files(folders, CLIPS)
    if not paths:
        raise ConfigError(
            f"no clips in {', '.join(map(str, folders)) or 'data: it is empty'}",
            needed=f"files ending in {' '.join(CLIPS)}",
            do="name their folder in data",
        )
    clips: list[Clip] = []
    skipped: list[str] = []
    with ThreadPoolExecutor() as pool:
        for path, clip in zip(paths, pool.map(lambda p: _read(p, short), paths), strict=True):
            if clip is None:
                skipped.append(path.name)
            else:
                clips.append(clip)
    return clips, skipped


def _read(path: Path, short: int) -> Clip | None:
    try:
        frames, rate = clip_bytes(path, short)
    except DamagedMediaError:
        return None  # named to the user by ``load``
    planes = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
    return Clip(path.stem, planes, rate, change(planes))


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


def usable(clips: Iterable[Clip], slots: int, side: int) -> list[Source]:
    """The clips that are large and long enough, and have a stretch without a cut.

    Stretches that move go before still ones, and clips that move before still clips.

    Raises:
        ConfigError: not one.
    """
    found = [
        source
        for clip in clips
        if min(clip.frames.shape[-2:]) >= side and (source := _source(clip, slots)) is not None
    ]
    if not found:
        raise ConfigError(
            f"no clip has {slots} frames of {side} x {side} pixels without a cut",
            needed="longer or larger clips",
            do="lower side, or add clips",
        )
    return [source for source in found if source.moves] or found


def _source(clip: Clip, slots: int) -> Source | None:
    moving: list[tuple[int, Tensor]] = []
    still: list[tuple[int, Tensor]] = []
    for stride, times in _strides(clip.rate):
        span = stride * (slots - 1)
        if span >= len(clip.frames):
            continue
        steps = clip.change.unfold(0, span, 1)  # start span
        whole = steps.amax(1) < _CUT
        moves = whole & (steps.sum(1) > _STILL * slots)
        moving += [(stride, moves.nonzero().flatten())] * times if moves.any() else []
        still += [(stride, whole.nonzero().flatten())] * times if whole.any() else []
    if not still:
        return None
    return Source(clip, tuple(moving or still), bool(moving))


def _strides(rate: float) -> Iterator[tuple[int, int]]:
    """Frames from one slot to the next, about 1/30 s and its multiples, and how often each."""
    base = max(1, round(rate / 30))
    for multiple, times in ((1, 2), (2, 2), (3, 1), (4, 1)):
        yield base * multiple, times


class ClipWindows:
    """Draws windows: any clip, any moving stretch without a cut, any crop, mirrored or not."""

    def __init__(self, sources: Sequence[Source], slots: int, side: int) -> None:
        self.sources, self.slots, self.side = sources, slots, side
        seconds = [len(source.clip.frames) / source.clip.rate for source in sources]
        self.weights = torch.tensor(seconds).sqrt()

    def draw(self, count: int, kept: Tensor, rng: torch.Generator) -> Tensor:
        """See ``batches.Windows``."""
        if not count:
            return torch.zeros(0, len(kept), 3, self.side, self.side, dtype=torch.uint8)
        return torch.stack([self._window(kept, rng) for _ in range(count)])

    def _window(self, kept: Tensor, rng: torch.Generator) -> Tensor:
        source = self.sources[int(torch.multinomial(self.weights, 1, generator=rng))]
        index = self.stretch(source, rng)
        if bool(torch.rand(1, generator=rng) < 0.5):
            index = index.flip(0)
        return self._crop(source.clip.frames, index[kept], rng)

    def stretch(self, source: Source, rng: torch.Generator) -> Tensor:
        """Draw the frames of a window, rising."""
        stride, starts = source.starts[_one_of(len(source.starts), rng)]
        start = int(starts[_one_of(len(starts), rng)])
        return start + stride * torch.arange(self.slots)

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


def _one_of(count: int, rng: torch.Generator) -> int:
    return int(torch.randint(count, (1,), generator=rng))
