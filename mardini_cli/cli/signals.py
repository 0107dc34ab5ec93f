"""Ctrl-C and SIGTERM: the first one asks, the second one ends the process.

Room: cli. Work that has something to save is asked (``stopping``) and ends at its next good
moment; all else is ended by an exception at once, so that whatever is open closes. A second signal
ends even what is patient; what has not tidied up a moment later is cut off, children included.
"""

import os
import signal
import sys
from contextlib import suppress
from functools import partial
from threading import Timer
from types import FrameType

from mardini_cli import stopping
from mardini_cli.errors import ExitCode
from mardini_cli.stopping import Reason

TIDYING_SECONDS = 2.0
"""What tidying up may take after a second signal."""
_REASONS = {signal.SIGINT: Reason.INTERRUPT, signal.SIGTERM: Reason.TERMINATE}
_SHOW_CURSOR = b"\x1b[?25h"
TOLD = "mardini: ends after the frames that are being made, and keeps them; again: at once\n"


class _Seen:
    """How often this process was signalled, and whether an exception is on its way."""

    signals = 0
    raised = False


def catch() -> None:
    """Take both signals from now on."""
    _Seen.signals, _Seen.raised = 0, False
    for number in _REASONS:
        signal.signal(number, _on_signal)


def _on_signal(number: int, _frame: FrameType | None) -> None:
    reason = _REASONS[signal.Signals(number)]
    _Seen.signals += 1
    stopping.ask(reason)
    if _Seen.signals == 1 and stopping.is_patient():
        with suppress(OSError):  # no room for it
            os.write(2, TOLD.encode())  # the usual way may be in the middle of a line
        return
    code = ExitCode.TERMINATED if reason is Reason.TERMINATE else ExitCode.INTERRUPTED
    if _Seen.signals > 1:
        timer = Timer(TIDYING_SECONDS, _leave, (code,))
        timer.daemon = True
        timer.start()
    if not _Seen.raised:  # one is enough: the next would cut the tidying up short
        _Seen.raised = True
        stopping.interrupt(partial(sys.exit, code))


def _leave(code: ExitCode) -> None:
    """End this process and its children now."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        child.kill()
    stopping.tidy()
    if sys.stderr.isatty():
        os.write(2, _SHOW_CURSOR)
    os._exit(code)
