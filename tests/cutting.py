"""A signal at every instruction in turn: what is made must be taken away, wherever it falls."""

import inspect
import sys
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any

from mardini_cli import stopping


class Cut(BaseException):
    """What the signal raises, as ``SystemExit`` in the program: no ``Exception``."""


def cut_everywhere(
    action: Callable[[], object], *modules: ModuleType, step: int = 1
) -> Iterator[int]:
    """Carry out an action once for each instruction in these modules, and cut it off before that.

    Only the first signal raises (``cli.signals``), and so there is one cut each time.

    Args:
        action: leaves things as they were.
        modules: where cuts fall.
        step: from cut to cut; above 1 where there are many.

    Yields:
        After each time, the number of the instruction.
    """
    files = {module.__file__ for module in modules}
    at = 1
    while _is_cut(action, at, files):
        yield at
        at += step


def _is_cut(action: Callable[[], object], at: int, files: set[str | None]) -> bool:
    left = at

    def cut() -> None:
        raise Cut

    def traced(frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in files or _is_called_by_a_library(frame):
            return None  # in a destructor of theirs an exception would be lost
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                stopping.interrupt(cut)
        return traced

    before = sys.gettrace()
    here = inspect.currentframe()
    assert here is not None
    here.f_trace_opcodes = True  # Python 3.12 tells of instructions if some frame asked before
    sys.settrace(traced)
    try:
        action()
    except Cut:
        return True
    finally:
        sys.settrace(before)
    return False


def _is_called_by_a_library(frame: FrameType) -> bool:
    return frame.f_back is not None and "site-packages" in frame.f_back.f_code.co_filename
