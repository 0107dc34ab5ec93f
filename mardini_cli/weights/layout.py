"""The form of a weights folder: which files, what ``config.json`` says, how older forms are read.

Room: weights (floor 4). Reads small files and digests; no tensors, no torch, no network.

    config.json                        {"format": 2, "config": sizes, "facts": how it was trained,
                                        "files": size and SHA-256 of every file of tensors}
    model.safetensors                  every tensor of ``MarDini``, by its key; or, by the Hub's
    model-00001-of-00002.safetensors   own convention, shards and
    model.safetensors.index.json       the index that tells which key lies in which
    README.md                          the model card

Source: the shards and their index are those of huggingface-hub's ``save_torch_state_dict``.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from mardini_cli.config import ModelConfig
from mardini_cli.errors import (
    ConfigError,
    DamagedWeightsError,
    MissingWeightsError,
    WeightsError,
    WeightsLayoutError,
)

Storage = Literal["int8", "bf16", "fp32"]
"""How matrices are stored; read by whoever writes."""
FORMAT = 2
"""Version of the folder's form. Older ones are read too; a newer one is refused."""
CONFIG, TENSORS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
MODEL_CARD = "README.md"
SUFFIX = ".safetensors"
PICKLES = {".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth"}
LARGEST_TABLE = 2**24
"""Bytes of a config or an index; that of a hundred thousand tensors fits."""
HINT = "pass --model a release name, a weights folder, a .safetensors file or hub:ORG/NAME"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What is known of a file before it is opened."""

    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a folder says of its weights, without a look at the tensors."""

    config: ModelConfig
    facts: Mapping[str, Any]
    """How the weights were made: free, but plain JSON."""
    files: Mapping[str, Stored]
    """Files of tensors by name; empty where the folder's form did not tell (format 1)."""


def config_of(path: Path) -> Path:
    """The config of a weights folder, or the one beside a single ``.safetensors`` file."""
    return (path.parent if path.is_file() else path) / CONFIG


def read_card(path: Path) -> Card:
    """Read what weights say of themselves.

    Args:
        path: a weights folder, or a ``.safetensors`` file with its config beside it.

    Raises:
        WeightsError: no ``config.json``, or one that is not ours.
    """
    where = config_of(path)
    card = _migrated(_read_json(where), where)
    sizes, facts, files = card.get("config"), card.get("facts", {}), card.get("files", {})
    if not isinstance(sizes, dict) or not isinstance(facts, dict):
        raise WeightsLayoutError(f"{where} has no table of sizes", 'a table "config"', HINT)
    try:
        stored = {name: Stored(**told) for name, told in files.items()}
    except (AttributeError, TypeError) as error:
        raise WeightsLayoutError(
            f"{where} lists its files wrongly", needed="size and sha256 for each", do=HINT
        ) from error
    try:
        config = ModelConfig.from_dict(sizes, str(where))
    except ConfigError as error:
        raise WeightsLayoutError(error.found, needed=error.needed, do=error.do) from error
    return Card(config=config, facts=facts, files=stored)


def card_text(config: ModelConfig, facts: Mapping[str, Any], files: Mapping[str, Stored]) -> str:
    """The text of ``config.json`` in the form of today."""
    told = {name: {"size": file.size, "sha256": file.sha256} for name, file in files.items()}
    card = {"format": FORMAT, "config": config.to_dict(), "facts": dict(facts), "files": told}
    return json.dumps(card, indent=2) + "\n"


def tensor_files(path: Path) -> tuple[Path, ...]:
    """The files that hold the tensors, in the order of their names.

    Raises:
        WeightsError: none is there, or the index names one that is not.
    """
    if path.is_file():
        return (path,)
    if (path / TENSORS).is_file():
        return (path / TENSORS,)
    if not (path / INDEX).is_file():
        raise _no_tensors(path)
    shards = tuple(path / name for name in shard_names(path / INDEX))
    for shard in shards:
        if not shard.is_file():
            raise DamagedWeightsError(
                f"{path} lacks {shard.name}", needed=f"all {len(shards)} shards", do="fetch it anew"
            )
    return shards


def shard_names(index: Path) -> tuple[str, ...]:
    """Names of the shards in an index, each once.

    Raises:
        WeightsLayoutError: no index, or one that points out of its folder.
    """
    table = _read_json(index)
    places = table.get("weight_map") if isinstance(table, dict) else None
    names = set(places.values()) if isinstance(places, dict) and places else {None}
    for name in names:
        # What an index names is opened: it may not reach for any other file of the machine.
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(SUFFIX):
            raise WeightsLayoutError(
                f"{index} names {name!r}", needed="files of tensors beside it", do="fetch it anew"
            )
    return tuple(sorted(str(name) for name in names))


def is_ours(name: str) -> bool:
    """Whether a file of this name is written by ``save``, and replaced by the next."""
    shard = name.startswith("model-") and name.endswith(SUFFIX)
    return shard or name in {CONFIG, TENSORS, INDEX}


def ours(path: Path) -> tuple[Path, ...]:
    """All files that decide the frames: config, index if there is one, tensors."""
    tensors = tensor_files(path)
    index = path / INDEX
    return (config_of(path), *([index] if len(tensors) > 1 else []), *tensors)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(path: Path) -> str:
    """SHA-256 of what decides the frames: our files, by name and content."""
    total = hashlib.sha256()
    for file in ours(path):
        total.update(f"{file.name} {sha256(file)}\n".encode())
    return total.hexdigest()


def check_files(path: Path) -> int:
    """Compare every file of tensors with the size and digest that the config tells.

    Returns:
        Bytes that were compared; 0 if the config tells nothing (format 1).

    Raises:
        DamagedWeightsError: another size or content, or a file that is not listed.
    """
    told = read_card(path).files
    if not told:
        return 0
    found = {file.name: file for file in tensor_files(path)}
    for name in sorted({*told, *found}):
        if name not in found or name not in told:
            trouble = "is missing" if name in told else "is not listed in the config"
            raise DamagedWeightsError(
                f"{path}: {name} {trouble}", needed="the files of one release", do="fetch it anew"
            )
        check_file(found[name], told[name])
    return sum(file.size for file in told.values())


def check_file(path: Path, told: Stored) -> None:
    """Compare a file with what is known of it.

    Raises:
        DamagedWeightsError: another size or content.
    """
    size = path.stat().st_size
    if size != told.size:
        raise DamagedWeightsError(
            f"{path} has {size} bytes", needed=f"{told.size} bytes", do="fetch it anew"
        )
    found = sha256(path)
    if found != told.sha256:
        raise DamagedWeightsError(
            f"{path} has SHA-256 {found}", needed=f"SHA-256 {told.sha256}", do="fetch it anew"
        )


def _read_json(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_TABLE + 1)
        if len(data) > LARGEST_TABLE:
            raise ValueError(f"larger than {LARGEST_TABLE} bytes")
        return json.loads(data)
    except OSError as error:
        raise MissingWeightsError(
            f"{path} cannot be read ({error.strerror})", needed="a weights folder", do=HINT
        ) from error
    except (ValueError, RecursionError) as error:  # neither UTF-8 nor JSON, or a tower of brackets
        raise WeightsLayoutError(f"{path} is no JSON: {error}", needed="ours", do=HINT) from error


def _migrated(card: Any, where: Path) -> dict[str, Any]:
    """Bring an older form to the form of today, step by step."""
    told = card.get("format") if isinstance(card, dict) else None
    if type(told) is not int or not 1 <= told <= FORMAT:
        newer = type(told) is int and told > FORMAT
        raise WeightsLayoutError(
            f"{where} has format {told}",
            needed=f"format 1 to {FORMAT}",
            do="use a newer mardini" if newer else HINT,
        )
    for old in range(told, FORMAT):
        card = _STEPS[old](card)
    return dict(card)


def _from_1(card: dict[str, Any]) -> dict[str, Any]:
    """Format 1 told nothing of its one file of tensors."""
    return {**card, "format": 2, "files": {}}


_STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = MappingProxyType({1: _from_1})
"""From each older form to the next."""


def _no_tensors(folder: Path) -> WeightsError:
    pickles = sorted(other.name for other in folder.iterdir() if other.suffix in PICKLES)
    never = f"; {pickles[0]} is a pickle, and those are never opened" if pickles else ""
    return WeightsLayoutError(f"{folder} has no {TENSORS}{never}", needed=f"{TENSORS}", do=HINT)


def few(names: Sequence[str]) -> str:
    """The first three, and how many more: an error is one line."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
