"""Losses: nothing to say about a perfect picture, something about any other."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mardini_cli.training import losses

TRUTH = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
PICTURES = [losses.pixels, losses.contrast, losses.structure]


@pytest.mark.parametrize("loss", PICTURES)
def test_a_perfect_picture_costs_nothing(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert float(loss(TRUTH, TRUTH)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", PICTURES)
def test_a_blurred_picture_costs(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    blurred = torch.nn.functional.avg_pool2d(TRUTH, 5, 1, 2)

    assert float(loss(blurred, TRUTH)) > 0.05


def test_flow_is_asked_for_only_where_the_target_is_trusted() -> None:
    flow, target = torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)
    target[:, :2] = 3
    first = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8)

    assert float(losses.flow_against(target, target, first)) == pytest.approx(0, abs=1e-6)
    assert float(losses.flow_against(flow, target, first)) == pytest.approx(
        12 * math.log1p(3 * 2**0.5 / 12) / 2, abs=0.05
    )
    assert float(losses.flow_against(flow, target, 1 - first)) == pytest.approx(0, abs=1e-6)


def test_even_flow_is_smooth_and_a_step_costs_less_at_an_edge_of_the_picture() -> None:
    even, step = torch.full((1, 4, 16, 16), 2.0), torch.zeros(1, 4, 16, 16)
    step[..., 8:] = 4
    flat, edge = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    edge[..., 8:] = 1

    assert float(losses.smooth(even, flat)) == 0
    assert float(losses.smooth(step, edge)) < 1e-6 < float(losses.smooth(step, flat))


def test_a_unit_normal_has_no_divergence() -> None:
    zeros = torch.zeros(3)

    assert float(losses.divergence(zeros, zeros)) == 0
    assert float(losses.divergence(zeros + 1, zeros)) == pytest.approx(0.5)


def test_the_critic_learns_to_tell_noise_from_pictures() -> None:
    torch.manual_seed(0)
    critic, near = losses.Critic(8), torch.zeros(2, 3, 64, 64)
    truth, made = torch.rand(2, 3, 1, 1).expand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    optimiser = torch.optim.Adam(critic.parameters(), lr=2e-3)
    before = float(critic.loss(made, truth, near).detach())

    for _ in range(20):
        optimiser.zero_grad()
        critic.loss(made, truth, near).backward()
        optimiser.step()

    assert float(critic.loss(made, truth, near).detach()) < 0.7 * before
