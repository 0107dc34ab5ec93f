"""Autoencoders of other projects: an AutoencoderKL in diffusers' form, from a folder or the Hub.

Room: weights (floor 4). Only its config and its safetensors are read, so diffusers itself is not
needed: ``model.kl`` has that class's layout and key names.
Source: ``AutoencoderKL.config`` and its file names,
https://huggingface.co/docs/diffusers/api/models/autoencoderkl.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mardini_cli.config import VaeConfig
from mardini_cli.errors import DamagedWeightsError, MissingWeightsError, WeightsLayoutError
from mardini_cli.model.kl import AutoencoderKL
from mardini_cli.weights.layout import CONFIG, PICKLES, few
from mardini_cli.weights.sources import hub_name

STEM = "diffusion_pytorch_model"
FILES = (f"{STEM}.safetensors", f"{STEM}.fp16.safetensors", f"{STEM}.bf16.safetensors")
"""Names of the tensors, the most exact first."""
PLACES = ("", "vae/")
"""Where an autoencoder lies in its repository: alone, or as a part of a pipeline."""
_NEEDED = "an f8 AutoencoderKL in diffusers' form, such as those of SD3 and FLUX"
_FIXED: Mapping[str, Any] = {
    "_class_name": "AutoencoderKL",
    "in_channels": 3,
    "out_channels": 3,
    "act_fn": "silu",
    "mid_block_add_attention": True,
}
"""Of the config: what has to be so, or to be left out."""
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Layers of the attention, as diffusers named them until 2023."""


def load_vae(name: str) -> tuple[VaeConfig, dict[str, Tensor]]:
    """Read a foreign autoencoder.

    Args:
        name: a folder, or ``hub:ORG/NAME[@REVISION]``; in either the files may lie in ``vae/``.

    Returns:
        Its sizes, with the scale and shift of its config as statistics of every channel alike; and
        its tensors by their keys in ``model.kl.AutoencoderKL``, float32.

    Raises:
        WeightsError: not there, another kind of model, damaged, a pickle, or keys that do not fit.
    """
    folder, place = _found(name)
    path = folder / place / CONFIG
    try:
        config = _sizes(_json(path), str(path))
    except (TypeError, ValueError) as error:  # words where numbers should stand
        raise WeightsLayoutError(
            f"{path} is no config of an autoencoder ({error})", needed=_NEEDED, do="fetch it anew"
        ) from error
    tensors = _tensors(
        next(folder / place / one for one in FILES if (folder / place / one).exists())
    )
    _check(name, config, tensors)
    return config, tensors


def _found(name: str) -> tuple[Path, str]:
    """The folder that is meant, and the place of the autoencoder in it."""
    if name.startswith("hub:"):
        from mardini_cli.weights import hub  # late: 0.2 s

        place = hub_name(name)
        folder = hub.bring(place, lambda names: _chosen(str(place), names))
    else:
        folder = Path(name)
        if not folder.is_dir():
            raise MissingWeightsError(
                f"no folder {name}", needed=_NEEDED, do="name a folder or hub:ORG/NAME"
            )
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    config, _ = _chosen(name, names)
    return folder, config.removesuffix(CONFIG)


def _chosen(where: str, names: Sequence[str]) -> tuple[str, str]:
    """Config and tensors among a repository's files.

    Raises:
        WeightsLayoutError: they are not there.
    """
    for place in PLACES:
        if place + CONFIG not in names:
            continue
        for file in FILES:
            if place + file in names:
                return place + CONFIG, place + file
    pickles = sorted(name for name in names if Path(name).suffix in PICKLES)
    never = f"; {pickles[0]} is a pickle, and those are never opened" if pickles else ""
    raise WeightsLayoutError(
        f"{where} has no {CONFIG} with a {FILES[0]} beside it{never}",
        needed=_NEEDED,
        do="choose another one",
    )


def _json(path: Path) -> Mapping[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except ValueError as error:
        raise WeightsLayoutError(
            f"{path} is no JSON ({error})", needed=_NEEDED, do="fetch it anew"
        ) from error
    return told if isinstance(told, dict) else {}


def _sizes(told: Mapping[str, Any], where: str) -> VaeConfig:
    """Our sizes from diffusers' config; what is left out has diffusers' defaults."""
    for key, wanted in _FIXED.items():
        if told.get(key, wanted) != wanted or (key == "_class_name" and key not in told):
            raise WeightsLayoutError(
                f"{where}: {key} is {told.get(key)!r}", needed=_NEEDED, do="choose another one"
            )
    widths = tuple(told.get("block_out_channels", ()))
    kinds = {*told.get("down_block_types", ()), *told.get("up_block_types", ())}
    if len(widths) != 4 or kinds - {"DownEncoderBlock2D", "UpDecoderBlock2D"}:
        raise WeightsLayoutError(
            f"{where}: levels {list(widths)} of {', '.join(sorted(kinds))}",
            needed=_NEEDED,
            do="choose another one",
        )
    quant = bool(told.get("use_quant_conv", True))
    if quant != bool(told.get("use_post_quant_conv", True)):
        raise WeightsLayoutError(
            f"{where}: one of two quantising convolutions", needed=_NEEDED, do="choose another one"
        )
    channels = int(told.get("latent_channels", 4))
    scale = float(told.get("scaling_factor") or 1.0)
    return VaeConfig(
        widths=widths,
        blocks=int(told.get("layers_per_block", 1)),
        groups=int(told.get("norm_num_groups", 32)),
        latent_channels=channels,
        quant=quant,
        mean=(float(told.get("shift_factor") or 0.0),) * channels,
        std=(1 / scale,) * channels,
    )


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            return dict(_renamed(key, file.get_tensor(key).float()) for key in keys)
    except (SafetensorError, OSError) as error:
        raise DamagedWeightsError(
            f"{path} is damaged: {error}", needed="a whole safetensors file", do="fetch it anew"
        ) from error


def _renamed(key: str, tensor: Tensor) -> tuple[str, Tensor]:
    """A key as it is called today; the oldest matrices of the attention are 1 x 1 convolutions."""
    if ".attentions." not in key:
        return key, tensor
    for old, new in _OLD_NAMES.items():
        key = key.replace(f".{old}.", f".{new}.")
    return key, tensor.flatten(1) if tensor.dim() == 4 else tensor


def _check(name: str, config: VaeConfig, found: Mapping[str, Tensor]) -> None:
    """Strict both ways."""
    with torch.device("meta"):
        wanted = AutoencoderKL(config).state_dict()
    troubles = list(_troubles(wanted, found))
    if troubles:
        raise WeightsLayoutError(
            f"{name} does not fit its {CONFIG}: {few(troubles)}",
            needed=_NEEDED,
            do="keep the files of one model together",
        )


def _troubles(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Iterator[str]:
    for key in sorted({*wanted, *found}):
        if key not in found or key not in wanted:
            yield f"{'missing' if key in wanted else 'left over'} {key}"
        elif found[key].shape != wanted[key].shape:
            yield f"{key} {tuple(found[key].shape)} for {tuple(wanted[key].shape)}"
