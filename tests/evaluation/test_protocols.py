"""Which slots are given, and which frames stand in a window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli.errors import ConfigError
from mardini_cli.evaluation.protocols import (
    PROTOCOLS,
    SLOTS,
    Protocol,
    middle_window,
    protocol,
    tiled_windows,
)


def test_the_protocols_give_and_make_these_slots() -> None:
    drawn = {p.name: "".join("m" if made else "G" for made in p.mask) for p in PROTOCOLS.values()}

    cropped = {
        "x8": "GmmmmmmmG",
        "x4": "GmmmGmmmG",
        "x2": "GmGmGmGmG",
        "fill": "GGGmmmGGG",
        "extend": "GGmmmmmmm",
        "animate": "Gmmmmmmmm",
    }
    native = {f"{name}-native": slots for name, slots in cropped.items()}
    assert drawn == cropped | native | {
        "drift": "GG" + 48 * "m",
        "davis-7": "GmmmmmmmG",
        "ucf101-7": "GmmmmmmmG",
    }


def test_cuts_say_at_what_size_and_which_windows() -> None:
    told = {p.name: (p.cut.fit, p.cut.tiled, p.cut.most, p.cut.expected, p.middle)
            for p in PROTOCOLS.values()}  # fmt: skip

    assert told["x8"] == ("crop", False, None, None, False)
    assert told["x8-native"] == ("native", False, None, None, False)
    assert told["davis-7"] == ("linear-light", True, None, 357, True)
    assert told["ucf101-7"] == ("squash", True, 400, 400, True)


def test_runs_are_even_and_one_for_each_gap_where_gaps_differ() -> None:
    assert PROTOCOLS["x4"].runs == [(slice(0, 3), 4)]
    assert PROTOCOLS["fill"].runs == [(slice(2, 4), 4)]


@given(counts=st.lists(st.integers(0, 120), max_size=8))
def test_windows_of_a_tiled_folder_are_the_whole_nines_and_their_seeds_never_meet(
    counts: list[int],
) -> None:
    cut = PROTOCOLS["davis-7"].cut
    places = [
        cut.ordinal(clip, window)
        for clip, count in enumerate(counts)
        for window in range(len(cut.windows(count)))
    ]

    assert len(places) == sum(count // 9 for count in counts)
    assert len(set(places)) == len(places)


def test_only_protocols_with_a_free_end_are_one_sided() -> None:
    assert [p.name for p in PROTOCOLS.values() if p.one_sided] == [
        "extend", "animate", "extend-native", "animate-native", "drift"
    ]  # fmt: skip


@pytest.mark.parametrize("given", [(), (3, 1), (0, 0), (0, 9), (-1, 2), tuple(range(9))])
def test_a_protocol_without_sense_is_refused(given: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="ascending slots"):
        Protocol(name="odd", given=given)


def test_an_unknown_protocol_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match="'x3'; needs one of x8, x4, x2, fill, extend, animate, each"
    ):
        protocol("x3")


def test_the_window_stands_in_the_middle_of_the_clip() -> None:
    assert middle_window(9, 1) == range(0, 9)
    assert middle_window(58, 1) == range(24, 33)
    assert middle_window(58, 2) == range(20, 37, 2)
    assert middle_window(16, 2) is None


@given(count=st.integers(0, 500), stride=st.integers(1, 8))
def test_a_window_lies_inside_its_clip_and_is_as_far_from_both_ends(
    count: int, stride: int
) -> None:
    window = middle_window(count, stride)

    if window is None:
        assert count < (SLOTS - 1) * stride + 1
    else:
        before, after = window[0], count - 1 - window[-1]
        assert len(window) == SLOTS
        assert 0 <= after - before <= 1


@given(count=st.integers(0, 300))
def test_tiled_windows_follow_each_other_and_drop_the_tail(count: int) -> None:
    windows = tiled_windows(count)

    assert [frame for window in windows for frame in window] == list(range(count // 9 * 9))
    assert all(len(window) == SLOTS for window in windows)
