"""Whether this process is asked to end its work, why, and how patiently.

Room: stopping (floor 1). Signals reach a process, not a job, and so this is said once a process;
``cli`` catches them, the pipeline looks here between batches. Work that has something to save is
patient: it is told, ends at its next good moment and raises. All else is ended by an exception.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from time import monotonic

from mardini_cli.errors import StoppedError, TerminatedError


class Reason(Enum):
    """Who asks, in words."""

    INTERRUPT = "Ctrl-C"
    TERMINATE = "SIGTERM"
    TIME = "the time limit"

    @property
    def error(self) -> type[StoppedError]:
        """What the work ends with."""
        return TerminatedError if self is Reason.TERMINATE else StoppedError


@dataclass(slots=True)
class _State:
    asked: Reason | None = None
    patient: int = 0
    began: tuple[float, datetime] | None = None
    undivided: int = 0
    due: Callable[[], object] | None = None
    tidying: list[Callable[[], None]] = field(default_factory=list)


_state = _State()


def begin(at: tuple[float, datetime] | None = None) -> None:
    """A command begins: nothing is asked, and its time counts from now.

    Args:
        at: when the command began that this process works for; None is now.
    """
    _state.asked, _state.patient = None, 0
    _state.began = at or (monotonic(), datetime.now())


def began() -> tuple[float, datetime]:
    """When the command began, on both clocks; now, where there is none."""
    return _state.began or (monotonic(), datetime.now())


def ask(reason: Reason) -> bool:
    """Ask for the end; whether this is the first time."""
    first = _state.asked is None
    _state.asked = _state.asked or reason
    return first


def asked() -> Reason | None:
    """Who asked, if anybody did."""
    return _state.asked


def is_patient() -> bool:
    """Whether work is going on that looks here, and ends by itself."""
    return _state.patient > 0


@contextmanager
def patience() -> Iterator[None]:
    """Work that looks here; what was asked and not seen is for the caller to look at once more."""
    _state.patient += 1
    try:
        yield
    finally:
        _state.patient -= 1


def interrupt(by: Callable[[], object]) -> None:
    """End work that is not patient: now, or when a step is over that cannot be divided.

    Args:
        by: raises.
    """
    if _state.undivided:
        _state.due = by
    else:
        by()


@contextmanager
def undivided() -> Iterator[None]:
    """A short step that would leave half of itself: a signal raises when it is over."""
    _state.undivided += 1
    try:
        yield
    finally:
        _state.undivided -= 1
    if _state.due is not None and not _state.undivided:
        due, _state.due = _state.due, None
        due()


@contextmanager
def tidied(by: Callable[[], None]) -> Iterator[None]:
    """Take away at the end of the block what it makes, whatever ends it.

    A signal may fall between any two instructions: after something is made and before the block is
    entered that takes it away, or into the end of that block. So the taking away is written down
    before, and crossed out when it is over; what an exception leaves on the list is for ``tidy``.

    Args:
        by: takes it away, also if it is not made yet or gone already.
    """
    _state.tidying.append(by)
    try:
        yield
    finally:
        by()
        with suppress(ValueError):  # a block that was never left may die after ``tidy``
            _state.tidying.remove(by)


def tidy() -> None:
    """The process ends, or is cut off: take away what would be left."""
    for by in reversed(list(_state.tidying)):
        with suppress(OSError):  # what the disk does not let go stays; the others go
            by()
    _state.tidying.clear()
