"""The schedule's end points, and v as a change of basis that loses nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mardini_cli.diffusion.schedule import Schedule
from mardini_cli.errors import ShapeError

LENGTH = 1000
levels = st.integers(0, LENGTH)


def drawn(seed: int, windows: int = 2) -> tuple[Tensor, Tensor]:
    """A clean latent and noise, float64."""
    rng = torch.Generator().manual_seed(seed)
    clean, noise = torch.randn(2, windows, 3, 4, 2, 2, dtype=torch.float64, generator=rng)
    return clean, noise


def test_the_last_level_holds_no_signal_and_the_first_no_noise() -> None:
    ends = torch.tensor([0, LENGTH])

    assert Schedule().alpha(ends).tolist() == [1.0, 0.0]
    assert Schedule().sigma(ends).tolist() == [0.0, 1.0]


def test_noise_grows_at_every_level_and_power_stays_one() -> None:
    t = torch.arange(LENGTH + 1)
    alpha, sigma = Schedule().alpha(t), Schedule().sigma(t)

    assert alpha.dtype == sigma.dtype == torch.float32
    assert bool((alpha.diff() < 0).all())
    assert bool((sigma.diff() >= 0).all())  # near the end float32 cannot tell its values apart
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(LENGTH + 1), rtol=0, atol=3e-7)


def test_the_betas_are_those_of_the_scaled_linear_schedule_up_to_the_stretch() -> None:
    """Stretching keeps the first level: 1 - 0.00085 of the power is signal."""
    assert Schedule().alpha(torch.tensor([1])).item() == pytest.approx((1 - 0.00085) ** 0.5)
    # The plain schedule's square root of the cumulated product at 500, stretched by hand.
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    plain = (1 - betas).log().cumsum(0).div(2).exp()
    middle = (plain[499] - plain[-1]) * plain[0] / (plain[0] - plain[-1])
    assert Schedule().alpha(torch.tensor([500])).item() == pytest.approx(middle.item(), abs=1e-7)


@given(t=st.tuples(levels, levels), seed=st.integers(0, 2**31))
def test_clean_and_noise_come_back_from_noisy_and_v_at_every_level(
    t: tuple[int, int], seed: int
) -> None:
    clean, noise = drawn(seed)
    schedule, at = Schedule(), torch.tensor(t)
    noisy, v = schedule.add_noise(clean, noise, at), schedule.v_from(clean, noise, at)

    torch.testing.assert_close(schedule.clean_from_v(noisy, v, at), clean, rtol=0, atol=1e-12)
    torch.testing.assert_close(schedule.noise_from_v(noisy, v, at), noise, rtol=0, atol=1e-12)


@given(t=st.tuples(levels, levels), seed=st.integers(0, 2**31))
def test_noisy_and_v_come_back_from_clean_and_noise(t: tuple[int, int], seed: int) -> None:
    noisy, v = drawn(seed)
    schedule, at = Schedule(), torch.tensor(t)
    clean, noise = schedule.clean_from_v(noisy, v, at), schedule.noise_from_v(noisy, v, at)

    torch.testing.assert_close(schedule.add_noise(clean, noise, at), noisy, rtol=0, atol=1e-12)
    torch.testing.assert_close(schedule.v_from(clean, noise, at), v, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_dtype_of_the_latents_is_kept_and_at_least_float32_is_worked_in(
    dtype: torch.dtype,
) -> None:
    clean, noise = (x.to(dtype) for x in drawn(5))
    at = torch.tensor([3, 700])

    noisy = Schedule().add_noise(clean, noise, at)

    assert noisy.dtype == dtype
    exact = Schedule().add_noise(clean.double(), noise.double(), at)
    half_step = torch.finfo(dtype).eps
    torch.testing.assert_close(noisy.double(), exact, rtol=half_step, atol=1e-6)


def test_each_window_has_its_own_level() -> None:
    clean, noise = drawn(7)

    noisy = Schedule().add_noise(clean, noise, torch.tensor([0, LENGTH]))

    assert torch.equal(noisy[0], clean[0])
    assert torch.equal(noisy[1], noise[1])


def test_tables_made_in_inference_serve_training() -> None:
    schedule = Schedule(length=777)  # a length that no other test has put in the cache
    with torch.inference_mode():
        schedule.alpha(torch.tensor([1]))
    clean = torch.ones(1, 2, requires_grad=True)

    noisy = schedule.add_noise(clean, torch.zeros(1, 2), torch.tensor([0]))

    assert torch.autograd.grad(noisy.sum(), clean)[0].tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("t", [torch.tensor(3), torch.tensor([3]), torch.tensor([3, 3, 3])])
def test_a_t_that_is_not_one_a_window_is_refused(t: Tensor) -> None:
    clean, noise = drawn(1)

    with pytest.raises(ShapeError, match="one t a window"):
        Schedule().add_noise(clean, noise, t)
