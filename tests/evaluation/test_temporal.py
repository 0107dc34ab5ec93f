"""Measures over time, at the ends of their scales and on frames made to fail."""

import pytest
import torch
from torch import Tensor

from mardini_cli.evaluation import temporal
from mardini_cli.evaluation.protocols import Cut, Protocol
from mardini_cli.evaluation.score import flags

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


FILL = Protocol(name="five", given=(0, 4), cut=Cut(name="five", fit="crop", slots=5))


def flagged(frames: Tensor, true: Tensor) -> list[str]:
    return [name for name, flag in flags(frames[None], true[None], FILL).items() if flag]


def test_true_frames_are_not_broken() -> None:
    assert flagged(moving(2), moving(2)) == []


def test_frozen_frames_are_found_where_the_truth_moves_and_only_there() -> None:
    still = moving(0)

    assert flagged(still, moving(2)) == ["frozen"]
    assert flagged(still, still) == []


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_one_empty_frame_is_found(level: float) -> None:
    frames = moving(2)
    frames[2] = level

    assert "blank" in flagged(frames, moving(2))


@pytest.mark.parametrize("spoil", ["noise", "dark"])
def test_exploding_frames_are_found(spoil: str) -> None:
    frames = moving(2)
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(2)).round()
    frames[3] = 0.5 + 0.5 * (noise - 0.5) if spoil == "noise" else 0.1 * frames[3]

    assert flagged(frames, moving(2)) == ["exploding"]


def test_the_truth_does_not_drift_and_what_fades_or_stops_does() -> None:
    true = torch.stack([picture().roll(2 * i, -1) for i in range(18)])
    faded, stopped = true.clone(), true.clone()
    for slot in range(2, 18):
        faded[slot] = faded[slot].lerp(faded[slot].mean((-2, -1), keepdim=True), slot / 20)
        faded[slot] += (slot - 1) / 255
    stopped[10:] = true[9]

    perfect, soft, still = (
        {name: x.item() for name, x in temporal.drift(f[None], true[None], (0, 1)).items()}
        for f in (true, faded, stopped)
    )

    assert list(perfect) == [
        f"{name}@{last}" for last in (8, 16) for name in ("sharpness", "motion", "colour")
    ]
    for last in (8, 16):
        assert perfect[f"sharpness@{last}"] == pytest.approx(1, abs=0.1)
        assert perfect[f"motion@{last}"] == pytest.approx(1)
        assert perfect[f"colour@{last}"] == 0
    assert soft["sharpness@16"] < soft["sharpness@8"] < 0.9
    assert soft["colour@8"] == pytest.approx(4.5, abs=0.1)
    assert soft["colour@16"] == pytest.approx(12.5, abs=0.1)
    assert still["motion@8"] == pytest.approx(1)
    assert still["motion@16"] == 0
