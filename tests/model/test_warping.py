"""Where made frames stand, and given frames as seen from there."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mardini_cli.model.warping import (
    Gap,
    comparable,
    gaps,
    in_slots,
    place_maps,
    project,
    resize,
    share_logit,
    sides,
    slots,
    take,
    twice,
    volume,
    warp,
)


def numbered(count: int, height: int = 4, width: int = 6) -> Tensor:
    """Images ``1 count 1 h w``, each full of its own number."""
    return torch.arange(float(count)).view(1, count, 1, 1, 1).expand(1, count, 1, height, width)


def gap_of(given_times: list[float], made_times: list[float]) -> Gap:
    return gaps(torch.tensor([given_times]), torch.tensor([made_times]))


@given(mask=st.lists(st.booleans(), min_size=1, max_size=12), data=st.data())
def test_slots_rise_and_tell_given_from_made(mask: list[bool], data: st.DataObject) -> None:
    second = data.draw(st.permutations(mask))
    masks = torch.tensor([mask, second])

    given_slots, made_slots = slots(masks, len(mask) - sum(mask))

    for row, window in enumerate((mask, second)):
        assert given_slots[row].tolist() == [i for i, made in enumerate(window) if not made]
        assert made_slots[row].tolist() == [i for i, made in enumerate(window) if made]


@given(
    times=st.lists(st.integers(0, 100), min_size=3, max_size=9, unique=True).map(sorted),
    data=st.data(),
)
def test_a_gap_is_around_its_made_frame_or_the_nearest_two(
    times: list[int], data: st.DataObject
) -> None:
    made = data.draw(st.sets(st.sampled_from(times), min_size=1, max_size=len(times) - 2))
    known = [float(time) for time in times if time not in made]

    gap = gap_of(known, [float(time) for time in sorted(made)])

    for column, time in enumerate(sorted(made)):
        first, second = int(gap.first[0, column]), int(gap.second[0, column])
        start, end, tau = known[first], known[second], float(gap.tau[0, column])
        around = known[0] < time < known[-1]
        assert second == first + 1
        assert start + tau * (end - start) == pytest.approx(time, abs=1e-3)
        assert (0 < tau < 1) == bool(gap.inside[0, column]) == around
        assert not any(start < other < end for other in known)
        assert around or (first == 0 if time < known[0] else second == len(known) - 1)


def test_gaps_before_between_and_after_in_numbers() -> None:
    gap = gap_of([2.0, 4.0, 8.0], [1.0, 3.5, 5.0, 10.0])

    assert gap.first.tolist() == [[0, 0, 1, 1]]
    assert gap.second.tolist() == [[1, 1, 2, 2]]
    assert gap.tau.tolist() == [[-0.5, 0.75, 0.25, 1.5]]
    assert gap.inside.tolist() == [[0, 1, 1, 0]]


def test_a_single_given_frame_is_both_sides_and_neither_is_inside() -> None:
    gap = gap_of([2.0], [1.0, 5.0])

    assert gap.first.tolist() == gap.second.tolist() == [[0, 0]]
    assert gap.tau.tolist() == [[-1, 3]]
    assert gap.inside.tolist() == [[0, 0]]


def test_made_frames_take_the_given_ones_that_they_name() -> None:
    images = torch.cat((numbered(3), 10 + numbered(3)))

    taken = take(images, torch.tensor([[2, 0], [1, 1]]))

    assert taken[:, 0, 0, 0].tolist() == [2, 0, 11, 11]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_warping_fetches_what_the_flow_points_at(mode: str) -> None:
    image = torch.rand(1, 2, 7, 9, generator=torch.Generator().manual_seed(0))
    flow = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 7, 9)

    seen = warp(image, flow, mode)

    torch.testing.assert_close(seen[..., 3:6, 2:5], image[..., 2:5, 4:7], rtol=0, atol=1e-5)


def test_beyond_the_edge_the_edge_is_repeated() -> None:
    image = torch.rand(1, 1, 5, 6, generator=torch.Generator().manual_seed(0))
    flow = torch.tensor([100.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 5, 6)

    torch.testing.assert_close(warp(image, flow), image[..., -1:].expand(-1, -1, -1, 6))


def test_one_pixel_can_be_warped() -> None:
    assert warp(torch.ones(1, 3, 1, 1), torch.ones(1, 2, 1, 1)).tolist() == [[[[1]]] * 3]


def test_sides_are_the_two_given_frames_each_by_its_own_flow() -> None:
    images = torch.rand(1, 3, 2, 6, 8, generator=torch.Generator().manual_seed(0))
    flow = torch.tensor([4.0, 0, 0, -2]).view(1, 4, 1, 1).expand(1, 4, 6, 8)  # cells of 2 pixels

    first, second = sides(images, flow, gap_of([0.0, 1, 2], [1.5]), stride=2)

    torch.testing.assert_close(first[..., :6], images[:, 1, :, :, 2:], rtol=0, atol=1e-5)
    torch.testing.assert_close(second[..., 1:, :], images[:, 2, :, :-1], rtol=0, atol=1e-5)


def test_flow_to_both_given_frames_stands_first_then_second() -> None:
    forward = torch.tensor([8.0, 4.0]).view(1, 1, 2, 1, 1).expand(1, 1, 2, 3, 4)
    flow = torch.stack((forward, -forward), 2)  # b 1 2 2 h w

    both = project(flow, gap_of([0.0, 4.0], [1.0, 2.0]))

    assert both[:, :, 0, 0].tolist() == [[-2, -1, 6, 3], [-4, -2, 4, 2]]


def test_without_a_second_given_frame_nothing_is_known_to_move() -> None:
    assert project(torch.zeros(1, 0, 2, 2, 3, 4), gap_of([0.0], [1.0, 2.0])).tolist() == (
        torch.zeros(2, 4, 3, 4).tolist()
    )


def test_the_first_share_falls_with_time_and_never_vanishes() -> None:
    share = torch.sigmoid(share_logit(gap_of([0.0, 4.0], [-3.0, 1.0, 2.0, 3.0, 40.0])))

    expected = torch.tensor([0.98, 0.75, 0.5, 0.25, 0.02])
    torch.testing.assert_close(share.flatten(), expected)


def test_place_maps_say_where_and_whether_inside_everywhere() -> None:
    maps = place_maps(gap_of([0.0, 4.0], [1.0, 6.0]), (2, 3))

    assert maps.shape == (2, 2, 2, 3)
    assert maps[:, :, 1, 2].tolist() == [[0.25, 1], [1.5, 0]]


def test_tokens_lie_in_their_slots_and_the_rest_is_zero() -> None:
    tokens = torch.tensor([[1.0, 2], [3, 4]]).view(2, 2, 1, 1)

    laid = in_slots(tokens, torch.tensor([[0, 3], [1, 2]]), 4)

    assert laid.flatten(1).tolist() == [[1, 0, 0, 2], [0, 3, 4, 0]]


def test_a_matching_volume_peaks_where_the_other_picture_has_moved_to() -> None:
    """What all places share, far larger than what tells them apart, must not drown it."""
    rng = torch.Generator().manual_seed(0)
    a = 0.01 * torch.randn(1, 32, 9, 11, generator=rng) + 1
    b = a.roll((1, -2), (2, 3))  # what stands at (y, x) in a stands at (y + 1, x - 2) in b

    found = volume(comparable(a), comparable(b), radius=2)

    assert found.shape == (1, 25, 9, 11)
    inside = found[:, :, 3:-3, 3:-3]
    assert bool((inside.argmax(1) == (1 + 2) * 5 + (-2 + 2)).all())
    torch.testing.assert_close(inside.amax(1), torch.full_like(inside[:, 0], 32**0.5))
    assert 0.5 < float(found[:, 0, 3:-3, 3:-3].std()) < 1.5  # unrelated places


def test_keys_of_a_flat_picture_are_silent() -> None:
    flat = comparable(torch.full((1, 32, 4, 5), 0.7))

    torch.testing.assert_close(flat, torch.zeros_like(flat), atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resizing_keeps_the_dtype_and_flat_pictures_flat(dtype: torch.dtype) -> None:
    flat = torch.full((1, 3, 12, 16), 0.25, dtype=dtype)

    for size in ((5, 7), (12, 16), (24, 33)):
        resized = resize(flat, size)
        assert resized.dtype == dtype
        torch.testing.assert_close(resized, torch.full((1, 3, *size), 0.25, dtype=dtype))


@pytest.mark.parametrize("size", [(5, 7), (24, 33)])
def test_no_picture_is_not_given_to_a_kernel(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one frame is given there is no flow; CUDA's kernels fail on an empty batch."""
    monkeypatch.setattr(torch.nn.functional, "interpolate", None)

    assert resize(torch.zeros(0, 1, 12, 16), size).shape == (0, 1, *size)


def test_shrinking_is_antialiased() -> None:
    """Every fourth column is bright: reading between two dark ones would lose it."""
    stripes = torch.tensor([0.0, 0, 0, 1]).repeat(16).expand(1, 1, 8, 64)

    small = resize(stripes, (2, 16))[..., 1:-1]

    torch.testing.assert_close(small, torch.full_like(small, 0.25), rtol=0, atol=0.06)


def test_enlarging_a_slope_keeps_its_place() -> None:
    """Cells are areas: the centre of a coarse cell lies between two fine ones."""
    slope = torch.arange(4.0).expand(1, 1, 2, 4)

    assert twice(slope)[0, 0, 0, 1:-1].tolist() == [0.25, 0.75, 1.25, 1.75, 2.25, 2.75]
