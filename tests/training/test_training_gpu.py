"""Training on CUDA: every kind of stage, stopped and taken up again, and by two GPUs.

Run on a machine with a CUDA device: ``python -m pytest -m gpu tests/training``. Needs torch,
pytest, pytest-timeout and hypothesis, and of what the package needs no more than training does.
Kernels there add up in no fixed order, so weights are compared by how far they have moved.

All windows of a run have one shape, since cuDNN tries its algorithms for every convolution at every
new one, which takes longer than the steps; and one test alone has processes that make batches.
"""

import json
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mardini_cli.events import Trained
from mardini_cli.training import starting
from mardini_cli.training.reading import read_config
from mardini_cli.training.seeds import seed_of
from mardini_cli.training.stages import StageConfig, TrainConfig
from tests.training.runs import photo_folder, run, run_until_save, saved, settings
from tests.training.runs import stage as any_stage
from tests.training.test_shared import STOPPED, run_until, state, torchrun

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("default"),  # torch's own, on cards and compilers
    pytest.mark.timeout(120),
]
ALIKE = (("ends", 1.0),)
"""A task whose windows have one shape."""

# Nothing is dropped by chance, which is another on another device.
KINDS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("guided", "nano", {"critic": True, "latents": (1.0, 0.0, 0.0)}),
    ("sharp", "nano", {"signal": True, "latents": (1.0, 0.0, 0.0)}),
    ("planner", "nano", {}),
    ("denoiser", "nano", {}),
    ("joint", "nano", {"accumulate": 2, "drop": 0.0}),
    ("vae", "nano-vae", {"critic": True, "slots": 4}),
    ("joint", "nano-vae", {"drop": 0.0}),
)


def stage(kind: str, **more: Any) -> StageConfig:
    """Some steps whose windows, held-out ones too, have one shape."""
    return any_stage(kind, **{"tasks": ALIKE, **more})


def on_gpu(folder: Path, *stages: Any, **changes: Any) -> TrainConfig:
    """A run of one GPU, half of its windows photographs that the GPU sets in motion."""
    photos = (str(photo_folder(folder / "photos")),)
    standard = {"device": "cuda", "photos": photos, "photos_on": "device", "workers": 0}
    return settings(folder, *stages, **{**standard, **changes})


def moved(found: dict[str, Tensor], wanted: dict[str, Tensor], start: dict[str, Tensor]) -> float:
    """How far apart two runs' weights are, against how far they have moved from ``start``."""
    names = [name for name in wanted if name in start and name.startswith("model/")]

    def length(other: dict[str, Tensor]) -> float:
        square = sum(float((wanted[n] - other[n]).float().square().sum()) for n in names)
        return float(square**0.5)

    assert names
    assert length(start) > 0
    return length(found) / length(start)


def begun(config: TrainConfig) -> dict[str, Tensor]:
    """The weights of a run before its first step."""
    torch.manual_seed(seed_of(config.seed, "weights", 0))
    model = starting.start(config, torch.device("cpu"))
    return {f"model/{name}": value for name, value in model.state_dict().items()}


def last_losses(out: Path) -> list[float]:
    """Losses that the log tells, stage by stage."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row["total"] for row in rows if "total" in row]


@pytest.mark.parametrize(("kind", "preset", "more"), KINDS)
def test_every_kind_moves_there_what_it_moves_on_a_cpu(
    tmp_path: Path, kind: str, preset: str, more: dict[str, Any]
) -> None:
    """Whatever lost its gradient to bfloat16 or a kernel would stand still."""
    changed = dict[str, set[str]]()
    for device in ("cpu", "cuda"):
        config = on_gpu(
            tmp_path, stage(kind, steps=2, photos=0.5, **more), preset=preset, device=device,
            out=str(tmp_path / device),
        )  # fmt: skip
        *_, trained = run(config)
        start, end = begun(config), saved(config.out)
        assert isinstance(trained, Trained)
        changed[device] = {name for name in start if not torch.equal(start[name], end[name])}

    assert changed["cpu"] <= changed["cuda"]
    assert changed["cpu"]
    assert all(map(isfinite, last_losses(tmp_path / "cuda")))


@pytest.mark.timeout(300)  # compilers begin with nothing remembered
@pytest.mark.parametrize("how", ["recompute", "both"])
def test_blocks_run_in_other_ways_learn_nearly_the_same(tmp_path: Path, how: str) -> None:
    ways = ("recompute", "compile") if how == "both" else (how,)
    plain = on_gpu(tmp_path, stage("joint"), out=str(tmp_path / "plain"))
    other = on_gpu(
        tmp_path, stage("joint"), out=str(tmp_path / "other"), **dict.fromkeys(ways, True)
    )
    for config in (plain, other):
        run(config)

    wanted, found = saved(plain.out), saved(other.out)
    assert moved(found, wanted, begun(plain)) < 0.2


@pytest.mark.parametrize("shard", [False, True])
def test_stop_and_resume_goes_the_way_of_no_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, shard: bool
) -> None:
    stages = (stage("planner", photos=0.5, steps=6), stage("joint", photos=0.5, steps=6))
    whole = on_gpu(tmp_path, *stages, out=str(tmp_path / "whole"), workers=2)
    parts = on_gpu(tmp_path, *stages, out=str(tmp_path / "parts"), workers=2, shard=shard)
    run(whole)
    (run_until if shard else run_until_save)(parts, 5, monkeypatch)  # amid the joint stage
    stopped = state(Path(parts.out))

    run(parts)

    assert moved(state(Path(parts.out)), saved(whole.out), stopped) < 0.1


def test_what_a_checkpoint_keeps_comes_back_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either form keeps tensors of the GPU: what is written is what is read back."""
    stages = (stage("joint", photos=0.5),)
    for shard in (False, True):
        config = on_gpu(tmp_path, *stages, out=str(tmp_path / str(shard)), shard=shard)
        (run_until if shard else run_until_save)(config, 1, monkeypatch)
    one, other = (state(tmp_path / name) for name in ("False", "True"))

    assert one.keys() == other.keys()
    assert moved(other, one, begun(config)) < 0.1
    assert any("optimiser" in name for name in one)


@pytest.mark.timeout(600)  # three runs, each of which starts its processes
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_learn_what_one_does(tmp_path: Path) -> None:
    ways = {"alone": (1, "false"), "whole": (2, "false"), "parts": (2, "true")}
    found = {
        name: state(torchrun(tmp_path, count, name, shard=shard, device="cuda"))
        for name, (count, shard) in ways.items()
    }

    start = begun(read_config(tmp_path / "whole.toml"))
    assert found["alone"].keys() == found["whole"].keys() == found["parts"].keys()
    for name in ("whole", "parts"):
        assert moved(found[name], found["alone"], start) < 0.2


@pytest.mark.timeout(600)  # three runs, each of which starts its processes
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_checkpoint_of_two_gpus_is_gone_on_from_by_one(tmp_path: Path) -> None:
    unbroken = state(torchrun(tmp_path, 2, "unbroken", device="cuda", steps=6))
    out = torchrun(tmp_path, 2, "broken", STOPPED, device="cuda", steps=6)
    stopped = state(out)

    torchrun(tmp_path, 1, "broken", device="cuda", steps=6)

    assert moved(state(out), unbroken, stopped) < 0.2
