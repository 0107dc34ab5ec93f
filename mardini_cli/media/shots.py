"""Looks at frames as they pass and says of each step from one to the next how much is new.

Room: media (floor 2). Measures; what is a cut and what is a held frame is decided in ``tasks``.
Holds a handful of thumbnails, never the clip.

A step over a cut has three marks, and each is asked for on thumbnails of 64 pixels:

- the picture **changes**: mean difference of the codes, luma and colour;
- what was there is **nowhere near** where it was: every block of the one thumbnail is looked for
  in a wide neighbourhood of the other by normalised correlation, so that pans, shakes and zooms
  find their blocks again, and light, fades and dissolves do not count since neither gain nor
  offset matter;
- it **stays** away: where the frames between are brighter than those around them (a flash, a
  white frame), the frames on both sides of them are compared as well, and the best answer counts.

A held frame is its predecessor again but for the codec's noise. Means over the picture miss a
mouth that moves, so the largest mean over blocks of full-size luma is taken; and a fade moves
every pixel a little the same way, so the mean difference with its sign is taken too.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from av import VideoFrame
from numpy.lib.stride_tricks import sliding_window_view

from mardini_cli.media.planes import LAYOUTS, channels, readable

Floats = npt.NDArray[np.float32]

THUMBNAIL: Final = 64
"""Pixels of a thumbnail's long side."""
BLOCK, STRIDE = 12, 6
"""Side of the blocks that are looked for, and the way from one to the next, in pixels."""
REACH: Final = 18
"""How far a block is looked for, in pixels each way: 28 % of the long side."""
FAINT: Final = 2.0
"""Contrast, in codes, below which a block says nothing."""
STILL: Final = 1.5
"""Mean change of thumbnails, in codes, below which nothing new can be there."""
BLIND: Final = 4
"""Frames after a step that are looked at beyond a flash, and before it."""
BRIGHTER: Final = 8.0
"""Codes of mean luma by which a flash stands out from the frames around it."""
HELD_BLOCK: Final = 8
"""Side of the blocks of full-size luma over which held frames are compared, in pixels."""


@dataclass(frozen=True, slots=True)
class Step:
    """From one frame to the next."""

    change: float
    """Mean absolute difference of the thumbnails, in codes of 8 bits."""
    novelty: float
    """Share of the picture's contrast that is found nowhere in the other frame, 0 to 1."""
    largest: float
    """Largest mean absolute luma difference of any block, in codes of 8 bits."""
    drift: float
    """Mean luma difference with its sign, in codes of 8 bits."""


@dataclass(frozen=True, eq=False, slots=True)
class Look:
    """What is kept of a frame."""

    planes: Floats
    """``3 h w``: luma and colour difference, thumbnails."""
    luma: npt.NDArray[np.uint8 | np.uint16]
    depth: int

    @property
    def level(self) -> float:
        """Mean luma of the thumbnail, in codes of 8 bits."""
        return float(self.planes[0].mean())

    @property
    def contrast(self) -> float:
        """Standard deviation of the thumbnail's luma, in codes of 8 bits."""
        return float(self.planes[0].std())

    def change(self, after: "Look") -> float:
        """Mean absolute difference of the thumbnails, in codes of 8 bits."""
        return float(np.abs(self.planes - after.planes).mean())


class Watch:
    """Takes frames one by one; ``steps`` has one entry for each pair of neighbours."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque(maxlen=2 * BLIND)
        self._pairs: deque[tuple[float, float, float]] = deque()  # of steps not yet judged
        self._seen = 0
        self._steps: list[Step] = []

    def __call__(self, frame: VideoFrame) -> None:
        """Look at the next frame."""
        look = look_at(frame)
        if self._looks:
            self._pairs.append(_difference(self._looks[-1], look))
        self._looks.append(look)
        self._seen += 1
        while len(self._pairs) >= BLIND:
            self._judge()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps between the frames so far; call it after the last frame."""
        while self._pairs:
            self._judge()
        return tuple(self._steps)

    def _judge(self) -> None:
        """Settle the earliest open step, with the frames on both sides of it that are there."""
        change, largest, drift = self._pairs.popleft()
        first = self._seen - len(self._looks)  # the number of the first look that is kept
        place = len(self._steps) - first  # of the frame before the step
        novelty = _novelty(list(self._looks), place) if change > STILL else 0.0
        self._steps.append(Step(change, novelty, largest, drift))


def look_at(frame: VideoFrame) -> Look:
    """Take a thumbnail and the luma of a frame."""
    scale = THUMBNAIL / max(frame.width, frame.height)
    width, height = (max(BLOCK, round(side * scale)) for side in (frame.width, frame.height))
    small = frame.reformat(width, height, "yuv444p", interpolation="AREA").to_ndarray()
    whole = readable(frame)
    layout = LAYOUTS[whole.format.name]
    luma = channels(whole, layout)[min(1, len(layout.places) - 1) if layout.family == "rgb" else 0]
    return Look(small.astype(np.float32), luma.copy(), layout.depth)


def _difference(before: Look, after: Look) -> tuple[float, float, float]:
    """Change, largest and drift; the last two only where the change leaves them open."""
    change = before.change(after)
    if change > STILL:
        return change, float("inf"), float("inf")
    return change, *held_difference(before, after)


def held_difference(before: Look, after: Look) -> tuple[float, float]:
    """Largest mean difference of a luma block, and the mean with its sign; codes of 8 bits."""
    if before.luma.shape != after.luma.shape:
        return float("inf"), float("inf")
    if np.array_equal(before.luma, after.luma):
        return 0.0, 0.0
    step = after.luma.astype(np.int32) - before.luma
    unit = 2.0 ** (before.depth - 8)
    rows, columns = (max(1, side // HELD_BLOCK) for side in step.shape)
    inner = np.abs(step[: rows * HELD_BLOCK, : columns * HELD_BLOCK])
    tall, wide = inner.shape[0] // rows, inner.shape[1] // columns
    inner = inner[: rows * tall, : columns * wide]
    means = inner.reshape(rows, tall, columns, wide).mean((1, 3))
    return float(means.max()) / unit, float(step.mean()) / unit


def _novelty(looks: Sequence[Look], place: int) -> float:
    """How little of the frame at ``place`` is found beyond the step after it."""
    least = unmatched(looks[place], looks[place + 1])
    for before, after in _around_flashes(looks, place):
        least = min(least, unmatched(looks[before], looks[after]))
    return least


def _around_flashes(looks: Sequence[Look], place: int) -> list[tuple[int, int]]:
    """Pairs over the step with a flash between them, on one side of it."""
    pairs = []
    levels = [look.level for look in looks]

    def flash(first: int, last: int) -> bool:
        """Whether all frames strictly between two stand out from both."""
        edge = max(levels[first], levels[last])
        return min(levels[first + 1 : last]) > edge + BRIGHTER

    for after in range(place + 2, min(place + 1 + BLIND, len(looks))):
        if flash(place, after):
            pairs.append((place, after))
    for before in range(max(0, place - BLIND + 1), place):
        if flash(before, place + 1):
            pairs.append((before, place + 1))
    return pairs


def unmatched(one: Look, other: Look) -> float:
    """Share of contrast without a match, the better of both directions, 0 to 1."""
    first, second = _blocks(one.planes[0]), _blocks(other.planes[0])
    return min(_lost(first, second), _lost(second, first))


def _blocks(luma: Floats) -> tuple[Floats, Floats]:
    """Every block of a thumbnail, its mean taken off, ``h w pixels``; and its contrast, ``h w``."""
    seen = sliding_window_view(luma, (BLOCK, BLOCK))
    blocks = seen.reshape(*seen.shape[:2], BLOCK * BLOCK)
    blocks = blocks - blocks.mean(-1, keepdims=True)
    return blocks, np.sqrt(np.square(blocks).sum(-1))


def _lost(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> float:
    (blocks, contrast), (places, strength) = one, other
    mine = blocks[::STRIDE, ::STRIDE]
    weight = contrast[::STRIDE, ::STRIDE]
    theirs = places / np.maximum(strength, FAINT * BLOCK)[..., None]
    rows, columns = mine.shape[:2]
    found = mine.reshape(rows * columns, -1) @ theirs.reshape(-1, BLOCK * BLOCK).T
    found = found.reshape(rows, columns, *strength.shape)
    near = (
        _near(rows, strength.shape[0])[:, None, :, None]
        & _near(columns, strength.shape[1])[:, None]
    )
    best = np.where(near, found, 0).max((2, 3)) / np.maximum(weight, FAINT * BLOCK)
    total = float(weight.sum())
    return float(((1 - best.clip(0, 1)) * weight).sum() / total) if total else 0.0


def _near(blocks: int, places: int) -> npt.NDArray[np.bool_]:
    """Which places along one axis lie within reach of which block."""
    away = np.arange(blocks)[:, None] * STRIDE - np.arange(places)
    near: npt.NDArray[np.bool_] = np.abs(away) <= REACH
    return near
