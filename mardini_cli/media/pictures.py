"""Single pictures: read to RGB, written as PNG.

Room: media (floor 2). Pillow reads JPEG and WebP (it knows CMYK and every EXIF orientation);
everything else goes through FFmpeg, since Pillow opens 16-bit RGB as 8 bits without a word.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
from av import CodecContext, VideoFrame
from av.video.codeccontext import VideoCodecContext
from PIL import ImageOps

from mardini_cli.errors import MissingFileError, ShapeError
from mardini_cli.media import planes
from mardini_cli.media.colour import Colour, Floats
from mardini_cli.media.limits import USUAL
from mardini_cli.media.output import whole
from mardini_cli.media.pillow import opened
from mardini_cli.media.planes import LAYOUTS
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import read, rgb

_PILLOW_READS = ("JPEG", "WEBP")


def read_picture(path: Path) -> Floats:
    """Read one picture, upright, without its transparency.

    Returns:
        float32 RGB in [0, 1], ``h w 3``. Of an animation, the first picture.

    Raises:
        MissingFileError: nothing there.
        NotMediaError: no picture that Pillow or FFmpeg knows.
        DamagedMediaError: it cannot be decoded.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(
            f"{path}: no such file", needed="a file that can be read", do="check the path"
        )
    if path.is_file():
        with opened(path, _PILLOW_READS, USUAL) as picture:
            if picture is not None:
                upright = ImageOps.exif_transpose(picture).convert("RGB")
                return np.asarray(upright, np.float32) / np.float32(255)
    info = probe(path)
    return next(rgb(frame, info) for frame in read(info))


def write_png(output: Path, picture: Floats, depth: int = 8) -> None:
    """Write RGB as PNG; the file appears when it is whole.

    Args:
        output: where; replaced if it is there.
        picture: float32 in [0, 1], ``h w 3``.
        depth: bits a channel, 8 or 16.

    Raises:
        ShapeError: no RGB picture.
        UnwritableError: the folder or the disk refuses.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or depth not in (8, 16):
        raise ShapeError(
            f"a picture of shape {picture.shape} at {depth} bits",
            needed="h, w, 3 at 8 or 16 bits",
            do="pass RGB",
        )
    layout = LAYOUTS["rgb24" if depth == 8 else "rgb48le"]
    frame = planes.frame_from_rgb(np.ascontiguousarray(picture, np.float32), layout, Colour())
    with whole(output) as path:
        path.write_bytes(_png(frame, "rgb24" if depth == 8 else "rgb48be"))


def _png(frame: VideoFrame, pixel_format: str) -> bytes:
    encoder = CodecContext.create("png", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, pixel_format
    encoder.time_base = Fraction(1, 25)
    ready = frame.reformat(format=pixel_format)  # 16 bits: the same numbers, other byte order
    return b"".join(bytes(packet) for packet in [*encoder.encode(ready), *encoder.encode(None)])
