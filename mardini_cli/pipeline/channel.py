"""A bounded queue between two threads, which either end can close.

Room: pipeline.
"""

from collections import deque
from threading import Condition
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class Channel(Generic[Item]):
    """Nobody waits on a closed channel: ``put`` answers False, ``get`` hands out what is left.

    As a context manager it is closed, whatever happens.
    """

    def __init__(self, room: int) -> None:
        self._room, self._items, self._closed = room, deque[Item](), False
        self._change = Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close(drop=True)

    def put(self, item: Item) -> bool:
        """Wait for room, and leave an item; False where nobody wants it any more."""
        with self._change:
            self._change.wait_for(lambda: self._closed or len(self._items) < self._room)
            if not self._closed:
                self._items.append(item)
                self._change.notify_all()
            return not self._closed

    def get(self) -> Item | None:
        """Wait for an item; None where there will be no more."""
        with self._change:
            self._change.wait_for(lambda: self._closed or bool(self._items))
            item = self._items.popleft() if self._items else None
            self._change.notify_all()
            return item

    def close(self, *, drop: bool = False) -> None:
        """No more items; with ``drop``, those still waiting are thrown away."""
        with self._change:
            self._closed = True
            if drop:
                self._items.clear()
            self._change.notify_all()
