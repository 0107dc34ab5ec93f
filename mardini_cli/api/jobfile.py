"""A job file: inputs with settings of their own, in TOML.

Room: api. Light to import.

    [all]                       settings for every job whose task has them
    output_dir = "out"

    [[job]]                     an input, a pattern, a folder, or a list of them
    input = "clips/*.mp4"
    factor = 4

    [[job]]
    task = "animate"
    input = "boat.jpg"
    seconds = 2

Settings bear the names of the flags. Relative paths start from the folder of the job file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mardini_cli.api.batch import Item, item_of, placed
from mardini_cli.api.inputs import FILMS, PICTURES, gathered, is_url
from mardini_cli.api.settings import TASKS, request_of, settings_names
from mardini_cli.errors import ConfigError, guess
from mardini_cli.tables import read_toml

LARGEST = 16 * 2**20
"""Bytes of a job file: far more than a person writes, far less than a machine's memory."""
OWN = ("task", "input", "recursive", "output_dir")
"""Keys of a job that are no setting of its request."""


def read_jobs(path: Path, over: Mapping[str, Any] | None = None) -> list[Item]:
    """Read a job file, and find its inputs.

    Args:
        path: of the file.
        over: settings that count more than those of the file, such as ``dry_run``.

    Raises:
        MissingFileError: no such file, or a folder or pattern in it that stands for nothing.
        ConfigError: no TOML, an unknown key, or a value that means nothing; says which job.
    """
    told = read_toml(path, LARGEST)
    tables, shared = told.pop("job", []), told.pop("all", {})
    if told or not _are_tables(tables) or not isinstance(shared, dict):
        raise ConfigError(
            f"{path}: '{next(iter(told), 'job' if not _are_tables(tables) else 'all')}'",
            needed="[[job]] tables, and [all] for what they share",
            do="see docs/reliability.md for an example",
        )
    if not tables:
        raise ConfigError(f"{path} has no job", needed="[[job]] tables", do="write one")
    _check_shared(shared, f"{path}, [all]")
    items: list[Item] = []
    for number, table in enumerate(tables, start=1):
        job = _Job({**shared, **table}, set(table), f"{path}, job {number}", path.parent)
        items += job.items(len(items), over or {})
    return items


@dataclass(frozen=True, slots=True)
class _Job:
    told: Mapping[str, Any]
    own: set[str]
    """Keys that stand in the job itself."""
    where: str
    base: Path

    def items(self, before: int, over: Mapping[str, Any]) -> Iterator[Item]:
        task, output_dir = self._text("task", "interpolate"), self._output_dir()
        settings = {**self._settings(task), **over}
        words = self._words()
        if task == "keyframes":
            sources = [self.base / word for word in words]
            request = request_of(task, sources, settings, self.where, self.base)
            yield Item(number=before + 1, **placed(request, Path(), output_dir))
            return
        if not words:
            raise ConfigError(f"{self.where} has no input", needed="input", do="name a path")
        found = gathered(
            [word if is_url(word) else str(self.base / word) for word in words],
            PICTURES if task == "animate" else FILMS,
            recursive=self._recursive(),
            sequences=task == "interpolate",
        )
        for number, one in enumerate(found.inputs, start=before + 1):
            request = request_of(task, one.path, settings, self.where, self.base)
            yield item_of(number, request, one, output_dir)

    def _settings(self, task: str) -> dict[str, Any]:
        """What is told of the task itself; of what is shared, that which it has."""
        known = settings_names(task) if task in TASKS else []
        return {
            key: value
            for key, value in self.told.items()
            if key not in OWN and (key in self.own or key in known)
        }

    def _words(self) -> list[str]:
        words = self.told.get("input", [])
        words = [words] if isinstance(words, str) else words
        if not (isinstance(words, list) and all(isinstance(word, str) and word for word in words)):
            raise ConfigError(
                f"{self.where}: input = {words!r}", needed="a path, or a list of them", do="name it"
            )
        return words

    def _output_dir(self) -> str | None:
        told = self._text("output_dir", "")
        return str(self.base / told) if told and not is_url(told) else told or None

    def _recursive(self) -> bool:
        told = self.told.get("recursive", False)
        if not isinstance(told, bool):
            raise ConfigError(
                f"{self.where}: recursive = {told!r}", needed="true or false", do="write it so"
            )
        return told

    def _text(self, key: str, standard: str) -> str:
        told = self.told.get(key, standard)
        if not isinstance(told, str):
            raise ConfigError(f"{self.where}: {key} = {told!r}", needed="text", do="write it so")
        return told


def _check_shared(shared: Mapping[str, Any], where: str) -> None:
    """A setting that no task has is a slip of the pen."""
    known = {*OWN, *(name for task in TASKS for name in settings_names(task))} - {"input"}
    for key in shared:
        if key not in known:
            raise ConfigError(
                f"{where}: unknown flag '{key}'",
                needed="a flag of some task",
                do=guess(key, known, "see the commands' --help"),
            )


def _are_tables(told: Any) -> bool:
    return isinstance(told, list) and all(isinstance(one, dict) for one in told)
