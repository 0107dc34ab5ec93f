"""Whether made frames are pictures that move: none blank, none torn, none a copy of its neighbour.

Room: media (floor 2). One place knows what a bad gap is: ``judged`` serves the finished file, whose
frames pass here one by one, and the pipeline, which looks before anything is written.

A copy counts only where there is something to move: between two given frames that differ clearly
and belong to one shot. A still gap is rightly filled with copies, and so may a gap before a cut
be, where the last frame of the shot is held.
"""

from collections.abc import Sequence
from typing import Final

from av import VideoFrame

from mardini_cli.events import Check
from mardini_cli.media.shots import Look, held_difference, look_at, unmatched

BLANK: Final = 1.5
"""Contrast of a thumbnail, in codes, up to which a frame shows nothing."""
PICTURED: Final = 8.0
"""Contrast that both given frames have where a blank one between them is a fault."""
MOVING, CLEARLY = 3.0, 16.0
"""Codes by which given frames differ, on the mean and in some block, where something moves."""
COPY: Final = 0.05
"""Share of an even step's largest block difference up to which a frame is a copy."""
LONGEST: Final = 63
"""Made frames of a gap at most between whose ends motion is taken to be even."""
ONE_SHOT: Final = 0.12
"""Novelty up to which two given frames surely belong to one shot."""


def judged(
    left: Look, right: Look, contrasts: Sequence[float], steps: Sequence[float]
) -> tuple[list[int], list[int]]:
    """Find what is wrong with the made frames between two given ones.

    Args:
        left: given frame before them.
        right: given frame after them.
        contrasts: of each made frame.
        steps: largest block difference from each frame to the next, both given ones included.

    Returns:
        Places of blank ones and of copies, from 0, the first made frame.
    """
    blank: list[int] = []
    if min(left.contrast, right.contrast) > PICTURED:
        blank = [n for n, contrast in enumerate(contrasts) if contrast <= BLANK]
    largest, _ = held_difference(left, right)
    if len(contrasts) > LONGEST or left.change(right) < MOVING or largest < CLEARLY:
        return blank, []
    if unmatched(left, right) > ONE_SHOT:
        return blank, []
    least = COPY * largest / len(steps)
    return blank, [n for n, step in enumerate(steps) if step <= least]


class MadeWatch:
    """Takes all frames of a result in order; holds two of them, and two numbers each of a gap."""

    def __init__(self) -> None:
        self._left: Look | None = None  # the last given frame
        self._before: Look | None = None
        self._contrasts: list[float] = []  # of the frames after it
        self._steps: list[float] = []  # to each of them from the one before: largest differences
        self._seen = 0
        self._made = 0
        self._blank: list[int] = []
        self._copies: list[int] = []
        self._torn: list[int] = []

    def __call__(self, frame: VideoFrame, *, given: bool) -> None:
        """Look at the next frame."""
        if frame.is_corrupt:
            self._torn.append(self._seen)
        self._made += not given
        look = look_at(frame)
        if self._before is not None:
            self._contrasts.append(look.contrast)
            self._steps.append(held_difference(self._before, look)[0])
        if given:
            if self._left is not None and len(self._steps) > 1:
                self._judge(self._left, look)
            self._left = look
            self._contrasts, self._steps = [], []
        self._before = look
        self._seen += 1

    def _judge(self, left: Look, right: Look) -> None:
        first = self._seen - len(self._steps) + 1  # number of the first made frame of the gap
        blank, copies = judged(left, right, self._contrasts[:-1], self._steps)
        self._blank += [first + n for n in blank]
        self._copies += [first + n for n in copies]

    def checks(self) -> list[Check]:
        """What was found."""
        return [
            _check("no blank made frame", self._blank, self._made),
            _check("no copied made frame", self._copies, self._made),
            _check("no damaged frame", self._torn, self._seen),
        ]


def _check(name: str, bad: list[int], count: int) -> Check:
    which = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
    found = f"{len(bad)} of {count}" + (f" (frames {which})" if bad else "")
    return Check(name=name, passed=not bad, found=found, needed="none")
