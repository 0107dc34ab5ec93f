"""Tensors of another project's network, from one file: a path, or a place on the Hub.

Room: weights (floor 4). For networks that measure, not for models of ours. safetensors, or torch's
own file read without running code (``weights_only``); any other pickle is refused. What a file
holds is known by its SHA-256, which a name may pin: ``lpips.safetensors#3f2a9c01...``; on the Hub
it must, since what stands there may change.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mardini_cli.errors import DamagedWeightsError, MissingWeightsError, WeightsLayoutError
from mardini_cli.weights.layout import SUFFIX, sha256
from mardini_cli.weights.sources import hub_name

_SHORTEST = 8  # signs of a digest that pin it


@dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """Tensors by their keys, and what they are known by."""

    tensors: dict[str, Tensor]
    digest: str
    """SHA-256 of the file."""


def tensors_of(name: str) -> Plain:
    """Read a file of tensors.

    Args:
        name: a path or ``hub:ORG/NAME[@REVISION]``, and ``#`` with the file's SHA-256, or at least
            its first eight signs.

    Raises:
        WeightsError: not there, damaged, another file than was pinned, or a pickle that runs code.
    """
    place, _, pin = name.partition("#")
    path = _fetched(place) if place.startswith("hub:") else Path(place)
    if not path.is_file():
        raise MissingWeightsError(
            f"no file {path}",
            needed=f"a file of tensors ({SUFFIX}, .pt, .pth)",
            do="check the path",
        )
    digest = sha256(path)
    if pin and (len(pin) < _SHORTEST or not digest.startswith(pin.lower())):
        raise DamagedWeightsError(
            f"{place} has SHA-256 {digest}",
            needed=f"{pin}, with at least {_SHORTEST} signs",
            do="take the file that is meant, or pin this one",
        )
    if place.startswith("hub:") and not pin:
        raise DamagedWeightsError(
            f"{place} is not pinned",
            needed="the SHA-256 of the file that is meant",
            do=f"write {place}#{digest[:16]} if it is the one that is there now",
        )
    return Plain(_read(path), digest)


def _fetched(place: str) -> Path:
    from mardini_cli.weights import hub  # late: 0.2 s

    chosen: list[str] = []

    def choose(names: Sequence[str]) -> Sequence[str]:
        chosen[:] = [name for name in names if name.endswith(SUFFIX)]
        if len(chosen) != 1:
            raise WeightsLayoutError(
                f"{place} has {len(chosen)} files of tensors",
                needed=f"one {SUFFIX}",
                do="download the right one, and name its path",
            )
        return chosen

    folder = hub.bring(hub_name(place), choose)
    return folder / chosen[0]


def _is_program(path: Path) -> bool:
    """Whether a file is a network with its code, as TorchScript stores it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _read(path: Path) -> dict[str, Tensor]:
    if _is_program(path):
        raise WeightsLayoutError(
            f"{path} is a program (TorchScript), and those are never run",
            needed="tensors alone",
            do=f"store its state_dict() as {SUFFIX}",
        )
    try:
        told: Any = (
            load_file(path)
            if path.suffix == SUFFIX
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except UnpicklingError as error:
        raise WeightsLayoutError(
            f"{path} is a pickle that runs code, and those are never opened",
            needed="tensors alone",
            do=f"store it as {SUFFIX}",
        ) from error
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise DamagedWeightsError(
            f"{path} is damaged ({next(iter(str(error).splitlines()), '')})",
            needed="a whole file",
            do="fetch it anew",
        ) from error
    if not isinstance(told, dict) or not all(isinstance(one, Tensor) for one in told.values()):
        raise WeightsLayoutError(
            f"{path} holds more than tensors by name", needed="a state dict", do="store that alone"
        )
    return told
