"""Extension: a clip is given, and frames after its end, before its start, or both, are made.

Room: tasks. Pure arithmetic on times: no torch, no numpy, no files.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.plan import Plan, Slot
from mardini_cli.tasks.windows import arrange, context_of

BRIDGED = 2
"""Frames of a clip's beginning that the bridge of a loop sees, beside as many of its end."""


def step_of(times: Sequence[Fraction], last_duration: Fraction) -> Fraction:
    """Seconds between made frames: the clip's typical gap; of a single frame, its duration."""
    gaps = sorted(right - left for left, right in pairwise(times))
    return gaps[len(gaps) // 2] if gaps else last_duration


def extend(
    times: Sequence[Fraction],
    end: Fraction,
    size: int,
    before: int = 0,
    after: int = 0,
    context: int | None = None,
) -> Plan:
    """Plan frames before and after a clip, made window by window; the clip itself stays.

    Args:
        times: of the clip's frames, seconds, growing.
        end: when the last of them ceases to be shown; the first made frame follows there.
        size: the most slots of a window.
        before: how many frames to make before the clip.
        after: how many after it.
        context: how many frames of the one before each window keeps.

    Raises:
        ConfigError: nothing to make, or a context that leaves no room in the window.
    """
    if before < 0 or after < 0 or before + after < 1:
        raise ConfigError(
            f"{before} frames before and {after} after",
            needed="at least one frame to make",
            do="try --seconds 1",
        )
    step = step_of(times, end - times[-1])
    all_times = [
        *(times[0] - step * back for back in range(before, 0, -1)),
        *times,
        *(end + step * number for number in range(after)),
    ]
    slots = tuple(
        Slot(place, time, place - before if 0 <= place - before < len(times) else None)
        for place, time in enumerate(all_times)
    )
    return Plan("extend", slots, arrange(slots, size, context))


def loop(
    times: Sequence[Fraction],
    end: Fraction,
    size: int,
    frames: int,
    context: int | None = None,
) -> Plan:
    """Plan the bridge from a clip's last frame to its first.

    The clip's first frames stand after the bridge too, as context that is not shown.

    Args:
        times: of the clip's frames, seconds, growing.
        end: when the last of them ceases to be shown.
        size: the most slots of a window.
        frames: how many to make.
        context: how many frames of the beginning the bridge sees; None is ``BRIDGED``.
    """
    if frames < 1:
        raise ConfigError(f"a bridge of {frames} frames", needed="at least 1", do="try --frames 7")
    step = step_of(times, end - times[-1])
    start = len(times) + frames
    seen = min(max(1, BRIDGED if context is None else context), len(times))
    slots = (
        *(Slot(place, time, place) for place, time in enumerate(times)),
        *(Slot(len(times) + n, end + step * n, None) for n in range(frames)),
        *(
            Slot(start + n, end + step * frames + times[n] - times[0], n, shown=False)
            for n in range(seen)
        ),
    )
    return Plan("loop", slots, arrange(slots, size, context_of(size)))
