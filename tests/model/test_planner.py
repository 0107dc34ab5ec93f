"""The planner: what it may see, and what its signal depends on."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mardini_cli.config import ModelConfig, nano
from mardini_cli.errors import ShapeError
from mardini_cli.model.planner import Planner, PlannerHead
from mardini_cli.model.positions import Grid

Awake = Callable[..., Planner]

GRID = Grid.of_frame(2, 3, (20, 30))
MASK = torch.tensor([[0, 1, 0, 1], [1, 1, 0, 1]]).bool()
TIMES = torch.tensor([[0.0, 1, 2, 3], [0, 0.5, 2, 3.5]])
CONFIGS = {
    "real": nano(),
    "counted": replace(nano(), positions="counted"),
    "reading B": replace(nano(), identity="frame"),
}
OFF = replace(nano(), identity="off")


def tokens_for(config: ModelConfig, seed: int = 0) -> Tensor:
    """What a planner of ``config`` reads."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(2, 4, GRID.tokens, config.planner_channels, generator=rng)


@pytest.fixture(params=(*CONFIGS.values(), OFF), ids=(*CONFIGS, "off"))
def config(request: pytest.FixtureRequest) -> ModelConfig:
    chosen: ModelConfig = request.param
    return chosen


@pytest.mark.parametrize("filling", [0.0, 1e6, float("nan"), float("inf")])
def test_what_stands_in_masked_slots_is_never_read(
    config: ModelConfig, filling: float, awake: Awake
) -> None:
    planner, tokens = awake(Planner(config)), tokens_for(config)
    before = planner(tokens, MASK, TIMES, GRID)

    after = planner(tokens.masked_fill(MASK[..., None, None], filling), MASK, TIMES, GRID)

    assert torch.equal(after, before)
    assert bool(before.isfinite().all())
    gradient = torch.autograd.grad(after.sum(), planner.embed.weight)[0]
    assert bool(gradient.isfinite().all())


def test_without_identity_attention_a_given_frames_signal_depends_on_the_others(
    awake: Awake,
) -> None:
    planner, tokens = awake(Planner(OFF)), tokens_for(OFF)
    others = tokens_for(OFF, seed=1)
    others[0, 2] = tokens[0, 2]

    before, after = (planner(x, MASK, TIMES, GRID) for x in (tokens, others))

    assert not torch.allclose(after[0, 2], before[0, 2], atol=1e-4)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_a_given_frames_signal_depends_on_itself_alone(config: ModelConfig, awake: Awake) -> None:
    planner, tokens = awake(Planner(config)), tokens_for(config)
    before = planner(tokens, MASK, TIMES, GRID)
    others = tokens_for(config, seed=1)
    others[0, 2] = tokens[0, 2]

    after = planner(others, MASK, TIMES, GRID)

    assert torch.equal(after[0, 2], before[0, 2])
    assert not torch.equal(after[0, 0], before[0, 0])


def test_a_made_frames_signal_depends_on_every_given_frame_of_its_window(
    config: ModelConfig, awake: Awake
) -> None:
    planner = awake(Planner(config))
    tokens = tokens_for(config).requires_grad_()

    signal = planner(tokens, MASK, TIMES, GRID)
    seen = torch.autograd.grad(signal[0, 1].square().sum(), tokens)[0].abs().amax((2, 3)) > 0

    assert seen.tolist() == [[True, False, True, False], [False] * 4]


def test_made_frames_are_told_apart_by_their_times(config: ModelConfig, awake: Awake) -> None:
    signal = awake(Planner(config))(tokens_for(config), MASK, TIMES, GRID)

    assert not torch.allclose(signal[0, 1], signal[0, 3], atol=1e-3)


def test_real_times_matter_and_counted_ones_do_not(awake: Awake) -> None:
    changed = []
    for positions in ("real", "counted"):
        config = CONFIGS[positions]
        planner, tokens = awake(Planner(config)), tokens_for(config)
        first, second = (planner(tokens, MASK, times, GRID) for times in (TIMES, TIMES**2))
        changed.append(not torch.allclose(first, second, atol=1e-4))

    assert changed == [True, False]


def test_the_next_token_is_read_and_exists_only_when_counted(awake: Awake) -> None:
    counted, tokens = awake(Planner(CONFIGS["counted"])), tokens_for(nano())
    before = counted(tokens, MASK, TIMES, GRID)
    assert counted.next_token is not None

    with torch.no_grad():
        counted.next_token.add_(1)

    assert before.shape == (2, 4, GRID.tokens, nano().planner.width)
    assert not torch.allclose(counted(tokens, MASK, TIMES, GRID), before, atol=1e-4)
    assert "next_token" not in Planner(nano()).state_dict()


def test_the_readings_of_identity_attention_differ(awake: Awake) -> None:
    token, frame = (awake(Planner(CONFIGS[name])) for name in ("real", "reading B"))

    first, second = (network(tokens_for(nano()), MASK, TIMES, GRID) for network in (token, frame))

    assert not torch.allclose(first, second, atol=1e-3)


def test_windows_that_make_unequally_many_come_out_as_they_do_alone(
    config: ModelConfig, awake: Awake
) -> None:
    planner, tokens = awake(Planner(config)), tokens_for(config)

    together = planner(tokens, MASK, TIMES, GRID)

    for window in range(2):
        one = slice(window, window + 1)
        alone = planner(tokens[one], MASK[one], TIMES[one], GRID)
        torch.testing.assert_close(together[one], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "mask", [torch.ones(2, 4).bool(), torch.zeros(2, 4).bool()], ids=["all made", "none made"]
)
def test_windows_of_one_kind_of_frame_are_planned_too(mask: Tensor, awake: Awake) -> None:
    signal = awake(Planner(nano()))(tokens_for(nano()), mask, TIMES, GRID)

    assert bool(signal.isfinite().all())


def test_every_weight_learns(config: ModelConfig, awake: Awake) -> None:
    planner, head = awake(Planner(config)), awake(PlannerHead(config))

    tokens = head(planner(tokens_for(config), MASK, TIMES, GRID))

    assert tokens.shape == (2, 4, GRID.tokens, config.planner_channels)
    gradients = torch.autograd.grad(tokens[MASK].square().sum(), list(planner.parameters()))
    names = [name for name, _ in planner.named_parameters()]
    still = [name for name, grad in zip(names, gradients, strict=True) if not grad.abs().sum()]
    assert still == []


def test_a_fresh_planners_signal_is_of_unit_size() -> None:
    torch.manual_seed(0)

    signal = Planner(nano())(tokens_for(nano()), MASK, TIMES, GRID)

    torch.testing.assert_close(
        signal.square().mean(-1), torch.ones(2, 4, GRID.tokens), rtol=1e-2, atol=1e-2
    )


def test_tensors_that_are_not_of_one_batch_are_refused() -> None:
    with pytest.raises(ShapeError, match="grid of 8"):
        Planner(nano())(tokens_for(nano()), MASK, TIMES, Grid(2, 4))
