from dataclasses import dataclass
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from mardini_cli.tasks.duplicates import find_held, find_smoothable


@dataclass(frozen=True)
class Step:
    largest: float
    drift: float = 0.0


FILM = Fraction(1, 24)


def times(count: int, gap: Fraction = FILM) -> list[Fraction]:
    return [n * gap for n in range(count)]


def held(pattern: str) -> set[int]:
    """Numbers of the letters that repeat the one before."""
    return {n for n in range(1, len(pattern)) if pattern[n] == pattern[n - 1]}


def smoothable(pattern: str, cuts: tuple[int, ...] = (), gap: Fraction = FILM) -> str:
    """The pattern with a dot where a frame is made anew."""
    found = find_smoothable(held(pattern), cuts, times(len(pattern), gap))
    return "".join("." if n in found else letter for n, letter in enumerate(pattern))


def test_a_step_within_the_noise_is_a_held_frame() -> None:
    steps = [Step(0.0), Step(1.9, 0.05), Step(2.1), Step(1.0, -0.2), Step(40.0, 3.0)]

    assert find_held(steps) == (1, 2)


def test_drawings_on_twos_threes_and_fours_are_smoothed() -> None:
    assert smoothable("aabbccdd") == "a.b.c.dd"
    assert smoothable("abbbccc") == "ab..ccc"
    assert smoothable("xabbbbc") == "xab...c"


def test_a_telecine_leftover_is_smoothed() -> None:
    assert smoothable("abcddefghhi") == "abcd.efgh.i"


def test_a_still_shot_stays() -> None:
    assert smoothable("abccccccccde") == "abccccccccde"


def test_a_pause_stays_at_a_low_rate() -> None:
    assert smoothable("abbcdd", gap=Fraction(1, 8)) == "abbcdd"


def test_a_hold_at_the_end_of_a_shot_stays_and_one_at_its_start_does_not() -> None:
    assert smoothable("abbcd", cuts=(3,)) == "abbcd"
    assert smoothable("abbcd", cuts=(1,)) == "ab.cd"
    assert smoothable("aabcc") == "a.bcc"


@given(pattern=st.text("ab", max_size=40), cuts=st.sets(st.integers(1, 40)))
def test_only_held_frames_are_ever_made_anew(pattern: str, cuts: set[int]) -> None:
    """And both neighbours of a run are given, so that nothing is made from nothing."""
    found = set(find_smoothable(held(pattern), cuts, times(len(pattern))))

    assert found <= held(pattern)
    assert 0 not in found
    assert len(pattern) - 1 not in found
