"""Baselines: each by what it must do, on a camera pan whose true frames are known."""

import pytest
import torch
from torch import Tensor

from mardini_cli.evaluation.baselines import BASELINES, motion_between
from mardini_cli.evaluation.metrics import psnr
from mardini_cli.evaluation.protocols import CROP, PROTOCOLS, Protocol
from mardini_cli.evaluation.request import BASELINE_NAMES

CROPPED = {name: p for name, p in PROTOCOLS.items() if p.cut == CROP}
X8, X4, EXTEND = PROTOCOLS["x8"], PROTOCOLS["x4"], PROTOCOLS["extend"]


@pytest.fixture
def pan(texture: Tensor) -> Tensor:
    """Nine frames, 1 pixel to the right and half a pixel down each; ``9 3 128 128``."""
    fine = torch.nn.functional.interpolate(texture[None], scale_factor=2, mode="bicubic")[0]
    frames = [
        fine[:, 40 + slot : 296 + slot : 2, 2 * slot : 256 + 2 * slot : 2] for slot in range(9)
    ]
    return torch.stack(frames).clamp(0, 1)


def quality(name: str, pan: Tensor, protocol: Protocol) -> float:
    """Mean PSNR of a baseline inside a border of 16 pixels, where the pan brings nothing new."""
    made = BASELINES[name].make(pan[list(protocol.given)], protocol)
    inside = (..., slice(16, -16), slice(16, -16))
    return psnr(made[inside], pan[list(protocol.made)][inside]).mean().item()


def test_the_table_of_baselines_is_the_one_that_the_command_line_names() -> None:
    assert tuple(BASELINES) == BASELINE_NAMES
    assert all(name == baseline.name for name, baseline in BASELINES.items())


def test_each_protocol_takes_the_baselines_whose_frames_it_gives() -> None:
    two_sided = ["repeat", "blend", "minterpolate", "dis", "dis-blend"]
    expected = {
        "x8": two_sided,
        "x4": two_sided,
        "x2": two_sided,
        "fill": two_sided,
        "extend": ["repeat", "constant-velocity"],
        "animate": ["repeat"],
    }

    found = {
        name: [b.name for b in BASELINES.values() if b.applies(protocol)]
        for name, protocol in CROPPED.items()
    }

    assert found == expected


SERVED = [(b.name, p) for b in BASELINES.values() for p in CROPPED.values() if b.applies(p)]


@pytest.mark.parametrize(("name", "protocol"), SERVED, ids=[f"{n}-{p.name}" for n, p in SERVED])
def test_made_frames_are_pictures_and_as_many_as_asked(
    name: str, protocol: Protocol, pan: Tensor
) -> None:
    made = BASELINES[name].make(pan[list(protocol.given)], protocol)

    assert made.shape == (len(protocol.made), 3, 128, 128)
    assert made.dtype == torch.float32
    assert bool(made.isfinite().all())
    assert -1e-5 <= made.min().item() <= made.max().item() <= 1 + 1e-5


def test_repeat_holds_the_nearer_frame_and_the_earlier_in_the_middle(pan: Tensor) -> None:
    made = BASELINES["repeat"].make(pan[[0, 4, 8]], X4)

    assert torch.equal(made, pan[[0, 0, 4, 4, 4, 8]])


def test_repeat_holds_the_last_frame_where_the_end_is_free(pan: Tensor) -> None:
    made = BASELINES["repeat"].make(pan[[0, 1]], EXTEND)

    assert torch.equal(made, pan[[1] * 7])


def test_blend_weighs_both_sides_by_time(pan: Tensor) -> None:
    made = BASELINES["blend"].make(pan[[0, 4, 8]], X4)

    torch.testing.assert_close(made[0], 0.75 * pan[0] + 0.25 * pan[4])
    torch.testing.assert_close(made[4], 0.5 * pan[4] + 0.5 * pan[8])


def test_dis_follows_a_pan_that_blend_only_doubles(pan: Tensor) -> None:
    assert quality("dis", pan, X8) > quality("blend", pan, X8) + 8


def test_the_mean_of_dis_and_blend_is_that(pan: Tensor) -> None:
    dis, blend, both = (BASELINES[n].make(pan[[0, 8]], X8) for n in ("dis", "blend", "dis-blend"))

    torch.testing.assert_close(both, (dis + blend) / 2)


def test_constant_velocity_carries_a_pan_on(pan: Tensor) -> None:
    drifting = quality("constant-velocity", pan, EXTEND)

    assert drifting > quality("repeat", pan, EXTEND) + 8


def test_constant_velocity_runs_backwards_as_well(pan: Tensor) -> None:
    backwards = Protocol(name="before", given=(7, 8))

    assert quality("constant-velocity", pan, backwards) > quality("repeat", pan, backwards) + 8


@pytest.mark.parametrize("protocol", [X8, X4], ids=["x8", "x4"])
def test_ffmpeg_follows_a_pan_at_the_right_times(protocol: Protocol, pan: Tensor) -> None:
    assert quality("minterpolate", pan, protocol) > quality("blend", pan, protocol) + 5


def test_motion_is_the_length_of_the_shift_in_pixels(pan: Tensor) -> None:
    assert motion_between(pan[0], pan[8]) == pytest.approx((8**2 + 4**2) ** 0.5, rel=0.1)
    assert motion_between(pan[0], pan[0]) == pytest.approx(0, abs=0.05)
