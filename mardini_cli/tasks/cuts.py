"""Where a clip's shots begin: decided from what was measured of each step between frames.

Room: tasks. Pure arithmetic: no torch, no numpy, no files. A cut is the number of the frame that
begins a new shot.

A step is a cut where much is new, and much more than in the steps around it: fast shots are full
of new things, but all through. Steps that stand still do not count as neighbours, since clips that
are drawn on twos stand still at every other one.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, Protocol

from mardini_cli.errors import ConfigError

THRESHOLD: Final = 0.15
"""Share of the picture that must be new. Chosen with the constants below on clips and footage
that the published figures were not measured on."""
FULL_CHANGE: Final = 16.0
"""Codes of mean change from which novelty counts in full; below, in proportion."""
STANDS_OUT: Final = 2.0
"""How many times as new as its neighbours a cut is."""
NEAR: Final = 6
"""Steps on each side among which neighbours are looked for."""
NEIGHBOURS: Final = 2
"""Moving steps that are asked on each side; the newest of these two counts."""
STILL: Final = 1.5
"""Mean change, in codes, up to which a step stands still."""


class Step(Protocol):
    """What was measured of the step from one frame to the next."""

    @property
    def change(self) -> float:
        """Mean absolute difference, in codes of 8 bits."""
        ...

    @property
    def novelty(self) -> float:
        """Share of the picture that is found nowhere in the other frame, 0 to 1."""
        ...


def find_cuts(steps: Sequence[Step], threshold: float = THRESHOLD) -> tuple[int, ...]:
    """Give the numbers of the frames that begin a new shot, rising; frame 0 is not among them.

    Args:
        steps: one for each pair of neighbouring frames.
        threshold: share of the picture that must be new, above 0 and at most 1.

    Raises:
        ConfigError: the threshold is out of range.
    """
    check_threshold(threshold)
    scores = [step.novelty * min(1.0, step.change / FULL_CHANGE) for step in steps]
    moving = [step.change > STILL for step in steps]
    return tuple(
        place + 1
        for place, score in enumerate(scores)
        if score >= threshold and score >= STANDS_OUT * _around(place, scores, moving)
    )


def _around(place: int, scores: Sequence[float], moving: Sequence[bool]) -> float:
    """The greater usual score of the two sides of a step."""
    before = range(place - 1, max(place - 1 - NEAR, -1), -1)
    after = range(place + 1, min(place + 1 + NEAR, len(scores)))
    sides = [[scores[at] for at in side if moving[at]][:NEIGHBOURS] for side in (before, after)]
    return max(max(side, default=0.0) for side in sides)


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that finds everything or nothing.

    Raises:
        ConfigError: not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(
            f"cut threshold {threshold}",
            needed="more than 0, at most 1",
            do=f"try --cut-threshold {THRESHOLD}; higher finds fewer cuts",
        )


def cuts_to_text(cuts: Sequence[int], times: Sequence[Fraction]) -> str:
    """Write cuts as lines that a person can edit and ``cuts_from_text`` reads."""
    head = [
        "# Cuts: the first frame of each new shot, one a line.",
        "# A whole number is a frame, counted from 0; 4.2, 101/24 or 1:02.5 is a time in seconds.",
        "# Delete lines, add lines, then: mardini interpolate CLIP --cuts THIS_FILE",
    ]
    return "\n".join([*head, *(f"{cut}  # at {float(times[cut]):.3f} s" for cut in cuts)]) + "\n"


def cuts_from_text(text: str, times: Sequence[Fraction], name: str) -> tuple[int, ...]:
    """Read cuts, one a line; what follows ``#`` is for people.

    Args:
        text: lines with a frame number, or a time: the frame shown then begins the shot.
        times: of the clip's frames.
        name: of the file, for the error.

    Raises:
        ConfigError: a line that is neither, or lies outside the clip.
    """
    found = set()
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if entry:
            found.add(_cut(entry, times, f"{name}, line {number}: '{entry}'"))
    return tuple(sorted(found))


def _cut(entry: str, times: Sequence[Fraction], where: str) -> int:
    try:
        cut = int(entry) if entry.isdecimal() else _first_from(_seconds(entry), times)
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(
            where, needed="a frame number or a time", do="write 101, 4.2, 101/24 or 1:02.5"
        ) from error
    if not 0 < cut < len(times):
        raise ConfigError(
            where,
            needed=f"a frame from 1 to {len(times) - 1}, or a time within the clip",
            do="change or delete the line",
        )
    return cut


def _seconds(entry: str) -> Fraction:
    total = Fraction(0)
    for part in entry.split(":"):
        total = total * 60 + Fraction(part)
    return total


def _first_from(time: Fraction, times: Sequence[Fraction]) -> int:
    """The frame nearest to a time: what a person reads off a player is rounded."""
    if len(times) < 2 or not times[0] <= time < 2 * times[-1] - times[-2]:
        return -1  # before the first frame, or after the last one's gap
    return min(range(len(times)), key=lambda number: abs(times[number] - time))
