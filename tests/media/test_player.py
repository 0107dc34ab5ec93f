"""Short films for a page."""

from pathlib import Path

import numpy as np
import pytest

from mardini_cli.errors import ShapeError
from mardini_cli.media.player import write_player
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import read, rgb
from mardini_cli.media.sheet import contact_sheet, mosaic, smaller


def test_a_player_shows_each_picture_in_its_turn(tmp_path: Path) -> None:
    pictures = [np.full((32, 48, 3), level, np.uint8) for level in (40, 120, 200)]

    write_player(tmp_path / "a.webm", pictures, rate=4)

    info = probe(tmp_path / "a.webm")
    levels = [float(rgb(frame, info).mean()) * 255 for frame in read(info)]
    assert levels == pytest.approx([40, 120, 200], abs=3)
    assert [float(time) for time in info.times] == [0, 0.25, 0.5]
    assert [path.name for path in tmp_path.iterdir()] == ["a.webm"]


@pytest.mark.parametrize("sizes", [[], [(32, 32), (32, 34)], [(33, 32)]])
def test_pictures_that_make_no_film_are_refused(
    sizes: list[tuple[int, int]], tmp_path: Path
) -> None:
    with pytest.raises(ShapeError):
        write_player(tmp_path / "a.webm", [np.zeros((*size, 3), np.uint8) for size in sizes])


def test_a_mosaic_holds_every_cell_and_has_even_sides() -> None:
    cells = [(f"{level}", np.full((15, 21, 3), level, np.uint8)) for level in (10, 90, 170)]

    sheet = mosaic(cells, columns=2)

    assert sheet.shape[0] % 2 == sheet.shape[1] % 2 == 0
    for _, picture in cells:
        assert (sheet == picture[0, 0]).all(-1).sum() >= 15 * 21


def test_a_sheet_is_made_smaller_for_a_page(tmp_path: Path) -> None:
    contact_sheet(tmp_path / "a.jpg", [[np.zeros((64, 200, 3), np.uint8)] * 4])

    small = smaller(tmp_path / "a.jpg", 300)

    assert small[:2] == b"\xff\xd8"
    assert len(small) < (tmp_path / "a.jpg").stat().st_size
