"""The prior: flow that OpenCV finds, and where it says a made frame's places come from."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mardini_cli.model import prior

numbers = st.floats(-20, 20, width=32)


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """A picture ``3 h w`` in [0, 1] with detail of a few pixels everywhere."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 4 + 2, width // 4 + 2, generator=rng)
    return F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)[0].clamp(
        0, 1
    )


def shifted(height: int, width: int, down: int, right: int) -> tuple[Tensor, Tensor]:
    """Two views ``3 h w`` of one texture: what stands at (y, x) moves on by (down, right)."""
    whole = texture(height + down, width + right)
    return whole[:, down:, right:], whole[:, :height, :width]


def constant(x: float, y: float) -> Tensor:
    """The same flow everywhere, ``1 2 3 4``."""
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(1, 2, 3, 4)


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_a_known_shift_is_found_within_half_a_pixel(preset: prior.Preset) -> None:
    a, b = prior.luma_bytes(torch.stack(shifted(96, 128, down=3, right=5)))

    flow = prior.dis_flow(a, b, preset)

    inside = flow[:, 16:-16, 16:-16]
    assert flow.shape == (2, 96, 128)
    assert float(np.abs(inside[0] - 5).max()) < 0.5
    assert float(np.abs(inside[1] - 3).max()) < 0.5


def test_shrunk_flow_is_the_mean_of_its_cells_in_pixels_of_the_frame() -> None:
    a, b = prior.luma_bytes(torch.stack(shifted(64, 96, down=3, right=5)))
    full = prior.dis_flow(a, b)

    small = prior.dis_flow(a, b, shrink=4)

    expected = full.reshape(2, 16, 4, 24, 4).mean((2, 4))
    np.testing.assert_allclose(small, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (15, 200), (200, 15)])
def test_frames_too_small_to_match_stand_still(shape: tuple[int, int]) -> None:
    a, b = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)

    assert not prior.dis_flow(a, b).any()


def test_luma_is_rounded_and_kept_within_a_byte() -> None:
    colours = torch.tensor(
        [[0, 0, 0], [1, 1, 1], [1, 0, 0], [0.5, 0.5, 0.5], [2, 2, 2], [-1, 0, 0]]
    )

    luma = prior.luma_bytes(colours.view(6, 3, 1, 1))

    assert luma.dtype == np.uint8
    assert luma.flatten().tolist() == [0, 255, 76, 128, 255, 0]


def test_every_neighbouring_pair_is_matched_both_ways() -> None:
    first, second = shifted(48, 64, down=0, right=4)
    frames = torch.stack((first, second, first)).expand(2, 3, 3, 48, 64)

    flow = prior.between_neighbours(frames)

    assert flow.shape == (2, 2, 2, 2, 48, 64)
    along = flow[:, :, :, 0, 12:-12, 12:-12].mean((-2, -1))
    expected = torch.tensor([[4.0, -4], [-4, 4]]).expand(2, 2, 2)
    torch.testing.assert_close(along, expected, rtol=0, atol=0.2)
    assert torch.equal(flow[:, 0, 0], flow[:, 1, 1])  # the same pair, met from the other side


def test_a_shared_pool_gives_the_same_flow() -> None:
    frames = torch.stack(shifted(48, 64, down=2, right=4)).unsqueeze(0)
    with ThreadPoolExecutor(1) as pool:
        shared = prior.between_neighbours(frames, pool)

    assert torch.equal(shared, prior.between_neighbours(frames))


def test_one_given_frame_has_no_neighbour() -> None:
    assert prior.between_neighbours(torch.rand(2, 1, 3, 20, 30)).shape == (2, 0, 2, 2, 20, 30)


@given(x=numbers, y=numbers, tau=st.floats(-3, 4, width=32))
def test_even_motion_is_followed_straight_inside_the_gap_and_beyond(
    x: float, y: float, tau: float
) -> None:
    """With one flow everywhere, the made frame is tau of it from the first frame."""
    flow = constant(x, y)

    first, second = prior.project(flow, -flow, torch.tensor([tau]))

    torch.testing.assert_close(first, -tau * flow, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(second, (1 - tau) * flow, rtol=1e-4, atol=1e-3)


@given(x=numbers, y=numbers, beyond=st.floats(0.125, 4, width=32))
def test_beyond_the_gap_flows_that_disagree_are_not_blown_up(
    x: float, y: float, beyond: float
) -> None:
    """Only the flow that leaves the nearer frame counts, and grows with time, not its square."""
    forward, backward = constant(x, 3), constant(7, y)
    taus = torch.tensor([-beyond, 1 + beyond])

    first, second = prior.project(
        forward.expand(2, -1, -1, -1), backward.expand(2, -1, -1, -1), taus
    )

    torch.testing.assert_close(first[:1], beyond * forward)
    torch.testing.assert_close(second[:1], (1 + beyond) * forward)
    torch.testing.assert_close(first[1:], (1 + beyond) * backward)
    torch.testing.assert_close(second[1:], beyond * backward)
