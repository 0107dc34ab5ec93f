"""Frames that only repeat the one before: drawings on twos, telecine leftovers, still screens.

Room: tasks. Pure arithmetic: no torch, no numpy, no files.

A held frame costs no model time: what lies between it and its predecessor is the predecessor. To
**smooth** is to make such frames anew at their own times, so that motion which stops and jumps
becomes even; the clip stays as long as it is. Only short holds between motion are smoothed: a
still shot, a pause, or a screen on which nothing happens is no fault.
"""

from collections.abc import Container, Sequence
from fractions import Fraction
from itertools import groupby
from typing import Final, Protocol

LARGEST: Final = 2.0
"""Codes by which a block of a held frame may differ: what a codec's noise does at good quality."""
DRIFT: Final = 0.1
"""Codes by which a held frame may be brighter or darker on the whole; a fade does more."""
LONGEST_RUN: Final = 3
"""Frames that repeat one drawing, at most, where it is smoothed: drawn on fours."""
LONGEST_HOLD: Final = Fraction(1, 5)
"""Seconds that such a drawing stands at most; longer is a pause, and stays."""


class Step(Protocol):
    """What was measured of the step from one frame to the next."""

    @property
    def largest(self) -> float:
        """Largest mean absolute luma difference of any block, in codes of 8 bits."""
        ...

    @property
    def drift(self) -> float:
        """Mean luma difference with its sign, in codes of 8 bits."""
        ...


def find_held(steps: Sequence[Step]) -> tuple[int, ...]:
    """Give the numbers of the frames that repeat the one before them, rising."""
    return tuple(
        place + 1
        for place, step in enumerate(steps)
        if step.largest <= LARGEST and abs(step.drift) <= DRIFT
    )


def find_smoothable(
    held: Container[int], cuts: Container[int], times: Sequence[Fraction]
) -> tuple[int, ...]:
    """Give the held frames that stand between motion, in short runs: those to be made anew.

    The frame that follows a run must belong to the same shot: a hold at the end of one stays, since
    nothing tells where it would move to.

    Args:
        held: numbers of frames that repeat the one before them.
        cuts: numbers of frames that begin a shot.
        times: when each frame is shown, seconds.
    """
    found: list[int] = []
    numbers = range(1, len(times))
    for repeats, group in groupby(numbers, key=lambda number: number in held):
        run = list(group)
        drawing, after = run[0] - 1, run[-1] + 1
        if not repeats or after == len(times):
            continue
        short = len(run) <= LONGEST_RUN and times[after] - times[drawing] <= LONGEST_HOLD
        if short and not any(number in cuts for number in range(drawing + 1, after + 1)):
            found += run
    return tuple(found)
