"""State of a run on disk: one safetensors file, replaced whole.

Room: training. A kill at any moment leaves the last checkpoint or the new one, never a half.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mardini_cli.errors import UnwritableError, WeightsError

NAME = "checkpoint.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a run stands."""

    stage: int = 0
    """Index of the stage under way."""
    step: int = 0
    """Steps of that stage that are done; 0 where the stage before has just ended."""
    seconds: float = 0.0
    """Time that they took."""
    model: Mapping[str, Any]
    """Sizes of the model."""
    stages: tuple[str, ...]
    """Names of all stages."""

    def to_json(self) -> str:
        """Words for a checkpoint."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps({**told, "model": dict(self.model)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is not that.
        """
        told = json.loads(text)
        return cls(**{**told, "stages": tuple(told["stages"])})


def save(
    folder: Path, place: Place, modules: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]
) -> None:
    """Write weights, and whatever else the run needs to go on, under one name.

    Raises:
        UnwritableError: the disk refuses; the last checkpoint stands.
    """
    state = {
        f"{name}/{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    # Clones, because two names of one tensor are refused.
    state = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
    state |= {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
    part = folder / f".{NAME}.part"
    try:
        save_file(state, part, metadata={"place": place.to_json()})
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        part.replace(folder / NAME)
    except (OSError, SafetensorError) as error:
        raise UnwritableError(
            f"{folder / NAME} cannot be written ({error})",
            needed="space and write access",
            do="free some and start again; the last checkpoint stands",
        ) from error


def stands(folder: Path) -> bool:
    """Whether a folder holds the state of a run."""
    return (folder / NAME).exists()


def load(folder: Path, device: torch.device) -> tuple[Place, dict[str, Tensor]] | None:
    """Read the checkpoint of a run, if there is one.

    Raises:
        WeightsError: the file is there but damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            place = Place.from_json(file.metadata()["place"])
            names = list(file.keys())
            return place, {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} is damaged ({error})",
            needed="a whole checkpoint of this version",
            do="delete it to start anew",
        ) from error


def part_of(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one module or group, without its name."""
    return {
        key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(f"{name}/")
    }
