"""The folder that an evaluation leaves behind.

Room: evaluation. Files of the report only; each appears whole or not at all.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from mardini_cli import __version__
from mardini_cli.errors import OutputExistsError, UnwritableError
from mardini_cli.evaluation import report
from mardini_cli.evaluation.request import EvaluateRequest
from mardini_cli.evaluation.sheets import Chosen
from mardini_cli.evaluation.tables import Line, Row, as_data, markdown

RESULTS: Final = "results.json"
TABLE: Final = "table.md"
REPORT: Final = "report.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """All that a run found."""

    request: EvaluateRequest
    device: str
    dtype: str
    clips: Sequence[str]
    skipped: Sequence[str]
    """Why clips were left out, a line each."""
    titles: Mapping[str, str]
    rows: Sequence[Row]
    lines: Sequence[Line]
    sheets: Sequence[Chosen]
    elapsed: float
    """Seconds."""


def prepare(folder: Path, *, overwrite: bool) -> None:
    """Make the folder, before hours are spent on what cannot be written.

    Raises:
        OutputExistsError: results stand there.
        UnwritableError: it cannot be made, or nothing can be written in it.
    """
    if (folder / RESULTS).exists() and not overwrite:
        raise OutputExistsError(
            f"{folder} holds results", needed="a new folder", do="name another, or use --overwrite"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UnwritableError(
            f"{folder} is write-protected", needed="a folder to write in", do="name another"
        )


def write(outcome: Outcome) -> None:
    """Write results.json, table.md and report.html; the JSON last, as the sign of a whole run.

    Raises:
        UnwritableError: the disk or the folder refuses.
    """
    folder = outcome.request.output
    pictures = {chosen.name: folder / chosen.file for chosen in outcome.sheets}
    page = report.page(settings(outcome), outcome.lines, outcome.titles, pictures)
    put(folder / TABLE, markdown(outcome.lines, outcome.titles).encode())
    put(folder / REPORT, page.encode())
    put(folder / RESULTS, json.dumps(as_json(outcome), indent=1, allow_nan=False).encode())


def put(path: Path, content: bytes) -> None:
    """Write a file beside its place, and move it there when it is whole."""
    fresh = path.with_name(f".{path.name}.part")
    try:
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Plain data: settings, rows, means."""
    return {
        "settings": settings(outcome),
        "clips": list(outcome.clips),
        "skipped": list(outcome.skipped),
        "titles": dict(outcome.titles),
        "means": [as_data(line) for line in outcome.lines],
        "rows": [as_data(row) for row in outcome.rows],
        "sheets": {chosen.name: chosen.file for chosen in outcome.sheets},
    }


def settings(outcome: Outcome) -> dict[str, Any]:
    """What was run, on what."""
    request = outcome.request
    return {
        "mardini": __version__,
        "torch": torch.__version__,
        "device": outcome.device,
        "dtype": outcome.dtype,
        "folder": request.folder.name,
        "model": request.model if request.has_model else None,
        "protocols": list(request.protocols),
        "steps": list(request.steps) if request.has_model else [],
        "seed": request.seed,
        "seconds": round(outcome.elapsed, 1),
    }


def main_tables(outcome: Outcome) -> str:
    """The tables over all windows, without the thirds."""
    whole = [line for line in outcome.lines if line.third == "all"]
    return markdown(whole, outcome.titles)


def device_name(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {os.cpu_count()} cores)"


def _unwritable(path: Path, error: OSError) -> UnwritableError:
    return UnwritableError(
        f"{path} cannot be written ({error.strerror})",
        needed="a folder to write in and room on the disk",
        do="name another folder",
    )
