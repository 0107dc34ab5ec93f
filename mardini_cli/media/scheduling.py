"""How the system schedules this process, kept from libraries that change it.

Room: media (floor 2).
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

TASKS: Final = Path("/proc/self/task")
"""Linux: a folder for each thread of this process, named by its number."""


@contextmanager
def kept_scheduling() -> Iterator[None]:
    """Schedule this thread, and those that begin inside the block, as this one was before it.

    SVT-AV1, opened by root, puts the thread that opens it and all its own (about forty) under
    SCHED_FIFO at the highest priority, and leaves them there: whatever else the machine does,
    our own decoder and model included, then waits for the encoder. Seen with the SVT-AV1 that
    PyAV 18.1 brings: 42 of 42 threads. Threads that begin later inherit what is restored here.
    """
    if sys.platform != "linux":  # the library does it nowhere else
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    others = _threads()
    try:
        yield
    finally:
        for thread in {0} | (_threads() - others):
            with suppress(OSError):  # it has ended meanwhile; or sandboxes that allow no change
                os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return {int(path.name) for path in TASKS.iterdir()} if TASKS.is_dir() else set()
