"""From files to a model: strict, straight to device and number type, pickles never.

Room: weights (floor 4). Pickles run code when they are opened: only ``.safetensors`` ever is,
mapped into memory, one tensor after the other.

A large matrix ``X`` may be stored as int8 ``X`` with float32 ``X.scale``, one value for each of
its output channels (first dimension): value = int8 * scale.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mardini_cli.config import ModelConfig
from mardini_cli.errors import DamagedWeightsError, WeightsError, WeightsLayoutError
from mardini_cli.model.mardini import MarDini
from mardini_cli.weights.layout import CONFIG, config_of, few, read_card, tensor_files
from mardini_cli.weights.sources import find

SCALE = ".scale"


def load(name: str | Path, device: torch.device | str, dtype: torch.dtype) -> MarDini:
    """Build the model that weights describe, with its tensors in place, ready to make frames.

    No weight is initialised first, and each tensor goes straight to its device and type.

    Args:
        name: a release name, a folder, a ``.safetensors`` file or a place on the Hub; see ``find``.
        device: where the model shall be.
        dtype: floating type of all its tensors, whatever they are stored in.

    Raises:
        WeightsError: no such weights, damaged ones, or tensors missing, left over or misshapen.
    """
    with _opened(find(str(name)), torch.device(device)) as (model, table):
        tensors = {key: table.tensor(key, dtype) for key in table}
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def check(path: Path) -> int:
    """Compare names, shapes and types of all tensors with the config, without reading values.

    Returns:
        Number of tensors of the model.

    Raises:
        WeightsError: damaged files, or tensors missing, left over or misshapen.
    """
    with _opened(path, torch.device("cpu")) as (model, _):
        return len(model.state_dict())


@contextmanager
def _opened(path: Path, device: torch.device) -> Iterator[tuple[MarDini, "_Table"]]:
    """The model without values, and the tensors that fit it."""
    card = read_card(path)
    model = _built(card.config, path)
    files = tensor_files(path)
    with ExitStack() as opened:
        table = _Table([_Shard(file, device, opened) for file in files])
        _check_keys(path if len(files) > 1 else files[0], model.state_dict(), table)
        yield model, table


def _built(config: ModelConfig, path: Path) -> MarDini:
    """The model without values."""
    try:
        with torch.device("meta"):
            return MarDini(config)
    # Sizes that do not go together are met anywhere in the building: groups, heads, channels.
    except (ArithmeticError, AssertionError, IndexError, RuntimeError, TypeError, ValueError) as e:
        raise WeightsLayoutError(
            f"{config_of(path)} describes no model ({str(e).splitlines()[0] if str(e) else e!r})",
            needed="sizes that go together",
            do="compare it with a preset",
        ) from e


class _Shard:
    """One open file of tensors."""

    def __init__(self, path: Path, device: torch.device, opened: ExitStack) -> None:
        self.path = path
        with _translated(path):
            # safetensors has no types; it checks the header against the file as it opens.
            self._file: Any = opened.enter_context(
                safe_open(path, framework="pt", device=str(device))
            )
            self.keys = frozenset(self._file.keys())

    def form(self, key: str) -> tuple[str, tuple[int, ...]]:
        """Number type in safetensors' words, and shape, without the values."""
        with _translated(self.path):
            part = self._file.get_slice(key)
            return str(part.get_dtype()), tuple(part.get_shape())

    def tensor(self, key: str) -> Tensor:
        """The values, on their device."""
        with _translated(self.path):
            tensor: Tensor = self._file.get_tensor(key)
            return tensor


class _Table:
    """All tensors of a model by key, over all shards; a scale belongs to its matrix."""

    def __init__(self, shards: Iterable[_Shard]) -> None:
        self._places: dict[str, _Shard] = {}
        for shard in shards:
            for key in shard.keys:
                if key in self._places:
                    raise DamagedWeightsError(
                        f"{key} lies in {self._places[key].path} and in {shard.path.name}",
                        needed="every tensor once",
                        do="fetch it anew",
                    )
                self._places[key] = shard
        self._scales = {
            key
            for key in self._places
            if key.endswith(SCALE) and key.removesuffix(SCALE) in self._places
        }

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._places.keys() - self._scales))

    def __contains__(self, key: object) -> bool:
        return key in self._places and key not in self._scales

    def form(self, key: str) -> tuple[str, tuple[int, ...]]:
        """Number type and shape as they will be loaded: a matrix with a scale is float32."""
        kind, shape = self._places[key].form(key)
        return ("F32" if key + SCALE in self._scales and kind == "I8" else kind), shape

    def tensor(self, key: str, dtype: torch.dtype) -> Tensor:
        """A tensor, its scale worked in, in its type."""
        scale = key + SCALE
        return restored(
            f"{self._places[key].path}: {key}",
            self._places[key].tensor(key),
            self._places[scale].tensor(scale) if scale in self._scales else None,
            dtype,
        )


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """safetensors' own errors become ours."""
    try:
        yield
    # A header may promise sizes that no machine has: those overflow, or find no memory.
    except (SafetensorError, OSError, OverflowError, MemoryError) as error:
        raise DamagedWeightsError(
            f"{path} is damaged: {error}", needed="a whole safetensors file", do="fetch it anew"
        ) from error


def restored(where: str, stored: Tensor, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
    """A tensor as it was before it was stored.

    Raises:
        WeightsError: a scale that does not fit.
    """
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


def _check_keys(where: Path, wanted: Mapping[str, Tensor], found: _Table) -> None:
    """Strict both ways, before a value is read."""
    misshapen = (
        f"{key} {_told(found.form(key))} for {_form(wanted[key])}"
        for key in wanted
        if key in found and not _fits(found.form(key), wanted[key])
    )
    troubles = [
        _named("missing", (key for key in wanted if key not in found)),
        _named("left over", (key for key in found if key not in wanted)),
        _named("misshapen", misshapen),
    ]
    if any(troubles):
        raise WeightsError(
            f"{where} does not fit its {CONFIG}: {', '.join(filter(None, troubles))}",
            needed="exactly the tensors of that model",
            do="keep the files of one release together",
        )


def _fits(form: tuple[str, tuple[int, ...]], wanted: Tensor) -> bool:
    kind, shape = form
    return shape == tuple(wanted.shape) and (kind in _FLOATING) == wanted.is_floating_point()


_FLOATING = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_WHOLE = {
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def _told(form: tuple[str, tuple[int, ...]]) -> str:
    kind, shape = form
    return f"{(_FLOATING | _WHOLE).get(kind, kind)} {shape}"


def _named(trouble: str, keys: Iterable[str]) -> str:
    names = list(keys)
    return f"{trouble} {few(names)}" if names else ""
