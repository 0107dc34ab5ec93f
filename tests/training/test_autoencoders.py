"""Autoencoder stages: their switches, their statistics, and that what rests on them stays right."""

from pathlib import Path

import pytest
import torch

from mardini_cli.config import VaeConfig
from mardini_cli.errors import ConfigError
from mardini_cli.events import Warned
from mardini_cli.training import checkpoint, loop
from mardini_cli.training.objectives import KINDS, Step, measure_latents
from mardini_cli.training.stages import StageConfig, TrainConfig, stranded
from tests.training.runs import CPU, batch, chance, model, run, saved, settings, stage
from tests.weights.test_foreign import network, write

PRESETS = {"guided": "nano", "sharp": "nano", "vae": "nano-vae"}


def asked(config: StageConfig) -> tuple[float, dict[str, float]]:
    """Loss and its parts on one batch, under one chance."""
    objective = KINDS[config.kind](model(PRESETS[config.kind]), config)
    found = objective.ask(Step(batch(config), chance()))
    parts = {name: float(value.detach()) for name, value in found.parts.items()}
    return float(found.total.detach()), parts


@pytest.mark.parametrize("kind", ["guided", "vae"])
@pytest.mark.parametrize("part", ["kl", "contrast"])
def test_a_term_counts_as_much_as_its_weight_says(kind: str, part: str) -> None:
    without, parts = asked(stage(kind, **{part: 0.0}))
    with_it, _ = asked(stage(kind, **{part: 3.0}))

    assert parts[part] > 0
    assert with_it - without == pytest.approx(3 * parts[part], rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "kl", "contrast"), [("guided", 0.01, 0.1), ("sharp", 0, 0.1), ("vae", 1e-4, 0.5)]
)
def test_left_out_the_weights_are_the_kind_s_own(kind: str, kl: float, contrast: float) -> None:
    told = stage(kind, kl=kl, contrast=contrast)

    assert asked(stage(kind)) == asked(told)


def test_a_critic_looks_at_what_the_picture_autoencoder_gives_back() -> None:
    torch.manual_seed(0)
    config = stage("vae", critic=True)
    objective = KINDS["vae"](model("nano-vae"), config)
    alone = KINDS["vae"](objective.model, stage("vae"))

    found = objective.ask(Step(batch(config), chance()))
    found.total.backward()
    plain = alone.ask(Step(batch(config), chance()))

    assert plain.rival is None
    assert found.rival is not None
    assert float(found.rival.detach()) == pytest.approx(2, abs=0.3)  # hinge loss, undecided
    assert float(found.total.detach()) != float(plain.total.detach())
    grads = [p.grad for p in objective.model.autoencoder.parameters()]
    assert all(grad is not None for grad in grads)


def test_statistics_are_those_of_all_latents_of_all_batches() -> None:
    net, config = model("nano-vae"), stage("vae")
    batches = [batch(config, step) for step in range(3)]

    measure_latents(net, batches)

    drawn = []
    for number, one in enumerate(batches):
        given = net.look(one.given, one.mask, one.times)
        mean, spread = net.autoencoder.encode(one.made, given)
        drawn.append(mean + torch.exp(0.5 * spread) * chance(number).normal(mean))
    latents = net.autoencoder.normalise(torch.cat([one.flatten(0, 1) for one in drawn])[None])
    over = (0, 1, 3, 4)
    torch.testing.assert_close(latents.mean(over), torch.zeros(16), rtol=0, atol=0.08)
    torch.testing.assert_close(latents.std(over), torch.ones(16), rtol=0, atol=0.08)


def test_the_statistics_that_are_stored_are_those_of_the_weights_that_are_stored(
    tmp_path: Path,
) -> None:
    config = settings(tmp_path, stage("vae", rate=1e-2), preset="nano-vae")
    run(config)

    kept = checkpoint.part_of(saved(config.out), "model")
    again = loop.Run(settings(tmp_path, stage("vae"), init=config.out, out=str(tmp_path / "b")))
    again.supply.load(config.stages)
    measure_latents(again.model, again._some(config.stages[0]))

    assert torch.equal(kept["autoencoder.mean"], again.model.autoencoder.mean)
    assert torch.equal(kept["autoencoder.std"], again.model.autoencoder.std)
    assert not torch.equal(kept["autoencoder.mean"], torch.zeros(1, 1, 16, 1, 1))


def test_a_run_around_a_trained_autoencoder_measures_it_and_never_moves_it(tmp_path: Path) -> None:
    trained = network()
    write(tmp_path / "vae", trained.state_dict())
    stages = [stage(kind, slots=4, rate=1e-2) for kind in ("planner", "denoiser", "joint")]
    config = settings(tmp_path, *stages, preset="nano-vae", vae=str(tmp_path / "vae"))

    run(config)

    kept = checkpoint.part_of(saved(config.out), "model")
    wanted = {f"autoencoder.kl.{key}": value for key, value in trained.state_dict().items()}
    assert all(torch.equal(kept[key], value) for key, value in wanted.items())
    told = torch.full((1, 1, 16, 1, 1), 4.0)  # by its config, every channel alike
    assert not torch.allclose(kept["autoencoder.std"], told, rtol=0.5)
    place = checkpoint.load(Path(config.out), CPU)
    assert place is not None
    assert VaeConfig(**place[0].model["vae"]).latent_channels == 16


@pytest.mark.parametrize("changes", [{"preset": "nano"}, {"preset": "nano-vae", "init": "x"}])
def test_an_autoencoder_that_has_no_place_is_one_line(
    changes: dict[str, str], tmp_path: Path
) -> None:
    config = settings(tmp_path, stage("joint"), vae="somewhere", **changes)

    with pytest.raises(ConfigError, match=r"vae = somewhere with .* choose nano-vae"):
        loop.Run(config)


@pytest.mark.parametrize(
    ("kinds", "init", "named"),
    [
        (("guided", "joint", "sharp"), "", ""),
        (("guided",), "", ""),
        (("sharp",), "mardini-tiny", ""),
        (("guided",), "mardini-tiny", "guided"),
        (("guided", "joint", "vae"), "", "vae"),
        (("guided", "joint", "guided", "denoiser"), "", ""),
        (("joint", "guided", "planner"), "", "guided"),
    ],
)
def test_a_denoiser_left_behind_by_its_encoder_is_found(
    kinds: tuple[str, ...], init: str, named: str
) -> None:
    config = TrainConfig(stages=tuple(stage(kind) for kind in kinds), init=init)

    assert stranded(config) == named


def test_a_run_warns_of_it(tmp_path: Path) -> None:
    told, *_ = run(settings(tmp_path, stage("denoiser"), stage("guided")))

    assert isinstance(told, Warned)
    assert told.code == "moved-encoder"
