import torch
from torch import Tensor

from mardini_cli.pipeline.still import hold_still

MASK = (False, True, True, False, True, False)
TIMES = torch.tensor([[0.0, 1, 2, 3, 4, 5]])


def held(made: Tensor, given: Tensor) -> Tensor:
    result = made.clone()
    hold_still(result, given, MASK, TIMES)
    return result


def frames(count: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand((1, count, 3, 32, 48), generator=rng)


def test_words_over_moving_ground_stay_still_to_the_code() -> None:
    """Lines two pixels wide; everything around them changes."""
    given, made = frames(3, 0), frames(3, 1)
    words = torch.zeros(32, 48, dtype=torch.bool)
    words[10:12, 4:44] = True
    words[6:26, 20:22] = True
    given[..., words] = 0.9

    found = held(made, given)

    assert (found - 0.9)[..., words].abs().max() < 1 / 255
    assert torch.equal(found[..., ~words], made[..., ~words])


def test_where_all_changes_nothing_is_held() -> None:
    given, made = frames(3, 0), frames(3, 1)

    assert torch.equal(held(made, given), made)


def test_a_pixel_that_is_equal_by_chance_is_no_still_one() -> None:
    given, made = frames(3, 0), frames(3, 1)
    given[..., 5, 5] = 0.5

    assert torch.equal(held(made, given), made)


def test_a_gap_is_held_on_its_own() -> None:
    """Nothing moves in the first gap, all of it in the second; and a drift within the tolerance
    goes on evenly."""
    given, made = frames(3, 0), frames(3, 1)
    given[:, 1] = given[:, 0] + 1.5 / 255

    found = held(made, given)

    for number in (1, 2):
        expected = given[:, 0] + 1.5 / 255 * number / 3
        torch.testing.assert_close(found[:, number - 1], expected)
    assert torch.equal(found[:, 2], made[:, 2])


def test_what_lies_outside_the_given_frames_is_left_alone() -> None:
    given, made = frames(1, 0), frames(2, 1)

    result = made.clone()
    hold_still(result, given, (True, False, True), torch.tensor([[0.0, 1, 2]]))

    assert torch.equal(result, made)
