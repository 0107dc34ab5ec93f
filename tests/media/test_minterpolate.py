"""FFmpeg's interpolation filter: every slot comes out, at its time."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mardini_cli.errors import ShapeError
from mardini_cli.media.minterpolate import minterpolate


def ramps(count: int, shift: int) -> list[NDArray[np.float32]]:
    """A soft grid that moves to the left by ``shift`` pixels a frame."""
    ys, xs = np.mgrid[0:64, 0:96]
    return [
        np.stack(
            [
                0.5 + 0.4 * np.sin((xs + shift * number) / 5) * np.cos(ys / 7),
                0.5 + 0.3 * np.cos((xs + shift * number) / 9 + ys / 11),
                0.5 + 0.4 * np.sin((xs + shift * number + ys) / 8),
            ],
            axis=-1,
        ).astype(np.float32)
        for number in range(count)
    ]


@pytest.mark.parametrize(("count", "step"), [(2, 8), (2, 2), (3, 4), (5, 2), (4, 3)])
def test_every_slot_comes_out_and_given_frames_return_at_their_places(
    count: int, step: int
) -> None:
    given = ramps(count, shift=2)

    slots = minterpolate(given, step)

    assert len(slots) == (count - 1) * step + 1
    for number, frame in enumerate(given):
        assert np.abs(slots[number * step] - frame).max() < 0.01  # 8-bit planes


def test_slots_between_are_in_time_order() -> None:
    true = ramps(9, shift=1)

    slots = minterpolate([true[0], true[8]], 8)

    inside = np.s_[16:-16, 16:-16]
    for slot in range(1, 8):
        distances = [float(np.abs(slots[slot][inside] - other[inside]).mean()) for other in true]
        assert abs(int(np.argmin(distances)) - slot) <= 1


def test_frames_that_make_no_gap_are_refused() -> None:
    one, two = ramps(2, shift=1)

    for given, step in (([one], 2), ([one, two], 1), ([one, two[:32]], 2)):
        with pytest.raises(ShapeError, match="step of 2 or more"):
            minterpolate(given, step)
