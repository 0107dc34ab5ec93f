"""Results as a good tool would write them, and as broken tools do. Takes nothing from the room."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av import VideoFrame
from av.video.stream import VideoStream

Pictures = list[tuple[Fraction, VideoFrame]]


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """What is wrong with a result; by default nothing."""

    factor: int = 2
    change: Callable[[Pictures], Pictures] = field(default=lambda pictures: pictures)
    """Done to the frames of the result before they are encoded."""
    sound_late: Fraction = Fraction(0)
    spoilt_packet: int | None = None
    sound: bool = True
    tags: tuple[int, int, int, int] | None = None
    size: tuple[int, int] | None = None
    lasts: Fraction | None = None
    """How long the last frame is shown; None: as in the source."""


def forge(source: Path, output: Path, forgery: Forgery | None = None) -> Path:
    """Write the result of an interpolation whose made frames are mixed from their neighbours."""
    forgery = forgery or Forgery()
    given, last = _read(source)
    pictures = forgery.change(_filled(given, forgery.factor))
    # Sound from before 0 would otherwise move all pictures.
    options = {"avoid_negative_ts": "disabled"} if output.suffix == ".mkv" else {}
    with av.open(str(source)) as old, av.open(str(output), "w", options=options) as new:
        stream = _stream(new, old, pictures[0][1], forgery)
        sound = old.streams.audio[0] if old.streams.audio and forgery.sound else None
        copy = new.add_stream_from_template(sound) if sound is not None else None
        _encode(new, stream, pictures, forgery.lasts or last)
        if sound is None or copy is None:
            return output
        for number, packet in enumerate(p for p in old.demux(sound) if p.size):
            late = int(forgery.sound_late / Fraction(packet.time_base))
            out: Any = packet  # all of these have times
            if number == forgery.spoilt_packet:
                out = av.Packet(bytes(packet)[:-1] + bytes([bytes(packet)[-1] ^ 255]))
                out.pts, out.dts, out.duration = packet.pts, packet.dts, packet.duration
                out.time_base = packet.time_base
            out.stream = copy
            out.pts, out.dts = out.pts + late, out.dts + late
            new.mux(out)
    return output


def _read(path: Path) -> tuple[Pictures, Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = Fraction(stream.time_base or 1)
        found = [(cast("int", f.pts) * base, f) for f in container.decode(stream)]
    return found, found[-1][1].duration * base


def _filled(given: Pictures, factor: int) -> Pictures:
    found = []
    for (start, left), (end, right) in pairwise(given):
        found.append((start, left))
        for part in range(1, factor):
            share = Fraction(part, factor)
            found.append((start + (end - start) * share, mixed(left, right, float(share))))
    return [*found, given[-1]]


def mixed(left: VideoFrame, right: VideoFrame, share: float) -> VideoFrame:
    """Between two yuv420p frames."""
    one, other = left.to_ndarray().astype(np.float64), right.to_ndarray()
    codes = np.rint(one * (1 - share) + other * share).astype(np.uint8)
    return VideoFrame.from_ndarray(codes, format="yuv420p")


def _stream(new: Any, old: Any, first: VideoFrame, forgery: Forgery) -> VideoStream:
    options = {"crf": "8", "preset": "ultrafast", "bf": "0"}
    stream = cast("VideoStream", new.add_stream("libx264", options=options))
    stream.width, stream.height = forgery.size or (first.width, first.height)
    stream.pix_fmt = "yuv420p"
    source = old.streams.video[0].codec_context
    context = stream.codec_context
    context.time_base = stream.time_base = Fraction(1, 720_000)
    context.colorspace, context.color_primaries, context.color_trc, context.color_range = (
        forgery.tags
        or (source.colorspace, source.color_primaries, source.color_trc, source.color_range)
    )
    return stream


def _encode(new: Any, stream: VideoStream, pictures: Pictures, last: Fraction) -> None:
    base = Fraction(1, 720_000)
    ends = [time for time, _ in pictures[1:]] + [pictures[-1][0] + last]
    lengths, packets = {}, []
    for (time, picture), end in zip(pictures, ends, strict=True):
        frame = VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv420p")
        if (frame.width, frame.height) != (stream.width, stream.height):
            frame = frame.reformat(stream.width, stream.height)
        frame.pts, frame.time_base = round(time / base), base
        lengths[frame.pts] = round((end - time) / base)
        packets += stream.encode(frame)
    for packet in [*packets, *stream.encode(None)]:
        packet.duration = lengths[cast("int", packet.pts)]
        new.mux(packet)
