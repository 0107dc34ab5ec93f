"""The folder that an evaluation leaves behind.

Room: evaluation. Files of the report only; each appears whole or not at all.
"""

import csv
import io
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch

from mardini_cli import __version__
from mardini_cli.errors import OutputExistsError, UnwritableError
from mardini_cli.evaluation import report
from mardini_cli.evaluation.request import EvaluateRequest
from mardini_cli.evaluation.sheets import Chosen
from mardini_cli.evaluation.tables import Line, Row, markdown, row_data
from mardini_cli.media.output import write_whole

RESULTS: Final = "results.json"
TABLE: Final = "table.md"
CLIPS: Final = "clips.csv"
REPORT: Final = "report.html"
NOT_MEASURED: Final[Mapping[str, str]] = MappingProxyType(
    {
        name: f"it needs a network's weights, and none were named (--{name.lower()})"
        for name in ("LPIPS", "FID", "FVD")
    }
)
"""Figures that the protocols' authors report and a run may lack, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """All that a run found."""

    request: EvaluateRequest
    device: str
    dtype: str
    clips: Sequence[str]
    skipped: Sequence[str]
    """Why clips were left out, a line each."""
    failed: Mapping[str, str]
    """Lines of the table that are missing, and why."""
    titles: Mapping[str, str]
    rows: Sequence[Row]
    lines: Sequence[Line]
    sheets: Sequence[Chosen]
    reused: int
    """Rows that were found instead of measured."""
    elapsed: float
    """Seconds."""
    few: Sequence[str] = ()
    """Which figures of sets rest on too few samples, a line each."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the weights of networks that measured, by measure."""


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
        raise UnwritableError(
            f"{folder} cannot be written ({error.strerror})",
            needed="a folder to write in and room on the disk",
            do="name another folder",
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UnwritableError(
            f"{folder} is write-protected", needed="a folder to write in", do="name another"
        )


def write(outcome: Outcome) -> None:
    """Write results.json, tables and report.html; the JSON last, as the sign of a whole run.

    Raises:
        UnwritableError: the disk or the folder refuses.
    """
    folder = outcome.request.output
    page = report.page(
        settings(outcome),
        outcome.lines,
        outcome.rows,
        outcome.titles,
        [report.figure(one, folder) for one in outcome.sheets],
        notices(outcome),
    )
    table = markdown(outcome.lines, outcome.titles)
    write_whole(folder / TABLE, "\n".join([table, *notices(outcome), ""]))
    write_whole(folder / CLIPS, _csv(outcome.rows))
    write_whole(folder / REPORT, page)
    write_whole(folder / RESULTS, json.dumps(as_json(outcome), indent=1, allow_nan=False))


def notices(outcome: Outcome) -> list[str]:
    """What is missing, and why, a line each."""
    return [
        *(f"Left out: {line}." for line in outcome.skipped),
        *(f"Not measured: {line}: {why}." for line, why in outcome.failed.items()),
        *(f"Not measured: {name}: {why}." for name, why in _missing(outcome).items()),
        *(f"{line}." for line in outcome.few),
    ]


def _missing(outcome: Outcome) -> dict[str, str]:
    """Figures that this run lacks, and why."""
    return {k: why for k, why in NOT_MEASURED.items() if k.lower() not in outcome.digests}


def _csv(rows: Sequence[Row]) -> str:
    flat = [row_data(row) for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in flat for key in row)))
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Plain data: settings, rows, means."""
    return {
        "settings": settings(outcome),
        "clips": list(outcome.clips),
        "skipped": list(outcome.skipped),
        "titles": dict(outcome.titles),
        "failed": dict(outcome.failed),
        "not_measured": _missing(outcome),
        "reused": outcome.reused,
        "means": [asdict(line) for line in outcome.lines],
        "rows": [row_data(row) for row in outcome.rows],
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
        **{name.lower(): outcome.digests.get(name.lower()) for name in NOT_MEASURED},
        "seed": request.seed,
        "seconds": round(outcome.elapsed, 1),
    }


def main_tables(outcome: Outcome) -> str:
    """The tables over all windows, without the thirds."""
    whole = [line for line in outcome.lines if line.third == "all"]
    return "\n".join([markdown(whole, outcome.titles), *notices(outcome)])


def device_name(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {os.cpu_count()} cores)"
