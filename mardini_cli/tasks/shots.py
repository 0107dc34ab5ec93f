"""Plans that know where shots begin and which frames only repeat: nothing is made across a cut.

Room: tasks. Pure arithmetic: no torch, no numpy, no files.

Three rules, in this order, over the slots that a task wants:

1. A repeated frame that is to be smoothed becomes a made one, at its own time.
2. Between two frames of which the later only repeats the earlier, nothing moves: the earlier one
   stands in the slots between as well. That costs no model time and is exactly still.
3. The frames between the last frame of a shot and the cut belong to that shot. They are predicted
   from its last frames, given on one side only, or its last frame is held. A shot of one frame has
   no motion to go on, so it is held.

Windows are then laid over each shot by itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Final

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.plan import Slot, Window
from mardini_cli.tasks.windows import arrange, context_of

AT_CUTS: Final = ("predict", "hold")
DUPLICATES: Final = ("keep", "smooth")
ENOUGH: Final = 2
"""Given frames that tell how things move."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shots:
    """What is known of a clip's frames beyond their times. Numbers count its frames from 0."""

    cuts: frozenset[int] = field(default=frozenset())
    """Frames that begin a shot; 0 need not be among them."""
    held: frozenset[int] = field(default=frozenset())
    """Frames that repeat the one before them."""
    smoothed: frozenset[int] = field(default=frozenset())
    """Frames among ``held`` that are made anew."""
    at_cuts: str = "predict"
    """What stands between the last frame of a shot and the cut: predict or hold. On held-out clips
    prediction is nearer to the truth: 26.1 against 23.6 dB for one frame, 22.3 against 21.5 for
    three (``docs/cuts.md``)."""

    def __post_init__(self) -> None:
        check_choice("at_cuts", self.at_cuts, AT_CUTS)


def check_choice(name: str, word: str, choices: Sequence[str]) -> None:
    """Refuse a word that is not among the choices.

    Raises:
        ConfigError: it is not.
    """
    if word not in choices:
        raise ConfigError(
            f"unknown {name} '{word}'", needed=f"one of {', '.join(choices)}", do="choose one"
        )


def lay(
    slots: Sequence[Slot], size: int, shots: Shots
) -> tuple[tuple[Slot, ...], tuple[Window, ...]]:
    """Apply the rules to a task's slots, and lay windows over each shot.

    Args:
        slots: of the whole job, in time order; the frame that begins a shot is among the given.
        size: the most slots of a window.
        shots: of the clip that the given frames come from.

    Returns:
        The slots, as many and at the same times, but for context that is to be made anew, which
        is left out; and the windows that make the made ones.
    """
    asked = [_smoothed(slot, shots) for slot in slots if slot.shown or not _smooths(slot, shots)]
    settled: list[Slot] = []
    windows: list[Window] = []
    for shot in _split(asked, shots):
        kept = tuple(_held(shot, shots))
        settled += kept
        own = [slot for slot, before in zip(kept, shot, strict=True) if slot == before]
        windows += _windows(own, size)
    return tuple(settled), tuple(windows)


def _windows(slots: Sequence[Slot], size: int) -> Iterator[Window]:
    """Windows over one shot, in time order: what a long shot needs last is not held from the start.

    What follows its last given frame is seen together with the last few given frames.
    """
    given = [place for place, slot in enumerate(slots) if not slot.is_made]
    body, tail = slots[: given[-1] + 1], slots[given[-1] + 1 :]
    if any(slot.is_made for slot in body):
        yield from arrange(body, size)
    if tail:
        known = given[-max(ENOUGH, context_of(size)) :]
        yield from arrange([*(slots[place] for place in known), *tail], size)


def _smoothed(slot: Slot, shots: Shots) -> Slot:
    return replace(slot, given=None) if _smooths(slot, shots) else slot


def _smooths(slot: Slot, shots: Shots) -> bool:
    return slot.given in shots.smoothed


def _split(slots: Iterable[Slot], shots: Shots) -> Iterator[list[Slot]]:
    """The slots of each shot; those between two shots go with the earlier."""
    number = 0

    def shot(slot: Slot) -> int:
        nonlocal number
        number += slot.given in shots.cuts
        return number

    return (list(group) for _, group in groupby(slots, key=shot))


def _held(slots: Sequence[Slot], shots: Shots) -> Iterator[Slot]:
    """The slots of one shot, with a given frame in those that are to show it once more."""
    given = [slot.given for slot in slots if slot.given is not None]
    following = iter([*given[1:], None])
    frame: int | None = None
    hold = False
    for slot in slots:
        if slot.given is not None:
            frame, after = slot.given, next(following)
            hold = _stands(frame, after, shots, alone=len(given) == 1)
        yield replace(slot, given=frame) if slot.is_made and hold else slot


def _stands(frame: int, after: int | None, shots: Shots, *, alone: bool) -> bool:
    """Whether a frame stands until the next given one of its shot, or until the cut."""
    if after is None:
        return alone or shots.at_cuts == "hold"
    return all(number in shots.held for number in range(frame + 1, after + 1))
