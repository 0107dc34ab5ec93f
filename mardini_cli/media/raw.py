"""Raw video, bytes and no header: kept in a file that tells what the bytes are.

Room: media (floor 2). Copies packets; decodes nothing. NUT is the container that holds raw pictures
of nearly every pixel format bit for bit, at any rate.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
from av.container import InputContainer, OutputContainer
from av.video.format import VideoFormat

from mardini_cli.errors import DamagedMediaError, NotMediaError, UsageError
from mardini_cli.media.door import Doing, translated


@dataclass(frozen=True, kw_only=True, slots=True)
class RawVideo:
    """What somebody says of bytes that say nothing themselves."""

    width: int
    height: int
    pixel_format: str
    """FFmpeg's name."""
    rate: Fraction
    """Frames a second."""

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.pixel_format}"


def keep_raw(stream: IO[bytes], told: RawVideo, path: Path) -> None:
    """Write a stream of raw pictures to ``path``, until it ends.

    Raises:
        UsageError: no such pixel format, or one that cannot be kept.
        NotMediaError: the stream is empty.
        DamagedMediaError: it does not end with a whole picture.
    """
    try:
        VideoFormat(told.pixel_format, told.width, told.height)
    except ValueError as error:
        raise _refused(told) from error
    options = {
        "video_size": f"{told.width}x{told.height}",
        "pixel_format": told.pixel_format,
        "framerate": str(told.rate),
    }
    with translated(path, Doing.OPENING):
        container = av.open(stream, "r", format="rawvideo", options=options)
    with container, translated(path, Doing.WRITING), av.open(str(path), "w", format="nut") as kept:
        count = _copy(container, kept, told)
    if not count:
        raise NotMediaError(
            "standard input is empty (0 bytes)", needed="raw pictures", do="check what feeds it"
        )
    with av.open(str(path)) as again:
        if again.streams.video[0].codec_context.pix_fmt != told.pixel_format:
            raise _refused(told)  # NUT knows no yuvj420p: whether it is full range would be lost


def _copy(container: InputContainer, kept: OutputContainer, told: RawVideo) -> int:
    source = container.streams.video[0]
    # An encoder's stream, opened and never used: a template would not tell the pixel format.
    target = kept.add_stream("rawvideo", rate=told.rate)
    target.width, target.height, target.pix_fmt = told.width, told.height, told.pixel_format
    target.time_base = 1 / told.rate
    kept.start_encoding()
    count = 0
    for packet in (p for p in container.demux(source) if p.size):
        if packet.is_corrupt:
            raise DamagedMediaError(
                f"standard input: {packet.size} bytes after {count} pictures of {told}",
                needed="whole pictures",
                do="check --input-size and --input-pix-fmt",
            )
        packet.stream = target
        packet.time_base = 1 / told.rate
        packet.pts = packet.dts = count
        packet.duration = 1
        kept.mux_one(packet)
        count += 1
    return count


def _refused(told: RawVideo) -> UsageError:
    return UsageError(
        f"raw video in '{told.pixel_format}'",
        needed="a pixel format of FFmpeg that raw video can have",
        do="try --input-pix-fmt yuv420p",
    )
