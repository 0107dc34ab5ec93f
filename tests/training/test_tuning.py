"""Fine-tuning: weights that are good already, on someone's own clips, whole or by corrections."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mardini_cli import weights
from mardini_cli.errors import ConfigError
from mardini_cli.events import Trained
from mardini_cli.training import checkpoint, journal
from mardini_cli.training.adapters import Adapters
from mardini_cli.training.movers import Movers
from mardini_cli.training.objectives import KINDS, Step
from mardini_cli.training.reading import read_config, to_toml
from mardini_cli.training.recipes import timed
from mardini_cli.training.stages import StageConfig
from tests.pipeline.clips import nano_weights
from tests.training.runs import (
    CPU,
    batch,
    chance,
    data_folder,
    model,
    run,
    run_until_save,
    saved,
    settings,
    stage,
)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(12, 20), (3, 12)),
        (nn.Conv2d(6, 10, 3, stride=2, padding=1), (2, 6, 9, 7)),
        (nn.Conv2d(6, 10, 1, bias=False), (2, 6, 5, 5)),
        (nn.Conv2d(8, 8, 3, padding=2, dilation=2), (1, 8, 9, 9)),
    ],
    ids=["linear", "strided", "1x1", "dilated"],
)
def test_a_corrected_layer_and_a_merged_one_say_the_same(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    rng = torch.Generator().manual_seed(0)
    x, plain = torch.randn(shape, generator=rng), layer(torch.zeros(shape))
    adapters = Adapters([layer], rank=2)
    untouched = layer(torch.zeros(shape))
    for parameter in adapters.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=rng))

    corrected = layer(x)
    adapters.merge()
    merged = layer(x)

    assert torch.equal(plain, untouched)
    torch.testing.assert_close(corrected, merged, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(corrected, plain)


def test_a_layer_too_small_for_the_rank_is_left_alone() -> None:
    small, large = nn.Linear(4, 4), nn.Linear(16, 16)

    adapters = Adapters([nn.Sequential(small, large, nn.Conv2d(16, 16, 3, groups=16))], rank=4)

    assert [tuple(p.shape) for p in adapters.parameters()] == [(4, 16), (16, 4)]


@pytest.mark.parametrize("kind", ["guided", "sharp", "planner", "denoiser", "joint", "vae"])
def test_corrections_alone_move_and_what_comes_out_is_a_plain_model(kind: str) -> None:
    net, rng = model("nano-vae" if kind == "vae" else "nano"), torch.Generator().manual_seed(0)
    for weight in net.parameters():  # layers that start at zero would hold others back
        weight.data.add_(0.02 * torch.randn(weight.shape, generator=rng))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    config = stage(kind, lora=2, rate=1e-2)
    torch.manual_seed(0)
    objective = KINDS[config.kind](net, config)
    movers, one = Movers(objective, config), batch(config)
    for _ in range(2):
        movers.optimiser.zero_grad()
        objective.ask(Step(one, chance())).total.backward()
        movers.optimiser.step()

    moved = {
        name
        for name, value in net.state_dict().items()
        if not torch.equal(value, before[name]) and not name.endswith((".mean", ".std"))
    }
    corrected = float(objective.ask(Step(one, chance())).total.detach())
    objective.merge()
    merged = float(objective.ask(Step(one, chance())).total.detach())

    assert not moved
    assert merged == pytest.approx(corrected, rel=1e-3)
    assert net.state_dict().keys() == before.keys()
    changed = {n.split(".")[0] for n, value in net.state_dict().items() if "." in n
               and not torch.equal(value, before[n])}  # fmt: skip
    kinds = {"planner": {"planner"}, "denoiser": {"denoiser"}, "joint": {"planner", "denoiser"}}
    assert changed == kinds.get(kind, {"autoencoder"})


def test_corrections_need_a_fraction_of_what_the_weights_would() -> None:
    net = model()

    whole = Movers(KINDS["joint"](net, stage("joint")), stage("joint")).parameters
    config = stage("joint", lora=2)
    few = Movers(KINDS["joint"](net, config), config).parameters

    assert sum(p.numel() for p in few) < 0.25 * sum(p.numel() for p in whole)


def test_stop_and_resume_equals_no_stop_with_corrections_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = (stage("sharp", steps=2, lora=2, critic=True), stage("denoiser", steps=1, lora=2))
    whole = settings(tmp_path, *stages, out=str(tmp_path / "whole"), sheets=0, save=1)
    run(whole)
    parted = replace(whole, out=str(tmp_path / "parted"))
    run_until_save(parted, 1, monkeypatch)

    run(parted)

    wanted, found = saved(whole.out), saved(parted.out)
    assert wanted.keys() == found.keys()
    assert not any("adapters" in name for name in wanted)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_the_recipe_is_chosen_by_weights_and_device(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "clips", 1)
    nano = nano_weights(tmp_path / "nano")

    found = read_config(data, [f"init={nano}", "device=cpu", "minutes=5", "lora=4"])

    assert [(s.name, s.kind) for s in found.stages] == [
        ("tune-motion", "joint"), ("tune-pictures", "sharp"),
    ]  # fmt: skip
    assert sum(s.minutes for s in found.stages) == pytest.approx(5)
    assert {(s.lora, s.batch, s.critic) for s in found.stages} == {(4, 2, False)}
    (tmp_path / "again.toml").write_text(to_toml(found))
    assert read_config(tmp_path / "again.toml").stages == found.stages


def test_picture_latents_move_planner_and_denoiser_alone(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "clips", 1)
    weights.save(model("nano-vae"), tmp_path / "vae")

    found = read_config(data, [f"init={tmp_path / 'vae'}", "device=cpu"])

    assert [stage.kind for stage in found.stages] == ["joint"]


def test_a_file_with_init_keeps_the_stages_it_had(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text(f'init = "{nano_weights(tmp_path / "nano")}"\n')

    assert [s.name for s in read_config(tmp_path / "old.toml").stages] == [
        "guided-near",
        "guided",
        "guided-sharp",
        "joint",
        "sharp-signal",
    ]


def test_time_is_shared_out_as_steps_were() -> None:
    stages = (stage("joint", steps=100), stage("sharp", steps=300))

    assert [s.minutes for s in timed(stages, 8.0)] == [2.0, 6.0]


@pytest.mark.parametrize("setting", ["compile=true", "shard=true"])
def test_corrections_stand_beside_plain_layers_only(setting: str, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "clips", 1)

    with pytest.raises(ConfigError, match=r"lora with (compile|shard)"):
        read_config(data, ["lora=2", "device=cpu", setting])


def test_a_fine_tune_tells_what_the_weights_could_before_and_makes_usable_ones(
    tmp_path: Path,
) -> None:
    config = settings(
        tmp_path,
        *(StageConfig(name="t", kind="sharp", steps=3, batch=2, side=64, photos=0.0, lora=2),),
        init=str(nano_weights(tmp_path / "nano")),
        sheets=1000,
    )

    *_, trained = run(config)

    assert isinstance(trained, Trained)
    rows = journal.read(Path(config.out))
    told = [(row["step"], journal.kind_of(row)) for row in rows]
    assert told[:2] == [(0, "held"), (0, "views")]
    net = weights.load(trained.output, CPU, torch.float32)
    kept = checkpoint.part_of(saved(config.out), "model")
    assert net.state_dict().keys() == kept.keys()
