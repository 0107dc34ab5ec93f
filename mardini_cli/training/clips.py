"""Training windows from clips: every frame waits in memory as bytes, a batch is cut from them.

Room: training. A batch is a function of (seed, step) alone, so that a run can stop and resume.

Dimension key
    b  windows     f  slots     h, w  pixels
"""

from collections.abc import Iterable, Sequence
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


def load(folders: Sequence[Path], short: int) -> tuple[list[Clip], list[str]]:
    """Decode every clip under the folders.

    Returns:
        The clips in the order of their names, and the names of files that do not decode.

    Raises:
        ConfigError: no clip found.
    """
    paths = sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in CLIPS
    )
    if not paths:
        raise ConfigError(
            f"no clips in {', '.join(map(str, folders))}",
            needed=f"files ending in {' '.join(CLIPS)}",
            do="check data",
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
    return Clip(path.stem, planes, rate, _change(planes))


def _change(frames: Tensor) -> Tensor:
    thumbs = torch.cat(
        [F.adaptive_avg_pool2d(part.float().mean(1), (36, 64)) for part in frames.split(64)]
    )
    return (thumbs[1:] - thumbs[:-1]).abs().mean((1, 2)).div(255)


class ClipWindows:
    """Draws windows: any clip, any moving stretch without a cut, any crop, mirrored or not."""

    def __init__(self, clips: Iterable[Clip], slots: int, side: int) -> None:
        self.slots, self.side = slots, side
        self.clips = [
            clip
            for clip in clips
            if len(clip.frames) >= slots and min(clip.frames.shape[-2:]) >= side
        ]
        if not self.clips:
            raise ConfigError(
                f"no clip has {slots} frames of {side} x {side} pixels",
                needed="longer or larger clips",
                do="lower side, or add clips",
            )
        self.weights = torch.tensor(
            [len(clip.frames) ** 0.5 / clip.rate**0.5 for clip in self.clips]
        )

    def draw(self, count: int, kept: Tensor, rng: torch.Generator) -> Tensor:
        """See ``batches.Windows``."""
        if not count:
            return torch.zeros(0, len(kept), 3, self.side, self.side, dtype=torch.uint8)
        return torch.stack([self._window(kept, rng) for _ in range(count)])

    def _window(self, kept: Tensor, rng: torch.Generator) -> Tensor:
        for _ in range(20):  # a still clip may have no moving stretch: then any window will do
            clip = self.clips[int(torch.multinomial(self.weights, 1, generator=rng))]
            index = self._stretch(clip, rng)
            steps = clip.change[index[0] : index[-1]]
            if float(steps.max()) < _CUT and float(steps.sum()) > _STILL * self.slots:
                break
        if bool(torch.rand(1, generator=rng) < 0.5):
            index = index.flip(0)
        return self._crop(clip.frames, index[kept], rng)

    def _stretch(self, clip: Clip, rng: torch.Generator) -> Tensor:
        base = max(1, round(clip.rate / 30))
        strides = [
            base * k for k in (1, 1, 2, 2, 3, 4) if base * k * (self.slots - 1) < len(clip.frames)
        ]
        stride = strides[int(torch.randint(len(strides), (1,), generator=rng))] if strides else 1
        last = len(clip.frames) - stride * (self.slots - 1)
        start = int(torch.randint(last, (1,), generator=rng))
        return start + stride * torch.arange(self.slots)

    def _crop(self, frames: Tensor, index: Tensor, rng: torch.Generator) -> Tensor:
        h, w = frames.shape[-2:]
        side = self.side
        if bool(
            torch.rand(1, generator=rng) < 0.3
        ):  # the whole height, made smaller: sharper, faster
            side = min(h, w)
        top = int(torch.randint(h - side + 1, (1,), generator=rng))
        left = int(torch.randint(w - side + 1, (1,), generator=rng))
        window = frames[index, :, top : top + side, left : left + side]
        if side != self.side:
            window = F.interpolate(window.float(), self.side, mode="area").round().to(torch.uint8)
        flip, turn = torch.rand(2, generator=rng) < torch.tensor([0.5, 0.15])
        if flip:
            window = window.flip(-1)
        return (window.transpose(-1, -2) if turn else window).contiguous()
