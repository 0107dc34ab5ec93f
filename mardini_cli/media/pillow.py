"""The door to Pillow: pictures are opened here, and what it says of bad ones becomes ours.

Room: media (floor 2). Pillow knows what FFmpeg does not: CMYK, all of EXIF, animated WebP.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from mardini_cli.errors import DamagedMediaError, LimitError, MardiniError
from mardini_cli.media.limits import Limits


@contextmanager
def opened(
    path: Path, formats: tuple[str, ...] | None, limits: Limits
) -> Iterator[Image.Image | None]:
    """Open a picture; its size is checked before any of it is decoded.

    Args:
        path: of a regular file.
        formats: that may be read, in Pillow's words; None is all.
        limits: what a file may ask for.

    Yields:
        The picture, or None where the file is of another kind, or Pillow's own guard against large
        ones is stricter than ours: FFmpeg's turn.

    Raises:
        LimitError: more pixels than allowed.
        DamagedMediaError: whatever goes wrong inside the block and is not ours.
    """
    try:
        picture = _identified(path, formats, limits)
        if picture is None:
            yield None
            return
        with picture:
            limits.check_size(path, *picture.size)
            yield picture
    except MardiniError:
        raise
    # Its readers meet bytes that make no sense with nearly any exception there is.
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise DamagedMediaError(
            f"{path}: {said}", needed="a whole picture", do="copy or download it again"
        ) from error


def _identified(path: Path, formats: tuple[str, ...] | None, limits: Limits) -> Image.Image | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # ours is the limit
        try:
            return Image.open(path, formats=formats)
        except UnidentifiedImageError:
            return None
        except Image.DecompressionBombError as error:
            guard = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            if limits.pixels > guard:
                return None
            raise LimitError(
                f"{path} has more than {guard} pixels",
                needed=f"at most {limits.pixels}",
                do="if it is what it should be, raise --max-pixels",
            ) from error
