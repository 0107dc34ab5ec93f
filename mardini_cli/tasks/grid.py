"""Interpolation to a constant rate: frames at even times, given where one is there, else made.

Room: tasks. Pure arithmetic on times: no torch, no numpy, no files.
"""

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.interpolate import check_size, check_times
from mardini_cli.tasks.plan import Plan, Slot
from mardini_cli.tasks.shots import Shots, lay

FASTEST = 1000
"""Frames a second at most."""


def rate_of(text: str) -> Fraction:
    """Read a rate: 60, 59.94, 60000/1001. Broadcast's decimals mean its fractions.

    Raises:
        ConfigError: no rate, or none that a person can want.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= FASTEST:
        raise ConfigError(
            f"fps '{text}'",
            needed=f"frames a second, above 0 and up to {FASTEST}",
            do="try --fps 60 or --fps 60000/1001",
        )
    ntsc = Fraction(round(rate * Fraction(1001, 1000)) * 1000, 1001)
    return ntsc if "." in text and abs(ntsc - rate) < Fraction(1, 200) else rate


def at_rate(
    times: Sequence[Fraction],
    rate: Fraction,
    size: int,
    *,
    tolerance: Fraction = Fraction(0),
    first: int = 0,
    shots: Shots | None = None,
) -> Plan:
    """Plan a frame every ``1 / rate`` seconds, from the first given frame's time to the last's.

    Where a given frame is shown at that time, it stands there; otherwise the frame is made at that
    very time, between the given frames around it, which are context. So going down in rate makes
    no fewer kinds of frames than going up: both show what the clip would have shown.

    Args:
        times: when each given frame would be shown, on the result's clock, seconds, growing.
        rate: frames a second.
        size: the most slots of a window.
        tolerance: a given frame so near counts as being there: half a tick of a coarse clock.
        first: number of the first given frame in the source.
        shots: as for ``interpolate``.

    Raises:
        ConfigError, TooFewFramesError, DamagedMediaError: as ``interpolate``.
    """
    check_size(size)
    check_times(times)
    near = min(tolerance, Fraction(1, 4) / rate)
    kept: dict[int, Fraction] = {}
    made: list[Fraction] = []
    for step in range(int((times[-1] - times[0]) * rate) + 1):
        time = times[0] + step / rate
        number = _nearest(times, time)
        if abs(times[number] - time) <= near:
            kept[number] = time
        else:
            made.append(time)
    given = [(kept.get(number, time), number) for number, time in enumerate(times)]
    whole: list[tuple[Fraction, int | None]] = sorted(
        [*given, *((time, None) for time in made)], key=lambda slot: slot[0]
    )
    slots = tuple(
        Slot(
            index,
            time,
            None if number is None else first + number,
            number is None or number in kept,
        )
        for index, (time, number) in enumerate(whole)
    )
    return Plan("interpolate", *lay(slots, size, shots or Shots()))


def _nearest(times: Sequence[Fraction], time: Fraction) -> int:
    after = bisect_left(times, time)
    if after == len(times):
        return after - 1
    return after - 1 if after and time - times[after - 1] < times[after] - time else after
