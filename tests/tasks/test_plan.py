"""Slots and windows by themselves."""

import subprocess
import sys
from fractions import Fraction

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
