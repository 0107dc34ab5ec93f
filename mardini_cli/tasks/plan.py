"""The plan of a job: which frames are given, which are made, and in which windows.

Room: tasks. A plan is made of times alone: no torch, no numpy, no files. So it can be shown,
priced, split and hashed before a frame is decoded.
"""

import hashlib
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a window: its time, and where its frame comes from or goes to."""

    index: int
    """Place in the whole job's output, from 0; the noise of a made frame depends on it."""
    time: Fraction
    """Seconds, exact."""
    given: int | None
    """Which of the source's frames stands here; None where the frame is to be made."""

    @property
    def is_made(self) -> bool:
        """The mask of this slot: True = to be made."""
        return self.given is None


@dataclass(frozen=True, slots=True)
class Window:
    """The frames that the model sees at once, in time order; at least one is given."""

    slots: tuple[Slot, ...]

    @property
    def given(self) -> tuple[Slot, ...]:
        """Slots whose frames the user has."""
        return tuple(slot for slot in self.slots if not slot.is_made)

    @property
    def made(self) -> tuple[Slot, ...]:
        """Slots whose frames the model makes."""
        return tuple(slot for slot in self.slots if slot.is_made)

    @property
    def mask(self) -> tuple[bool, ...]:
        """One truth a slot, True = to be made."""
        return tuple(slot.is_made for slot in self.slots)

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

    Windows are in time order, and every made slot stands in exactly one. A given frame stands in
    each window that needs it, or in none.
    """

    task: str
    slots: tuple[Slot, ...]
    """Every frame of the output, in time order; ``slots[i].index == i``."""
    windows: tuple[Window, ...]

    @property
    def times(self) -> tuple[Fraction, ...]:
        """When each frame of the output is shown, seconds."""
        return tuple(slot.time for slot in self.slots)

    @property
    def made_count(self) -> int:
        """How many frames the model makes."""
        return sum(slot.is_made for slot in self.slots)

    @property
    def given_count(self) -> int:
        """How many frames of the output the user has."""
        return len(self.slots) - self.made_count

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
    return f"frame {slot.index} at {slot.time}: {kind}"


def _window_line(number: int, window: Window) -> str:
    places = " ".join(f"({s.index})" if s.is_made else str(s.index) for s in window.slots)
    return f"window {number}: {places}"
