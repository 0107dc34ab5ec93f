"""Rows that are measured already: an interrupted evaluation goes on, a new one reuses an old one.

Room: evaluation. One file, ``rows.jsonl``, a row a line, written as it is measured. A row is found
again by what decides it: the true frames' content, the slots, and how the method was run; never by
names or dates. So it is safe to reuse the baselines of any earlier evaluation.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock

from mardini_cli.errors import MissingFileError, UnwritableError
from mardini_cli.evaluation.excerpts import OWN_MARK, Excerpt
from mardini_cli.evaluation.protocols import Protocol
from mardini_cli.evaluation.tables import Row

ARITHMETIC = 3
"""Raised whenever a figure's arithmetic or a baseline changes: older rows are measured anew."""


def key_of(digest: str, excerpt: Excerpt, protocol: Protocol, identity: str) -> str:
    """What a row is found by.

    Args:
        digest: of the true frames (``Excerpt.digest``).
        excerpt: the window; its ordinal decides the noise.
        protocol: its slots and what is measured of them.
        identity: how the method was run (``Method.identity``).
    """
    told = [ARITHMETIC, digest, excerpt.ordinal, protocol.given, protocol.middle, identity]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


class Ledger:
    """Measured rows by key.

    Args:
        folder: the evaluation's own folder; what stands in its file counts, what is new is added.
        others: folders of earlier evaluations.
        fresh: throw the own file away first.

    Raises:
        MissingFileError: an earlier folder holds no rows.
        UnwritableError: the file cannot be written.
    """

    def __init__(self, folder: Path, others: Iterable[Path] = (), *, fresh: bool = False) -> None:
        self.path = folder / OWN_MARK
        self._lock = Lock()
        self._rows: dict[str, Row] = {}
        for other in others:
            if not (other / OWN_MARK).is_file():
                raise MissingFileError(
                    f"{other} holds no {OWN_MARK}",
                    needed="the folder of an earlier evaluation",
                    do="leave --reuse out",
                )
            self._rows |= _read(other / OWN_MARK)
        own = {} if fresh or not self.path.exists() else _read(self.path)
        self._rows |= own
        self._own = set(own)
        self.reused = 0
        """Rows that were found instead of measured."""
        # Written anew: the last line of a run that was killed may be half a line.
        self._write("w", "".join(_line(key, row) for key, row in own.items()))

    def find(self, key: str, template: Row) -> Row | None:
        """Look a row up; it takes the names of ``template``, which may have changed since."""
        row = self._rows.get(key)
        if row is None:
            return None
        self.reused += 1
        found = replace(template, figures=row.figures)
        if key not in self._own:
            self.add(key, found)
        return found

    def add(self, key: str, row: Row) -> None:
        """Write a row down."""
        with self._lock:
            self._rows[key] = row
            self._own.add(key)
            self._write("a", _line(key, row))

    def _write(self, mode: str, text: str) -> None:
        try:
            with self.path.open(mode) as file:
                file.write(text)
        except OSError as error:
            raise UnwritableError(
                f"{self.path} cannot be written ({error.strerror})",
                needed="a folder to write in and room on the disk",
                do="name another folder",
            ) from error


def _line(key: str, row: Row) -> str:
    return json.dumps({"key": key} | asdict(row), allow_nan=False) + "\n"


def _read(path: Path) -> dict[str, Row]:
    """All whole lines; a torn one, of a run that was killed, is measured anew."""
    found = {}
    for line in path.read_text(errors="replace").splitlines():
        try:
            told = json.loads(line)
            key = told.pop("key")
            found[key] = Row(**told)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found
