"""Contact sheets: frames in rows and columns, with words beside them, for eyes.

Room: media. Pictures in, one encoded picture out; writes no file.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mardini_cli.errors import ShapeError

GAP: Final = 4
"""Pixels between frames."""
TEXT: Final = 16
"""Height of the words, pixels."""
PAPER: Final = (255, 255, 255)
INK: Final = (20, 20, 20)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SheetRow:
    """One row of a sheet."""

    title: str
    frames: Sequence[NDArray[np.float32]]
    """``h w 3``, RGB in [0, 1], all of one size in the whole sheet."""


def contact_sheet(rows: Sequence[SheetRow], columns: Sequence[str], quality: int = 93) -> bytes:
    """Lay frames out and encode them as a JPEG without colour subsampling.

    Args:
        rows: as many frames in each as there are columns.
        columns: words above them.
        quality: of the JPEG, 1 to 95.

    Raises:
        ShapeError: no frames, a row too short or too long, or frames of several sizes.
    """
    sizes = {frame.shape for row in rows for frame in row.frames}
    if len(sizes) != 1 or any(len(row.frames) != len(columns) for row in rows):
        raise ShapeError(
            f"{[len(row.frames) for row in rows]} frames of sizes {sorted(sizes)}",
            needed=f"{len(columns)} frames of one size in every row",
            do="pass equal rows",
        )
    height, width, _ = sizes.pop()
    font = ImageFont.load_default(TEXT)
    left = int(max(font.getlength(row.title) for row in rows)) + 3 * GAP
    top = TEXT + 3 * GAP
    sheet = Image.new(
        "RGB", (left + len(columns) * (width + GAP), top + len(rows) * (height + GAP)), PAPER
    )
    pen = ImageDraw.Draw(sheet)
    for column, words in enumerate(columns):
        pen.text((left + column * (width + GAP), GAP), words, INK, font)
    for line, row in enumerate(rows):
        y = top + line * (height + GAP)
        pen.text((GAP, y + (height - TEXT) // 2), row.title, INK, font)
        for column, frame in enumerate(row.frames):
            sheet.paste(_picture(frame), (left + column * (width + GAP), y))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=quality, subsampling=0, optimize=True)
    return file.getvalue()


def _picture(frame: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(frame, 0, 1) * 255).astype(np.uint8))
