"""Plans of interpolation: properties for any times, factor and window; small plans whole."""

from bisect import bisect_left, insort
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli.errors import ConfigError, DamagedMediaError, FactorError, TooFewFramesError
from mardini_cli.tasks.interpolate import interpolate
from mardini_cli.tasks.plan import Plan

Job = tuple[tuple[Fraction, ...], int, int, Plan]

gaps = st.fractions(min_value=Fraction(1, 90_000), max_value=10, max_denominator=90_000)
starts = st.fractions(min_value=-5, max_value=100, max_denominator=48_000)


@st.composite
def uneven_times(draw: st.DrawFn) -> tuple[Fraction, ...]:
    """Two to forty growing times with any gaps, as a clip of variable frame rate has them."""
    times = [draw(starts)]
    for gap in draw(st.lists(gaps, min_size=1, max_size=39)):
        times.append(times[-1] + gap)
    return tuple(times)


@st.composite
def plans(draw: st.DrawFn) -> Job:
    """Times, factor, window size, and the plan for them."""
    times = draw(uneven_times())
    factor, size = draw(st.integers(2, 64)), draw(st.integers(3, 20))
    return times, factor, size, interpolate(times, factor, size)


@given(plans())
def test_n_frames_become_n_less_one_times_the_factor_and_one(job: Job) -> None:
    times, factor, _, plan = job

    assert len(plan.times) == (len(times) - 1) * factor + 1
    assert (plan.given_count, plan.made_count) == (len(times), (len(times) - 1) * (factor - 1))


@given(plans())
def test_every_given_frame_keeps_its_exact_time_and_order(job: Job) -> None:
    times, _, _, plan = job

    kept = [(slot.given, slot.time) for slot in plan.slots if slot.given is not None]

    assert kept == list(enumerate(times))


@given(plans())
def test_made_frames_divide_each_gap_exactly_and_evenly(job: Job) -> None:
    times, factor, _, plan = job

    steps = [right - left for left, right in pairwise(plan.times)]

    assert [s.index for s in plan.slots] == list(range(len(plan.slots)))
    assert steps == [
        (right - left) / factor for left, right in pairwise(times) for _ in range(factor)
    ]


@given(plans())
def test_every_made_frame_is_made_in_exactly_one_window(job: Job) -> None:
    """In time order, but for gaps that are made level by level: these are in order as wholes."""
    _, factor, size, plan = job

    made = [slot.index for window in plan.windows for slot in window.made]

    assert sorted(made) == [slot.index for slot in plan.slots if slot.is_made]
    if factor < size:
        assert made == sorted(made)
    else:
        assert [index // factor for index in made] == sorted(index // factor for index in made)


@given(plans())
def test_every_window_holds_the_nearest_frames_that_are_there_before_it(job: Job) -> None:
    plan = job[-1]
    there = sorted(slot.index for slot in plan.slots if not slot.is_made)

    for window in plan.windows:
        beside = {slot.index for slot in window.given}
        for slot in window.made:
            right = bisect_left(there, slot.index)
            assert {there[right - 1], there[right]} <= beside
        for slot in window.made:
            insort(there, slot.index)


@given(plans())
def test_windows_hold_at_most_the_slots_that_the_model_sees_and_grow_in_time(job: Job) -> None:
    _, _, size, plan = job

    for window in plan.windows:
        indices = [slot.index for slot in window.slots]
        assert len(window.slots) <= size
        assert indices == sorted(set(indices))
        assert window.made
        assert len(window.given) >= 2


@given(plans())
def test_windows_are_as_few_as_the_size_allows(job: Job) -> None:
    times, factor, size, plan = job
    gap_count = len(times) - 1

    whole = (size - 1) // factor

    if whole:
        assert len(plan.windows) == -(-gap_count // whole)
    else:  # each made frame takes a slot, each window two ends at least
        assert len(plan.windows) >= gap_count * -(-(factor - 1) // (size - 2))
        assert len(plan.windows) <= gap_count * (factor - 1)


@given(plans())
def test_positions_start_at_zero_have_mean_step_one_and_keep_the_proportions_of_time(
    job: Job,
) -> None:
    for window in job[-1].windows:
        positions = window.positions()
        span = window.slots[-1].time - window.slots[0].time

        assert positions[0] == 0.0
        assert positions[-1] == float(len(positions) - 1)
        for slot, position in zip(window.slots, positions, strict=True):
            share = (slot.time - window.slots[0].time) / span
            assert position == float(share * (len(positions) - 1))


@given(plans())
def test_the_digest_depends_on_the_plan_alone(job: Job) -> None:
    times, factor, size, plan = job

    assert interpolate(list(times), factor, size).digest() == plan.digest()
    assert interpolate([t + 1 for t in times], factor, size).digest() != plan.digest()


def test_small_plan_in_whole_gaps_as_text() -> None:
    times = [Fraction(n * 1001, 24_000) for n in range(4)]

    plan = interpolate(times, factor=2, size=5)

    assert plan.to_text() == (
        "interpolate: 4 given, 3 made, windows: 2\n"
        "frame 0 at 0: given 0\n"
        "frame 1 at 1001/48000: made\n"
        "frame 2 at 1001/24000: given 1\n"
        "frame 3 at 1001/16000: made\n"
        "frame 4 at 1001/12000: given 2\n"
        "frame 5 at 1001/9600: made\n"
        "frame 6 at 1001/8000: given 3\n"
        "window 0: 0 (1) 2 (3) 4\n"
        "window 1: 4 (5) 6\n"
    )


def test_small_plan_with_divided_gaps_and_uneven_times_as_text() -> None:
    times = [Fraction(1, 2), Fraction(1), Fraction(3)]

    plan = interpolate(times, factor=5, size=5)

    assert plan.to_text() == (
        "interpolate: 3 given, 8 made, windows: 4\n"
        "frame 0 at 1/2: given 0\n"
        "frame 1 at 3/5: made\n"
        "frame 2 at 7/10: made\n"
        "frame 3 at 4/5: made\n"
        "frame 4 at 9/10: made\n"
        "frame 5 at 1: given 1\n"
        "frame 6 at 7/5: made\n"
        "frame 7 at 9/5: made\n"
        "frame 8 at 11/5: made\n"
        "frame 9 at 13/5: made\n"
        "frame 10 at 3: given 2\n"
        "window 0: 0 (1) (3) 5\n"
        "window 1: [1] (2) [3] (4) 5\n"
        "window 2: 5 (6) (8) 10\n"
        "window 3: [6] (7) [8] (9) 10\n"
    )


def test_the_digest_is_the_same_in_every_version_of_the_program() -> None:
    plan = interpolate([Fraction(0), Fraction(1, 24), Fraction(1, 12)], factor=4, size=9)

    assert plan.digest() == "a29a95acd9568e8210c2998a2e526306e49c1185b3512da5930fe69724bd8695"


@pytest.mark.parametrize(
    ("factor", "gap_windows"),
    [(2, [4, 1]), (3, [2, 2, 1]), (4, [2, 2, 1]), (5, [1] * 5), (8, [1] * 5)],
)
def test_a_window_of_nine_holds_as_many_whole_gaps_as_fit(
    factor: int, gap_windows: list[int]
) -> None:
    plan = interpolate([Fraction(n) for n in range(6)], factor, size=9)

    assert [len(window.given) - 1 for window in plan.windows] == gap_windows


@pytest.mark.parametrize(
    ("factor", "made_windows"),
    [(9, [4, 4]), (16, [7, 4, 4]), (32, [7, 6, 6, 6, 6]), (64, [7] * 9)],
)
def test_a_gap_too_large_for_a_window_is_divided_level_by_level(
    factor: int, made_windows: list[int]
) -> None:
    plan = interpolate([Fraction(0), Fraction(1)], factor, size=9)

    assert [len(window.made) for window in plan.windows] == made_windows
    assert not plan.windows[0].earlier
    assert all(window.earlier for window in plan.windows[1:])


@pytest.mark.parametrize("factor", [-1, 0, 1, 65])
def test_a_factor_out_of_range_is_wrong_usage(factor: int) -> None:
    with pytest.raises(FactorError) as caught:
        interpolate([Fraction(0), Fraction(1)], factor, size=9)

    assert caught.value.exit_code == 2
    assert str(caught.value) == (
        f"factor {factor}; needs 2 to 64; try --factor 2 for twice as many frames"
    )


@pytest.mark.parametrize(("times", "count"), [([], "0 frames"), ([Fraction(3)], "1 frame")])
def test_fewer_than_two_frames_have_nothing_between_them(times: list[Fraction], count: str) -> None:
    with pytest.raises(TooFewFramesError) as caught:
        interpolate(times, factor=2, size=9)

    assert str(caught.value) == (
        f"{count}; needs at least 2; give a clip with something to make frames between"
    )


@pytest.mark.parametrize("second", [Fraction(1, 4), Fraction(1, 8)])
def test_a_gap_of_no_or_negative_length_is_refused(second: Fraction) -> None:
    with pytest.raises(DamagedMediaError) as caught:
        interpolate([Fraction(0), Fraction(1, 4), second, Fraction(1)], factor=2, size=9)

    assert str(caught.value) == (
        f"frame 2 is shown at {float(second)} s, frame 1 before it at 0.25 s; "
        "needs times that grow; "
        "write the clip anew with even times: ffmpeg -i IN -fps_mode cfr OUT"
    )


def test_a_window_without_room_for_a_made_frame_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        interpolate([Fraction(0), Fraction(1)], factor=2, size=2)

    assert str(caught.value) == (
        "window of 2 slots; needs at least 3 to interpolate; use a model with a larger window"
    )
