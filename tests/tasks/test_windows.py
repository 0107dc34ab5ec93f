"""Windows for any set of given frames: what must hold for every one, and small ones whole."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.plan import Plan, Slot
from mardini_cli.tasks.windows import arrange, context_of

masks = st.lists(st.booleans(), min_size=2, max_size=90).filter(lambda mask: not all(mask))


def slots_of(mask: list[bool]) -> tuple[Slot, ...]:
    """True = to be made, as everywhere."""
    return tuple(Slot(n, Fraction(n), None if made else n) for n, made in enumerate(mask))


def plan_of(text: str, size: int, context: int | None = None) -> list[str]:
    """Windows of ``x`` (given) and ``.`` (made), as text."""
    slots = slots_of([sign == "." for sign in text])
    plan = Plan("any", slots, arrange(slots, size, context))
    return [line.partition(": ")[2] for line in plan.to_text().splitlines() if "window " in line]


@given(masks, st.integers(3, 20), st.data())
def test_any_set_of_given_frames_makes_a_plan_that_can_be_walked(
    mask: list[bool], size: int, data: st.DataObject
) -> None:
    """``Plan`` itself checks that each made frame is made once, and after what it sees."""
    context = data.draw(st.integers(1, size - 1))
    slots = slots_of(mask)

    windows = arrange(slots, size, context)

    Plan("any", slots, windows)
    assert all(len(window.slots) <= size for window in windows)


@given(masks, st.integers(3, 20), st.integers(1, 7))
def test_frames_made_first_are_seen_by_the_others(mask: list[bool], size: int, step: int) -> None:
    slots = slots_of(mask)
    coarse = range(0, len(slots), step)

    windows = arrange(slots, size, coarse=coarse)

    Plan("any", slots, windows)
    order = [slot.index for window in windows for slot in window.made]
    first = [index for index in order if index % step == 0]
    assert order[: len(first)] == first


@given(masks, st.integers(3, 20))
def test_windows_between_given_frames_hold_both_neighbours(mask: list[bool], size: int) -> None:
    """So no frame between two given ones is ever made from one side alone."""
    slots = slots_of([False, *mask, False])

    for window in arrange(slots, size):
        for number, slot in enumerate(window.slots):
            if window.makes(slot):
                assert any(not window.makes(other) for other in window.slots[:number])
                assert any(not window.makes(other) for other in window.slots[number + 1 :])


@pytest.mark.parametrize(
    ("text", "size", "context", "windows"),
    [
        ("xxx......", 5, 2, ["1 2 (3) (4) (5)", "[4] [5] (6) (7) (8)"]),
        ("......xxx", 5, 2, ["(3) (4) (5) 6 7", "(0) (1) (2) [3] [4]"]),
        ("x.......", 4, 2, ["0 (1) (2) (3)", "[2] [3] (4) (5)", "[4] [5] (6) (7)"]),
        ("..x..", 5, 2, ["(0) (1) 2 (3) (4)"]),
        ("...x....", 5, 2, ["(1) (2) 3 (4) (5)", "(0) [1] [2]", "[4] [5] (6) (7)"]),
        ("xxxx.xxxx", 9, None, ["2 3 (4) 5 6"]),
        ("xx.x.xx", 9, None, ["0 1 (2) 3 (4) 5 6"]),
        (
            "x.......x",
            5,
            None,
            ["0 (2) (4) (6) 8", "0 (1) [2] (3) [4]", "[4] (5) [6] (7) 8"],
        ),
        ("x..x..x..x", 4, None, ["0 (1) (2) 3", "3 (4) (5) 6", "6 (7) (8) 9"]),
        ("xx", 9, None, []),
    ],
)
def test_small_jobs_are_laid_out_as_a_person_would(
    text: str, size: int, context: int | None, windows: list[str]
) -> None:
    assert plan_of(text, size, context) == windows


@pytest.mark.parametrize(("gap", "windows"), [(16, 3), (32, 5), (64, 25), (128, 49)])
def test_long_gaps_are_divided_level_by_level(gap: int, windows: int) -> None:
    slots = slots_of([False, *[True] * (gap - 1), False])

    found = arrange(slots, 9)

    assert len(found) <= windows
    assert [slot.index for slot in found[0].slots] == list(range(0, gap + 1, gap // 8))


def test_a_rolling_window_keeps_at_most_five_of_seventeen() -> None:
    assert [context_of(size) for size in (3, 9, 13, 17, 32)] == [1, 2, 3, 5, 5]


@pytest.mark.parametrize(
    ("mask", "size", "context", "found"),
    [
        ([True, True], 9, None, "no given frame"),
        ([False, True], 2, None, "window of 2 slots"),
        ([False, True], 9, 9, "context of 9 frames"),
        ([False, True], 9, 0, "context of 0 frames"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(
    mask: list[bool], size: int, context: int | None, found: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        arrange(slots_of(mask), size, context)

    assert caught.value.found == found
