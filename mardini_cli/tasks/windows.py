"""From slots to windows: which frames the model sees together, for any set of given frames.

Room: tasks. Pure arithmetic: no torch, no numpy, no files. One rule for every task:

1. Made frames before the first given one and after the last (one side is free) are made by rolling
   windows: each keeps a few frames of the one before it and makes as many as fit.
2. Made frames between given ones are made in windows that hold as many whole gaps as fit.
3. A gap that fits no window is divided: a window makes frames spread over it, and these then
   count as given for the smaller gaps; the ends of a gap are never made again.

Source: rolling and dividing are the paper's auto-regression over windows (its section on tasks).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.plan import Slot, Window

SMALLEST_WINDOW = 3
"""Two frames that are there and one made between them."""
WIDENED = 1
"""Given frames beyond its gaps that a window sees on either side: two tell how things move."""


def context_of(size: int) -> int:
    """How many frames a rolling window keeps of the one before: the paper's 5 of 17 at most."""
    return max(1, min(5, size * 5 // 17))


def arrange(
    slots: Sequence[Slot],
    size: int,
    context: int | None = None,
    coarse: Iterable[int] = (),
) -> tuple[Window, ...]:
    """Lay windows over the made slots of a job.

    Args:
        slots: of the whole job, in time order.
        size: the most slots of a window.
        context: frames that a rolling window keeps; None is ``context_of(size)``.
        coarse: places of made slots that are made first, and count as given for the others;
            without it, all of those outside the given frames.

    Raises:
        ConfigError: no given frame, or a window too small for what is asked.
    """
    context = context_of(size) if context is None else context
    _check(slots, size, context)
    there = {place for place, slot in enumerate(slots) if not slot.is_made}
    windows: list[Window] = []
    made: set[int] = set()
    levels = [range(len(slots))]
    sparse = sorted(there.union(coarse))
    for level in [sparse, *levels] if len(sparse) > len(there) else levels:
        ready = {number for number, place in enumerate(level) if place in there}
        for numbers in _level(len(level), ready, size, context):
            places = [level[number] for number in numbers]
            earlier = frozenset(slots[place].index for place in places if place in made)
            windows.append(Window(tuple(slots[place] for place in places), earlier))
            made.update(place for place in places if slots[place].is_made)
            there.update(places)
            ready.update(numbers)
    return tuple(windows)


def _level(count: int, ready: set[int], size: int, context: int) -> Iterator[Sequence[int]]:
    yield from _rolling(count, ready, size, context)
    yield from _between(ready, size)  # the caller has told what rolling made


def _rolling(count: int, ready: set[int], size: int, context: int) -> Iterator[Sequence[int]]:
    """Windows outside the frames that are there: backward from the first, forward from the last."""
    first, last = min(ready), max(ready)
    before, after = first, count - 1 - last
    span = last - first + 1
    alone = span <= context and span + 2 <= size
    if before and after and (alone or span + before + after <= size):  # begin on both sides
        room = size - span
        left = min(before, max(room - after, round(room * before / (before + after)), 1))
        right = min(after, room - left)
        yield range(first - left, last + right + 1)
        first, last = first - left, last + right
        before, after, span = before - left, after - right, span + left + right
    for start, end in pairwise(_shares(before, span, size, context)):
        yield range(first - end, first - start + min(context, span + start))
    for start, end in pairwise(_shares(after, span, size, context)):
        yield range(last + 1 + start - min(context, span + start), last + 1 + end)


def _shares(count: int, span: int, size: int, context: int) -> list[int]:
    """Borders of the made frames of rolling windows, from 0 to ``count``; even where they can be.

    The first window has more room where fewer frames are there than a context has.
    """
    if not count:
        return []
    borders = [0, min(count, size - span)] if span < context else [0]
    rest = count - borders[-1]
    parts = -(-rest // (size - context))
    return [*borders, *(borders[-1] + rest * part // parts for part in range(1, parts + 1))]


def _between(ready: set[int], size: int) -> Iterator[Sequence[int]]:
    """Windows between frames that are there, in as few windows as the gaps allow."""
    firm = sorted(ready)  # what these windows make is no context for one another: they may be
    group: list[tuple[int, int]] = []  # made at once
    for left, right in pairwise(firm):
        if right - left == 1:
            continue
        if group and right - group[0][0] >= size:
            yield _widened(group, firm, size)
            group = []
        if right - left >= size:
            yield from _divided(left, right, size)
        else:
            group.append((left, right))
    if group:
        yield _widened(group, firm, size)


def _widened(group: list[tuple[int, int]], firm: Sequence[int], size: int) -> Sequence[int]:
    """All places from the first gap's left end to the last one's right end, and some beyond."""
    left, right = group[0][0], group[-1][1]
    room = size - (right - left + 1)
    at, to = bisect_left(firm, left), bisect_right(firm, right)
    before, after = firm[max(at - WIDENED, 0) : at], firm[to : to + WIDENED]
    fore = min(len(before), max(room // 2, room - len(after)))
    return [*before[len(before) - fore :], *range(left, right + 1), *after[: room - fore]]


def _divided(left: int, right: int, size: int) -> Iterator[Sequence[int]]:
    """One window over a gap that is too long, then windows over what it leaves."""
    length = right - left
    gaps = min(size - 1, -(-length // 2))
    while gaps > 2 and -(-length // (gaps - 1)) == -(-length // gaps):
        gaps -= 1  # fewer gaps that are no longer
    ends = [left + length * part // gaps for part in range(gaps + 1)]
    yield ends
    yield from _between(set(ends), size)


def _check(slots: Sequence[Slot], size: int, context: int) -> None:
    if not any(not slot.is_made for slot in slots):
        raise ConfigError("no given frame", needed="at least one", do="keep a frame")
    if size < SMALLEST_WINDOW:
        raise ConfigError(
            f"window of {size} slots",
            needed=f"at least {SMALLEST_WINDOW}",
            do="use a model with a larger window",
        )
    if not 1 <= context < size:
        raise ConfigError(
            f"context of {context} frames",
            needed=f"1 to {size - 1}, since this model sees {size} frames at once",
            do="leave --context out",
        )
