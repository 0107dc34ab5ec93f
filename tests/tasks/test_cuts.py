from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.cuts import cuts_from_text, cuts_to_text, find_cuts


@dataclass(frozen=True)
class Step:
    novelty: float
    change: float = 30.0


TIMES = tuple(Fraction(n * 1001, 24000) for n in range(200))


def steps(*novelty: float) -> list[Step]:
    return [Step(n, 30.0 if n else 0.0) for n in novelty]


def test_what_is_new_at_once_is_a_cut() -> None:
    assert find_cuts(steps(0.02, 0.02, 0.4, 0.02, 0.02)) == (3,)


def test_what_is_new_all_through_is_motion() -> None:
    assert find_cuts(steps(0.3, 0.28, 0.4, 0.3, 0.33)) == ()


def test_frames_that_stand_still_do_not_make_a_jump_a_cut() -> None:
    """Drawn on twos: every second step is still, the others are alike."""
    assert find_cuts(steps(0, 0.2, 0, 0.22, 0, 0.19, 0, 0.21, 0)) == ()


def test_a_cut_beside_another_is_found() -> None:
    assert find_cuts(steps(0, 0, 0.4, 0, 0, 0, 0, 0, 0, 0, 0.38, 0, 0)) == (3, 11)


def test_a_small_change_is_no_cut_however_new() -> None:
    assert find_cuts([Step(0.4, 3.0), *steps(0.01, 0.01)]) == ()


def test_the_first_and_the_last_step_can_be_cuts() -> None:
    assert find_cuts(steps(0.4, 0.02, 0.02, 0.02, 0.4)) == (1, 5)


def test_a_higher_threshold_finds_fewer() -> None:
    shots = steps(0.02, 0.2, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.5, 0.02)

    assert find_cuts(shots, 0.15) == (2, 9)
    assert find_cuts(shots, 0.4) == (9,)


@pytest.mark.parametrize("threshold", [0, -1, 1.01])
def test_a_threshold_that_finds_all_or_nothing_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match="--cut-threshold"):
        find_cuts([], threshold)


@given(cuts=st.sets(st.integers(1, len(TIMES) - 1)))
def test_written_cuts_are_read_back(cuts: set[int]) -> None:
    text = cuts_to_text(sorted(cuts), TIMES)

    assert cuts_from_text(text, TIMES, "cuts.txt") == tuple(sorted(cuts))


@given(cut=st.integers(1, len(TIMES) - 1))
def test_a_time_as_a_player_shows_it_names_its_frame(cut: int) -> None:
    line = f"{float(TIMES[cut]):.3f}\n"

    assert cuts_from_text(line, TIMES, "cuts.txt") == (cut,)


def test_frames_times_comments_and_empty_lines_are_read() -> None:
    text = "# by hand\n\n 12\n24  # the door\n1001/240\n0:02.002\n12\n"

    assert cuts_from_text(text, TIMES, "cuts.txt") == (12, 24, 48, 100)


@pytest.mark.parametrize("line", ["0", "200", "-3", "9.5", "x", "1:x", "1/0", "12 13"])
def test_a_line_that_names_no_frame_is_told_with_its_number(line: str) -> None:
    with pytest.raises(ConfigError, match=r"cuts\.txt, line 2: "):
        cuts_from_text(f"# cuts\n{line}\n", TIMES, "cuts.txt")
