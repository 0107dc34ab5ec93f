"""Times as rational numbers: seconds, ticks, and the time base that a list of times needs.

Room: media (floor 2). Pure arithmetic on ``Fraction``: no files, no floats.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import gcd, lcm

LIMIT = 2**31 - 1
"""Both sides of a time base must fit 32 bits with a sign."""

FINEST = Fraction(1, 1_000_000_000)
"""Used where no time base within ``LIMIT`` holds all times; rounds by at most half a nanosecond."""


def known(value: Fraction | int | None) -> Fraction | None:
    """Read a rational of FFmpeg's: 0 and nothing both mean that it is not set."""
    return None if value is None or Fraction(value) <= 0 else Fraction(value)


def ticks(time: Fraction, base: Fraction) -> int:
    """Nearest whole number of ticks; halves go up."""
    return (time / base + Fraction(1, 2)).__floor__()


def common_time_base(times: Sequence[Fraction]) -> Fraction:
    """Give the coarsest time base that holds every time exactly.

    Args:
        times: seconds; put the end of the last frame in too.

    Returns:
        The greatest common divisor of the times; ``FINEST`` where its parts would not fit 32 bits.
    """
    bottom = lcm(*(time.denominator for time in times))
    top = gcd(*(int(time * bottom) for time in times))
    base = Fraction(top, bottom) if top else Fraction(1, bottom)
    return base if max(base.numerator, base.denominator) <= LIMIT else FINEST


def shared_clock(bases: Sequence[Fraction]) -> int:
    """Ticks a second of a clock that keeps times of the first base exactly, and all if it can."""
    first = bases[0].denominator
    clock = lcm(*(base.denominator for base in bases))
    if clock > LIMIT:
        clock = first
    return clock * max(1, min(LIMIT, 90_000) // clock)


def gaps(times: Sequence[Fraction]) -> list[Fraction]:
    """Seconds from each frame to the next."""
    return [after - before for before, after in pairwise(times)]


def is_even(times: Sequence[Fraction]) -> bool:
    """Whether all gaps are equal, exactly."""
    return len(set(gaps(times))) <= 1


def is_even_to(times: Sequence[Fraction], tick: Fraction) -> bool:
    """Whether all gaps are equal, but for rounding to whole ticks."""
    if len(times) < 2:
        return True
    step = (times[-1] - times[0]) / (len(times) - 1)
    return all(abs(times[0] + n * step - time) <= tick for n, time in enumerate(times))


def mean_rate(times: Sequence[Fraction]) -> Fraction | None:
    """Frames a second from the first frame to the last; nothing for fewer than two frames."""
    if len(times) < 2:
        return None
    return Fraction(len(times) - 1) / (times[-1] - times[0])


def typical_gap(times: Sequence[Fraction]) -> Fraction | None:
    """Middle one of the gaps by length; nothing for fewer than two frames."""
    ordered = sorted(gaps(times))
    return ordered[len(ordered) // 2] if ordered else None
