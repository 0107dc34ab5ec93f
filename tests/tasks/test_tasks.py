"""Animate, extend, fill, keyframes: exact slots and times for small numbers, rules for all."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.animate import animate, reference_place
from mardini_cli.tasks.drawing import draw
from mardini_cli.tasks.extend import extend, loop
from mardini_cli.tasks.fill import dropped, fill, frame_numbers
from mardini_cli.tasks.keyframes import between, keyframes
from mardini_cli.tasks.plan import Plan

FPS = Fraction(8)


def even(count: int, rate: Fraction = FPS) -> list[Fraction]:
    return [n / rate for n in range(count)]


def signs(plan: Plan) -> str:
    """``x`` given, ``.`` made; small where the output does not show it."""
    return "".join(
        (("x" if s.shown else "c") if s.given is not None else ("." if s.shown else ","))
        for s in plan.slots
    )


@pytest.mark.parametrize(
    ("word", "place"), [("first", 0), ("middle", 4), ("last", 8), ("3", 3), ("8", 8)]
)
def test_the_picture_stands_where_it_is_asked_for(word: str, place: int) -> None:
    plan = animate(9, FPS, 9, reference_place(word, 9))

    assert [s.index for s in plan.slots if s.given == 0] == [place]
    assert plan.times == tuple(even(9))
    assert len(plan.windows) == 1
    assert draw(plan).startswith("1 window over 9 frames")


@pytest.mark.parametrize("word", ["9", "-1", "end", "", "1.5"])
def test_a_place_outside_the_clip_is_refused(word: str) -> None:
    with pytest.raises(ConfigError):
        reference_place(word, 9)


def test_smoothing_divides_each_step_after_all_frames_are_made() -> None:
    plan = animate(5, FPS, 9, smooth=3)

    assert plan.times == tuple(even(13, FPS * 3))
    assert [s.index for s in plan.windows[0].made] == [3, 6, 9, 12]
    assert all(window.earlier for window in plan.windows[1:])


def test_a_loop_sees_the_picture_at_its_end_and_does_not_show_it() -> None:
    plan = animate(8, FPS, 9, loop=True)

    assert signs(plan) == "x.......c"
    assert [s.given for s in plan.slots if s.given is not None] == [0, 0]
    assert plan.times == tuple(even(8))


@given(st.integers(2, 60), st.integers(3, 17), st.integers(1, 4), st.booleans(), st.data())
def test_any_animation_shows_as_many_frames_as_asked(
    frames: int, size: int, smooth: int, closes: bool, data: st.DataObject
) -> None:
    reference = 0 if closes else data.draw(st.integers(0, frames - 1))

    plan = animate(frames, FPS, size, reference, smooth, closes)

    shown = frames * smooth if closes else (frames - 1) * smooth + 1
    assert (plan.given_count, plan.made_count) == (1, shown - 1)


def test_made_frames_follow_the_clip_and_precede_it_at_its_typical_step() -> None:
    times = [Fraction(n, 10) for n in (0, 1, 2, 4)]

    plan = extend(times, end=Fraction(7, 10), size=9, before=2, after=2)

    assert signs(plan) == "..xxxx.."
    assert plan.times == tuple(Fraction(n, 10) for n in (-2, -1, 0, 1, 2, 4, 7, 8))


@given(st.integers(1, 30), st.integers(1, 40), st.integers(4, 17), st.data())
def test_backward_is_forward_of_the_reversed_clip(
    count: int, made: int, size: int, data: st.DataObject
) -> None:
    context = data.draw(st.integers(1, size - 1))
    times = even(count)

    forward = extend(times, times[-1] + 1 / FPS, size, after=made, context=context)
    backward = extend(times, times[-1] + 1 / FPS, size, before=made, context=context)

    last = len(forward.slots) - 1
    mirrored = [[last - s.index for s in reversed(w.slots)] for w in backward.windows]
    if count > 1:  # a single frame has no step of its own, so no times to compare
        assert [times[-1] - t for t in reversed(backward.times)] == list(forward.times)
    assert sorted(map(len, mirrored)) == sorted(len(w.slots) for w in forward.windows)
    assert mirrored == [[s.index for s in w.slots] for w in forward.windows]
    assert [w.mask[::-1] for w in backward.windows] == [w.mask for w in forward.windows]


def test_a_bridge_sees_the_beginning_again() -> None:
    plan = loop(even(6), Fraction(6, 8), size=9, frames=3)

    assert signs(plan) == "xxxxxx...cc"
    assert [s.given for s in plan.slots[-2:]] == [0, 1]
    assert plan.times == tuple(even(9))
    (window,) = plan.windows
    assert [s.index for s in window.slots] == [4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    "make",
    [
        lambda: extend(even(3), Fraction(3, 8), 9),
        lambda: extend(even(3), Fraction(3, 8), 9, before=-1, after=3),
        lambda: loop(even(3), Fraction(3, 8), 9, frames=0),
        lambda: animate(1, FPS, 9),
        lambda: animate(9, FPS, 9, reference=4, loop=True),
        lambda: fill(even(3), range(3), 9),
        lambda: between(1, 15, FPS, 9),
        lambda: keyframes([Fraction(1), Fraction(1)], FPS, 9, None),
        lambda: keyframes([Fraction(0), Fraction(1, 8)], FPS, 9, None),
    ],
)
def test_nothing_to_make_is_refused(make: Callable[[], Plan]) -> None:
    with pytest.raises(ConfigError):
        make()


def test_frame_numbers_are_read_as_people_write_them() -> None:
    assert sorted(frame_numbers("12-14, 31,3", 40, "--missing")) == [3, 12, 13, 14, 31]


@pytest.mark.parametrize("text", ["", "a", "3-", "5-3", "40", "-1", "1,,2", "0-40"])
def test_other_frame_numbers_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="0 to 39"):
        frame_numbers(text, 40, "--missing")


def test_missing_frames_are_made_at_their_own_times() -> None:
    times = [Fraction(n) for n in (0, 1, 2, 3, 5, 8, 9)]

    plan = fill(times, {3, 4}, 9)

    assert signs(plan) == "xxx..xx"
    assert plan.times == tuple(times)
    assert [[s.index for s in window.slots] for window in plan.windows] == [list(range(1, 7))]


def test_dropped_frames_are_found_in_even_clips_alone() -> None:
    step = Fraction(1, 24)
    clip = [n * step for n in range(20) if n not in (5, 11, 12)]
    rounded = [Fraction(round(t * 1000), 1000) for t in clip]

    assert dropped(clip) == [5 * step, 11 * step, 12 * step]
    assert len(dropped(rounded)) == 3
    assert dropped([Fraction(n * n, 100) for n in range(20)]) == []
    assert dropped(clip[:3]) == []


def test_holes_are_filled_beside_missing_frames() -> None:
    plan = fill(even(6)[:3] + even(6)[4:], {4}, 9, holes=[Fraction(3, 8)])

    assert signs(plan) == "xxx.x."
    assert plan.times == tuple(even(6))


def test_keyframes_have_as_many_frames_between_as_asked() -> None:
    plan = between(3, 3, FPS, 9)

    assert signs(plan) == "x...x...x"
    assert plan.times == tuple(even(9))
    assert len(plan.windows) == 1


def test_pictures_stand_at_their_exact_times_and_steps_give_way() -> None:
    times = [Fraction(1, 4), Fraction(27, 50), Fraction(1)]

    plan = keyframes(times, FPS, 9, end=Fraction(5, 4))

    assert signs(plan) == "..x.x...x.."
    given = {s.time: s.given for s in plan.slots if s.given is not None}
    assert given == {time: number for number, time in enumerate(times)}
