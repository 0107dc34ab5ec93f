"""State of a run on disk: one safetensors file, replaced whole.

Room: training. A kill at any moment leaves the last checkpoint or the new one, never a half.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mardini_cli.errors import WeightsError

NAME = "checkpoint.safetensors"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run stands."""

    stage: int
    """Index of the stage under way."""
    step: int
    """Steps of that stage that are done."""


def save(
    folder: Path, place: Place, modules: dict[str, nn.Module], tensors: dict[str, Tensor]
) -> None:
    """Write weights, and whatever else the run needs to go on, under one name."""
    state = {
        f"{name}/{key}": value.detach().contiguous().cpu()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    state |= {key: value.detach().contiguous().cpu().clone() for key, value in tensors.items()}
    part = folder / f".{NAME}.part"
    save_file(state, part, metadata={"place": json.dumps([place.stage, place.step])})
    with part.open("rb+") as handle:
        os.fsync(handle.fileno())
    part.replace(folder / NAME)


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
            stage, step = json.loads(file.metadata()["place"])
            return Place(stage, step), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:  # safetensors raises its own class and plain ones alike
        raise WeightsError(
            f"{path} is damaged ({error})",
            needed="a whole checkpoint",
            do="delete it to start anew",
        ) from error


def part_of(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one module or group, without its name."""
    return {
        key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(f"{name}/")
    }
