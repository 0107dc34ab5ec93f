"""What the stages ask for: it can be learned, and it moves what it should."""

import pytest
import torch
from torch import Tensor, nn

from mardini_cli.model.mardini import MarDini
from mardini_cli.training.movers import Movers
from mardini_cli.training.objectives import KINDS, Step
from mardini_cli.training.stages import StageConfig
from tests.training.runs import batch, chance, model, stage

ALL = ["guided", "sharp", "planner", "denoiser", "joint", "vae"]


def preset_of(kind: str) -> str:
    return "nano-vae" if kind == "vae" else "nano"


def descend(config: StageConfig, count: int, preset: str = "nano") -> list[float]:
    """Losses on one batch, under one chance."""
    torch.manual_seed(0)
    objective = KINDS[config.kind](model(preset), config)
    movers, one = Movers(objective, config), batch(config)
    found = []
    for _ in range(count):
        movers.optimiser.zero_grad()
        total = objective.ask(Step(one, chance())).total
        total.backward()
        movers.optimiser.step()
        found.append(float(total.detach()))
    return found


@pytest.mark.parametrize("kind", ALL)
def test_the_loss_falls_on_one_batch(kind: str) -> None:
    config = stage(kind, rate=3e-3, batch=2)

    found = descend(config, 25, preset_of(kind))

    assert found[-1] < 0.93 * found[0]


@pytest.mark.parametrize("preset", ["nano", "nano-vae"])
def test_the_paper_s_stages_run_on_both_kinds_of_latents(preset: str) -> None:
    for kind in ("planner", "joint"):
        found = descend(stage(kind, rate=3e-3, slots=4), 12, preset)

        assert found[-1] < found[0]


MOVES = {
    "guided": {"autoencoder"},
    "planner": {"planner"},
    "denoiser": {"denoiser"},
    "joint": {"planner", "denoiser"},
    "vae": {"autoencoder"},
}


@pytest.mark.parametrize("kind", MOVES)
def test_a_stage_moves_its_own_networks_and_no_others(kind: str) -> None:
    net = model(preset_of(kind))

    moved = changed(net, stage(kind, rate=1e-2))

    assert {name.split(".")[0] for name in moved} == MOVES[kind]


def test_the_sharp_stage_leaves_all_that_latents_and_planner_rest_on() -> None:
    net = model()

    moved = changed(net, stage("sharp", signal=True, critic=True, rate=1e-2))

    assert {name.split(".")[1] for name in moved} == {
        *("refine16", "refine8", "refine4", "refine2"),
        *("told", "planned", "residual"),
    }


def changed(net: MarDini, config: StageConfig) -> set[str]:
    """Names of weights and statistics that two steps changed."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    objective = KINDS[config.kind](net, config)
    movers = Movers(objective, config)
    for step in range(2):
        movers.optimiser.zero_grad()
        objective.ask(Step(batch(config, step), chance(step))).total.backward()
        movers.optimiser.step()
    after = net.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_the_planner_is_asked_about_made_slots_alone() -> None:
    config = stage("planner")
    objective = KINDS["planner"](model(), config)
    told: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        told.append(output)

    objective.get_submodule("head").register_forward_hook(keep)
    one = batch(config)
    objective.ask(Step(one, chance())).total.backward()

    assert told[0].grad is not None
    asked = told[0].grad.abs().sum((2, 3)) > 0
    assert torch.equal(asked, one.mask)


def test_the_denoiser_is_asked_about_made_frames_alone() -> None:
    config = stage("denoiser")
    objective = KINDS["denoiser"](model(), config)
    told: list[Tensor] = []
    objective.model.denoiser.register_forward_hook(lambda _m, _i, output: told.append(output))
    one = batch(config)

    objective.ask(Step(one, chance()))

    assert told[0].shape[:2] == one.made.shape[:2]


@pytest.mark.parametrize("kind", ["guided", "vae"])
def test_held_out_windows_leave_the_statistics_of_latents_alone(kind: str) -> None:
    config = stage(kind)
    objective = KINDS[config.kind](model(preset_of(kind)), config)
    before = objective.model.autoencoder.mean.clone()

    figures = objective.score(batch(config))

    assert torch.equal(objective.model.autoencoder.mean, before)
    assert {"psnr", "sharp"} <= figures.keys()


def test_a_critic_gives_a_loss_of_its_own_and_pulls_at_the_picture() -> None:
    torch.manual_seed(0)
    config = stage("guided", critic=True)
    objective, one = KINDS["guided"](model(), config), batch(config)
    alone = KINDS["guided"](objective.model, stage("guided"))

    asked = objective.ask(Step(one, chance()))

    assert asked.rival is not None
    assert float(asked.rival.detach()) == pytest.approx(2, abs=0.3)  # hinge loss, undecided
    assert float(asked.total.detach()) != float(alone.ask(Step(one, chance())).total.detach())


def test_a_fresh_critic_is_not_heeded_at_once() -> None:
    torch.manual_seed(0)
    config = stage("guided", critic=True)
    objective, one = KINDS["guided"](model(), config), batch(config)
    alone = KINDS["guided"](objective.model, stage("guided"))

    def pull(behind: float) -> float:
        step = Step(one, chance(), behind)
        return float((objective.ask(step).total - alone.ask(step).total).detach())

    assert pull(0.0) == 0
    assert pull(0.05) == pytest.approx(0.5 * pull(0.1), rel=1e-2)
