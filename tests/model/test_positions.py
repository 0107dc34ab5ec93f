"""Rotary places: whole-frame coordinates, real time, and the paper's counted ones."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mardini_cli.errors import ConfigError
from mardini_cli.model.positions import (
    FRAME_SPAN,
    Grid,
    Rotary,
    frame_rotary,
    window_rotary,
)

CPU = torch.device("cpu")
sides = st.integers(1, 4096)


def angles(rotary: Rotary) -> Tensor:
    """``* n p`` angles in (-pi, pi]."""
    return torch.atan2(rotary.sin, rotary.cos)[..., 0, :]


def scores(rotary: Rotary, seed: int = 0) -> Tensor:
    """Products of one query with one key, both at every place of the first frame: ``n n``."""
    channels = 2 * rotary.cos.shape[-1]
    rng = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, 1, 1, channels, generator=rng)
    first = Rotary(rotary.cos[0], rotary.signed[0])
    return first.rotate(query)[:, 0] @ first.rotate(key)[:, 0].T


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pair_of_channels_turns_as_a_complex_number_does(dtype: torch.dtype) -> None:
    times = torch.tensor([[0.0, 1.5, 7.0]])
    rotary = window_rotary("real", 24, Grid.of_frame(2, 3, (9, 16)), times)
    x = torch.randn(3, 6, 2, 24, generator=torch.Generator().manual_seed(0)).to(dtype)
    first, second = x.double().chunk(2, -1)
    turn = torch.polar(torch.ones(()).double(), angles(rotary).double().unsqueeze(-2))

    turned = torch.complex(first, second) * turn

    expected = torch.cat((turned.real, turned.imag), -1).float()
    torch.testing.assert_close(rotary.rotate(x), expected, rtol=1e-5, atol=1e-5)


@given(high=sides, wide=sides)
def test_a_whole_frame_has_area_one_and_its_own_shape(high: int, wide: int) -> None:
    grid = Grid.of_frame(3, 5, (high, wide))

    assert grid.height * grid.width == pytest.approx(1)
    assert grid.width / grid.height == pytest.approx(wide / high)
    assert grid.tokens == 15


def test_tokens_of_a_crop_stand_where_they_stand_in_the_whole_frame() -> None:
    whole = Grid.of_frame(8, 8, (64, 64))
    crop = Grid(4, 4, top=0.25, left=0.5, height=0.5, width=0.5)

    in_whole = frame_rotary(32, whole, CPU).cos.reshape(8, 8, 1, -1)[2:6, 4:8]
    in_crop = frame_rotary(32, crop, CPU).cos.reshape(4, 4, 1, -1)

    torch.testing.assert_close(in_crop, in_whole, rtol=0, atol=1e-5)


def test_a_place_has_one_angle_at_every_resolution() -> None:
    """The centre of a frame is the middle token of any odd grid."""
    one, five = (angles(frame_rotary(24, Grid.of_frame(n, n, (9, 16)), CPU)) for n in (1, 5))

    torch.testing.assert_close(one[0], five[12], rtol=0, atol=1e-5)


def test_the_fastest_row_pair_turns_once_a_unit_and_a_frame_spans_its_units() -> None:
    rows = 1024
    turned = angles(frame_rotary(12, Grid(rows, 1), CPU))[:, 2]  # 2 time pairs, then row, column

    steps = torch.remainder(turned.diff(), 2 * math.pi)
    assert steps.sum().item() == pytest.approx(FRAME_SPAN * (rows - 1) / rows, rel=1e-3)


@given(shift=st.floats(-20, 20), seed=st.integers(0, 2**31))
def test_scores_see_time_differences_alone(shift: float, seed: int) -> None:
    times = torch.tensor([[0.0, 0.7, 1.9]])
    grid = Grid.of_frame(1, 1, (8, 8))
    first, second = (window_rotary("real", 32, grid, at) for at in (times, times + shift))

    def products(rotary: Rotary) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        query, key = torch.randn(2, 1, 1, 32, generator=rng)
        return rotary.rotate(query)[:, 0, 0] @ rotary.rotate(key)[:, 0, 0].T

    torch.testing.assert_close(products(first), products(second), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["real", "counted"])
def test_rotation_keeps_lengths_and_works_in_float32(kind: str) -> None:
    rotary = window_rotary(
        "real" if kind == "real" else "counted", 16, Grid(2, 3), torch.arange(4.0)[None]
    )
    tokens = rotary.cos.shape[1]
    x = torch.randn(4, tokens, 2, 16, generator=torch.Generator().manual_seed(1)).bfloat16()

    turned = rotary.rotate(x)

    assert turned.dtype == torch.float32
    torch.testing.assert_close(turned.norm(dim=-1), x.float().norm(dim=-1), rtol=1e-5, atol=1e-5)


def test_uneven_times_are_taken_as_they_are() -> None:
    grid = Grid(1, 1)

    uneven = window_rotary("real", 16, grid, torch.tensor([[0.0, 0.5, 3.0]]))
    even = window_rotary("real", 16, grid, torch.tensor([[0.0, 3.0, 0.5]]))

    assert torch.equal(uneven.cos[[0, 2, 1]], even.cos)
    assert not torch.equal(uneven.cos, even.cos)


def test_counted_positions_count_slots_and_a_next_token_a_row() -> None:
    grid = Grid.of_frame(3, 4, (30, 40))

    counted = window_rotary("counted", 16, grid, torch.tensor([[0.0, 9.0], [5.0, 5.5]]))
    place, frame = angles(counted).chunk(2, dim=-1)

    assert counted.cos.shape == (4, 3 * 5, 1, 8)
    torch.testing.assert_close(place[0, :4, 0], torch.tensor([0.0, 1.0, 2.0, 3.0]))
    assert torch.equal(place, place[:1].expand_as(place))
    assert frame[:, 0, 0].tolist() == pytest.approx([0, 1, 0, 1])


def test_next_tokens_stand_at_the_right_end_of_their_rows() -> None:
    grid, wider = Grid(2, 3, width=0.75), Grid(2, 4, width=1.0)

    with_ends = frame_rotary(24, grid, CPU, ends=True)

    torch.testing.assert_close(with_ends.cos, frame_rotary(24, wider, CPU).cos)


def test_different_places_score_differently() -> None:
    rotary = window_rotary("real", 32, Grid(4, 4), torch.zeros(1, 1))

    table = scores(rotary)

    assert len(set(table[0].round(decimals=4).tolist())) > 12


def test_heads_too_narrow_for_three_axes_are_refused() -> None:
    with pytest.raises(ConfigError, match="4 channels a head"):
        window_rotary("real", 4, Grid(1, 1), torch.zeros(1, 1))
