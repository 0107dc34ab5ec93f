"""Settings of a run from a TOML file, strictly: what means nothing is one line that helps.

Room: training. Words to ``TrainConfig``; what its values mean is said in ``stages``.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mardini_cli.config import ModelConfig, from_mapping, preset
from mardini_cli.errors import ConfigError, MissingFileError, guess
from mardini_cli.tables import parse_toml, read_toml
from mardini_cli.training.recipes import recipe, shortened, timed, tiny_stages
from mardini_cli.training.stages import (
    ALL_STAGES,
    FINISHED,
    INTERPOLATION,
    PHOTOS,
    StageConfig,
    TrainConfig,
)
from mardini_cli.weights import find, read_card

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def read_config(path: Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Read a TOML file, and apply ``key=value`` changes (TOML values) on top.

    A folder stands for the settings that train on what is in it, and go to runs/ITS_NAME.

    Raises:
        MissingFileError: no such file.
        ConfigError: not TOML, or a key that does not exist.
    """
    values = _of_folder(path) if path.is_dir() else _of_file(path)
    for change in changes:
        values |= _changed(change)
    stages = values.pop("stages", "tune" if path.is_dir() and values.get("init") else "tiny")
    config = _built(TrainConfig, values, str(path))
    found = _stages(stages, config, str(path))
    if config.steps:
        found = shortened(found, config.steps)
    if config.minutes:
        found = timed(found, config.minutes)
    if config.lora:
        found = tuple(replace(stage, lora=config.lora) for stage in found)
    return replace(config, stages=found)


def _of_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingFileError(
            f"{path} is no file",
            needed="a TOML file of settings, or a folder of clips",
            do="check the path",
        )
    return read_toml(path)


def _of_folder(folder: Path) -> dict[str, Any]:
    """Settings for a folder alone: its clips, and its photographs where there are some."""
    pictures = next((p for p in folder.rglob("*") if p.suffix.lower() in PHOTOS), None)
    photos = [str(folder)] if pictures else []
    return {"data": [str(folder)], "photos": photos, "out": f"runs/{folder.resolve().name}"}


def _stages(stages: object, config: TrainConfig, where: str) -> tuple[StageConfig, ...]:
    """The stages that tables list, or those of a recipe by its name."""
    if isinstance(stages, str):
        slow = stages == "tune" and not _has_gpu(config.device)
        return recipe("tune-cpu" if slow else stages, _sizes(config))
    if not isinstance(stages, list) or not all(isinstance(table, dict) for table in stages):
        raise ConfigError(
            f"{where}: stages is no list of tables",
            needed="[[stages]] tables, or the name of a recipe",
            do="write them so",
        )
    return tuple(map(_stage, stages)) or tiny_stages()


def _sizes(config: TrainConfig) -> ModelConfig:
    """Sizes of the model that will be trained, read from the weights that it starts from."""
    if not config.init:
        return preset(config.preset)
    of_run = Path(config.init) / FINISHED
    return read_card(of_run if of_run.is_dir() else find(config.init)).config


def _has_gpu(device: str) -> bool:
    from mardini_cli.device import choose_device  # late: it brings torch

    return choose_device(device).type == "cuda"


def _stage(table: Mapping[str, Any]) -> StageConfig:
    where = f"stage {table.get('name', '?')}"
    values = dict(table)
    mix = values.pop("tasks", dict(INTERPOLATION))
    if not isinstance(mix, Mapping) or not all(_fits(share, 0.0) for share in mix.values()):
        raise ConfigError(
            f"{where}: tasks = {mix}", needed="a table of shares", do='try tasks = { "ends" = 1.0 }'
        )
    return replace(_built(StageConfig, values, where), tasks=tuple(mix.items()))


def _built(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build a config from TOML values, each of the type of its field."""
    kinds = {each.name: each for each in dataclasses.fields(cls)}
    tidy = dict(values)
    for key, value in values.items():
        if key not in kinds:
            continue  # from_mapping names its neighbours
        standard = kinds[key].default
        told = standard is not dataclasses.MISSING and standard is not None
        example = standard if told else _EXAMPLES.get(key, ())
        if isinstance(value, str) and example == ():
            tidy[key] = (value,)  # one folder needs no brackets
        elif not _fits(value, example):
            raise ConfigError(
                f"{where}: {key} = {value!r}",
                needed=_wanted(example),
                do=f"write it like {key} = {_like(example)}",
            )
    return from_mapping(cls, tidy, where)


_EXAMPLES: Mapping[str, Any] = {
    "name": "warm-up", "kind": "guided", "steps": 1000, "kl": 1e-2, "contrast": 0.1,
}  # fmt: skip
"""Of the fields that have no default, or none that is a value."""


def _fits(value: object, example: object) -> bool:
    if isinstance(value, bool) or isinstance(example, bool):
        return isinstance(value, bool) and isinstance(example, bool)
    if isinstance(example, float):
        return isinstance(value, int | float)
    if isinstance(example, tuple):
        return (
            isinstance(value, list | tuple)
            and (not example or len(value) == len(example))
            and all(_fits(part, example[0] if example else "") for part in value)
        )
    return isinstance(value, type(example))


def _wanted(example: object) -> str:
    if isinstance(example, tuple):
        return f"a list of {len(example)} numbers" if example else "a list of folders"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return words[type(example)]


def _like(example: object) -> str:
    if isinstance(example, tuple):
        return str(list(example)) if example else '["clips"]'
    if isinstance(example, bool):
        return str(example).lower()
    return f'"{example}"' if isinstance(example, str) else str(example)


def _changed(change: str) -> dict[str, Any]:
    """One ``key=value``: the value is TOML, or plain text."""
    key, sign, value = (part.strip() for part in change.partition("="))
    names = [each.name for each in dataclasses.fields(TrainConfig)]
    if not sign or not value:
        raise ConfigError(f"'{change}' changes nothing", needed="key=value", do="try seed=1")
    if key not in names:
        raise ConfigError(
            f"unknown key '{key}' in '{change}'",
            needed=f"one of {len(names)} keys",
            do=guess(key, names, f"try {', '.join(names)}", most=2),
        )
    try:
        return {key: parse_toml(f"x = {value}", key)["x"]}
    except ConfigError:
        return {key: value}


def to_toml(config: TrainConfig) -> str:
    """Write settings so that ``read_config`` reads the same run."""
    lines = [f"{key} = {_value(value)}" for key, value in _told(config) if key != "stages"]
    for stage in config.stages:
        lines += ["", "[[stages]]"]
        for key, value in _told(stage):
            told = dict(value) if key == "tasks" else value
            lines.append(f"{key} = {_value(told)}")
    return "\n".join(lines)


def _told(config: "DataclassInstance") -> list[tuple[str, Any]]:
    """Keys and values; TOML has no word for nothing, so what is left to the program is left out.

    What is said of all stages together is left out as well: the stages have it by now.
    """
    pairs = [(each.name, getattr(config, each.name)) for each in dataclasses.fields(config)]
    if isinstance(config, TrainConfig):
        pairs = [(key, value) for key, value in pairs if key not in ALL_STAGES]
    return [(key, value) for key, value in pairs if value is not None]


def _value(value: object) -> str:
    """A TOML value; JSON's strings, numbers and lists are TOML's as well."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_value(key)} = {_value(x)}" for key, x in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
