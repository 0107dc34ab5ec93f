"""What was measured: of methods, of this machine, of the installation.

Room: events (floor 1).
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Methods were compared over a folder of clips."""

    output: Path
    """The report."""
    clips: int
    windows: int
    table: str
    """Means of every protocol and method, Markdown."""
    elapsed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Benched:
    """It was measured how fast this machine makes frames."""

    table: str
    """Markdown: seconds by stage, memory, operations, for every cell."""
    report: str
    """All of it as JSON."""
    written: Path | None
    """Where the report stands, if it was asked for."""
    calibration: Path | None
    """Where later jobs find what their time is estimated from; None: nothing was kept."""
    elapsed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """One line of ``mardini doctor``."""

    name: str
    state: str
    """ok, warning or failed; a failure stops the main job."""
    found: str
    do: str
    """What to do about it; empty if nothing."""
