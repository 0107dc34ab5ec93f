"""Measures over time, at the ends of their scales and on frames made to fail."""

import pytest
import torch
from torch import Tensor

from mardini_cli.evaluation import temporal

WINDOW = (False, True, True, True, False)


def picture() -> Tensor:
    """A smooth picture with a little grain, ``3 64 64``."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 8, 8, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic")[0]
    return (0.9 * smooth + 0.1 * torch.rand(3, 64, 64, generator=rng)).clamp(0, 1)


def test_sharpness_is_the_share_of_contrast_that_is_left() -> None:
    true = picture()
    pale = 0.5 + 0.7 * (true - 0.5)

    value = temporal.sharpness(torch.stack([pale, pale]), true[None]).item()

    assert value == pytest.approx(0.7, abs=1e-4)


def test_flat_pictures_are_as_sharp_as_each_other() -> None:
    flat = torch.full((1, 3, 32, 32), 0.4)

    assert temporal.sharpness(flat, flat).item() == pytest.approx(1.0)


def test_sharpness_of_given_frames_is_one() -> None:
    true = picture()

    assert temporal.sharpness(true[None], true[None]).item() == pytest.approx(1.0)


def test_flicker_reads_only_the_borders_between_given_and_made() -> None:
    true = picture()
    pale = 0.5 + 0.8 * (true - 0.5)
    flat = torch.full_like(true, 0.5)

    pulsing = temporal.flicker(torch.stack([true, pale, flat, pale, true]), WINDOW).item()

    assert pulsing == pytest.approx(0.2, abs=1e-4)
    assert temporal.flicker(true.expand(5, -1, -1, -1), WINDOW).item() == pytest.approx(0.0)


def test_motion_of_frames_that_stand_still_is_zero_and_of_the_truth_one() -> None:
    true = picture()
    moving = torch.stack([true.roll(i, -1) for i in range(5)])
    still = true.expand_as(moving)

    assert temporal.motion(moving, moving, WINDOW).item() == pytest.approx(1.0)
    assert temporal.motion(still, moving, WINDOW).item() == 0.0
    one_sided = (False, True, True, True, True)
    assert temporal.motion(still, moving, one_sided).item() == pytest.approx(0.0, abs=1e-6)


def moving(step: int = 1) -> Tensor:
    """Five frames of a pan, ``5 3 64 64``."""
    return torch.stack([picture().roll(step * i, -1) for i in range(5)])


def test_warp_error_is_small_for_a_pan_and_large_for_frames_that_hang_together_no_more() -> None:
    shaken = moving()
    rng = torch.Generator().manual_seed(1)
    shaken[1:4] += 0.1 * torch.randn(3, 3, 64, 64, generator=rng)

    pan, noise = (temporal.warp_errors(x[None], WINDOW)[0] for x in (moving(), shaken))

    assert pan < 8
    assert noise > 1.4 * pan


def flags(frames: Tensor, true: Tensor) -> list[str]:
    return [name for name, flag in temporal.broken(frames, true, WINDOW).items() if flag]


def test_true_frames_are_not_broken() -> None:
    assert flags(moving(2), moving(2)) == []


def test_frozen_frames_are_found_where_the_truth_moves_and_only_there() -> None:
    still = moving(0)

    assert flags(still, moving(2)) == ["frozen"]
    assert flags(still, still) == []


def test_one_black_frame_is_found() -> None:
    frames = moving(2)
    frames[2] *= 0.1

    assert flags(frames, moving(2)) == ["black"]


@pytest.mark.parametrize("spoil", ["noise", "white"])
def test_exploding_frames_are_found(spoil: str) -> None:
    frames = moving(2)
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(2)).round()
    frames[3] = noise if spoil == "noise" else 1.0

    assert flags(frames, moving(2)) == ["exploding"]
