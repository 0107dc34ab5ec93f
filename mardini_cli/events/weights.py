"""Weights: where their names lead, and what was done with them.

Room: events (floor 1).
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """Where a name of weights leads."""

    name: str
    kind: str
    """release, folder, file or hub."""
    path: Path | None
    """None: on the Hub, and not in the cache."""
    revision: str | None
    """Commit in the Hub's cache, or digest of a release."""
    preset: str | None
    size: int
    """Bytes of its tensors here."""
    ways: tuple[str, ...]
    """Where the name was looked for, in order; empty where nothing was looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """Weights lie in the Hub's cache, whole and checked."""

    output: Path
    name: str
    revision: str
    """The commit that the name stood for."""
    files: int
    size: int
    """Bytes."""
    elapsed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Intact:
    """Every byte of weights is what it should be."""

    name: str
    path: Path
    size: int
    """Bytes that were compared with a digest; 0: there was none to compare with."""
    digest: str
    tensors: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """Weights were taken out of the Hub's cache."""

    name: str
    path: Path
    size: int
    """Bytes that are free again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """Weights lie on the Hub; in a dry run, what would be sent."""

    name: str
    address: str
    revision: str | None
    """The new commit; None in a dry run."""
    files: tuple[str, ...]
    size: int
    private: bool
    dry_run: bool
