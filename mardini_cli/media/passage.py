"""Which stretch of a file a result takes over, and how its clock runs there.

Room: media (floor 2). Arithmetic on times alone.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Sound = Literal["copy", "drop", "stretch", "loop"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """The stretch, in the source's time, and the result's time of its anchor, seconds.

    The pictures follow the plan; this is for everything beside them.
    """

    start: Fraction | None = None
    """What ends before it stays out; nothing takes all."""
    end: Fraction | None = None
    """What begins here or later stays out."""
    anchor: Fraction = Fraction(0)
    """A time of the source..."""
    at: Fraction = Fraction(0)
    """...and when the result shows it."""
    slowness: Fraction = Fraction(1)
    """Seconds of the result for one of the source."""
    is_steady: bool = True
    """Whether that holds all through; in a ramp, nothing but pictures can keep step."""
    sound: Sound = "copy"
    """Whether sound is copied, left out, played slower at its own pitch, or repeated."""
    period: Fraction = Fraction(0)
    """Repeated sound: how much of it from the anchor on, seconds."""
    until: Fraction = Fraction(0)
    """Repeated sound: the result's end, seconds; it begins at 0."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the source goes along on its own clock."""
        return self == Passage(sound=self.sound)

    def moved(self, time: Fraction) -> Fraction:
        """When the result shows a time of the source."""
        return self.at + (time - self.anchor) * self.slowness

    @property
    def rounds(self) -> range:
        """Which repetitions of the sound lie in the result; 0 is the one beside the pictures."""
        if self.sound != "loop":
            return range(1)
        before, after = self.at / self.period, (self.until - self.at) / self.period
        return range(-before.__ceil__(), after.__ceil__())

    def holds(self, start: Fraction, end: Fraction) -> bool:
        """Whether something from ``start`` to ``end`` of the source belongs to the stretch."""
        if self.end is not None and start >= self.end:
            return False
        return self.start is None or end > self.start or start >= self.start
