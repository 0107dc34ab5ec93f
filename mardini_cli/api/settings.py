"""Settings as plain values: from a job file, a record or Python to a request, and back.

Room: api. The names are those of the flags. Light to import.

    request -> settings_of -> plain JSON values -> request_of -> an equal request
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from mardini_cli.api.animate import AnimateRequest, animate
from mardini_cli.api.animate import place as animate_place
from mardini_cli.api.extend import ExtendRequest, extend
from mardini_cli.api.extend import place as extend_place
from mardini_cli.api.fill import FillRequest, fill
from mardini_cli.api.fill import place as fill_place
from mardini_cli.api.interpolate import InterpolateRequest, interpolate
from mardini_cli.api.interpolate import place as interpolate_place
from mardini_cli.api.keyframes import KeyframesRequest, keyframes
from mardini_cli.api.keyframes import place as keyframes_place
from mardini_cli.api.making import MakeRequest
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import ConfigError, UsageError, guess
from mardini_cli.events import Event
from mardini_cli.tasks.grid import rate_of

RATES = frozenset({"fps", "input_fps"})
"""Here 59.94 written as text means 60000/1001."""
Built = TypeVar("Built")
PLACES = frozenset({"model", "cuts"})
"""Words that may be a path instead."""
_SAMPLER = tuple(field.name for field in fields(SamplerConfig))


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A command that makes frames."""

    request: type[MakeRequest]
    run: Callable[[Any], Iterator[Event]]
    place: Callable[[Any], Path]
    """Where the result of a request will stand."""
    source: str
    """The field that names the input."""


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "interpolate": Task(
            request=InterpolateRequest, run=interpolate, place=interpolate_place, source="clip"
        ),
        "animate": Task(request=AnimateRequest, run=animate, place=animate_place, source="image"),
        "extend": Task(request=ExtendRequest, run=extend, place=extend_place, source="clip"),
        "fill": Task(request=FillRequest, run=fill, place=fill_place, source="clip"),
        "keyframes": Task(
            request=KeyframesRequest, run=keyframes, place=keyframes_place, source="images"
        ),
    }
)


def task_of(request: MakeRequest) -> str:
    """The task that a request is for."""
    return next(name for name, task in TASKS.items() if isinstance(request, task.request))


def run(request: MakeRequest) -> Iterator[Event]:
    """Do what a request asks for.

    Raises:
        MardiniError: anything that the user can act on.
    """
    yield from TASKS[task_of(request)].run(request)


def settings_names(task: str) -> list[str]:
    """Names of all that can be set for a task, the input left out."""
    own = {field.name for field in fields(TASKS[task].request)} - {"sampler", "at"}
    told = {"frame"} if task == "keyframes" else set()
    return sorted((own | told | set(_SAMPLER)) - {TASKS[task].source})


def request_of(
    task: str, source: Any, settings: Mapping[str, Any], where: str, base: Path = Path()
) -> MakeRequest:
    """Build a request from plain values.

    Args:
        task: one of ``TASKS``.
        source: its input, as it will be opened: a path; for keyframes a list of them, empty with
            ``frame``.
        settings: flags by name.
        where: what a message calls the place where they stand.
        base: folder that relative paths in the settings start from.

    Raises:
        UsageError: an unknown task or name, or a value of the wrong kind or out of range.
    """
    if task not in TASKS:
        raise ConfigError(
            f"{where}: task '{task}'",
            needed=f"one of {', '.join(TASKS)}",
            do=guess(str(task), TASKS, "choose one"),
        )
    kind, field = TASKS[task].request, TASKS[task].source
    given = {} if task == "keyframes" and not source else {field: source}
    sampling = {name: settings[name] for name in _SAMPLER if name in settings}
    fixed = _converted(kind, given, where, Path())
    fixed |= _converted(kind, _without(settings, _SAMPLER), where, base)
    sampler = _sampler_of(kind, _converted(SamplerConfig, sampling, where, base), where)
    return _placed(lambda: kind(**fixed, sampler=sampler), where)


def settings_of(request: MakeRequest, base: Path | None = None) -> dict[str, Any]:
    """All settings of a request as plain JSON values, without its input.

    Args:
        request: any.
        base: folder that paths are told from; None tells them as they are.
    """
    away = {"sampler", "at", TASKS[task_of(request)].source}
    told = {
        field.name: _plain(field.name, getattr(request, field.name), base)
        for field in fields(request)
        if field.name not in away
    }
    if isinstance(request, KeyframesRequest) and request.at:
        told["frame"] = {str(time): _plain("at", path, base) for time, path in request.at}
    return {**told, **{name: getattr(request.sampler, name) for name in _SAMPLER}}


def sources_of(request: MakeRequest) -> tuple[Path, ...]:
    """What a request is made from: one path, or the pictures of keyframes."""
    if isinstance(request, KeyframesRequest):
        return request.images or tuple(path for _, path in request.at)
    return (getattr(request, TASKS[task_of(request)].source),)


def told_from(path: Path, base: Path) -> str:
    """A path as it is seen from a folder; a whole one where they share no root."""
    try:
        return os.path.relpath(path, base)
    except ValueError:  # another drive
        return str(path.absolute())


def _plain(name: str, value: Any, base: Path | None) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(name, one, base) for one in value]
    if isinstance(value, Path) or (name in PLACES and Path(value).exists()):
        return str(value) if base is None else told_from(Path(value), base)
    return value


def _without(settings: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def _sampler_of(kind: type[MakeRequest], values: dict[str, Any], where: str) -> SamplerConfig:
    """The task's own sampler, with what was told."""
    field = next(field for field in fields(kind) if field.name == "sampler")
    standard: Any = field.default_factory

    def build() -> SamplerConfig:
        told: SamplerConfig = replace(standard(), **values)
        return told

    return _placed(build, where)


def _placed(build: Callable[[], Built], where: str) -> Built:
    """Name the place of a setting that is refused."""
    try:
        return build()
    except UsageError as error:
        raise type(error)(_at(where, error.found), needed=error.needed, do=error.do) from error


def _at(where: str, text: str) -> str:
    return f"{where}: {text}" if where else text


def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _converted(
    kind: type[Any], settings: Mapping[str, Any], where: str, base: Path
) -> dict[str, Any]:
    """Values as the fields of a request want them."""
    told, hints = dict(settings), _hints(kind)
    frames = told.pop("frame", None) if "at" in hints else None
    for name, value in told.items():
        if name not in hints or name == "sampler":
            raise ConfigError(
                _at(where, f"unknown flag '{name}'"),
                needed="a flag of this task",
                do=guess(name, [*hints, *_SAMPLER], "see the command's --help"),
            )
        told[name] = _placed(partial(_value, hints[name], name, value, base), where)
    if frames:
        if not isinstance(frames, Mapping):
            raise ConfigError(
                _at(where, "frame is no table"),
                needed="pictures by their times",
                do='try frame = { "0" = "a.png", "2.5" = "b.png" }',
            )
        told["at"] = tuple(
            (_fraction("frame", time), _path(path, base)) for time, path in frames.items()
        )
    return told


def _value(hint: Any, name: str, value: Any, base: Path) -> Any:
    """One value of the kind that a field wants."""
    kinds = [one for one in get_args(hint) if one is not NoneType]
    if NoneType in get_args(hint):
        if value is None:
            return None
        hint = kinds[0]
    if get_origin(hint) is tuple:
        return tuple(_path(one, base) for one in (value if _is_list(value) else [value]))
    if hint is Path and isinstance(value, str | Path):
        return _path(value, base)
    if hint is Fraction:
        return (
            rate_of(value) if name in RATES and isinstance(value, str) else _fraction(name, value)
        )
    if get_origin(hint) is Literal:
        hint = str
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        if hint is str and "\0" in value:
            raise _no_name(value)
        return _place(value, base) if name in PLACES else value
    raise ConfigError(f"{name} = {value!r}", needed=_WANTED[hint], do="write it so")


_WANTED: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _path(value: Any, base: Path) -> Path:
    if not isinstance(value, str | Path):
        raise ConfigError(f"path {value!r}", needed="text", do="put it in quotes")
    if "\0" in str(value):
        raise _no_name(str(value))
    return Path(value) if str(value) == "-" or base == Path() else base / value


def _no_name(value: str) -> ConfigError:
    return ConfigError(f"{value!r} holds a NUL", needed="text without one", do="take it out")


def _place(value: str, base: Path) -> str:
    """A word that may be a path: it is one where something stands there."""
    there = base != Path() and ("/" in value or Path(value).suffix) and (base / value).exists()
    return str(base / value) if there else value


def _fraction(name: str, value: Any) -> Fraction:
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"{name} '{value}'",
            needed="a number such as 24, 0.5 or '24000/1001'",
            do="write digits",
        ) from error
