"""The plan of a job: which frames are given, which are made, and in which windows.

Room: tasks. A plan is made of times alone: no torch, no numpy, no files. So it can be shown,
priced, split and hashed before a frame is decoded.

Three things make the grammar wide enough for every task. A slot need not be shown: then its frame
is context that a window needs and the output leaves out. A window may see, as given, frames that
an earlier window made. And ``given`` counts the frames of a source, whatever it is: of a clip or
pictures at times; one of them may stand in several slots, and slots may lie outside its times.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

from mardini_cli.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a window: its time, and where its frame comes from or goes to."""

    index: int
    """Place in the whole job, from 0; the noise of a made frame depends on it."""
    time: Fraction
    """Seconds, exact."""
    given: int | None
    """Which of the source's frames stands here; None where the frame is to be made."""
    shown: bool = True
    """Whether the output shows the frame; if not, it is there for windows alone: context."""

    @property
    def is_made(self) -> bool:
        """The mask of this slot in the whole job: True = to be made."""
        return self.given is None


@dataclass(frozen=True, slots=True)
class Window:
    """The frames that the model sees at once, in time order; at least one is given."""

    slots: tuple[Slot, ...]
    earlier: frozenset[int] = field(default=frozenset())
    """Indices of slots whose frames an earlier window made: here they stand as given."""

    @property
    def given(self) -> tuple[Slot, ...]:
        """Slots whose frames are there before this window is made."""
        return tuple(slot for slot in self.slots if not self.makes(slot))

    @property
    def made(self) -> tuple[Slot, ...]:
        """Slots whose frames the model makes in this window."""
        return tuple(slot for slot in self.slots if self.makes(slot))

    @property
    def mask(self) -> tuple[bool, ...]:
        """One truth a slot, True = to be made."""
        return tuple(self.makes(slot) for slot in self.slots)

    def makes(self, slot: Slot) -> bool:
        """Whether this window makes the frame of one of its slots."""
        return slot.is_made and slot.index not in self.earlier

    def positions(self) -> tuple[float, ...]:
        """Times as the model sees them: the first slot at 0, the mean step between slots 1."""
        first = self.slots[0].time
        span = self.slots[-1].time - first
        steps = len(self.slots) - 1
        return tuple(
            float((slot.time - first) * steps / span) if steps else 0.0 for slot in self.slots
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered windows of a whole job.

    Windows are in the order of making: one that sees a made frame comes after the one that makes
    it. Every made slot is made in exactly one window. A given frame stands in each window that
    needs it, or in none.

    Raises:
        ConfigError: a plan that breaks these rules; no task makes one.
    """

    task: str
    slots: tuple[Slot, ...]
    """Every frame of the job, in time order; indices rise. A whole job has ``slots[i].index == i``,
    a part of one has gaps."""
    windows: tuple[Window, ...]

    def __post_init__(self) -> None:
        _check_order(self.slots, "the plan")
        ready: set[int] = set()
        own = set(self.slots)
        for number, window in enumerate(self.windows):
            _check_window(window, f"window {number}", own, ready)
            ready.update(slot.index for slot in window.made)
        for slot in self.slots:
            if slot.is_made and slot.index not in ready:
                raise _broken(f"made frame {slot.index} stands in no window")

    @property
    def shown(self) -> tuple[Slot, ...]:
        """The frames of the output, in time order."""
        return tuple(slot for slot in self.slots if slot.shown)

    @property
    def times(self) -> tuple[Fraction, ...]:
        """When each frame of the output is shown, seconds."""
        return tuple(slot.time for slot in self.slots if slot.shown)

    @property
    def made_count(self) -> int:
        """How many frames of the output the model makes."""
        return sum(slot.is_made for slot in self.slots if slot.shown)

    @property
    def given_count(self) -> int:
        """How many frames of the output the user has."""
        return len(self.times) - self.made_count

    def part(self, start: Fraction, end: Fraction) -> "Plan":
        """Cut out what is needed to show the frames from ``start`` to ``end``, both included.

        The frames are those of the whole job, bit for bit: slots keep their indices, windows stay
        whole, and windows whose made frames are needed come along.
        """
        shown = {s.index for s in self.slots if s.shown and start <= s.time <= end}
        needed, kept = {s.index for s in self.slots if s.is_made and s.index in shown}, []
        for window in reversed(self.windows):
            if any(slot.index in needed for slot in window.made):
                kept.append(window)
                needed |= window.earlier
        held = shown | {slot.index for window in kept for slot in window.slots}
        slots = {
            s.index: s if s.index in shown else replace(s, shown=False)
            for s in self.slots
            if s.index in held
        }
        windows = (
            Window(tuple(slots[s.index] for s in window.slots), window.earlier)
            for window in reversed(kept)
        )
        return Plan(self.task, tuple(slots.values()), tuple(windows))

    def moved(self, by: Fraction) -> "Plan":
        """The same plan, later by so many seconds."""
        slots = {slot: replace(slot, time=slot.time + by) for slot in self.slots}
        windows = (Window(tuple(slots[s] for s in w.slots), w.earlier) for w in self.windows)
        return Plan(self.task, tuple(slots.values()), tuple(windows))

    def to_text(self) -> str:
        """The whole plan, one line a frame and one a window; equal plans give equal text."""
        lines = [
            f"{self.task}: {self.given_count} given, {self.made_count} made, "
            f"windows: {len(self.windows)}",
            *(_frame_line(slot) for slot in self.slots),
            *(_window_line(number, window) for number, window in enumerate(self.windows)),
        ]
        return "\n".join(lines) + "\n"

    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal: two jobs with one digest make the same frames."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()


def _frame_line(slot: Slot) -> str:
    kind = "made" if slot.is_made else f"given {slot.given}"
    return f"frame {slot.index} at {slot.time}: {kind}{'' if slot.shown else ', not shown'}"


def _window_line(number: int, window: Window) -> str:
    return f"window {number}: {' '.join(_place(slot, window) for slot in window.slots)}"


def _place(slot: Slot, window: Window) -> str:
    if window.makes(slot):
        return f"({slot.index})"
    return f"[{slot.index}]" if slot.is_made else str(slot.index)


def _check_order(slots: Iterable[Slot], where: str) -> None:
    for left, right in pairwise(slots):
        if right.time <= left.time or right.index <= left.index:
            raise _broken(f"in {where}, frame {right.index} does not come after {left.index}")


def _check_window(window: Window, where: str, own: set[Slot], ready: set[int]) -> None:
    _check_order(window.slots, where)
    for slot in window.slots:
        if slot not in own:
            raise _broken(f"{where} holds frame {slot.index}, which the plan does not")
        if slot.is_made and (slot.index in ready) != (slot.index in window.earlier):
            when = "is made again" if slot.index in ready else "is not made yet"
            raise _broken(f"in {where}, frame {slot.index} {when}")
    if not window.given or not window.made:
        raise _broken(f"{where} has no {'made' if window.given else 'given'} frame")


def _broken(found: str) -> ConfigError:
    return ConfigError(
        found,
        needed="each made frame in one window, and given frames beside it",
        do="build plans with mardini_cli.tasks",
    )
