"""State of a run that is shared out: every process writes what it holds, and any number reads it.

Room: training. Shards of safetensors, written by torch.distributed.checkpoint beside the steps that
follow. A folder gets its name when all of it is written; the one before it goes only then.
"""

import shutil
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.tensor import DTensor

from mardini_cli.errors import UnwritableError, WeightsError
from mardini_cli.training.checkpoint import Place
from mardini_cli.training.crew import Crew

NAME = "checkpoint-"
"""Folders of finished checkpoints begin with it; stage and step follow."""
PLACE = "place.json"


def plain(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; all of it, if it is not shared out."""
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor


def spread(tensor: Tensor, like: nn.Parameter) -> Tensor:
    """Say of what a process holds that it is a part, shared out as a parameter is."""
    if not isinstance(like, DTensor) or tensor.shape != like._local_tensor.shape:
        return tensor
    return DTensor.from_local(
        tensor, like.device_mesh, like.placements, shape=like.shape, stride=like.stride()
    )


class Writer:
    """Writes checkpoints one after the other; training goes on meanwhile."""

    def __init__(self, folder: Path, crew: Crew) -> None:
        self.folder, self.crew = folder, crew
        self.pending: Future[None] | None = None
        self.beside = ThreadPoolExecutor(1)
        # Its own group: training's collectives must not meet those of the writing thread.
        self.group = dist.new_group(backend="gloo") if crew.world > 1 else None

    def save(self, place: Place, state: Mapping[str, Tensor]) -> None:
        """Copy the state and begin to write it.

        Raises:
            UnwritableError: the disk refused this one or the one before; the last one stands.
        """
        self.wait()
        name = f"{NAME}{place.stage:03}-{place.step:08}"
        part = self.folder / f".{name}.part"
        if self.crew.rank == 0:
            shutil.rmtree(part, ignore_errors=True)
            self._make(part, place)
        self._meet()
        written = async_save(
            dict(state),
            storage_writer=HuggingFaceStorageWriter(str(part), save_distributed=True),
            process_group=self.group,
            no_dist=_alone(self.crew),
        )
        assert isinstance(written, Future)  # another kind only where staging is asynchronous too
        self.pending = self.beside.submit(self._finish, written, part, name)

    def _make(self, part: Path, place: Place) -> None:
        try:
            part.mkdir()
            (part / PLACE).write_text(place.to_json(), encoding="utf-8")
        except OSError as error:
            raise _unwritable(part, error) from error

    def wait(self) -> None:
        """Wait until the checkpoint under way has its name, in all processes.

        Raises:
            UnwritableError: the disk refused it.
        """
        if self.pending is None:
            return
        pending, self.pending = self.pending, None
        pending.result()
        self._meet()

    def _finish(self, written: Future[Any], part: Path, name: str) -> None:
        """Give a checkpoint its name once it is written, and take those before it away."""
        try:
            written.result()
            if self.crew.rank:
                return
            target = self.folder / name
            older = [path for path in self.folder.glob(f"{NAME}*") if path != target]
            if target.exists():  # a run that was stopped wrote it before
                shutil.rmtree(target)
            part.rename(target)
            for folder in older:
                shutil.rmtree(folder)
        except Exception as error:  # torch raises its own kinds; the cause is what the disk said
            raise _unwritable(part, error) from error

    def _meet(self) -> None:
        if self.group is not None:
            dist.barrier(self.group)


def newest(folder: Path) -> Path | None:
    """The checkpoint that a run goes on from, if there is one."""
    found = [path for path in folder.glob(f"{NAME}*") if (path / PLACE).is_file()]
    return max(found, default=None)


def place_of(path: Path) -> Place:
    """Where a run stands.

    Raises:
        WeightsError: the file is damaged.
    """
    try:
        return Place.from_json((path / PLACE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def names(path: Path) -> dict[str, TensorStorageMetadata]:
    """Names of all tensors of a checkpoint, and what they are.

    Raises:
        WeightsError: it is damaged.
    """
    try:
        told = HuggingFaceStorageReader(str(path)).read_metadata().state_dict_metadata
    except Exception as error:  # the reader lets all kinds through that damaged files provoke
        raise _damaged(path, error) from error
    return {name: one for name, one in told.items() if isinstance(one, TensorStorageMetadata)}


def fill(path: Path, state: dict[str, Tensor], crew: Crew) -> None:
    """Read tensors in place, each process what it holds.

    Raises:
        WeightsError: the checkpoint is damaged, or of other sizes.
    """
    try:
        reader = HuggingFaceStorageReader(str(path))
        load(state, storage_reader=reader, no_dist=_alone(crew))
    except Exception as error:  # likewise
        raise _damaged(path, error) from error


def whole(path: Path, device: torch.device) -> dict[str, Tensor]:
    """Read everything by one process.

    Raises:
        WeightsError: the checkpoint is damaged.
    """
    state = {
        name: torch.empty(one.size, dtype=one.properties.dtype) for name, one in names(path).items()
    }
    fill(path, state, Crew())
    return {name: value.to(device) for name, value in state.items()}


def _alone(crew: Crew) -> bool:
    """Whether one process writes and reads by itself, of which torch need not warn."""
    if crew.world == 1:  # for good: the thread that writes goes on after the call
        told = "torch.distributed is disabled, unavailable or uninitialized"
        warnings.filterwarnings("ignore", message=told, category=UserWarning)
    return crew.world == 1


def _damaged(path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"{path} is damaged ({str(error).strip().splitlines()[-1] if str(error) else error!r})",
        needed="a whole checkpoint of this version",
        do="delete it to start anew",
    )


def _unwritable(path: Path, error: Exception) -> UnwritableError:
    return UnwritableError(
        f"{path} cannot be written ({error})",
        needed="space and write access",
        do="free some and start again; the last checkpoint stands",
    )
