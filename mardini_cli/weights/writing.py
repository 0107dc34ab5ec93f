"""From a model to a weights folder: whole or not at all, equal weights to equal bytes.

Room: weights (floor 4). Writes safetensors, one file or shards by the Hub's own convention.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mardini_cli.errors import WeightsError
from mardini_cli.model.mardini import MarDini
from mardini_cli.weights.layout import CONFIG, INDEX, Storage, Stored, card_text, is_ours, sha256
from mardini_cli.weights.reading import SCALE

LARGE = 4096
"""Values from which on a matrix is worth storing as int8."""
SHARD_BYTES = 2_000_000_000
"""Largest file of tensors: what a cut connection can lose stays small."""


def save(
    model: MarDini,
    folder: Path,
    storage: Storage = "int8",
    facts: Mapping[str, Any] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a weights folder; equal weights give equal bytes.

    The folder appears whole or not at all. Files in it that are not ours, such as the model card,
    stay.

    Args:
        model: weights of any floating type, on any device.
        folder: where; replaced if it holds weights already.
        storage: ``int8`` (large matrices; the rest float32), ``bf16`` or ``fp32`` (all).
        facts: how the weights were made, plain JSON.
        shard_bytes: largest file of tensors; one tensor is never divided.

    Raises:
        WeightsError: the folder holds something else, or cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).exists():
        raise WeightsError(
            f"{folder} holds other files", needed="a new, empty or weights folder", do="rename one"
        )
    tensors = dict(_stored(model.state_dict(), storage))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
            fresh = Path(beside) / "new"
            fresh.mkdir()
            files = _write_tensors(tensors, fresh, shard_bytes)
            text = card_text(model.config, facts or {}, files)
            (fresh / CONFIG).write_text(text, encoding="utf-8")
            for name in files:
                # safetensors lets the owner alone read it; a release is for everyone.
                (fresh / name).chmod((fresh / CONFIG).stat().st_mode)
            _swap(fresh, folder, Path(beside) / "old")
    except OSError as error:
        raise WeightsError(
            f"{folder} cannot be written ({error.strerror})",
            needed="space and write access",
            do="free some, or choose another folder",
        ) from error


def _write_tensors(
    tensors: Mapping[str, Tensor], folder: Path, shard_bytes: int
) -> dict[str, Stored]:
    """Write one file, or shards and their index; tell size and digest of each file."""
    from huggingface_hub import split_torch_state_dict_into_shards  # late: 0.2 s

    plan = split_torch_state_dict_into_shards(dict(tensors), max_shard_size=shard_bytes)
    for name, keys in plan.filename_to_tensors.items():
        save_file({key: tensors[key] for key in keys}, folder / name, metadata={"format": "pt"})
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (folder / INDEX).write_text(text, encoding="utf-8")
    return {
        name: Stored(size=(folder / name).stat().st_size, sha256=sha256(folder / name))
        for name in sorted(plan.filename_to_tensors)
    }


def _stored(state: Mapping[str, Tensor], storage: Storage) -> Iterator[tuple[str, Tensor]]:
    """Give what goes into the file, on the CPU, under its key."""
    for key, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous().clone()  # own memory: no shared storage
        if not tensor.is_floating_point():
            yield key, tensor
        elif storage == "int8" and tensor.dim() > 1 and tensor.numel() >= LARGE:
            rows = tensor.float().flatten(1)
            least = torch.finfo(torch.float32).tiny  # a channel of zeros has a scale too
            scale = (rows.abs().amax(1) / 127).clamp(min=least)
            whole = (rows / scale[:, None]).round()
            yield key, whole.to(torch.int8).view(tensor.shape)
            yield key + SCALE, scale
        else:
            yield key, tensor.to(torch.bfloat16 if storage == "bf16" else torch.float32)


def _swap(fresh: Path, folder: Path, old: Path) -> None:
    """Put ``fresh`` in the folder's place, and what was not ours beside it again."""
    for path in fresh.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if not folder.exists():
        fresh.rename(folder)
        return
    for other in folder.iterdir():
        if not is_ours(other.name):
            copy = shutil.copytree if other.is_dir() else shutil.copy2
            copy(other, fresh / other.name)
    exchange(fresh, folder, old)


def exchange(fresh: Path, folder: Path, old: Path) -> None:
    """Put ``fresh`` in a folder's place, and that aside; one of them stands there always."""
    try:
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except BaseException:  # also Ctrl-C: what stood there must not be lost
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
