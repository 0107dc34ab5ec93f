"""Contact sheets: rows of frames with labels in one picture, for model cards and reports.

Room: media (floor 2). Draws what it is given at full size; never resizes.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from mardini_cli.errors import ShapeError
from mardini_cli.media.output import whole

Picture = npt.NDArray[Any]

GAP = 4
TEXT = 14
PNG: dict[str, Any] = {"format": "PNG"}
JPEG: dict[str, Any] = {"format": "JPEG", "quality": 93, "subsampling": 0}
PAPER, INK = (255, 255, 255), (20, 20, 20)


def contact_sheet(
    output: Path,
    rows: Sequence[Sequence[Picture]],
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
) -> None:
    """Write rows of frames as one PNG, or as a JPEG where the name says so.

    Args:
        output: where; replaced if it is there. ``.jpg`` is for reports, a tenth of a PNG's size.
        rows: RGB frames, ``h w 3``, uint8 or float in [0, 1], all of one size; rows may be short.
        row_labels: text above each row.
        column_labels: text above each column.

    Raises:
        ShapeError: no frames, or frames of several sizes.
        UnwritableError: the folder or the disk refuses.
    """
    shapes = {picture.shape for row in rows for picture in row}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise ShapeError(
            f"frames of shapes {sorted(shapes)}", needed="RGB frames of one size", do="crop them"
        )
    height, width, _ = next(iter(shapes))
    line = TEXT + GAP
    head = line if column_labels else 0
    step = height + GAP + (line if row_labels else 0)
    longest = max(len(row) for row in rows)
    sheet = Image.new("RGB", (longest * (width + GAP) + GAP, head + len(rows) * step + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(TEXT - 2)
    for column, label in enumerate(column_labels):
        draw.text((GAP + column * (width + GAP), GAP // 2), label, INK, font)
    for number, row in enumerate(rows):
        top = head + GAP + number * step
        if number < len(row_labels):
            draw.text((GAP, top - GAP // 2), row_labels[number], INK, font)
        for column, picture in enumerate(row):
            place = (GAP + column * (width + GAP), top + (line if row_labels else 0))
            sheet.paste(Image.fromarray(_bytes(picture)), place)
    with whole(output) as path:
        sheet.save(path, **(JPEG if output.suffix == ".jpg" else PNG))


def shrunk(picture: Picture, side: int) -> npt.NDArray[np.uint8]:
    """Make a thumbnail whose longer side is ``side`` at most."""
    scale = min(1.0, side / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(Image.fromarray(_bytes(picture)).resize(size, Image.Resampling.BOX))


def framed(picture: Picture, colour: tuple[int, int, int], width: int = 4) -> Picture:
    """Put a coloured frame around a picture; it grows by ``width`` on each side."""
    sides = ((width, width), (width, width))
    return np.stack(
        [
            np.pad(_bytes(picture)[..., channel], sides, constant_values=colour[channel])
            for channel in range(3)
        ],
        -1,
    )


def mosaic(cells: Sequence[tuple[str, Picture]], columns: int) -> npt.NDArray[np.uint8]:
    """Lay labelled pictures of one size out in rows of ``columns``; even sides, for films."""
    height, width, _ = cells[0][1].shape
    step = (width + GAP, height + GAP + TEXT + GAP)
    rows = -(-len(cells) // columns)
    size = (min(columns, len(cells)) * step[0] + GAP, rows * step[1] + GAP)
    sheet = Image.new("RGB", (size[0] + size[0] % 2, size[1] + size[1] % 2), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(TEXT - 2)
    for number, (label, picture) in enumerate(cells):
        left, top = GAP + number % columns * step[0], GAP + number // columns * step[1]
        draw.text((left, top - GAP // 2), label, INK, font)
        sheet.paste(Image.fromarray(_bytes(picture)), (left, top + TEXT + GAP))
    return np.asarray(sheet, np.uint8)


def smaller(picture: Path, width: int) -> bytes:
    """Read a sheet and give it as a JPEG of at most ``width`` columns, for a page."""
    with Image.open(picture) as sheet:
        fitting = sheet.convert("RGB")
    fitting.thumbnail((width, 100_000), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    fitting.save(out, "JPEG", quality=82)
    return out.getvalue()


def _bytes(picture: Picture) -> npt.NDArray[np.uint8]:
    if picture.dtype == np.uint8:
        return np.ascontiguousarray(picture)
    levels: npt.NDArray[np.float64] = np.clip(picture, 0, 1) * 255.0
    return np.rint(levels).astype(np.uint8)
