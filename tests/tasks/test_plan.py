"""Slots and windows by themselves."""

import subprocess
import sys
from fractions import Fraction

import pytest

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.plan import Plan, Slot, Window


def test_a_window_tells_given_from_made() -> None:
    left, between, right = (
        Slot(4, Fraction(1), 2),
        Slot(5, Fraction(2), None),
        Slot(6, Fraction(3), 3),
    )

    window = Window((left, between, right))

    assert window.given == (left, right)
    assert window.made == (between,)
    assert window.mask == (False, True, False)


def test_even_slots_stand_at_whole_positions() -> None:
    window = Window(tuple(Slot(n, Fraction(n * 1001, 60_000), None) for n in range(9)))

    assert window.positions() == tuple(float(n) for n in range(9))


def test_uneven_slots_stand_where_their_times_are() -> None:
    times = (Fraction(0), Fraction(1, 10), Fraction(4, 10))

    window = Window(tuple(Slot(n, time, None) for n, time in enumerate(times)))

    assert window.positions() == (0.0, 0.5, 2.0)


def test_a_window_of_one_slot_stands_at_zero() -> None:
    assert Window((Slot(0, Fraction(7), 0),)).positions() == (0.0,)


def test_a_plan_may_hold_given_frames_that_no_window_needs() -> None:
    slots = (Slot(0, Fraction(0), 0), Slot(1, Fraction(1), 1))

    plan = Plan(task="fill", slots=slots, windows=())

    assert plan.to_text() == (
        "fill: 2 given, 0 made, windows: 0\nframe 0 at 0: given 0\nframe 1 at 1: given 1\n"
    )


def slot(index: int, given: int | None = None, *, shown: bool = True) -> Slot:
    return Slot(index, Fraction(index), given, shown)


def test_a_made_frame_of_an_earlier_window_stands_as_given() -> None:
    slots = (slot(0, 0), slot(1), slot(2))

    window = Window(slots[1:], earlier=frozenset({1}))

    assert window.mask == (False, True)
    assert (window.given, window.made) == ((slots[1],), (slots[2],))


def test_text_tells_context_and_what_was_made_earlier() -> None:
    slots = (slot(0, 4, shown=False), slot(1, 5), slot(2), slot(3))
    windows = (Window(slots[:3]), Window(slots[1:], earlier=frozenset({2})))

    plan = Plan(task="extend", slots=slots, windows=windows)

    assert plan.to_text() == (
        "extend: 1 given, 2 made, windows: 2\n"
        "frame 0 at 0: given 4, not shown\n"
        "frame 1 at 1: given 5\n"
        "frame 2 at 2: made\n"
        "frame 3 at 3: made\n"
        "window 0: 0 1 (2)\n"
        "window 1: 1 [2] (3)\n"
    )
    assert plan.times == (Fraction(1), Fraction(2), Fraction(3))


@pytest.mark.parametrize(
    ("slots", "windows", "found"),
    [
        ((slot(0, 0), slot(1)), (), "made frame 1 stands in no window"),
        (
            (slot(0, 0), slot(1)),
            (Window((slot(0, 0), slot(1))),) * 2,
            "in window 1, frame 1 is made again",
        ),
        (
            (slot(0, 0), slot(1), slot(2)),
            (Window((slot(0, 0), slot(1), slot(2)), earlier=frozenset({1})),),
            "in window 0, frame 1 is not made yet",
        ),
        ((slot(0, 0), slot(1)), (Window((slot(1),)),), "window 0 has no given frame"),
        ((slot(0, 0), slot(1, 1)), (Window((slot(0, 0),)),), "window 0 has no made frame"),
        (
            (slot(0, 0), slot(1)),
            (Window((slot(0, 0), slot(1), slot(2))),),
            "window 0 holds frame 2, which the plan does not",
        ),
        ((slot(1, 0), slot(0, 1)), (), "in the plan, frame 0 does not come after 1"),
    ],
)
def test_a_plan_that_cannot_be_walked_is_refused(
    slots: tuple[Slot, ...], windows: tuple[Window, ...], found: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Plan(task="fill", slots=slots, windows=windows)

    assert caught.value.found == found


def test_a_part_keeps_indices_and_takes_the_windows_that_it_needs() -> None:
    """Frame 5 is made from 3 and 4, which are made from 1 and 2; nothing else is needed."""
    slots = (slot(0, 0), slot(1, 1), slot(2), slot(3), slot(4), slot(5), slot(6, 2), slot(7))
    windows = (
        Window(slots[:3]),
        Window(slots[1:5], earlier=frozenset({2})),
        Window(slots[3:6], earlier=frozenset({3, 4})),
        Window(slots[6:]),
    )
    plan = Plan(task="extend", slots=slots, windows=windows)

    part = plan.part(Fraction(5), Fraction(6))

    assert [s.index for s in part.slots if s.shown] == [5, 6]
    assert [s.index for s in part.slots if not s.shown] == [0, 1, 2, 3, 4]
    assert [[s.index for s in window.made] for window in part.windows] == [[2], [3, 4], [5]]
    assert [window.earlier for window in part.windows] == [w.earlier for w in windows[:3]]


def test_a_part_that_shows_all_is_the_plan() -> None:
    slots = (slot(0, 0), slot(1), slot(2, 1))
    plan = Plan(task="fill", slots=slots, windows=(Window(slots),))

    assert plan.part(Fraction(0), Fraction(2)) == plan


def test_plans_are_made_without_pixels_or_networks() -> None:
    """The rooms of tasks load no library that could open a file or run a model."""
    asks = (
        "import sys, mardini_cli.tasks.interpolate;"
        "print(sorted({'torch', 'av', 'numpy', 'cv2'} & set(sys.modules)))"
    )

    answer = subprocess.run(
        [sys.executable, "-c", asks], capture_output=True, text=True, check=True
    )

    assert answer.stdout == "[]\n"
