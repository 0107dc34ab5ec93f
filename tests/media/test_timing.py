from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from mardini_cli.media import timing

times = st.fractions(min_value=0, max_value=7200, max_denominator=90_000)
time_lists = st.lists(times, min_size=1, max_size=12)


@given(time_lists)
def test_the_common_time_base_holds_every_time_exactly(some: list[Fraction]) -> None:
    base = timing.common_time_base(some)

    if base != timing.FINEST:
        assert all(time % base == 0 for time in some)


@given(time_lists)
def test_a_time_base_always_fits_what_ffmpeg_can_hold(some: list[Fraction]) -> None:
    base = timing.common_time_base(some)

    assert 0 < base.numerator <= timing.LIMIT
    assert 0 < base.denominator <= timing.LIMIT


@given(count=st.integers(2, 50), factor=st.integers(2, 64))
def test_film_rate_keeps_its_odd_denominator(count: int, factor: int) -> None:
    gap = Fraction(1001, 24_000 * factor)

    base = timing.common_time_base([n * gap for n in range(count)])

    assert base == gap


@given(time=times, base=st.fractions(min_value=Fraction(1, 90_000), max_value=1))
def test_ticks_are_never_more_than_half_a_tick_off(time: Fraction, base: Fraction) -> None:
    assert abs(timing.ticks(time, base) * base - time) <= base / 2


def test_times_that_no_time_base_holds_round_by_half_a_nanosecond_at_most() -> None:
    awkward = [Fraction(1, 1_000_003), Fraction(1, 999_983)]

    base = timing.common_time_base(awkward)

    assert base == timing.FINEST
    assert all(abs(timing.ticks(t, base) * base - t) <= Fraction(1, 2_000_000_000) for t in awkward)


def test_zero_and_nothing_are_both_read_as_not_set() -> None:
    assert timing.known(None) is None
    assert timing.known(Fraction(0)) is None
    assert timing.known(Fraction(16, 11)) == Fraction(16, 11)


def test_evenness_and_mean_rate() -> None:
    even = [Fraction(n * 1001, 24_000) for n in range(5)]
    uneven = [Fraction(0), Fraction(1, 30), Fraction(1, 10)]

    assert timing.is_even(even)
    assert not timing.is_even(uneven)
    assert timing.mean_rate(even) == Fraction(24_000, 1001)
    assert timing.mean_rate(uneven) == 20
    assert timing.mean_rate(even[:1]) is None


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=4))
def test_a_shared_clock_always_holds_the_ticks_of_the_first_base(rates: list[int]) -> None:
    clock = timing.shared_clock([Fraction(1, rate) for rate in rates])

    assert clock % rates[0] == 0
    assert clock <= timing.LIMIT
