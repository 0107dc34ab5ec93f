"""Contact sheets: each frame at its place."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mardini_cli.errors import ShapeError
from mardini_cli.media.sheet import GAP, contact_sheet

SHADES = ((0.1, 0.4, 0.7), (0.9, 0.6, 0.3))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_every_frame_stands_in_its_row_and_column(suffix: str, tmp_path: Path) -> None:
    rows = [[np.full((32, 48, 3), shade, np.float32) for shade in line] for line in SHADES]
    output = tmp_path / f"sheet{suffix}"

    contact_sheet(output, rows)

    sheet = np.asarray(Image.open(output)).astype(int)
    for row, line in enumerate(SHADES):
        for column, shade in enumerate(line):
            y, x = GAP + row * (32 + GAP) + 16, GAP + column * (48 + GAP) + 24
            assert np.abs(sheet[y, x] - round(shade * 255)).max() <= 2
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_labels_are_drawn_above_rows_and_columns(tmp_path: Path) -> None:
    frame = np.full((32, 64, 3), 255, np.uint8)

    contact_sheet(tmp_path / "plain.png", [[frame]])
    contact_sheet(tmp_path / "told.png", [[frame]], ["truth"], ["0 given"])

    plain, told = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("plain", "told"))
    assert told.shape[0] > plain.shape[0]
    assert plain.min() == 255
    assert told.min() < 60


def test_frames_of_several_sizes_are_refused(tmp_path: Path) -> None:
    small, large = np.zeros((16, 16, 3), np.uint8), np.zeros((32, 16, 3), np.uint8)

    none: list[list[NDArray[np.uint8]]] = [[]]
    for rows in ([[small, large]], none):
        with pytest.raises(ShapeError, match="one size"):
            contact_sheet(tmp_path / "sheet.png", rows)

    assert not list(tmp_path.iterdir())
