"""Made frames that wait for their turn: a few in memory, the others on disk.

Room: pipeline. What is made before a clip is made last frame first, and leaves first frame first:
without a disk, memory would grow with the length of what is made.
"""

import tempfile
from collections.abc import Callable
from typing import IO

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

IN_MEMORY = 24
"""Frames that wait in memory; more go to a file without a name, which ends with the process."""


class Shelf:
    """Pictures by number; each is taken once. What comes back is the same to the bit."""

    def __init__(self, room: int = IN_MEMORY) -> None:
        self._room = room
        self._pictures: dict[int, Picture] = {}
        self._stored: dict[int, Callable[[], Picture]] = {}
        self._file: IO[bytes] | None = None

    def put(self, number: int, picture: Picture) -> None:
        """Keep a picture; where the memory's room is full, on disk."""
        if len(self._pictures) < self._room:
            self._pictures[number] = picture
            return
        file = self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the shelf
        place, shape = file.seek(0, 2), picture.shape
        file.write(np.ascontiguousarray(picture, np.float32).tobytes())

        def back() -> Picture:
            file.seek(place)
            count = int(np.prod(shape))
            return np.frombuffer(file.read(4 * count), np.float32).reshape(shape)

        self._stored[number] = back

    def take(self, number: int) -> Picture | None:
        """Give a picture away; None where it has not come yet."""
        if number in self._pictures:
            return self._pictures.pop(number)
        back = self._stored.pop(number, None)
        if back is None:
            return None
        picture = back()
        if not self._stored:
            self.close()
        return picture

    def close(self) -> None:
        """Let the file go; what is on it is lost."""
        self._stored.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
