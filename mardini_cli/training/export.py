"""A run becomes weights to share: averaged, in the Hub's form, with a model card to be finished.

Room: training. Works on a run that has ended and on one that is under way or was stopped: the
average is in its checkpoint.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mardini_cli import __version__, weights
from mardini_cli.config import ModelConfig
from mardini_cli.errors import MissingFileError, OutputExistsError, UnwritableError, WeightsError
from mardini_cli.events import Exported
from mardini_cli.model.mardini import MarDini
from mardini_cli.training import checkpoint, journal, keeping
from mardini_cli.training.movers import Movers
from mardini_cli.training.objectives import KINDS
from mardini_cli.training.reading import read_config
from mardini_cli.training.report import SETTINGS
from mardini_cli.training.stages import TASKS, StageConfig, TrainConfig
from mardini_cli.weights.cards import Filling, filled_card
from mardini_cli.weights.layout import CONFIG, MODEL_CARD, Storage, tensor_files
from mardini_cli.weights.writing import exchange

_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequest:
    """Weights to share, from a run."""

    run: Path
    """Folder of the run."""
    output: Path | None = None
    """Weights folder; None is ``RUN/release``."""
    storage: Storage = "int8"
    licence: str = "other"
    """For the card: what the weights may be used for is their maker's word."""
    overwrite: bool = False

    @property
    def folder(self) -> Path:
        """Where the weights go."""
        return self.output or self.run / "release"


def export(request: ExportRequest) -> Exported:
    """Write a run's averaged weights as a folder that ``--model`` and the Hub take.

    Raises:
        MissingFileError: no run there.
        OutputExistsError: the folder is there already.
        WeightsError: a damaged checkpoint.
        UnwritableError: the disk refuses.
    """
    folder, run = request.folder, request.run
    if folder.exists() and not request.overwrite:
        raise OutputExistsError(
            f"{folder} stands there already", needed="a new folder", do="add --overwrite"
        )
    if folder.exists() and not (folder / CONFIG).is_file():
        raise OutputExistsError(
            f"{folder} holds something else", needed="a weights folder to replace", do="rename one"
        )
    config = _settings(run)
    place, model = averaged(run, config)
    rows = journal.read(run)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
            fresh = Path(beside) / folder.name
            weights.save(model, fresh, request.storage, facts=_facts(config, place, rows))
            card = filled_card(fresh, _filling(config, place, rows, request.licence))
            (fresh / MODEL_CARD).write_text(card, encoding="utf-8")
            exchange(fresh, folder, Path(beside) / "old")
    except OSError as error:
        raise UnwritableError(
            f"{folder} cannot be written ({error.strerror})",
            needed="space and write access",
            do="free some, or choose another folder",
        ) from error
    return Exported(
        output=folder,
        run=run,
        stage=_under_way(config, place).name,
        step=place.step or None,
        size=sum(file.stat().st_size for file in tensor_files(folder)),
    )


def averaged(run: Path, config: TrainConfig) -> tuple[checkpoint.Place, MarDini]:
    """The model of a run with its averaged weights, and where the run stands.

    Raises:
        MissingFileError: no checkpoint.
        WeightsError: it is damaged, or not of these settings.
    """
    found = keeping.load(run, _CPU)
    if found is None:
        raise MissingFileError(
            f"{run} holds no checkpoint",
            needed="a run that has saved once",
            do="wait for it, or name another folder",
        )
    place, state = found
    model = MarDini(ModelConfig.from_dict(place.model, str(run)))
    try:
        model.load_state_dict(checkpoint.part_of(state, "model"))
        if not place.step:  # at the end of a stage the average has taken the weights' place
            return place, model.eval()
        stage = config.stages[place.stage]
        objective = KINDS[stage.kind](model, stage)
        for name, module in objective.named_children():
            module.load_state_dict(checkpoint.part_of(state, name))
        movers = Movers(objective, stage)
        movers.restore(state)
    except (RuntimeError, KeyError, IndexError) as error:
        raise WeightsError(
            f"the checkpoint of {run} does not fit {run / SETTINGS} ({_first(error)})",
            needed="a run of this version",
            do="keep the files of one run together",
        ) from error
    movers.average.swap()
    objective.merge()
    return place, model.eval()


def _settings(run: Path) -> TrainConfig:
    if not (run / SETTINGS).is_file():
        raise MissingFileError(
            f"{run} holds no {SETTINGS}", needed="the folder of a run", do="check the path"
        )
    return read_config(run / SETTINGS)


def _under_way(config: TrainConfig, place: checkpoint.Place) -> StageConfig:
    """The stage that a checkpoint is in the middle of, or that has just ended."""
    return config.stages[place.stage if place.step else place.stage - 1]


def _facts(
    config: TrainConfig, place: checkpoint.Place, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What ``config.json`` says of how the weights were made."""
    done = place.stages[: place.stage + (place.step > 0)]
    return {
        "stages": list(done),
        "stopped_at": place.step or None,
        "init": config.init or None,
        "vae": config.vae or None,
        "seed": config.seed,
        "mardini": __version__,
        "device_hours": round(_hours(rows), 4),
        "held_out": {name: figures for name, figures in _held(rows).items() if name in done},
    }


def _hours(rows: Sequence[Mapping[str, Any]]) -> float:
    ends = [row for row in rows if journal.kind_of(row) == "end"]
    return sum(float(row["took"] * row["processes"]) for row in ends) / 3600


def _held(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The last held-out figures of every stage, of the averaged weights."""
    last: dict[str, dict[str, float]] = {}
    for row in rows:
        if journal.kind_of(row) == "held":
            figures = {
                name.removeprefix("average_"): value
                for name, value in row.items()
                if name.startswith("average_") and name != "average_steps"
            }
            last[row["stage"]] = {"step": row["step"], **figures}
    return last


def _filling(
    config: TrainConfig,
    place: checkpoint.Place,
    rows: Sequence[Mapping[str, Any]],
    licence: str,
) -> Filling:
    """The parts of the card that the run knows."""
    ends = {row["stage"]: row for row in rows if journal.kind_of(row) == "end"}
    lines = ["| stage | kind | steps | windows | minutes | device |", "| --- " * 6 + "|"]
    for stage in config.stages[: place.stage]:
        end = ends.get(stage.name, {})
        minutes = f"{end['took'] / 60:.1f}" if end else "not told"
        device = f"{end['processes']} x {end['device']}" if end else "not told"
        steps, windows = end.get("step", stage.steps), end.get("windows", "not told")
        lines.append(
            f"| {stage.name} | {stage.kind} | {steps} | {windows} | {minutes} | {device} |"
        )
    if place.step:
        name = _under_way(config, place).name
        lines.append(f"\nStopped in stage {name} after {place.step} of its steps.")
    began = config.init or config.vae or "scratch"
    folders = ", ".join(Path(one).name for one in config.data) or "none named"
    return Filling(
        licence=licence,
        training="\n".join(
            [
                f"From {began}, seed {config.seed}; {_hours(rows):.3f} device hours told.",
                f"Folders of clips: {folders}. Whose they are, and under which licence: to be "
                "filled in by the maker.",
                "",
                *lines,
            ]
        ),
        metrics=(
            "Of held-out windows at the end of each stage, averaged weights (`loss` of the stage, "
            "or PSNR in dB and sharpness against the truth's, without a latent and told the true "
            f"one; by task in `config.json`):\n\n{_figures(rows)}\n\n"
            "Against baselines: `mardini evaluate CLIPS --model ...` makes the tables."
        ),
    )


def _figures(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line a stage: the figures over all tasks."""
    return "\n".join(
        f"- {stage}: "
        + ", ".join(f"{name} {value:g}" for name, value in told.items() if not name.endswith(TASKS))
        for stage, told in _held(rows).items()
    )


def _first(error: Exception) -> str:
    """The first line of what torch has to say."""
    return next(iter(str(error).splitlines()), type(error).__name__)
