"""A log file: all that is told, each line with its time, added to what stands there.

Room: cli. A stream like a terminal, which ``screen`` draws on too. Each line is on its way to the
disk at once, so that a killed run leaves all that it told.
"""

import io
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from mardini_cli.errors import OutputExistsError, UnwritableError

_STAMP, _STAMP_BYTES = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "), 25


class LogStream(io.TextIOBase):
    """Writes lines ``2026-11-24T06:00:00.000Z [item N] text``.

    Args:
        path: of the file.

    Raises:
        OutputExistsError: another file is there.
        UnwritableError: no such folder, or no permission.
    """

    def __init__(self, path: Path) -> None:
        _check_log(path)
        self._path = path
        self._file: TextIO | None = None
        self.item = 0
        """Of the batch, that is being told of; 0 is none."""
        self.write("")
        self.rest()

    def write(self, text: str) -> int:
        """Add text, each of its lines with the time.

        Raises:
            UnwritableError: no room, or the folder is gone.
        """
        if self._file is None:
            self._file = self._opened()
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        of = f"[item {self.item}] " if self.item else ""
        try:
            for line in text.splitlines():
                self._file.write(f"{now} {of}{line}\n")
        except OSError as error:
            with suppress(OSError):  # what is still on its way
                self._file.close()
            self._file = None
            raise _refused(self._path, error) from error
        return len(text)

    def rest(self) -> None:
        """Let go of the file until there is more to tell."""
        self.item = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> TextIO:
        try:
            return self._path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        except OSError as error:
            raise _refused(self._path, error) from error


def _refused(path: Path, error: OSError) -> UnwritableError:
    return UnwritableError(
        f"{path}: {error.strerror}", needed="a log file", do="choose another --log-file"
    )


def _check_log(path: Path) -> None:
    """Refuse to add to a file that is no log, such as a film.

    Raises:
        OutputExistsError: it begins otherwise.
    """
    if not path.is_file():
        return
    with suppress(OSError), path.open("rb") as file:  # what cannot be read cannot be told
        begins = file.read(_STAMP_BYTES)
        if begins and not _STAMP.match(begins):
            raise OutputExistsError(
                f"{path} exists already, and is no log",
                needed="a log file, or a free name",
                do="choose another --log-file",
            )
