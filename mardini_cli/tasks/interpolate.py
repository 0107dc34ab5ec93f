"""Interpolation: every frame of a clip is given, and the frames between them are made.

Room: tasks. Pure arithmetic on times: no torch, no numpy, no files.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from mardini_cli.errors import ConfigError, DamagedMediaError, FactorError, TooFewFramesError
from mardini_cli.tasks.plan import Plan, Slot, Window
from mardini_cli.tasks.shots import Shots, lay
from mardini_cli.tasks.windows import SMALLEST_WINDOW, arrange

SMALLEST_FACTOR = 2
LARGEST_FACTOR = 64


def check_factor(factor: int) -> None:
    """Refuse a factor that makes no frames, or more than anyone can want.

    Raises:
        FactorError: not from 2 to 64.
    """
    if not SMALLEST_FACTOR <= factor <= LARGEST_FACTOR:
        raise FactorError(
            f"factor {factor}",
            needed=f"{SMALLEST_FACTOR} to {LARGEST_FACTOR}",
            do="try --factor 2 for twice as many frames",
        )


def interpolate(
    times: Sequence[Fraction],
    factor: int,
    size: int,
    shots: Shots | None = None,
    first: int = 0,
) -> Plan:
    """Plan ``factor - 1`` made frames in every gap between two given frames.

    Made frames stand at exact subdivisions of their own gap, so uneven times stay exact. A window
    holds as many whole gaps as fit; where not even one fits, the gap is divided: one window makes
    frames spread over it, and further windows make the others between these, level by level (the
    paper's way from 4 frames to 128). Frames that are there are never made again. No window lies
    over a cut, and what stands still is not made (``shots.lay``).

    Args:
        times: when each given frame is shown, seconds, growing.
        factor: from 2 to 64; n frames become (n - 1) * factor + 1.
        size: the most slots of a window.
        shots: where shots begin and which frames only repeat; None: one shot, all of it moves.
        first: number of the first given frame in the source, where the times are those of a part.

    Raises:
        FactorError: the factor is out of range.
        ConfigError: a window of this size cannot hold a made frame between two given ones.
        TooFewFramesError: there is no gap.
        DamagedMediaError: a frame is not shown after the one before it. This is the one place
            where such times are met: they are refused, since no frame lies between.
    """
    check_factor(factor)
    check_size(size)
    check_times(times)
    slots = tuple(_slots(times, factor, first))
    if shots is not None and (shots.cuts or shots.held):
        return Plan("interpolate", *lay(slots, size, shots))
    spans = _whole_gaps(len(slots), factor, size)
    windows = tuple(Window(tuple(slots[place] for place in span)) for span in spans)
    return Plan(task="interpolate", slots=slots, windows=windows or arrange(slots, size))


def _slots(times: Sequence[Fraction], factor: int, first: int) -> Iterator[Slot]:
    for number, (left, right) in enumerate(pairwise(times)):
        step = (right - left) / factor
        yield Slot(number * factor, left, first + number)
        for part in range(1, factor):
            yield Slot(number * factor + part, left + part * step, None)
    last = len(times) - 1
    yield Slot(last * factor, times[last], first + last)


def _whole_gaps(count: int, factor: int, size: int) -> list[Sequence[int]]:
    """Places of each window, windows sharing their border frames; empty if no gap fits."""
    reach = (size - 1) // factor * factor
    if not reach:
        return []
    return [range(start, min(start + reach, count - 1) + 1) for start in range(0, count - 1, reach)]


def check_size(size: int) -> None:
    """Refuse a window that holds no made frame between two given ones."""
    if size < SMALLEST_WINDOW:
        raise ConfigError(
            f"window of {size} slots",
            needed=f"at least {SMALLEST_WINDOW} to interpolate",
            do="use a model with a larger window",
        )


def check_times(times: Sequence[Fraction]) -> None:
    """Refuse times with nothing between them, or that do not grow."""
    if len(times) < 2:
        raise TooFewFramesError(
            f"{len(times)} frame{'' if len(times) == 1 else 's'}",
            needed="at least 2",
            do="give a clip with something to make frames between",
        )
    for number, (left, right) in enumerate(pairwise(times)):
        if right <= left:
            raise DamagedMediaError(
                f"frame {number + 1} is shown at {float(right):.6g} s, "
                f"frame {number} before it at {float(left):.6g} s",
                needed="times that grow",
                do="write the clip anew with even times: ffmpeg -i IN -fps_mode cfr OUT",
            )
