"""DDIM finds what an oracle knows; guidance and noise keep their promises."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mardini_cli.diffusion.sampler import (
    guided_velocity,
    needs,
    noise_for,
    sample,
    trailing_times,
)
from mardini_cli.diffusion.schedule import Schedule
from mardini_cli.errors import ConfigError

SHAPE = (2, 3, 4, 2, 2)


def normal(seed: int) -> Tensor:
    """Normal noise, float64."""
    return torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Oracle:
    """A velocity that knows the data: v of the noise that leads from it to ``noisy``."""

    def __init__(self, data: Tensor) -> None:
        self.data, self.asked = data, list[Tensor]()

    def __call__(self, noisy: Tensor, t: Tensor) -> Tensor:
        self.asked.append(t)
        schedule = Schedule()
        sigma = schedule.sigma(t).double().view(-1, 1, 1, 1, 1)
        alpha = schedule.alpha(t).double().view(-1, 1, 1, 1, 1)
        noise = (noisy - alpha * self.data) / sigma
        return schedule.v_from(self.data, noise, t)


@pytest.mark.parametrize("steps", [1, 2, 4, 7, 25, 1000])
def test_an_oracle_gives_its_data_back_at_any_number_of_steps(steps: int) -> None:
    data = normal(1)
    oracle = Oracle(data)

    found = sample(oracle, normal(2), steps)

    torch.testing.assert_close(found, data, rtol=0, atol=1e-6)  # the oracle itself is float32
    assert len(oracle.asked) == steps
    assert [oracle.asked[0].tolist(), oracle.asked[0].dtype] == [[1000, 1000], torch.int64]


def test_more_steps_come_nearer_to_the_exact_path() -> None:
    """For one-dimensional normal data the probability flow is known: it only rescales."""
    spread = 0.5

    def velocity(noisy: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = Schedule().alpha(t).double(), Schedule().sigma(t).double()
        power = alpha**2 * spread**2 + sigma**2
        scale = (alpha * sigma * (1 - spread**2) / power).view(-1, 1, 1, 1, 1)
        return scale * noisy  # v of the mean of clean and noise, given noisy

    noise = normal(3)
    errors = [
        (sample(velocity, noise, steps) - spread * noise).abs().max().item()
        for steps in (5, 25, 125)
    ]

    assert errors[0] > 3 * errors[1] > 9 * errors[2] > 0


def test_the_sampler_keeps_the_noises_dtype_whatever_the_network_runs_in() -> None:
    found = sample(lambda noisy, t: noisy.bfloat16() * t[0].sign(), normal(4).float(), 3)

    assert found.dtype == torch.float32


@given(steps=st.integers(1, 1000))
def test_times_fall_from_the_last_level_to_clean_without_a_repeat(steps: int) -> None:
    times = trailing_times(steps, 1000)

    assert times[0] == 1000
    assert times[-1] == 0
    assert len(times) == steps + 1
    assert all(later < earlier for earlier, later in pairwise(times))
    assert max(abs(t - 1000 * (steps - i) / steps) for i, t in enumerate(times)) <= 0.5


@pytest.mark.parametrize("steps", [-1, 0, 1001])
def test_impossible_numbers_of_steps_are_refused(steps: int) -> None:
    with pytest.raises(ConfigError, match="1 to 1000"):
        trailing_times(steps, 1000)


def test_guidance_one_asks_for_the_signal_alone_and_is_it_to_the_bit() -> None:
    oracle = Oracle(normal(5))

    with_guidance = sample(guided_velocity(lambda x, t: [oracle(x, t)], 1.0), normal(6), 4)

    assert torch.equal(with_guidance, sample(oracle, normal(6), 4))
    assert [needs(guidance) for guidance in (1, 0, 2.5)] == [(True,), (False,), (True, False)]


def test_guidance_leans_beyond_the_signal() -> None:
    velocity = guided_velocity(lambda x, _: (x * 3, x), 2.5)

    assert velocity(torch.tensor([2.0]), torch.tensor([1])).tolist() == [2 + 2.5 * 4]


def test_noise_depends_on_seed_slot_and_level_alone() -> None:
    shape = (4, 5, 6)
    torch.manual_seed(1)
    first = noise_for(7, 3, shape)
    torch.manual_seed(2)  # the global state is neither read nor moved
    before = torch.get_rng_state()
    again = noise_for(7, 3, shape)

    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)
    others = [noise_for(8, 3, shape), noise_for(7, 4, shape), noise_for(7, 3, shape, level=1)]
    assert not any(torch.equal(first, other) for other in others)


def test_seed_and_slot_cannot_be_mistaken_for_each_other() -> None:
    pairs = [(seed, slot) for seed in range(12) for slot in range(12)]

    drawn = {tuple(noise_for(seed, slot, (3,)).tolist()) for seed, slot in pairs}

    assert len(drawn) == len(pairs)


def test_noise_is_normal_and_lies_on_the_cpu() -> None:
    noise = noise_for(0, 0, (100, 100))

    assert noise.dtype == torch.float32
    assert noise.device.type == "cpu"
    assert abs(noise.mean().item()) < 0.03
    assert abs(noise.std().item() - 1) < 0.03
