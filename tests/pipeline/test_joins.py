"""Joins: small drifts are taken back, large changes are let be, and both are measured."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mardini_cli.pipeline.joins import SHIFT, borders, matched, measure
from mardini_cli.tasks.extend import extend
from mardini_cli.tasks.plan import Plan, Slot, Window
from tests.pipeline.clips import even_times, write_clip

SLOTS = tuple(Slot(n, Fraction(n), n - 2 if 2 <= n < 4 else None) for n in range(6))
WINDOW = Window(SLOTS)


def grey(level: float) -> np.ndarray:
    return np.full((4, 4, 3), level, np.float32)


@pytest.mark.parametrize(("drift", "left"), [(0.004, 0.0), (-0.004, 0.0), (0.1, 0.1 - SHIFT)])
def test_the_mean_colour_of_rolling_frames_is_held_within_a_bound(
    drift: float, left: float
) -> None:
    """Frame 1 is next to the given ones; frame 0 beyond it moves along."""
    levels = {0: 0.5 + 2 * drift, 1: 0.5 + drift, 4: 0.6 + drift, 5: 0.6 + 2 * drift}

    out = matched(WINDOW, [grey(0.5), grey(0.6)], [(SLOTS[n], grey(v)) for n, v in levels.items()])

    means = {slot.index: float(picture.mean()) for slot, picture in out}
    assert means[1] == pytest.approx(0.5 + left, abs=1e-5)
    assert means[4] == pytest.approx(0.6 + left, abs=1e-5)
    assert means[0] - means[1] == pytest.approx(drift, abs=1e-5)


def test_frames_between_given_ones_are_not_touched() -> None:
    slots = (SLOTS[2], Slot(3, Fraction(3), None), Slot(4, Fraction(4), 1))
    picture = grey(0.7)

    ((_, out),) = matched(Window(slots), [grey(0.5), grey(0.5)], [(slots[1], picture)])

    assert out is picture


def test_borders_are_where_the_hand_changes() -> None:
    plan = extend(even_times(4), Fraction(4, 25), size=5, after=6, context=2)

    assert borders(plan) == [4, 7]


def test_a_jump_is_measured_against_the_clip_itself(tmp_path: Path) -> None:
    """The clip is its own continuation: its steps are usual; another picture is not."""
    clip = write_clip(tmp_path / "walk.mkv", even_times(12))
    slots = tuple(Slot(n, t, n if n < 8 else None) for n, t in enumerate(even_times(12)))
    plan = Plan("extend", slots, (Window(slots[6:]),))

    found = measure(clip, plan)

    (join,) = found.joins
    assert join.time == Fraction(8, 25)
    assert 0 < join.step <= found.usual * 1.5
    assert join.colour < 0.02
    assert join.sharpness == pytest.approx(1, abs=0.1)
    assert len(found.steps) == 11
    assert found.closing > found.median > 0
