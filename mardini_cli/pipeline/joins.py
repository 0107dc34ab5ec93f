"""Joins of a clip that was made longer: measured in the finished file.

Room: pipeline. A join is the border between two frames of which a window made one and did not
make the other. Its step, its change of colour and of sharpness are set against what the given
frames do among themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mardini_cli.media.limits import OWN
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import read, rgb
from mardini_cli.pipeline.desk import Picture
from mardini_cli.tasks.plan import Plan, Slot, Window

SIDE = 96
"""Short side at which frames are compared, pixels: noise and codec do not count."""
SHIFT = 2 / 255
"""Most that the mean of a channel is moved to match."""
USUAL = 95
"""Percentile of the given frames' own steps that a join should not exceed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Join:
    """One border."""

    time: Fraction
    """Of the later frame, seconds."""
    step: float
    """Mean size of the change from the frame before, in [0, 1]."""
    colour: float
    """Largest change of a channel's mean since the nearest given frame, in [0, 1]."""
    sharpness: float
    """Fine detail of the made side over that of the nearest given frame; 1 is as sharp."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Joins:
    """All borders of a clip, and what is usual in it."""

    joins: tuple[Join, ...]
    usual: float
    """95th percentile of the steps between given frames."""
    steps: tuple[float, ...]
    """Of every frame but the first, from the one before."""
    closing: float
    """The step from the last frame to the first, which a loop takes."""

    @property
    def median(self) -> float:
        """The middle one of the steps; 0 for a single frame."""
        return float(np.median(self.steps)) if self.steps else 0.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame in brief."""

    small: NDArray[np.float32]
    mean: NDArray[np.float32]
    detail: float


def matched(
    window: Window, given: Sequence[Picture], made: Sequence[tuple[Slot, Picture]]
) -> list[tuple[Slot, Picture]]:
    """Hold the mean colour of frames that roll on from a window's given ones.

    Rolling adds small errors up. The made frame next to the given ones gets their mean colour, each
    channel by ``SHIFT`` at most, and all others beyond it the same change; what differs more is
    taken for something that happens in the picture.

    Args:
        window: what was made.
        given: its given frames, in slot order.
        made: its made frames, in slot order.

    Returns:
        ``made``, with those outside the given frames matched.
    """
    first, last = window.given[0].time, window.given[-1].time
    before = [frame for frame in made if frame[0].time < first]
    after = [frame for frame in made if frame[0].time > last]
    shifts: dict[int, NDArray[np.float32]] = {}
    if before:
        shifts |= dict.fromkeys((s.index for s, _ in before), _shift(given[0], before[-1][1]))
    if after:
        shifts |= dict.fromkeys((s.index for s, _ in after), _shift(given[-1], after[0][1]))
    return [
        (slot, np.clip(picture + shifts[slot.index], 0, 1) if slot.index in shifts else picture)
        for slot, picture in made
    ]


def _shift(near: Picture, made: Picture) -> NDArray[np.float32]:
    change = near.mean((0, 1)) - made.mean((0, 1))
    change[3:] = 0  # alpha is no colour
    shift: NDArray[np.float32] = np.clip(change, -SHIFT, SHIFT)
    return shift


def borders(plan: Plan) -> list[int]:
    """Places in the output whose frame and the one before come from different hands."""
    hand = {slot.index: n for n, window in enumerate(plan.windows) for slot in window.made}
    made_by = [hand.get(slot.index) for slot in plan.shown]
    return [n for n, (left, right) in enumerate(pairwise(made_by), start=1) if left != right]


def measure(clip: Path, plan: Plan) -> Joins:
    """Read a finished clip, and measure its joins.

    Args:
        clip: what was written for the plan.
        plan: of which each shown slot is a frame of the clip.
    """
    info = probe(clip, limits=OWN)
    seen = [_brief(rgb(frame, info)) for frame in read(info)]
    steps = [_step(left, right) for left, right in pairwise(seen)]
    shown = plan.shown
    own = [
        step
        for step, (left, right) in zip(steps, pairwise(shown), strict=True)
        if not (left.is_made or right.is_made)
    ]
    given = [place for place, slot in enumerate(shown) if not slot.is_made]
    found = []
    for place in borders(plan):
        made = place if shown[place].is_made else place - 1
        near = seen[min(given, key=lambda other: abs(other - made))]
        found.append(
            Join(
                time=shown[place].time,
                step=steps[place - 1],
                colour=float(np.abs(seen[made].mean - near.mean).max()),
                sharpness=seen[made].detail / max(near.detail, 1e-6),
            )
        )
    usual = float(np.percentile(own, USUAL)) if own else float("inf")
    return Joins(
        joins=tuple(found), usual=usual, steps=tuple(steps), closing=_step(seen[-1], seen[0])
    )


def _brief(picture: NDArray[np.float32]) -> _Seen:
    luma = picture.mean(-1)
    detail = float(np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean())
    every = max(1, min(picture.shape[:2]) // SIDE)
    rows, columns = (side // every * every for side in picture.shape[:2])
    cells = picture[:rows, :columns].reshape(rows // every, every, columns // every, every, 3)
    return _Seen(cells.mean((1, 3)), picture.mean((0, 1)), detail)


def _step(left: _Seen, right: _Seen) -> float:
    return float(np.abs(left.small - right.small).mean())
