"""Autoencoders in diffusers' form: read strictly, from a folder and from the Hub."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mardini_cli.config import VaeConfig
from mardini_cli.errors import MardiniError
from mardini_cli.model.kl import AutoencoderKL
from mardini_cli.weights.foreign import load_vae
from tests.training.runs import data_folder
from tests.weights.hub_server import Hub, serving
from tests.weights.test_hub import NO_NETWORK, environment, run

TENSORS = "diffusion_pytorch_model.safetensors"
SIZES = VaeConfig(widths=(8, 8, 16, 16), blocks=1, groups=4)
TOLD = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [8, 8, 16, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "latent_channels": 16,
    "scaling_factor": 0.25,
    "shift_factor": 0.5,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}


def network(config: VaeConfig = SIZES) -> AutoencoderKL:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoencoderKL(config)


def write(folder: Path, tensors: dict[str, Tensor], **changes: Any) -> Path:
    """An autoencoder as diffusers saves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(TOLD | changes))
    save_file(tensors, folder / TENSORS)
    return folder


@pytest.mark.parametrize("place", ["", "vae"])
def test_sizes_statistics_and_tensors_come_from_the_folder(place: str, tmp_path: Path) -> None:
    wanted = network().state_dict()
    write(tmp_path / place, wanted)

    config, tensors = load_vae(str(tmp_path))

    assert (config.widths, config.blocks, config.groups) == ((8, 8, 16, 16), 1, 4)
    assert (config.mean, config.std) == ((0.5,) * 16, (4.0,) * 16)
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[key], value) for key, value in wanted.items())


def test_quantising_convolutions_stand_around_the_latents(tmp_path: Path) -> None:
    told = VaeConfig(widths=(8, 8, 16, 16), blocks=1, groups=4, quant=True)
    wanted = network(told)
    write(tmp_path, wanted.state_dict(), use_quant_conv=True, use_post_quant_conv=True)

    config, tensors = load_vae(str(tmp_path))
    found = AutoencoderKL(config)
    found.load_state_dict(tensors)

    pictures, latents = torch.rand(1, 3, 32, 32), torch.rand(1, 16, 4, 4)
    assert config.quant
    by_hand = wanted.quant_conv(wanted.encoder(pictures))
    assert torch.equal(found.encode(pictures), by_hand)
    by_hand = wanted.decoder(wanted.post_quant_conv(latents))
    assert torch.equal(found.decode(latents), by_hand)


def test_the_old_names_and_shapes_of_the_attention_are_understood(tmp_path: Path) -> None:
    wanted = network().state_dict()
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    stored = {}
    for key, tensor in wanted.items():
        for new, name in old.items():
            if f".attentions.0.{new}." in key:
                key = key.replace(new, name)
                tensor = tensor[..., None, None] if tensor.dim() == 2 else tensor
        stored[key] = tensor.contiguous()
    write(tmp_path, stored)

    _, tensors = load_vae(str(tmp_path))

    assert all(torch.equal(tensors[key], value) for key, value in wanted.items())


def left_out(folder: Path) -> None:
    tensors = network().state_dict()
    del tensors["decoder.conv_in.bias"]
    write(folder, tensors | {"loss.logvar": torch.zeros(1)})


def as_pickle(folder: Path) -> None:
    write(folder, network().state_dict())
    (folder / TENSORS).rename(folder / "diffusion_pytorch_model.bin")


def cut_short(folder: Path) -> None:
    write(folder, network().state_dict())
    (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:1000])


def telling(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: (write(folder, network().state_dict(), **changes), None)[1]


@pytest.mark.parametrize(
    ("spoil", "code", "told"),
    [
        (left_out, "weights-layout", "missing decoder.conv_in.bias, left over loss.logvar"),
        (as_pickle, "weights-layout", "model.bin is a pickle, and those are never opened"),
        (cut_short, "weights-damaged", "is damaged"),
        (telling(_class_name="AutoencoderTiny"), "weights-layout", "is 'AutoencoderTiny'"),
        (telling(block_out_channels=[8, 16, 16]), "weights-layout", r"levels \[8, 16, 16\]"),
        (telling(block_out_channels=[8, 8, 16, 32]), "weights-layout", "does not fit its config"),
        (telling(layers_per_block="many"), "weights-layout", "is no config of an autoencoder"),
        (telling(mid_block_add_attention=False), "weights-layout", "mid_block_add_attention"),
        (telling(use_quant_conv=True), "weights-layout", "one of two quantising convolutions"),
        (lambda _: None, "weights-layout", "has no config.json"),
    ],
)
def test_what_is_no_such_autoencoder_is_one_line(
    spoil: Callable[[Path], None], code: str, told: str, tmp_path: Path
) -> None:
    spoil(tmp_path)

    with pytest.raises(MardiniError, match=told) as caught:
        load_vae(str(tmp_path))

    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_one_line() -> None:
    with pytest.raises(MardiniError, match="no folder nowhere"):
        load_vae("nowhere")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


CODE = """
import sys
from mardini_cli.errors import MardiniError
from mardini_cli.weights.foreign import load_vae
for name in sys.argv[1:]:
    try:
        config, tensors = load_vae(name)
        print(config.widths, len(tensors), float(tensors["decoder.conv_in.bias"].sum()))
    except MardiniError as error:
        print(error.code)
"""


def asked(hub: Hub, home: Path, *names: str, before: str = "", **more: str) -> list[str]:
    """What a process of its own finds on the Hub."""
    told = subprocess.run(
        [sys.executable, "-c", before + CODE, *names],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment(hub, home, **more),
    )
    return told.stdout.splitlines()


def test_the_hub_hands_over_config_and_tensors_alone_and_the_cache_keeps_them(
    hub: Hub, tmp_path: Path
) -> None:
    folder = write(tmp_path / "made", network().state_dict())
    files = {f"vae/{path.name}": path.read_bytes() for path in folder.iterdir()}
    other = {"model_index.json": b"{}", "unet/diffusion_pytorch_model.safetensors": b"no"}
    hub.commit("me/pictures", {**files, **other, "vae/diffusion_pytorch_model.bin": b"no"})
    bias = float(network().state_dict()["decoder.conv_in.bias"].sum())
    wanted = f"(8, 8, 16, 16) {len(network().state_dict())} {bias}"

    found = asked(hub, tmp_path / "hf", "hub:me/pictures")
    again = asked(hub, tmp_path / "hf", "hub:me/pictures", before=NO_NETWORK)

    assert found == again == [wanted]
    names = [path.name for path in (tmp_path / "hf").rglob("snapshots/*/**/*") if path.is_file()]
    assert sorted(names) == sorted(path.name for path in folder.iterdir())


def test_a_damaged_or_missing_file_on_the_hub_has_its_code(hub: Hub, tmp_path: Path) -> None:
    folder = write(tmp_path / "made", network().state_dict())
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.commit("me/pictures", files)
    for key in hub.store:
        hub.store[key] = bytes(len(hub.store[key]))

    hub.commit("me/words", {"README.md": b"nothing here"})

    found = asked(hub, tmp_path / "hf", "hub:me/pictures", "hub:me/words", "hub:me/nothing")
    offline = asked(hub, tmp_path / "other", "hub:me/pictures", HF_HUB_OFFLINE="1")

    assert found == ["weights-damaged", "weights-layout", "weights-missing"]
    assert offline == ["hub-offline"]


def test_a_run_trains_around_an_autoencoder_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    folder = write(tmp_path / "made", network().state_dict())
    hub.commit("me/pictures", {path.name: path.read_bytes() for path in folder.iterdir()})
    data = data_folder(tmp_path / "clips")
    (tmp_path / "train.toml").write_text(
        f'preset = "nano-vae"\nvae = "hub:me/pictures"\ndata = "{data}"\nout = "{tmp_path}/run"\n'
        'device = "cpu"\nworkers = 0\n[[stages]]\nname = "joint"\nkind = "joint"\nsteps = 2\n'
        "batch = 2\nside = 48\nslots = 4\nphotos = 0.0\n"
    )

    status, out, err = run(hub, tmp_path / "hf", "train", str(tmp_path / "train.toml"))

    assert (status, out) == (0, f"{tmp_path}/run/weights\n"), err
