"""Contact sheets: each frame at its place."""

import io

import numpy as np
import pytest
from PIL import Image

from mardini_cli.errors import ShapeError
from mardini_cli.media.sheet import GAP, SheetRow, contact_sheet


def test_every_frame_stands_in_its_row_and_column() -> None:
    shades = [[0.1, 0.4, 0.7], [0.9, 0.6, 0.3]]
    rows = [
        SheetRow(title=f"row {n}", frames=[np.full((32, 48, 3), x, np.float32) for x in line])
        for n, line in enumerate(shades)
    ]

    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(rows, ["a", "b", "c"]))))

    for up, line in enumerate(reversed(shades)):
        for back, shade in enumerate(reversed(line)):
            y = sheet.shape[0] - (up + 1) * (32 + GAP) + 16
            x = sheet.shape[1] - (back + 1) * (48 + GAP) + 24
            assert np.abs(sheet[y, x].astype(int) - round(shade * 255)).max() <= 2


def test_words_are_drawn_beside_the_frames() -> None:
    frame = np.full((32, 32, 3), 1, np.float32)

    plain, long = (
        np.asarray(
            Image.open(io.BytesIO(contact_sheet([SheetRow(title=t, frames=[frame])], ["slot"])))
        )
        for t in ("x", "a much longer title")
    )

    assert long.shape[1] > plain.shape[1]
    assert long.min() < 60


def test_rows_of_different_lengths_or_sizes_are_refused() -> None:
    small, large = np.zeros((16, 16, 3), np.float32), np.zeros((32, 16, 3), np.float32)

    for frames in ([small], [small, large]):
        with pytest.raises(ShapeError, match="2 frames of one size"):
            contact_sheet([SheetRow(title="row", frames=frames)], ["a", "b"])
