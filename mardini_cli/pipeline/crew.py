"""Several devices share out the windows of a plan.

Room: pipeline. A window's frames do not depend on who makes it, so that any split gives the same.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from mardini_cli.pipeline.desk import Picture
from mardini_cli.pipeline.making import Maker
from mardini_cli.tasks.plan import Slot, Window

Made = list[tuple[Slot, Picture]]


class Crew:
    """Makers that work side by side, one thread each. Use as a context manager."""

    def __init__(self, makers: Sequence[Maker], begun: int = 0) -> None:
        self._threads = ThreadPoolExecutor(len(makers), thread_name_prefix="mardini-device")
        self._idle: SimpleQueue[Maker] = SimpleQueue()
        for maker in makers:
            self._idle.put(maker)
        self._most = len(makers)
        self._begun = begun  # windows
        self._running: deque[tuple[frozenset[int], Future[Made]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def ready(self, windows: Sequence[Window]) -> Iterator[Made]:
        """Wait until these windows can begin: yields what is done, in the order of beginning."""
        needed = frozenset().union(*(window.earlier for window in windows))
        while self._running and (
            len(self._running) == self._most
            or any(not needed.isdisjoint(making) for making, _ in self._running)
        ):
            yield self._running.popleft()[1].result()

    def begin(self, windows: Sequence[Window], given: Sequence[Sequence[Picture]]) -> None:
        """Let the next idle maker make these windows."""
        making = frozenset(slot.index for window in windows for slot in window.made)
        future = self._threads.submit(self._work, windows, given, self._begun)
        self._running.append((making, future))
        self._begun += len(windows)

    def rest(self) -> Iterator[Made]:
        """Wait for all that was begun."""
        while self._running:
            yield self._running.popleft()[1].result()

    def _work(
        self, windows: Sequence[Window], given: Sequence[Sequence[Picture]], first: int
    ) -> Made:
        maker = self._idle.get()
        try:
            maker.noted = first
            return maker(windows, given)
        finally:
            self._idle.put(maker)
