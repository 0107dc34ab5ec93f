"""The model over windows: what may change its frames, and what may not."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from mardini_cli.config import SamplerConfig
from mardini_cli.errors import MadeFrameError
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import Maker, MakeSettings, Picture
from mardini_cli.pipeline.walking import batches
from mardini_cli.tasks.fill import fill
from mardini_cli.tasks.interpolate import interpolate
from mardini_cli.tasks.plan import Window
from tests.pipeline.clips import nano_model, picture

SIZE = (36, 50)
TOLERANCE = 2e-5
"""Sums over a batch are taken in another order; a code value of 8 bits is 4e-3."""

DRAFT = SamplerConfig(steps=0)
PLAN = interpolate([Fraction(n, 25) for n in range(7)], factor=3, size=7)


def given_pictures(windows: tuple[Window, ...]) -> list[list[Picture]]:
    return [
        [(picture(slot.index, SIZE) / 255).astype(np.float32) for slot in window.given]
        for window in windows
    ]


def make(
    windows: tuple[Window, ...] = PLAN.windows,
    sampler: SamplerConfig = DRAFT,
    dtype: torch.dtype = torch.float32,
    resolution: int | None = None,
    model: MarDini | None = None,
) -> dict[int, Picture]:
    settings = MakeSettings(sampler=sampler, dtype=dtype, resolution=resolution)
    maker = Maker(model or nano_model(), settings)
    return {slot.index: made for slot, made in maker(windows, given_pictures(windows))}


@pytest.mark.parametrize("steps", [0, 2])
def test_every_made_slot_comes_out_once_at_the_given_frames_size(steps: int) -> None:
    made = make(sampler=SamplerConfig(steps=steps))

    assert list(made) == [slot.index for slot in PLAN.slots if slot.is_made]
    for frame in made.values():
        assert frame.shape == (*SIZE, 3)
        assert frame.dtype == np.float32
        assert 0 <= frame.min() <= frame.max() <= 1


@pytest.mark.parametrize("steps", [0, 2])
def test_the_batch_changes_no_frame(steps: int) -> None:
    sampler = SamplerConfig(steps=steps, seed=3)

    together = make(sampler=sampler)
    singly = {k: v for window in PLAN.windows for k, v in make((window,), sampler=sampler).items()}

    assert together.keys() == singly.keys()
    for index, frame in together.items():
        assert_allclose(frame, singly[index], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("steps", [0, 2])
def test_windows_that_make_as_many_at_other_places_share_a_batch(steps: int) -> None:
    plan = fill([Fraction(n, 25) for n in range(21)], [8, 10, 13, 17], size=7)
    [windows] = batches(plan.windows, 8)
    assert [window.mask for window in windows] == [
        (False, False, True, False, True, False, False),
        (False, True, False, False, False, True, False),
    ]
    settings = MakeSettings(sampler=SamplerConfig(steps=steps, seed=3))
    given = dict(zip(windows, given_pictures(windows), strict=True))
    for picture_of in (one for row in given.values() for one in row):
        picture_of[:9] = 0.5  # still: taken from each window's own neighbours

    def made(*some: Window) -> dict[int, Picture]:
        maker = Maker(nano_model(), settings)
        return {slot.index: one for slot, one in maker(some, [given[window] for window in some])}

    alone = made(windows[0]) | made(windows[1])
    for together in (made(*windows), made(*windows[::-1])):
        assert together.keys() == alone.keys()
        for index, frame in together.items():
            assert_allclose(frame, alone[index], rtol=0, atol=TOLERANCE)


def test_same_seed_same_frames_and_another_seed_others() -> None:
    first, again, other = (make(sampler=SamplerConfig(steps=2, seed=seed)) for seed in (5, 5, 6))

    for index, frame in first.items():
        assert_array_equal(frame, again[index])
        assert np.abs(frame - other[index]).max() > 100 * TOLERANCE


def test_without_steps_the_seed_means_nothing_and_sampling_changes_the_frame() -> None:
    draft, other_seed, sampled = (
        make(sampler=SamplerConfig(steps=steps, seed=seed))
        for steps, seed in ((0, 1), (0, 2), (2, 1))
    )

    for index, frame in draft.items():
        assert_array_equal(frame, other_seed[index])
        assert np.abs(frame - sampled[index]).max() > 100 * TOLERANCE


def test_guidance_leans_on_the_signal() -> None:
    plain, leaning = (
        make(sampler=SamplerConfig(steps=2, guidance=guidance)) for guidance in (1.0, 4.0)
    )

    assert any(np.abs(plain[index] - leaning[index]).max() > TOLERANCE for index in plain)


def test_bfloat16_gives_nearly_the_frames_of_float32() -> None:
    """With tame weights: what wild ones make of the flow turns on every rounding."""
    model = nano_model(spread=0.01)

    exact, short = (make(model=model, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))

    for index, frame in exact.items():
        assert np.isfinite(short[index]).all()
        assert np.abs(frame - short[index]).mean() < 0.004  # one code value of eight bits


def test_motion_may_be_worked_out_at_a_lower_resolution() -> None:
    own, lower = make(), make(resolution=32)

    assert all(lower[index].shape == frame.shape for index, frame in own.items())
    assert any(np.abs(frame - lower[index]).max() > TOLERANCE for index, frame in own.items())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_no_picture_are_refused_with_window_and_frames(bad: float) -> None:
    model = nano_model()
    with torch.no_grad():
        bias = model.autoencoder.get_parameter("residual.leave.bias")
        bias[0] = bad
    maker = Maker(model, MakeSettings())

    with pytest.raises(MadeFrameError) as caught:
        maker(PLAN.windows[1:], given_pictures(PLAN.windows[1:]))

    assert str(caught.value) == (
        "window 0: NaN or infinity in made frames 7, 8, 10, 11, twice, the second time in float32; "
        "needs pictures like the given ones; try other weights, or --attention sdpa"
    )


def test_an_error_counts_windows_from_the_start_of_the_work() -> None:
    model = nano_model()
    maker = Maker(model, MakeSettings())
    maker(PLAN.windows[:2], given_pictures(PLAN.windows[:2]))
    with torch.no_grad():
        model.autoencoder.get_parameter("residual.leave.bias")[0] = float("nan")

    with pytest.raises(
        MadeFrameError, match=r"^window 2: NaN or infinity in made frames 13, 14, 16, 17, twice"
    ):
        maker(PLAN.windows[2:], given_pictures(PLAN.windows[2:]))


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (33, 17)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_frames_of_any_size_are_made_in_any_dtype(
    size: tuple[int, int], dtype: torch.dtype
) -> None:
    window = PLAN.windows[0]
    rng = np.random.default_rng(1)
    given = [[rng.random((*size, 3), dtype=np.float32) for _ in window.given]]
    settings = MakeSettings(sampler=SamplerConfig(steps=1), dtype=dtype)

    made = Maker(nano_model(), settings)([window], given)

    assert {frame.shape for _, frame in made} == {(*size, 3)}
