"""The end that a scheduler asks for: SIGTERM is kept for the next step, which saves and ends.

Room: training.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether this process was asked to end."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Ask; fits as a signal handler."""
        del number, frame
        self.asked = True


@contextmanager
def listening() -> Iterator[Stop]:
    """Hear SIGTERM until the end of the block. Python hears signals in its main thread alone."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, stop.ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
