"""Sizes and keys of the presets, without allocating a single weight."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from mardini_cli.config import PRESETS, preset
from mardini_cli.model.denoiser import Denoiser
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.planner import Planner

PAPER = {  # Table 1: millions of parameters of planner and denoiser
    "s-st": (1300, 288),
    "l-st": (3100, 288),
    "s-t": (1300, 288),
    "l-t": (3100, 288),
}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The script that writes the golden lists."""
    spec = importlib.util.spec_from_file_location(
        "make_keys", Path(__file__).parent / "make_keys.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def millions(network: nn.Module) -> float:
    """Parameters of a network, in millions."""
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_sizes_have_the_papers_numbers_of_parameters(name: str) -> None:
    with torch.device("meta"):
        found = millions(Planner(preset(name))), millions(Denoiser(preset(name)))

    assert found == pytest.approx(PAPER[name], rel=0.05)


@pytest.mark.parametrize("name", ["nano", "nano-vae"])
def test_test_presets_stay_under_a_million_parameters(name: str) -> None:
    assert millions(MarDini(preset(name))) < 1


def test_the_default_preset_fits_a_release_of_32_mib_at_one_byte_a_weight() -> None:
    with torch.device("meta"):
        assert millions(MarDini(preset("tiny"))) < 32


@pytest.mark.parametrize("size", ["s", "l"])
def test_both_forms_of_attention_have_the_same_keys_and_shapes(size: str) -> None:
    with torch.device("meta"):
        spatio_temporal, temporal = (
            MarDini(preset(f"{size}-{form}")).state_dict() for form in ("st", "t")
        )

    assert {key: value.shape for key, value in spatio_temporal.items()} == {
        key: value.shape for key, value in temporal.items()
    }


@pytest.mark.parametrize("name", PRESETS)
def test_the_keys_of_a_weights_file_do_not_change(name: str, maker: ModuleType) -> None:
    golden = maker.FOLDER / f"{name}.txt"

    assert maker.keys_of(name).splitlines() == golden.read_text().splitlines()


def test_every_golden_list_belongs_to_a_preset(maker: ModuleType) -> None:
    assert sorted(path.stem for path in maker.FOLDER.iterdir()) == sorted(PRESETS)
