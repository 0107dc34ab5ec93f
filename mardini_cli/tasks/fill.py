"""Filling: bad or missing frames of a clip are made anew from the good ones.

Room: tasks. Pure arithmetic on times: no torch, no numpy, no files.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.extend import step_of
from mardini_cli.tasks.plan import Plan, Slot
from mardini_cli.tasks.windows import arrange

EVEN = Fraction(1, 4)
"""How far, in steps, a hole may be from a whole number of steps and still count as dropped
frames: files round times to milliseconds."""


def frame_numbers(text: str, count: int, flag: str) -> frozenset[int]:
    """Read ``12-20,31``: numbers from 0 and ranges with both ends included.

    Raises:
        ConfigError: other signs, or frames that the clip does not have.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < count):
            raise ConfigError(
                f"{flag} '{part.strip()}'",
                needed=f"frames from 0 to {count - 1}, such as 12-20,31",
                do="see 'mardini fill --help'",
            )
        found.update(range(int(first), int(last) + 1))
    return frozenset(found)


def dropped(times: Sequence[Fraction]) -> list[Fraction]:
    """Times at which an even clip lacks frames: holes of two steps and more.

    A clip of variable frame rate has no holes: nothing is found where fewer than three gaps in
    four are alike.
    """
    if len(times) < 4:
        return []
    step = step_of(times, times[-1] - times[-2])
    alike = sum(abs(right - left - step) <= step * EVEN for left, right in pairwise(times))
    if 4 * alike < 3 * (len(times) - 1):
        return []
    holes = []
    for left, right in pairwise(times):
        steps = round((right - left) / step)
        if steps > 1 and abs((right - left) / step - steps) <= EVEN:
            holes += [left + (right - left) * n / steps for n in range(1, steps)]
    return holes


def fill(
    times: Sequence[Fraction],
    missing: Iterable[int],
    size: int,
    holes: Iterable[Fraction] = (),
) -> Plan:
    """Plan the remaking of frames.

    Args:
        times: of the clip's frames, seconds, growing.
        missing: numbers of frames to make anew, each at its own time.
        size: the most slots of a window.
        holes: times at which frames are made besides, where the file has none.

    Raises:
        ConfigError: every frame is missing.
    """
    gone = frozenset(missing)
    frames = sorted(
        [
            *((time, None if number in gone else number) for number, time in enumerate(times)),
            *((time, None) for time in holes),
        ],
        key=lambda frame: frame[0],
    )
    slots = tuple(Slot(place, time, given) for place, (time, given) in enumerate(frames))
    return Plan("fill", slots, arrange(slots, size))
