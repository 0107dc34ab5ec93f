"""A log file: all that is told, each line with its time, added to what stands there.

Room: cli. A stream like a terminal, which ``screen`` draws on too. Each line is on its way to the
disk at once, so that a killed run leaves all that it told.
"""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from mardini_cli.errors import UnwritableError


class LogStream(io.TextIOBase):
    """Writes lines ``2026-11-24T06:00:00.000Z [item N] text``.

    Args:
        path: of the file.

    Raises:
        UnwritableError: no such folder, or no permission.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self.item = 0
        """Of the batch, that is being told of; 0 is none."""
        self.write("")
        self.rest()

    def write(self, text: str) -> int:
        """Add text, each of its lines with the time."""
        if self._file is None:
            self._file = self._opened()
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        of = f"[item {self.item}] " if self.item else ""
        for line in text.splitlines():
            self._file.write(f"{now} {of}{line}\n")
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
            raise UnwritableError(
                f"{self._path}: {error.strerror}",
                needed="a log file",
                do="choose another --log-file",
            ) from error
