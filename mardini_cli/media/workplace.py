"""The hidden folder beside a result while it is worked on: its lock, its part file, its segments.

Room: media (floor 2). Files and names only.

The lock is one of the system's, on a file in the folder: it ends with the process, however that
ends. Whoever holds it may remove what a killed run left.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from mardini_cli.errors import OutputBusyError, UnwritableError
from mardini_cli.media import segments
from mardini_cli.media.containers import STREAM, is_numbered
from mardini_cli.media.door import Doing, translated
from mardini_cli.media.output import PartFile, part_for
from mardini_cli.stopping import tidied, undivided

LONGEST_NAME = 255
"""Bytes that file systems give a name."""
_TRIES = 5
_PARTS, _PUBLISHED = ".mardini-*.part", "published"


def hidden_folder(output: Path, work_dir: Path | None = None) -> Path:
    """Where work on a result lies: beside it, or in a folder that was asked for.

    Numbered pictures are one result: the folder that they stand in.
    """
    place = output.absolute()
    if is_numbered(output):
        place = place.parent
    if work_dir is None:
        return place.with_name(_named(place.name, ""))
    whole = hashlib.sha256(os.fsencode(place)).hexdigest()[:12]  # other folders have such names
    return work_dir.absolute() / _named(place.name, f"-{whole}")


def _named(name: str, mark: str) -> str:
    hidden = f".{name}{mark}.mardini"
    if len(os.fsencode(hidden)) <= LONGEST_NAME:
        return hidden
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:24]}{mark}.mardini"


class Workplace:
    """A result's place: what lies there, and what of it is of use to a later run.

    Args:
        output: the result.
        work_dir: where segments go instead.
    """

    def __init__(self, output: Path, work_dir: Path | None = None) -> None:
        self._output = output
        self._folder = None if output == STREAM else hidden_folder(output)
        self._work_dir = work_dir
        self._lock: FileLock | None = None
        self._is_begun = False
        self.is_done = False
        """Whether the result stands: segments have had their use."""

    @property
    def segments(self) -> Path | None:
        """Where segments go; a stream has no place for them."""
        if self._folder is None:
            return None
        if self._work_dir is None:
            return self._folder / "segments"
        return hidden_folder(self._output, self._work_dir)

    @property
    def holds_frames(self) -> bool:
        """Whether there is something that a later run can go on from."""
        folder = self.segments
        return not self.is_done and folder is not None and segments.are_in(folder)

    @property
    def part(self) -> PartFile:
        """A new part file for the result."""
        return part_for(self._output, self._folder)

    def will_publish(self) -> None:
        """The result is whole and gets its name next: if that was all that came, it is done."""
        if self._folder is not None:
            with translated(self._output, Doing.WRITING):
                (self._folder / _PUBLISHED).touch()

    @classmethod
    @contextmanager
    def taken(cls, output: Path, work_dir: Path | None = None) -> Iterator[Self]:
        """Hold a result's place for one run; in the end nothing is left but segments of use.

        Raises:
            OutputBusyError: another run holds it.
            UnwritableError: the folder cannot be made, or a link stands in its place.
        """
        place = cls(output, work_dir)
        with tidied(place._leave):
            place._take()
            yield place

    def _take(self) -> None:
        if self._folder is not None:
            for folder in (self._folder, self.segments or self._folder):
                _check_own(folder)
            self._is_begun = True  # said first: a signal may fall between the folder and its lock
            with translated(self._output, Doing.WRITING):
                self._hold(self._folder)
                _clear(self._folder)

    def _leave(self) -> None:
        if self._folder is None or not self._is_begun:
            return
        try:
            lock = self._lock or self._hold(self._folder)
        except OutputBusyError:
            pass  # it is another run's to tidy
        except OSError:
            with suppress(OSError):  # made, and then there was no room for the lock
                self._folder.rmdir()
        else:
            self._tidy(self._folder)
            self._lock = None
            lock.release()
        self._is_begun = False

    def _tidy(self, folder: Path) -> None:
        """Leave nothing but segments that are of use; the lock is still held."""
        assert self.segments is not None
        if not self.holds_frames:
            segments.remove(self.segments)
        _clear(folder)
        if not (folder / "segments").exists():
            # With the lock still held: who waits for this very file sees that it has no name.
            shutil.rmtree(folder, ignore_errors=True)

    def _hold(self, folder: Path) -> FileLock:
        # Cut off within the library, it may have the lock and not know: nobody could let it go.
        with undivided():
            self._lock = self._held(folder)
        return self._lock

    def _held(self, folder: Path) -> FileLock:
        for _ in range(_TRIES):
            folder.mkdir(exist_ok=True)
            lock = FileLock(folder / "lock", blocking=False, thread_local=False)
            try:
                lock.acquire()
            except FileNotFoundError:
                continue  # another run has just ended, and removed the folder
            except Timeout:
                raise OutputBusyError(
                    f"{self._output} is being written by another run",
                    needed="one run at a time for a result",
                    do="wait for it, or choose another name with -o",
                ) from None
            return lock
        raise OutputBusyError(
            f"{self._output} is written by other runs, one after the other",
            needed="one run at a time for a result",
            do="start again",
        )


def tidy(output: Path, work_dir: Path | None = None) -> None:
    """Remove what a run left that was killed after it had given the result its name."""
    folder = hidden_folder(output)
    if not (folder / _PUBLISHED).exists() or any(folder.glob(_PARTS)):
        return
    with suppress(OutputBusyError), Workplace.taken(output, work_dir) as place:
        place.is_done = True


def _check_own(folder: Path) -> None:
    """Refuse a link in a folder's place: what it leads to is another's, and would be cleared.

    Raises:
        UnwritableError: it is one.
    """
    if folder.is_symlink():
        raise UnwritableError(
            f"{folder} is a link",
            needed="a folder of its own for made frames",
            do="take it away; --work-dir names another place",
        )


def _clear(folder: Path) -> None:
    """Remove part files and part folders."""
    (folder / _PUBLISHED).unlink(missing_ok=True)
    for path in folder.glob(_PARTS):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
