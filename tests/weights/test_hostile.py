"""Weights from anywhere: values that mean nothing, tables without end, headers that lie."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mardini_cli import weights
from mardini_cli.config import PRESETS, ModelConfig, preset
from mardini_cli.errors import WeightsError, WeightsLayoutError
from mardini_cli.model.mardini import MarDini
from mardini_cli.weights.layout import LARGEST_TABLE

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "nano"
    weights.save(MarDini(preset("nano")), folder, storage="fp32")
    return folder


@pytest.fixture
def folder(tmp_path: Path, whole: Path) -> Path:
    """A copy to spoil."""
    place = tmp_path / "nano"
    place.mkdir()
    for file in whole.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def spoil(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "config.json"
    told = json.loads(path.read_text())
    change(told["config"])
    path.write_text(json.dumps(told))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_passes_its_own_checks_as_json(name: str) -> None:
    told = json.loads(json.dumps(preset(name).to_dict()))

    assert ModelConfig.from_dict(told) == preset(name)


@pytest.mark.parametrize(
    ("keys", "value", "told"),
    [
        (("planner", "depth"), "many", "planner: depth 'many'; needs a whole number"),
        (("planner", "depth"), None, "depth 'None'; needs a whole number"),
        (("planner", "depth"), 2.0, "depth '2.0'; needs a whole number"),
        (("planner", "depth"), True, "depth 'True'; needs a whole number"),
        (("planner", "depth"), 10**9, "PlannerConfig: depth = 1000000000; needs 1 to 1024"),
        (("planner", "heads"), 0, "PlannerConfig: heads = 0; needs 1 to 65536"),
        (("planner", "width"), 10**40, "width = 1000.*; needs 1 to 65536"),
        (("window",), -3, "ModelConfig: window = -3; needs 1 to 1024"),
        (("window",), "9", "window '9'; needs a whole number"),
        (("preset",), 7, "preset '7'; needs text"),
        (("denoiser", "attention"), "all", "attention 'all'; needs one of st, t"),
        (("guided", "widths"), [8, 8, 16], "widths .*; needs a list of 4 times a whole number"),
        (("guided", "widths"), [8, 8, 16, "x"], "widths .*; needs a list of 4 times"),
        (("guided", "radius"), 10**6, "GuidedConfig: radius = 1000000; needs 1 to 64"),
        (("guided", "mean"), [0.0, 1e999, 0.0, 0.0], "mean .*; needs a list of a number"),
        (("guided", "std"), [1.0, 0.0, 1.0, 1.0], "GuidedConfig: 4 means, 4 deviations"),
        (("guided", "std"), [1.0], "GuidedConfig: 4 means, 1 deviations"),
        (("guided",), [1], "guided is"),
    ],
)
def test_values_that_mean_nothing_are_named_before_anything_is_built(
    keys: tuple[str, ...], value: object, told: str, folder: Path
) -> None:
    def change(config: dict[str, Any]) -> None:
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = value

    spoil(folder, change)

    with pytest.raises(WeightsLayoutError, match=told):
        weights.load(folder, CPU, torch.float32)


def test_sizes_that_do_not_go_together_describe_no_model(folder: Path) -> None:
    """Groups that do not divide the channels are met while the model is built."""
    told = preset("nano-vae").to_dict()
    told["vae"]["groups"] = 3
    path = folder / "config.json"
    path.write_text(json.dumps({"format": 2, "config": told, "facts": {}, "files": {}}))

    with pytest.raises(WeightsLayoutError, match="describes no model"):
        weights.load(folder, CPU, torch.float32)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_a_table_without_end_is_not_read_into_memory(name: str, folder: Path) -> None:
    if name != "config.json":
        (folder / "model.safetensors").unlink()
    with (folder / name).open("wb") as file:
        file.truncate(LARGEST_TABLE + 1)  # a hole on the disk

    with pytest.raises(WeightsLayoutError, match="larger than"):
        weights.load(folder, CPU, torch.float32)


def header(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the table at the head of the tensors."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    table = json.loads(data[8 : 8 + length])
    change(table)
    text = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def first_of(table: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(value for key, value in table.items() if key != "__metadata__")
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda table: first_of(table).update(shape=[2**40, 2**40]),
        lambda table: first_of(table).update(shape=[-1]),
        lambda table: first_of(table).update(data_offsets=[0, 2**62]),
        lambda table: first_of(table).update(data_offsets=[9, 1]),
        lambda table: first_of(table).update(dtype="PICKLE"),
        lambda table: table.update({f"x{n}": first_of(table) for n in range(100)}),
        lambda table: table.clear(),
    ],
    ids=["huge", "negative", "beyond the end", "backwards", "no type", "shared bytes", "empty"],
)
def test_headers_that_lie_are_refused(
    change: Callable[[dict[str, Any]], object], folder: Path
) -> None:
    header(folder, change)

    with pytest.raises(WeightsError):
        weights.load(folder, CPU, torch.float32)


@pytest.mark.parametrize("length", [0, 2**32, 2**63 - 1, 2**64 - 1])
def test_headers_of_absurd_length_are_refused(length: int, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])

    with pytest.raises(WeightsError):
        weights.load(folder, CPU, torch.float32)
