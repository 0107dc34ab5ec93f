"""Whole clips as 8-bit RGB at once, for training: quick, and never used to make a user's file.

Room: media. The faithful way of a frame is ``reader`` and ``colour``; this one goes through
FFmpeg's scaler, which is exact to rounding for 8-bit RGB, several times quicker, and good enough
to learn from.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av.error
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mardini_cli.errors import DamagedMediaError, InputError, LimitError
from mardini_cli.media.decoding import video_stream
from mardini_cli.media.door import open_bytes, open_source
from mardini_cli.media.limits import USUAL
from mardini_cli.media.pillow import opened
from mardini_cli.media.shots import Step, Watch


@dataclass(frozen=True, slots=True, eq=False)
class Bulk:
    """Frames of a clip, or of a stretch of it."""

    frames: NDArray[np.uint8]
    """``f h w 3``, 8-bit RGB."""
    rate: float
    """The clip's mean rate, frames a second."""
    steps: tuple[Step, ...]
    """What was measured of each step from one frame to the next; ``tasks.cuts`` decides on it."""


class Film:
    """A clip that is open, scaled down so that its short side is at most ``short`` pixels."""

    def __init__(self, container: InputContainer, short: int, name: Path) -> None:
        self.container, self.stream = container, video_stream(container, name)
        USUAL.check_size(name, self.stream.width, self.stream.height)
        scale = min(1.0, short / min(self.stream.width, self.stream.height))
        sides = (self.stream.width, self.stream.height)
        self.width, self.height = (round(side * scale / 2) * 2 for side in sides)
        self.matrix = "ITU709" if self.stream.height >= 720 else "ITU601"
        self.rate = float(self.stream.average_rate or 25)

    @property
    def length(self) -> int:
        """Frames, as the file tells; 0 where it does not."""
        if self.stream.frames:
            return self.stream.frames
        if self.stream.duration and self.stream.time_base:
            return round(float(self.stream.duration * self.stream.time_base) * self.rate)
        return round((self.container.duration or 0) / av.time_base * self.rate)

    def read(self, first: int = 0, count: int | None = None) -> Bulk:
        """Decode ``count`` frames from about frame ``first`` on; all of them without a count."""
        watch, frames = Watch(), list[NDArray[np.uint8]]()
        for frame in self._from(first):
            watch(frame)
            small = frame.to_ndarray(
                format="rgb24",
                width=self.width,
                height=self.height,
                src_colorspace=self.matrix,
                interpolation="AREA",
            )
            frames.append(np.asarray(small, np.uint8))
            if len(frames) == count:
                break
        if not frames:
            raise EOFError
        return Bulk(np.stack(frames), self.rate, watch.steps)

    def _from(self, first: int) -> Iterator[av.VideoFrame]:
        """Frames from the one that is shown at ``first / rate``; those before it, undecoded ones
        aside, are decoded and dropped, since a stretch need not begin where a decoder can."""
        if not first or not self.stream.time_base:
            yield from self.container.decode(self.stream)
            return
        at = int((first - 0.5) / self.rate / float(self.stream.time_base))
        at += self.stream.start_time or 0
        self.container.seek(at, stream=self.stream)
        for frame in self.container.decode(self.stream):
            if frame.pts is None or frame.pts >= at:
                yield frame


@contextmanager
def film(source: Path | BinaryIO, short: int, name: str = "") -> Iterator[Film]:
    """Open a clip, or one inside another file.

    Args:
        source: its path, or an open file.
        short: short side of the frames, pixels, at most.
        name: what to call it in an error.

    Raises:
        DamagedMediaError: the file does not decode.
    """
    told = name or (source.name if isinstance(source, Path) else "a clip")
    try:
        with _open(source, told) as container:
            yield Film(container, short, Path(told))
    except EOFError as error:
        raise DamagedMediaError(
            f"{told} holds no frames", needed="a clip FFmpeg reads", do="leave it out"
        ) from error
    except (av.error.FFmpegError, InputError, ZeroDivisionError) as error:
        raise DamagedMediaError(
            f"{told} does not decode", needed="a clip FFmpeg reads", do="leave it out"
        ) from error


def _open(source: Path | BinaryIO, name: str) -> InputContainer:
    return open_source(source) if isinstance(source, Path) else open_bytes(source, name)


def clip_bytes(path: Path, short: int) -> Bulk:
    """Decode a clip, scaled down so that its short side is at most ``short`` pixels.

    Raises:
        DamagedMediaError: the file does not decode.
    """
    with film(path, short) as opened:
        return opened.read()


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
