"""Decoding one video stream: frames in order, each with its exact time, damage counted.

Room: media (floor 2). Both ``probe`` and ``read`` walk a file through this module, so that what
the first counts is what the second yields. Must not convert pixels.

Times are the file's own, rational, less the ``origin`` of transport streams. A frame without a
time follows the one before it by that one's duration. A frame that does not come after the one
before it (equal or backward time) can never be shown: it is left out and counted.
"""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av.error
from av import CodecContext, Packet, VideoFrame
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from mardini_cli.errors import DamagedMediaError, NoVideoError
from mardini_cli.media.door import BROKEN, Doing, translate
from mardini_cli.media.limits import USUAL, Limits
from mardini_cli.media.timing import known

MOST_DAMAGED = Fraction(1, 10)
"""A file of whose packets more than this share cannot be decoded is refused."""

FEW_DAMAGED = 3
"""So many undecodable packets are always let pass."""

# These count from a clock that was running long before the clip began.
_RUNNING_CLOCKS = frozenset({"mpegts", "mpeg"})


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Choose the first stream of moving pictures; cover pictures do not count.

    Raises:
        NoVideoError: there is none, or no decoder for it.
    """
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        kinds = " and ".join(sorted({stream.type for stream in container.streams}))
        raise NoVideoError(
            f"{path} holds {kinds or 'no streams'}, but no moving pictures",
            needed="a video stream",
            do="name a film",
        )
    if streams[0].codec_context is None:
        raise NoVideoError(
            f"{path} holds video in a codec that this FFmpeg does not know",
            needed="a codec with a decoder",
            do="re-encode the file first",
        )
    return streams[0]


def origin_of(container: InputContainer) -> Fraction:
    """Seconds to take off all times of a file: 0, but for transport streams.

    The exact start of the earliest stream, in that stream's own ticks.
    """
    if container.format.name not in _RUNNING_CLOCKS:
        return Fraction(0)
    starts = [
        Fraction(stream.start_time) * Fraction(stream.time_base)
        for stream in container.streams
        if stream.start_time is not None and stream.time_base
    ]
    return min(starts, default=Fraction(0))


def _transparent_decoder(stream: VideoStream) -> VideoCodecContext | None:
    """A decoder of VP8 and VP9 that sees alpha, for streams that say they have some."""
    codec = stream.codec_context.codec.canonical_name
    told = {key.lower(): value for key, value in stream.metadata.items()}
    if codec not in ("vp8", "vp9") or told.get("alpha_mode") != "1":
        return None
    return CodecContext.create("libvpx" if codec == "vp8" else "libvpx-vp9", "r")


@dataclass(slots=True)
class Decoding:
    """One walk over a video stream, and what was met on the way."""

    container: InputContainer
    stream: VideoStream
    path: Path
    limits: Limits = USUAL
    packets: int = 0
    damaged: int = 0
    """Packets that could not be decoded."""
    marked: int = 0
    """Frames that the decoder delivered and called corrupt."""
    unplaced: int = 0
    """Frames left out, since their time was not after the one before."""
    untimed: int = 0
    """Frames without a time of their own."""
    origin: Fraction = field(init=False)
    seer: VideoCodecContext | None = field(init=False)
    """Stands in for FFmpeg's usual decoder where that would drop the transparency."""
    last_duration: Fraction | None = field(init=False, default=None)
    """How long the last yielded frame says it is shown."""

    def __post_init__(self) -> None:
        self.origin = origin_of(self.container)
        self.stream.thread_type = "AUTO"
        self.stream.codec_context.options = {"max_pixels": str(self.limits.padded)}
        self.seer = _transparent_decoder(self.stream)

    def frames(self) -> Iterator[tuple[Fraction, VideoFrame]]:
        """Yield each frame with its time, seconds, strictly rising.

        Raises:
            DamagedMediaError: too much of the file cannot be decoded.
        """
        last: Fraction | None = None
        for frame in self._decoded():
            time = self._time(frame, last)
            if last is not None and time <= last:
                self.unplaced += 1
                continue
            last, self.last_duration = time, self._duration(frame)
            self.marked += frame.is_corrupt
            yield time, frame
        self._check_damage()

    def _time(self, frame: VideoFrame, last: Fraction | None) -> Fraction:
        base = known(frame.time_base) or known(self.stream.time_base)
        if frame.pts is not None and base is not None:
            return frame.pts * base - self.origin
        self.untimed += 1
        if last is None:
            return Fraction(0)
        rate = known(self.stream.average_rate) or known(self.stream.guessed_rate) or Fraction(25)
        return last + (self.last_duration or 1 / rate)

    def _duration(self, frame: VideoFrame) -> Fraction | None:
        base = known(frame.time_base) or known(self.stream.time_base)
        return known(frame.duration * base) if frame.duration and base else None

    def _decoded(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            try:
                frames = self.seer.decode(packet) if self.seer else packet.decode()
            except av.error.FFmpegError as error:
                self.damaged += 1
                if self.damaged > FEW_DAMAGED and self.damaged > self.packets * MOST_DAMAGED:
                    raise translate(error, self.path, Doing.DECODING) from error
                continue
            yield from frames

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except BROKEN:
                # The file breaks off inside a packet: what came before is good. An empty packet
                # asks the decoder for the frames that it still holds.
                self.damaged += 1
                yield self._last_call()
                return
            self.packets += bool(packet.size)
            yield packet

    def _last_call(self) -> Packet[VideoStream]:
        packet: Packet[VideoStream] = Packet()  # type: ignore[assignment]  # untyped when empty
        packet.stream = self.stream
        return packet

    def _check_damage(self) -> None:
        if self.damaged > FEW_DAMAGED and self.damaged > self.packets * MOST_DAMAGED:
            raise DamagedMediaError(
                f"{self.path}: {self.damaged} of {self.packets} packets cannot be decoded",
                needed="at most one in ten damaged",
                do="repair or re-encode it first",
            )
