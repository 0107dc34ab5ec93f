"""Where weights come from, and what is checked before they are used.

Room: weights (floor 4). The one door to safetensors (and to the Hub, once it is reached). Pickles
run code when they are opened: only ``.safetensors`` ever is.

A release is a folder:

    config.json         {"format": 1, "config": sizes, "facts": how it was trained}
    model.safetensors   every tensor of ``MarDini``, by its key
    README.md           the model card

A large matrix ``X`` may be stored as int8 ``X`` with float32 ``X.scale``, one value for each of
its output channels (first dimension): value = int8 * scale.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mardini_cli.config import ModelConfig
from mardini_cli.errors import ConfigError, WeightsError
from mardini_cli.model.mardini import MarDini

FORMAT = 1
"""Version of the folder's form; another one is refused."""
CONFIG, TENSORS = "config.json", "model.safetensors"
SCALE = ".scale"
LARGE = 4096
"""Values from which on a matrix is worth storing as int8."""
PICKLES = {".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth"}

Storage = Literal["int8", "bf16", "fp32"]
_HINT = "pass --model a release name or a folder with config.json and model.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a folder says of its weights, without a look at the tensors."""

    config: ModelConfig
    facts: Mapping[str, Any]
    """How the weights were made: free, but plain JSON."""


def releases() -> dict[str, Path]:
    """Embedded weights by name: those in the package, or the checkout's own."""
    package = Path(__file__).parent
    embedded = package / "_weights"
    root = embedded if embedded.is_dir() else package.parent / "weights"
    return {config.parent.name: config.parent for config in sorted(root.glob(f"*/{CONFIG}"))}


def find(name: str) -> Path:
    """Turn ``--model`` into a folder.

    An embedded release goes before a folder of the same name; ``./name`` is always the folder.

    Raises:
        WeightsError: neither a release nor a folder.
    """
    known = releases()
    if name in known:
        return known[name]
    path = Path(name)
    if not name.startswith("hub:") and path.is_dir():
        return path
    named = f"weights '{name}'"
    if name.startswith("hub:") or (name.count("/") == 1 and not path.exists()):
        found = f"{named} are neither here nor fetched: this version does not reach the Hub"
    elif path.exists():
        found = f"{named} are a file"
    else:
        found = f"no {named}"
    names = ", ".join(known) or "none is embedded"
    raise WeightsError(found, needed=f"a release ({names}) or a folder", do=_HINT)


def read_card(folder: Path) -> Card:
    """Read what the folder says of its weights.

    Raises:
        WeightsError: no ``config.json``, or one that is not ours.
    """
    path = folder / CONFIG
    try:
        card = json.loads(path.read_bytes())
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read ({error.strerror})", needed="a weights folder", do=_HINT
        ) from error
    except ValueError as error:  # neither UTF-8 nor JSON
        raise WeightsError(f"{path} is no JSON: {error}", needed="our config", do=_HINT) from error
    told = card.get("format") if isinstance(card, dict) else None
    if told != FORMAT:
        raise WeightsError(
            f"{path} has format {told}",
            needed=f"format {FORMAT}",
            do="use weights made by this version, or the version that made these",
        )
    sizes, facts = card.get("config"), card.get("facts", {})
    if not isinstance(sizes, dict) or not isinstance(facts, dict):
        raise WeightsError(f"{path} has no table of sizes", needed='a table "config"', do=_HINT)
    try:
        return Card(config=ModelConfig.from_dict(sizes, str(path)), facts=facts)
    except ConfigError as error:
        raise WeightsError(error.found, needed=error.needed, do=error.do) from error


def load(name: str | Path, device: torch.device | str, dtype: torch.dtype) -> MarDini:
    """Build the model that a folder describes, with its weights in place, ready to make frames.

    No weight is initialised first, and each tensor goes straight to its device and type.

    Args:
        name: a release name or a folder; see ``find``.
        device: where the model shall be.
        dtype: floating type of all its tensors, whatever they are stored in.

    Raises:
        WeightsError: no such weights, damaged ones, or tensors missing, left over or misshapen.
    """
    folder = find(str(name))
    card = read_card(folder)
    with torch.device("meta"):
        model = MarDini(card.config)
    tensors = _read_tensors(folder, torch.device(device), dtype)
    _check_keys(folder / TENSORS, wanted=model.state_dict(), found=tensors)
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def save(
    model: MarDini, folder: Path, storage: Storage = "int8", facts: Mapping[str, Any] | None = None
) -> None:
    """Write a weights folder; equal weights give equal bytes.

    The folder appears whole or not at all. Files in it that are not ours, such as the model card,
    stay.

    Args:
        model: weights of any floating type, on any device.
        folder: where; replaced if it holds weights already.
        storage: ``int8`` (large matrices; the rest float32), ``bf16`` or ``fp32`` (all).
        facts: how the weights were made, plain JSON.

    Raises:
        WeightsError: the folder holds something else, or cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).exists():
        raise WeightsError(
            f"{folder} holds other files", needed="a new, empty or weights folder", do="rename one"
        )
    card = {"format": FORMAT, "config": model.config.to_dict(), "facts": dict(facts or {})}
    tensors = dict(_stored(model.state_dict(), storage))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
            fresh = Path(beside) / "new"
            fresh.mkdir()
            (fresh / CONFIG).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
            save_file(tensors, fresh / TENSORS, metadata={"format": "pt"})
            # safetensors lets the owner alone read it; a release is for everyone.
            (fresh / TENSORS).chmod((fresh / CONFIG).stat().st_mode)
            _swap(fresh, folder, Path(beside) / "old")
    except OSError as error:
        raise WeightsError(
            f"{folder} cannot be written ({error.strerror})",
            needed="space and write access",
            do="free some, or choose another folder",
        ) from error


def digest(folder: Path) -> str:
    """SHA-256 of what decides the frames: both files of ours, by name and content."""
    total = hashlib.sha256()
    for name in (CONFIG, TENSORS):
        with (folder / name).open("rb") as file:
            total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _read_tensors(folder: Path, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    path = folder / TENSORS
    if not path.is_file():
        pickles = sorted(other.name for other in folder.iterdir() if other.suffix in PICKLES)
        never = f"; {pickles[0]} is a pickle, and those are never opened" if pickles else ""
        raise WeightsError(f"{folder} has no {TENSORS}{never}", needed=f"{TENSORS}", do=_HINT)
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            keys = set(file.keys())
            return {
                key: _restored(
                    f"{path}: {key}",
                    file.get_tensor(key),
                    file.get_tensor(key + SCALE) if key + SCALE in keys else None,
                    dtype,
                )
                for key in sorted(keys)
                if not (key.endswith(SCALE) and key.removesuffix(SCALE) in keys)
            }
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is damaged: {error}", needed="a whole safetensors file", do="fetch it anew"
        ) from error


def _restored(where: str, stored: Tensor, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
    if scale is not None:
        # A scale of any other shape would spread wrongly without a word.
        if stored.dtype != torch.int8 or scale.shape != stored.shape[:1]:
            raise WeightsError(
                f"{where} is {_form(stored)} with a scale of {_form(scale)}",
                needed="int8 and one scale for each output channel",
                do="store it again",
            )
        stored = stored.float() * scale.float().view(-1, *[1] * (stored.dim() - 1))
    return stored.to(dtype) if stored.is_floating_point() else stored


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


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


def _check_keys(path: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    misshapen = (
        f"{key} {_form(found[key])} for {_form(wanted[key])}"
        for key in wanted
        if key in found
        and (
            found[key].shape != wanted[key].shape
            or found[key].is_floating_point() != wanted[key].is_floating_point()
        )
    )
    troubles = [
        _named("missing", (key for key in wanted if key not in found)),
        _named("left over", (key for key in found if key not in wanted)),
        _named("misshapen", misshapen),
    ]
    if any(troubles):
        raise WeightsError(
            f"{path} does not fit its {CONFIG}: {', '.join(filter(None, troubles))}",
            needed="exactly the tensors of that model",
            do="keep the two files of one release together",
        )


def _named(trouble: str, keys: Iterable[str]) -> str:
    names = list(keys)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{trouble} {', '.join(names[:3])}{more}" if names else ""


def _swap(fresh: Path, folder: Path, old: Path) -> None:
    """Put ``fresh`` in the folder's place, and what was not ours beside it again."""
    for name in (CONFIG, TENSORS):
        with (fresh / name).open("rb") as file:
            os.fsync(file.fileno())
    if not folder.exists():
        fresh.rename(folder)
        return
    for other in folder.iterdir():
        if other.name not in {CONFIG, TENSORS}:
            copy = shutil.copytree if other.is_dir() else shutil.copy2
            copy(other, fresh / other.name)
    folder.rename(old)
    try:
        fresh.rename(folder)
    except BaseException:  # also Ctrl-C: what stood there must not be lost
        old.rename(folder)
        raise
