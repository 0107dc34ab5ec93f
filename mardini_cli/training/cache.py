"""What stages with a frozen autoencoder need of their batches, on disk: shards of safetensors.

Room: training. A cache holds the batches of a stage's first steps; a longer stage goes through them
again, with other noise. Its index says with which settings and weights it was made, and nothing
else is taken: training from it and from pixels is the same, to the bit.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mardini_cli.errors import ConfigError, UnwritableError, WeightsError
from mardini_cli.model.mardini import MarDini
from mardini_cli.training.seen import Seen, grids_from_data, grids_to_data
from mardini_cli.training.stages import Kind, StageConfig, TrainConfig

KINDS: tuple[Kind, ...] = ("planner", "denoiser", "joint")
"""Kinds of stages that leave the autoencoder as it is."""
INDEX = "cache.json"
SHARD = 256 * 2**20
"""Bytes after which a shard is closed."""
_FORMAT = 1
_AHEAD = 4  # batches read before they are asked for
_OF_STAGE = ("batch", "slots", "made", "side", "tasks", "keep", "fps", "jitter", "photos")


def stands(folder: Path) -> bool:
    """Whether a folder holds a finished cache."""
    return (folder / INDEX).is_file()


def facts(config: TrainConfig, stage: StageConfig, model: MarDini) -> dict[str, Any]:
    """What decides what is in a cache: settings of windows, and weights of the autoencoder."""
    told = {key: getattr(stage, key) for key in _OF_STAGE}
    told |= {key: getattr(config, key) for key in ("seed", "short", "held_out", "photos_on")}
    told["asks"] = "planner" if stage.kind == "planner" else "latents"
    told["stage"] = stage.name
    told["autoencoder"] = digest(model.autoencoder.state_dict())
    return dict(json.loads(json.dumps(told)))


def digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of every byte of some weights, in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(name.encode())
        # Bytes as they lie, whatever the number type; NumPy knows no bfloat16.
        flat = state[name].detach().cpu().contiguous().flatten()
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()


@dataclass(frozen=True, slots=True)
class Held:
    """A held-out batch, as a cache names it."""

    task: str
    share: float
    of_task: int


class Keeper:
    """Writes a cache beside its name, which it gets when it is whole.

    Args:
        folder: where the cache shall stand.
        told: see ``facts``.
    """

    def __init__(self, folder: Path, told: Mapping[str, Any]) -> None:
        self.folder, self.part = folder, folder.with_name(f".{folder.name}.part")
        self.told, self.size = dict(told), 0
        self.statistics: dict[str, list[float]] = {}
        self.shards: list[dict[str, Any]] = []
        self.waiting: dict[str, Tensor] = {}
        self.names: list[str] = []
        self.held: list[Held] = []
        self.grids: dict[str, Any] = {}
        if self.part.exists():
            shutil.rmtree(self.part)  # of a cache that was not finished
        try:
            self.part.mkdir(parents=True)
        except OSError as error:
            raise _unwritable(folder, error) from error

    def keep(self, name: str, seen: Seen) -> None:
        """Take one batch in."""
        self.grids = grids_to_data(seen.grids)
        for key, value in seen.tensors.items():
            self.waiting[f"{name}/{key}"] = value.detach().cpu().contiguous().clone()
        self.names.append(name)
        if sum(value.nbytes for value in self.waiting.values()) >= SHARD:
            self._close()

    def hold(self, held: Held, seen: Seen) -> None:
        """Take a held-out batch in."""
        self.keep(f"look{len(self.held)}", seen)
        self.held.append(held)

    def _close(self) -> None:
        if not self.waiting:
            return
        path = self.part / f"{len(self.shards):05}.safetensors"
        try:
            save_file(self.waiting, path)
        except (OSError, SafetensorError) as error:
            raise _unwritable(self.folder, error) from error
        self.size += path.stat().st_size
        self.shards.append({"file": path.name, "batches": self.names})
        self.waiting, self.names = {}, []

    def finish(self, steps: int) -> None:
        """Write the index, and give the cache its name; an older one of the name goes."""
        self._close()
        index = {
            "format": _FORMAT,
            "steps": steps,
            "made_with": self.told,
            "grids": self.grids,
            "statistics": self.statistics,
            "looks": [[held.task, held.share, held.of_task] for held in self.held],
            "shards": self.shards,
        }
        try:
            (self.part / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.part.rename(self.folder)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def give_up(self) -> None:
        """Take away what is not finished."""
        shutil.rmtree(self.part, ignore_errors=True)


class Cache:
    """Reads a cache, step by step.

    Args:
        folder: of the cache.
        config: of the run that reads it.
        stage: the same stage as it was made for.
        model: with the same autoencoder.

    Raises:
        ConfigError: it was made for something else.
        WeightsError: it is damaged.
    """

    def __init__(
        self, folder: Path, config: TrainConfig, stage: StageConfig, model: MarDini
    ) -> None:
        self.folder, self.stage = folder, stage
        index = _index(folder)
        _compare(folder, index["made_with"], facts(config, stage, model))
        self.count: int = index["steps"]
        self.grids = grids_from_data(index["grids"])
        self.held = [Held(*told) for told in index["looks"]]
        self.places = {name: s["file"] for s in index["shards"] for name in s["batches"]}

    def __getitem__(self, name: str) -> Seen:
        """Read one batch."""
        path = self.folder / self.places[name]
        try:
            with safe_open(path, framework="pt") as file:
                keys = [key for key in file.keys() if key.startswith(f"{name}/")]  # noqa: SIM118
                told = {key.partition("/")[2]: file.get_tensor(key) for key in keys}
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from error
        return Seen(told, self.grids)

    def run(self, first: int, workers: int, device: torch.device) -> Iterator[Seen]:
        """Give the batches from step ``first`` on, a few read ahead.

        Args:
            first: step of the stage; beyond what is kept it begins anew.
            workers: nothing; one thread reads faster than any device learns.
            device: what they are meant for.
        """
        del workers
        pinned = device.type == "cuda"

        def read(step: int) -> Seen:
            seen = self[str(step % self.count)]
            return seen.pin_memory() if pinned else seen

        with ThreadPoolExecutor(1) as pool:
            ahead: list[Future[Seen]] = []
            for step in range(first, self.stage.steps):
                while len(ahead) < _AHEAD and step + len(ahead) < self.stage.steps:
                    ahead.append(pool.submit(read, step + len(ahead)))
                yield ahead.pop(0).result()

    def looks(self) -> Iterator[tuple[Held, Seen]]:
        """The held-out batches, and what each is."""
        for number, held in enumerate(self.held):
            yield held, self[f"look{number}"]


def restore_statistics(folder: Path, model: MarDini) -> None:
    """Give an autoencoder the statistics of its latents that were measured for a cache."""
    for name, told in _index(folder)["statistics"].items():
        buffer: Tensor = getattr(model.autoencoder, name)
        buffer.copy_(torch.tensor(told, dtype=torch.float32).view_as(buffer))


def _index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if index["format"] != _FORMAT:
            raise KeyError(f"format {index['format']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    return index


def _compare(folder: Path, made: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if made.get(key) != value:
            found = "other weights" if key == "autoencoder" else f"{key} = {made.get(key)}"
            needed = "the run's own autoencoder" if key == "autoencoder" else f"{key} = {value}"
            raise ConfigError(
                f"the cache {folder} was made with {found}",
                needed=needed,
                do="make it anew with mardini train cache, or leave cache empty",
            )


def _damaged(path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"{path} is damaged ({error})", needed="a whole cache", do="make it anew, or leave it out"
    )


def _unwritable(folder: Path, error: Exception) -> UnwritableError:
    return UnwritableError(
        f"{folder} cannot be written ({error})", needed="space and write access", do="free some"
    )
