"""Whole clips as 8-bit RGB at once, for training: quick, and never used to make a user's file.

Room: media. The faithful way of a frame is ``reader`` and ``colour``; this one goes through
FFmpeg's scaler, which is exact to rounding for 8-bit RGB, several times quicker, and good enough
to learn from.
"""

from pathlib import Path

import av.error
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mardini_cli.errors import DamagedMediaError, InputError, LimitError
from mardini_cli.media.decoding import video_stream
from mardini_cli.media.door import open_source
from mardini_cli.media.limits import USUAL
from mardini_cli.media.pillow import opened


def clip_bytes(path: Path, short: int) -> tuple[NDArray[np.uint8], float]:
    """Decode a clip, scaled down so that its short side is at most ``short`` pixels.

    Returns:
        Frames ``f h w 3`` and the clip's mean rate in frames a second.

    Raises:
        DamagedMediaError: the file does not decode.
    """
    try:
        with open_source(path) as container:
            stream = video_stream(container, path)
            USUAL.check_size(path, stream.width, stream.height)
            scale = min(1.0, short / min(stream.width, stream.height))
            width, height = (round(side * scale / 2) * 2 for side in (stream.width, stream.height))
            matrix = "ITU709" if stream.height >= 720 else "ITU601"
            frames = [
                frame.to_ndarray(
                    format="rgb24",
                    width=width,
                    height=height,
                    src_colorspace=matrix,
                    interpolation="AREA",
                )
                for frame in container.decode(stream)
            ]
            rate = float(stream.average_rate or 25)
    except (av.error.FFmpegError, InputError, ZeroDivisionError) as error:
        raise DamagedMediaError(
            f"{path.name} does not decode", needed="a clip FFmpeg reads", do="leave it out"
        ) from error
    if not frames:
        raise DamagedMediaError(
            f"{path.name} holds no frames", needed="a clip FFmpeg reads", do="leave it out"
        )
    return np.stack(frames), rate


def photo_bytes(path: Path, side: int) -> NDArray[np.uint8]:
    """Read a photograph as a square ``side side 3`` around its middle, scaled to fit.

    Raises:
        DamagedMediaError: the file is no picture.
    """
    try:
        with opened(path, None, USUAL) as picture:
            if picture is not None:
                upright = ImageOps.exif_transpose(picture).convert("RGB")
                return np.asarray(ImageOps.fit(upright, (side, side), Image.Resampling.LANCZOS))
    except LimitError as error:
        raise DamagedMediaError(error.found, needed=error.needed, do="leave it out") from error
    raise DamagedMediaError(
        f"{path.name} is no picture", needed="one Pillow reads", do="leave it out"
    )
