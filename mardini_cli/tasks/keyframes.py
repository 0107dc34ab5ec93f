"""Keyframes: pictures are given at times, and the clip between them is made.

Room: tasks. Pure arithmetic on times: no torch, no numpy, no files.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.plan import Plan, Slot
from mardini_cli.tasks.windows import arrange


def keyframes(times: Sequence[Fraction], rate: Fraction, size: int, end: Fraction | None) -> Plan:
    """Plan a clip with a frame at every picture's time, and at every step of the rate besides.

    Made frames stand at whole steps from 0, from the first frame (0, or the first picture) to
    ``end``; a step nearer than half a step to a picture gives way to it.

    Args:
        times: of the pictures, seconds, growing.
        rate: frames a second.
        size: the most slots of a window.
        end: time of the last frame at the latest; None is the last picture's.

    Raises:
        ConfigError: times that do not grow, or nothing to make.
    """
    _check_growing(times, rate)
    last = max(times[-1], end if end is not None else times[-1])
    start = min(times[0], Fraction(0))
    steps = range((start * rate).__ceil__(), (last * rate).__floor__() + 1)
    given = {time: number for number, time in enumerate(times)}
    free = (step / rate for step in steps)
    all_times = sorted({*given, *(t for t in free if _is_free(t, times, rate))})
    return _plan(tuple(Slot(n, time, given.get(time)) for n, time in enumerate(all_times)), size)


def between(count: int, made: int, rate: Fraction, size: int) -> Plan:
    """Plan the same number of made frames between every two of ``count`` pictures."""
    if count < 2 or made < 1 or rate <= 0:
        raise ConfigError(
            f"{count} pictures with {made} frames between two, {rate} a second",
            needed="at least 2 pictures, 1 frame between, and a rate above 0",
            do="try --between 15",
        )
    step = made + 1
    slots = (
        Slot(n, n / rate, None if n % step else n // step) for n in range((count - 1) * step + 1)
    )
    return _plan(tuple(slots), size)


def _plan(slots: tuple[Slot, ...], size: int) -> Plan:
    if all(not slot.is_made for slot in slots):
        raise ConfigError(
            "no frame to make",
            needed="times with more than a step between them",
            do="use a higher --fps, or times further apart",
        )
    return Plan("keyframes", slots, arrange(slots, size))


def _is_free(time: Fraction, times: Sequence[Fraction], rate: Fraction) -> bool:
    return all(abs(time - given) * rate >= Fraction(1, 2) for given in times)


def _check_growing(times: Sequence[Fraction], rate: Fraction) -> None:
    if not times or rate <= 0 or any(right <= left for left, right in pairwise(times)):
        told = ", ".join(str(float(time)) for time in times)
        raise ConfigError(
            f"pictures at {told} s, {rate} frames a second",
            needed="at least one picture, times that grow, and a rate above 0",
            do="name each time once, as in --frame 0=a.png --frame 2.5=b.png",
        )
