"""How quickly a clip passes: its own clock to the result's, for slow motion and speed ramps.

Room: tasks. Pure arithmetic: no torch, no numpy, no files. Where the speed is steady all times are
exact; in a ramp, speed grows evenly with the clip's time, so the result's time is a logarithm,
rounded to a nanosecond.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import exp, log

from mardini_cli.errors import ConfigError

SLOWEST, FASTEST = Fraction(1, 64), Fraction(64)
_NANOSECOND = 10**9
_KNOT = re.compile(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Pace:
    """Speeds at some times of the clip, seconds from its start; even in between and steady outside.

    Raises:
        ConfigError: no knots, times that do not rise, or a speed out of range.
    """

    knots: tuple[tuple[Fraction, Fraction], ...] = ((Fraction(0), Fraction(1)),)
    """Time and speed; 1 is the clip's own speed, 1/4 shows four seconds for one."""

    def __post_init__(self) -> None:
        times = [time for time, _ in self.knots]
        if not times or any(right <= left for left, right in pairwise(times)):
            raise ConfigError(
                "speed at times that do not rise",
                needed="TIME:SPEED pairs in time order",
                do="try --speed 0:1,5:0.25,8:1",
            )
        for _, speed in self.knots:
            if not SLOWEST <= speed <= FASTEST:
                raise ConfigError(
                    f"speed {float(speed):g}",
                    needed=f"{float(SLOWEST):g} to {FASTEST}",
                    do="try --slow-motion 4, which is a speed of 0.25",
                )

    @property
    def is_steady(self) -> bool:
        """Whether one speed holds all through."""
        return len({speed for _, speed in self.knots}) == 1

    @property
    def is_own(self) -> bool:
        """Whether the clip keeps its own time."""
        return self.is_steady and self.knots[0][1] == 1

    def shown(self, time: Fraction) -> Fraction:
        """When the result shows what the clip shows at a time; both from the start, seconds."""
        shown = Fraction(0)
        for start, end, speed, next_speed in self._pieces():
            if time < start:
                break
            length = (time if end is None else min(time, end)) - start
            if speed == next_speed or end is None:
                shown += length / speed
            else:
                growth = (next_speed - speed) / (end - start)
                shown += _rounded(log(1 + growth * length / speed) / growth)
        return shown

    def _pieces(self) -> list[tuple[Fraction, Fraction | None, Fraction, Fraction]]:
        """Start, end and both speeds of every stretch of the clip from its start on."""
        inner = [(a, b, u, v) for (a, u), (b, v) in pairwise(self.knots)]
        (first, opening), (last, closing) = self.knots[0], self.knots[-1]
        before = [(Fraction(0), first, opening, opening)] if first > 0 else []
        return [*before, *inner, (last, None, closing, closing)]

    def seen(self, shown: Fraction) -> Fraction:
        """Which time of the clip the result shows at a time: the inverse of ``shown``."""
        left = shown
        for start, end, speed, next_speed in self._pieces():
            steady = speed == next_speed
            if end is None:
                return start + left * speed
            whole = self.shown(end) - self.shown(start)
            if left > whole:
                left -= whole
            elif steady:
                return start + left * speed
            else:
                growth = (next_speed - speed) / (end - start)
                return start + _rounded(float(speed / growth) * (exp(growth * left) - 1))
        raise AssertionError("the last stretch has no end")


def _rounded(seconds: float) -> Fraction:
    return Fraction(round(seconds * _NANOSECOND), _NANOSECOND)


def slow_motion(times: Fraction) -> Pace:
    """The pace of a clip that takes so many times as long."""
    if times <= 0:
        raise ConfigError(
            f"slow motion of {float(times):g}", needed="above 0", do="try --slow-motion 4"
        )
    return Pace(((Fraction(0), 1 / times),))


def ramp(text: str) -> Pace:
    """Read ``TIME:SPEED,TIME:SPEED,...``, times in seconds of the clip.

    Raises:
        ConfigError: other words.
    """
    found = [_KNOT.fullmatch(part.strip()) for part in text.split(",")]
    knots = tuple((Fraction(knot[1]), Fraction(knot[2])) for knot in found if knot)
    if len(knots) < len(found):
        raise ConfigError(
            f"speed '{text}'", needed="TIME:SPEED pairs", do="try --speed 0:1,5:0.25,8:1"
        )
    return Pace(knots)
