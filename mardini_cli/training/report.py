"""One page about a run: what it cost, how its figures went, what its windows look like.

Room: training. Reads the run's journal and sheets; nothing is loaded from elsewhere. Style, tables
and pictures are those of the evaluation's report.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from mardini_cli.evaluation.report import facts, head, image, wide
from mardini_cli.training import journal, views
from mardini_cli.training.curves import Points, chart, smoothed
from mardini_cli.training.stages import TASKS, StageConfig, TrainConfig

Row = Mapping[str, Any]
NAME: Final = "report.html"
SETTINGS: Final = "train.toml"
"""The run's settings, all of them, beside the report: what reproduces it."""
SHEETS: Final = 4
"""Of each stage on the page, at most; the others lie beside it."""
STYLE: Final = """<style>
.curves { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; }
figure.curve { margin: .5rem 0; width: 440px; } figure.curve small { font-weight: 400; }
img { max-width: 100%; height: auto; }
svg { display: block; max-width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--dim); }
svg .rule { stroke: var(--rule); }
pre { overflow-x: auto; background: var(--best); padding: .7rem; }
</style>"""
READING: Final = """<details><summary>How to read this page</summary><ul>
<li>Losses are those of training batches, means of neighbouring steps. Held-out figures are of
clips that are never trained on: <b>raw</b> weights as they stand, <b>average</b> the ones that a
stage hands on.</li>
<li>The windows on the sheets are held out too, and the same all through. PSNR and SSIM rise with
softness: look at the sheets. Where one side is free (extend, animate) a good continuation need not
be the true one.</li></ul></details>"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What the journal does not know."""

    settings: str
    """All settings as TOML."""
    parameters: int
    clips: int
    photos: int


def write_report(folder: Path, config: TrainConfig, told: Told) -> Path:
    """Write ``report.html`` into the folder of a run.

    Args:
        folder: of the run, with its journal and sheets.
        config: of the run.
        told: the rest.
    """
    rows = journal.read(folder)
    parts = [
        *head(f"mardini: training {folder.name}"),
        STYLE,
        f"<h1>Training: {escape(folder.name)}</h1>",
        f'<p class="facts">{_facts(config, told)}</p>{READING}',
        *_command(folder, told),
        "<h2>Cost</h2>",
        _cost(config, _of(rows, "end")),
    ]
    for stage in config.stages:
        parts += _stage(folder, stage, [row for row in rows if row["stage"] == stage.name])
    output = folder / NAME
    output.write_text("\n".join([*parts, "</html>"]) + "\n", encoding="utf-8")
    return output


def _facts(config: TrainConfig, told: Told) -> str:
    return facts(
        {
            "preset": config.preset,
            "from": config.init or config.vae or "scratch",
            "parameters": f"{told.parameters:,}",
            "clips": told.clips,
            "photographs": told.photos or None,
            "seed": config.seed,
        }
    )


def _command(folder: Path, told: Told) -> Iterator[str]:
    """How to do it again, and with what."""
    yield f"<h2>Again</h2><pre>mardini train {escape(str(folder / SETTINGS))} out=runs/again</pre>"
    yield f"<details><summary>{SETTINGS}</summary><pre>{escape(told.settings)}</pre></details>"


def _cost(config: TrainConfig, ends: Sequence[Row]) -> str:
    heads = (
        *("stage", "kind", "steps", "minutes", "steps/s", "windows", "device hours"),
        *("device", "peak GiB"),
    )
    kinds = {stage.name: stage.kind for stage in config.stages}
    body, hours, minutes = [], 0.0, 0.0
    for row in ends:
        took, share = row["took"], row["took"] * row["processes"] / 3600
        hours, minutes = hours + share, minutes + took / 60
        peak = f"{row['peak']:.1f}" if row.get("peak") else "-"
        cells = (
            *(row["stage"], kinds.get(row["stage"], ""), f"{row['step']:,}", f"{took / 60:.1f}"),
            *(f"{row['step'] / max(took, 1e-9):.2f}", f"{row['windows']:,}", f"{share:.3f}"),
            *(f"{row['processes']} x {row['device']}", peak),
        )
        body.append("<tr>" + "".join(f"<td>{escape(str(cell))}" for cell in cells))
    total = ("in all", "", "", f"{minutes:.1f}", "", "", f"{hours:.3f}", "", "")
    body.append("<tr>" + "".join(f"<td><b>{cell}</b>" for cell in total))
    return wide(heads, body)


def _stage(folder: Path, stage: StageConfig, rows: Sequence[Row]) -> Iterator[str]:
    yield f"<h2>{escape(stage.name)} <small>({stage.kind})</small></h2>"
    losses, held, looked = (_of(rows, kind) for kind in ("losses", "held", "views"))
    total = chart("training: total loss", {"total": smoothed(_points(losses, "total"))})
    yield _curves([total, *_looked(looked), *_held(held)])
    parts = [name for name in _names(losses) if name != "total"]
    drawn = [chart(f"training: {name}", {name: smoothed(_points(losses, name))}) for name in parts]
    yield f"<details><summary>Parts of the loss</summary>{_curves(drawn)}</details>"
    yield from _sheets(folder, stage)


def _curves(drawn: Sequence[str]) -> str:
    return f'<div class="curves">{"".join(drawn)}</div>'


def _looked(rows: Sequence[Row]) -> Iterator[str]:
    """Figures of the fixed windows, a line a view."""
    for measure in ("psnr", "ssim"):
        lines = {
            name.removesuffix(f"_{measure}"): _points(rows, name)
            for name in _names(rows)
            if name.endswith(measure)
        }
        yield chart(f"fixed windows: {measure.upper()}", lines)


def _held(rows: Sequence[Row]) -> Iterator[str]:
    """Held-out figures: over all tasks, raw and averaged; and by task, averaged."""
    names = [name.removeprefix("raw_") for name in _names(rows) if name.startswith("raw_")]
    for name in names:
        if not name.endswith(TASKS):
            lines = {kind: _points(rows, f"{kind}_{name}") for kind in ("raw", "average")}
            yield chart(f"held out: {name}", lines)
            tasks = [task for task in TASKS if f"{name}_{task}" in names]
            by_task = {task: _points(rows, f"average_{name}_{task}") for task in tasks}
            yield chart(f"held out by task: {name}", by_task)


def _sheets(folder: Path, stage: StageConfig) -> Iterator[str]:
    """The last sheet, and a few before it: a page of all of them would weigh too much."""
    sheets = sorted((folder / views.FOLDER).glob(f"{stage.name}-*.jpg"))
    count = min(len(sheets), SHEETS)
    shown = [sheets[-1 - number * len(sheets) // count] for number in range(count)]
    for number, sheet in enumerate(shown):
        step = int(sheet.stem.rpartition("-")[2])
        yield (
            f"<details{'' if number else ' open'}><summary>The fixed windows at step {step:,} · "
            f'<a href="{escape(sheet.relative_to(folder).as_posix())}">the file</a></summary>'
            f"{image(sheet, f'{stage.name}, step {step:,}')}</details>"
        )


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if journal.kind_of(row) == kind]


def _names(rows: Sequence[Row]) -> list[str]:
    """Figures that the rows have, in the order in which they came."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if name not in journal.NOT_FIGURES]


def _points(rows: Sequence[Row], name: str) -> Points:
    return sorted((row["step"], float(row[name])) for row in rows if name in row)
