"""Constant rates and paces: exact grids, originals where times coincide, nothing outside."""

from fractions import Fraction
from itertools import pairwise
from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mardini_cli.errors import ConfigError, TooFewFramesError
from mardini_cli.tasks.grid import at_rate, rate_of
from mardini_cli.tasks.interpolate import interpolate
from mardini_cli.tasks.pace import Pace, ramp, slow_motion
from mardini_cli.tasks.shots import Shots

gaps = st.lists(st.fractions(Fraction(1, 200), Fraction(1, 3), max_denominator=9000), min_size=1)
rates = st.sampled_from(
    [
        Fraction(60),
        Fraction(60_000, 1001),
        Fraction(24),
        Fraction(10),
        Fraction(240),
        Fraction(7, 3),
    ]
)


def times_of(start: Fraction, gaps: list[Fraction]) -> list[Fraction]:
    times = [start]
    for gap in gaps:
        times.append(times[-1] + gap)
    return times


@settings(max_examples=60)
@given(start=st.fractions(-1, 3, max_denominator=900), gaps=gaps, rate=rates)
def test_any_clip_at_any_rate_stands_on_an_exact_grid(
    start: Fraction, gaps: list[Fraction], rate: Fraction
) -> None:
    times = times_of(start, gaps)

    plan = at_rate(times, rate, size=9)

    count = int((times[-1] - times[0]) * rate) + 1
    assert plan.times == tuple(times[0] + step / rate for step in range(count))
    for slot in plan.slots:
        if slot.given is not None:
            assert times[slot.given] == slot.time
        assert slot.is_made == (slot.time not in times)


@settings(max_examples=60)
@given(gaps=gaps, factor=st.integers(2, 64), first=st.integers(0, 50))
def test_any_factor_keeps_originals_and_count(
    gaps: list[Fraction], factor: int, first: int
) -> None:
    times = times_of(Fraction(0), gaps)

    plan = interpolate(times, factor, size=9, first=first)

    assert len(plan.times) == (len(times) - 1) * factor + 1
    assert list(plan.times[::factor]) == times
    assert [slot.given for slot in plan.slots[::factor]] == list(range(first, first + len(times)))
    assert all(a < b for a, b in pairwise(plan.times))


def test_film_at_sixty_takes_every_second_original() -> None:
    times = [Fraction(n, 24) for n in range(5)]

    plan = at_rate(times, Fraction(60), size=9)

    shown = [slot.given for slot in plan.shown]
    assert shown == [0, None, None, None, None, 2, None, None, None, None, 4]
    assert [slot.given for slot in plan.slots if not slot.shown] == [1, 3]


def test_a_lower_rate_leaves_frames_out_and_makes_those_that_lie_between() -> None:
    plan = at_rate([Fraction(n, 60) for n in range(11)], Fraction(24), size=9)

    assert [slot.given for slot in plan.shown] == [0, None, 5, None, 10]


def test_the_clips_own_rate_makes_nothing() -> None:
    plan = at_rate([Fraction(n, 25) for n in range(6)], Fraction(25), size=9)

    assert plan.made_count == 0
    assert plan.windows == ()


def test_rounded_times_count_as_being_on_the_grid() -> None:
    """Matroska stores 24000/1001 as 0, 42, 83, 125 ms."""
    times = [Fraction(n, 1000) for n in (0, 42, 83, 125, 167)]
    rate = Fraction(48_000, 1001)

    plan = at_rate(times, rate, size=9, tolerance=Fraction(1, 1000))

    assert [slot.given for slot in plan.shown] == [0, None, 1, None, 2, None, 3, None, 4]
    assert plan.times == tuple(n / rate for n in range(9))


def test_a_part_counts_its_frames_from_where_it_begins() -> None:
    plan = at_rate([Fraction(n, 10) for n in range(3)], Fraction(20), size=9, first=7)

    assert [slot.given for slot in plan.slots] == [7, None, 8, None, 9]


def test_no_frame_is_made_over_a_cut() -> None:
    times = [Fraction(n, 10) for n in range(6)]

    plan = at_rate(times, Fraction(25), size=9, shots=Shots(cuts=frozenset({3})))

    for window in plan.windows:
        assert len({slot.given > 2 for slot in window.given if slot.given is not None}) == 1


def test_one_frame_is_too_few_for_a_rate() -> None:
    with pytest.raises(TooFewFramesError):
        at_rate([Fraction(0)], Fraction(60), size=9)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60", Fraction(60)),
        ("59.94", Fraction(60_000, 1001)),
        ("23.976", Fraction(24_000, 1001)),
        ("29.97", Fraction(30_000, 1001)),
        ("60000/1001", Fraction(60_000, 1001)),
        ("12.5", Fraction(25, 2)),
        ("59.9", Fraction(599, 10)),
    ],
)
def test_rates_are_read_as_they_are_meant(text: str, rate: Fraction) -> None:
    assert rate_of(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "-25", "1/0", "5000"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        rate_of(text)


def test_slow_motion_is_exact() -> None:
    pace = slow_motion(Fraction(5, 2))

    assert pace.shown(Fraction(1001, 24_000)) == Fraction(5, 2) * Fraction(1001, 24_000)
    assert pace.seen(pace.shown(Fraction(7, 3))) == Fraction(7, 3)
    assert not pace.is_own
    assert slow_motion(Fraction(1)).is_own


def test_a_ramp_takes_the_time_of_its_mean_slowness() -> None:
    pace = ramp("0:1,5:0.25,8:1")

    assert pace.shown(Fraction(0)) == 0
    assert isclose(pace.shown(Fraction(5)), 5 / 0.75 * 1.3862943611, rel_tol=1e-8)
    assert pace.shown(Fraction(10)) - pace.shown(Fraction(8)) == 2
    assert isclose(pace.seen(pace.shown(Fraction(13, 2))), 6.5, abs_tol=1e-8)


knots = st.lists(
    st.tuples(st.integers(1, 400), st.fractions(Fraction(1, 64), 64, max_denominator=64)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=80)
@given(knots=knots, times=st.lists(st.integers(0, 4000), min_size=2, max_size=9, unique=True))
def test_any_pace_goes_forward_and_back(
    knots: list[tuple[int, Fraction]], times: list[int]
) -> None:
    at, points = 0, []
    for gap, speed in knots:
        points.append((Fraction(at, 100), speed))
        at += gap
    pace = Pace(tuple(points))

    shown = [pace.shown(Fraction(time, 100)) for time in sorted(times)]

    assert all(left < right for left, right in pairwise(shown))
    for time, moment in zip(sorted(times), shown, strict=True):
        assert abs(pace.seen(moment) - Fraction(time, 100)) < Fraction(1, 10**6)


@pytest.mark.parametrize("text", ["", "1", "0:0", "0:1,0:2", "5:1,2:1", "0:1;5:2", "0:100"])
def test_what_is_no_pace_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        ramp(text)


def test_slow_motion_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError):
        slow_motion(Fraction(0))
