from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.interpolate import interpolate
from mardini_cli.tasks.plan import Plan
from mardini_cli.tasks.shots import Shots

SIZE = 9


def plan(count: int, factor: int, shots: Shots, size: int = SIZE) -> Plan:
    return interpolate([Fraction(n, 25) for n in range(count)], factor, size, shots)


def drawn(job: Plan) -> str:
    """One sign a frame: the number of the given frame that stands there, or a dot."""
    return "".join("." if slot.given is None else str(slot.given) for slot in job.slots)


def test_no_window_lies_over_a_cut_and_what_is_before_it_is_predicted() -> None:
    job = plan(6, 2, Shots(cuts=frozenset({3}), at_cuts="predict"))

    assert drawn(job) == "0.1.2.3.4.5"
    assert job.to_text().splitlines()[-3:] == [
        "window 0: 0 (1) 2 (3) 4",
        "window 1: 2 4 (5)",
        "window 2: 6 (7) 8 (9) 10",
    ]


def test_the_last_frame_of_a_shot_is_held_up_to_the_cut() -> None:
    job = plan(6, 4, Shots(cuts=frozenset({3}), at_cuts="hold"))

    assert drawn(job) == "0...1...22223...4...5"


def test_a_shot_of_one_frame_is_held_in_any_case() -> None:
    job = plan(4, 2, Shots(cuts=frozenset({1, 2}), at_cuts="predict"))

    assert drawn(job) == "00112.3"


def test_between_a_frame_and_its_repetition_nothing_is_made() -> None:
    job = plan(6, 3, Shots(held=frozenset({2, 3})))

    assert drawn(job) == "0..1112223..4..5"


def test_a_clip_that_stands_still_needs_no_window() -> None:
    job = plan(4, 2, Shots(held=frozenset({1, 2, 3})))

    assert drawn(job) == "0011223"
    assert job.windows == ()


def test_smoothed_frames_are_made_anew_at_their_own_times() -> None:
    shots = Shots(held=frozenset({1, 3}), smoothed=frozenset({1, 3}))
    job = plan(5, 2, shots)

    assert drawn(job) == "0...2...4"
    assert job.times == tuple(Fraction(n, 50) for n in range(9))


def test_without_cuts_and_repetitions_the_plan_is_the_plain_one() -> None:
    assert plan(7, 4, Shots()) == interpolate([Fraction(n, 25) for n in range(7)], 4, SIZE)


def test_an_unknown_way_at_cuts_is_refused() -> None:
    with pytest.raises(ConfigError, match="predict, hold"):
        Shots(at_cuts="blend")


numbers = st.sets(st.integers(1, 19)).map(frozenset)


@given(
    cuts=numbers,
    held=numbers,
    smoothed=numbers,
    at_cuts=st.sampled_from(["predict", "hold"]),
    factor=st.integers(2, 20),
    size=st.integers(3, 9),
)
def test_every_plan_stays_within_its_shots(
    cuts: frozenset[int],
    held: frozenset[int],
    smoothed: frozenset[int],
    at_cuts: str,
    factor: int,
    size: int,
) -> None:
    """Times and count as without cuts; given frames of a window from the shot of what it makes."""
    held -= cuts
    shots = Shots(cuts=cuts, held=held, smoothed=(smoothed & held), at_cuts=at_cuts)
    job = plan(20, factor, shots, size)
    borders = [0, *sorted(cuts), 20]

    assert job.times == plan(20, factor, Shots()).times
    made = [slot.time for window in job.windows for slot in window.made]
    assert len(made) == len(set(made)) == job.made_count
    for window in job.windows:
        seen = [slot.given for slot in window.given if slot.given is not None]
        for left, right in pairwise(borders):
            if any(left <= number < right for number in seen):
                assert all(left <= number < right for number in seen)
                assert all(Fraction(left, 25) <= s.time < Fraction(right, 25) for s in window.made)
    for slot in job.slots:
        if slot.index % factor == 0 and slot.index // factor not in shots.smoothed:
            assert slot.given == slot.index // factor
