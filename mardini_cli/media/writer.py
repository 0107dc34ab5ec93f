"""Writing a clip: given frames in their own planes, made frames turned into the same, sound copied.

Room: media (floor 2). Knows no plan and no model; frames come in time order.

Times. A frame's time becomes whole ticks of the time base asked for; MP4 and MOV keep it exactly,
Matroska and WebM round to whole milliseconds. Each packet carries how long its frame is shown, so
that the file ends when it should. The last frame is a key frame: it is then also the last one in
decoding order, whose duration is the one that MP4 stores. MP4 knows only gaps between decoding
times, so frames are reordered (B-frames) only where the source's gaps are all equal.

Rotation. The stored picture stays as the source has it, and the source's display matrix goes into
the file: given frames stay bit for bit the same, and players turn them as they did before. Files
that cannot tell of a rotation (pictures, y4m) get turned pixels, others if asked.

The result is written to a hidden file beside its place and gets its name when all of it is on the
disk; whatever ends the work early, that file is removed.
"""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

import os
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import av
import numpy as np
from av import VideoFrame
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from mardini_cli.errors import EncoderError, MadeFrameError, ShapeError
from mardini_cli.media import planes
from mardini_cli.media.colour import FULL, LIMITED, Colour, Floats
from mardini_cli.media.containers import kind_of
from mardini_cli.media.copying import Companions, lasting
from mardini_cli.media.decoding import video_stream
from mardini_cli.media.door import Doing, translated
from mardini_cli.media.encoders import (
    ENCODERS,
    Content,
    EncodeSettings,
    codec_for,
    options_of,
    there,
)
from mardini_cli.media.layouts import asked_layout, layout_for
from mardini_cli.media.light import options_for
from mardini_cli.media.output import part_for
from mardini_cli.media.palette import Palette
from mardini_cli.media.planes import LAYOUTS, Layout
from mardini_cli.media.probe import ClipInfo
from mardini_cli.media.reader import Frame
from mardini_cli.media.timing import is_even, mean_rate, shared_clock, ticks

REORDERING = ("h264", "hevc", "h264_nvenc", "hevc_nvenc")
"""Codecs whose frames may be stored in another order than they are shown."""
SHAPED = ("h264", "hevc", "h264_nvenc", "hevc_nvenc")
"""Codecs that tell the shape of a pixel in their own stream."""
PLAUSIBLE_RATE = 1000
"""A time base finer than this tells nothing about the frame rate."""


class Writer:
    """Writes one clip. Use as a context manager; a clean exit puts the file in its place.

    Args:
        output: where the result goes; ``check_output`` has been asked.
        info: the source: its size, planes, colour, rotation, sound; only those other streams
            that ``info.streams`` lists go along.
        time_base: seconds a tick; should hold every time exactly (``timing.common_time_base``).
        end: when the last frame ceases to be shown.
        settings: how to encode.
        times: when the result's frames are shown, for the file's headers and for how frames are
            stored; by default as in the source.

    Raises:
        EncoderError, UnwritableError: here, or from any call, when FFmpeg or the disk refuses.
    """

    def __init__(
        self,
        output: Path,
        info: ClipInfo,
        time_base: Fraction,
        end: Fraction,
        settings: EncodeSettings | None = None,
        times: Sequence[Fraction] = (),
    ) -> None:
        settings = settings or EncodeSettings()
        self._turns = 0
        if settings.bake_rotation or kind_of(output).animation:  # those cannot tell of a rotation
            self._turns = info.quarter_turns
        self._info = info = _upright(info) if self._turns else info
        self._end = end
        self._kind = kind_of(output)
        self._times = times or info.times
        self._base = time_base
        self._rate = _header_rate(times) or _guessed_rate(info, time_base)
        self._source_layout = _source_layout(info)
        content = Content(
            codec=info.codec, depth=self._source_layout.depth, transparent=info.transparent
        )
        self._wanted = codec_for(output, settings, content)
        self._codec = there(self._wanted)
        if self._codec != self._wanted:
            settings = replace(settings, crf=None, preset=None)  # another encoder's scales
        self._layout = self._chosen_layout(settings)
        self._options = self._encoder_options(settings)
        self._palette: Palette | None = None
        self._colour = _written_colour(info, self._source_layout, self._layout)
        self._notices = self._own_notices()
        self._part = part_for(output)
        self._held: tuple[int, VideoFrame] | None = None
        self._last_time: Fraction | None = None
        self._durations: dict[int, int] = {}
        self._container: OutputContainer | None = None
        self._closed = False
        self._companions: Companions | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        """What the result lacks or changes against the source, one line each."""
        copied = self._companions.notices if self._companions else []
        return (*self._notices, *copied)

    @property
    def changed(self) -> frozenset[str]:
        """What the result cannot keep of the picture, by the names of ``verify``'s checks."""
        found = set()
        aspect = self._info.sample_aspect
        if aspect not in (None, 1) and self._kind.tick and self._codec not in SHAPED:
            found.add("pixel shape")  # a field of the stream that PyAV 18 cannot set
        if self._layout.depth < self._source_layout.depth:
            found.add("bits")
        return frozenset(found)

    def __enter__(self) -> Self:
        try:
            with translated(self._part.output, Doing.WRITING):
                self._open()
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._abandon()

    def original(self, frame: Frame) -> None:
        """Write a given frame: its own planes where the format is the source's."""
        with translated(self._part.output, Doing.WRITING):
            picture = frame.picture
            if self._turns:
                picture = planes.turned(picture, self._turns, self._info.colour)
            picture = planes.converted(picture, self._info.colour, self._layout, self._colour)
            self._take(picture, frame.time)

    def made(self, rgb: Floats, time: Fraction) -> None:
        """Write a made frame.

        Args:
            rgb: upright, float32 in [0, 1], ``h w 3`` of ``info.upright_size``; ``h w 4`` with
                alpha.
            time: when it is shown, seconds.

        Raises:
            ShapeError: another shape.
            MadeFrameError: numbers that are none.
        """
        columns, rows = self._info.upright_size
        if rgb.shape[:2] != (rows, columns) or rgb.shape[2:] not in ((3,), (4,)):
            raise ShapeError(
                f"a made frame of shape {rgb.shape}",
                needed=f"{(rows, columns, 3)}, or 4 with alpha",
                do="resize it before writing",
            )
        if not np.isfinite(rgb.sum()):  # quicker than a look at each number
            raise MadeFrameError(
                f"the frame made for {float(time):.3f} s holds NaN or infinity",
                needed="a picture",
                do="run again with --dtype fp32",
            )
        stored = np.rot90(rgb, -self._info.quarter_turns).astype(np.float32, copy=False)
        with translated(self._part.output, Doing.WRITING):
            self._take(planes.frame_from_rgb(stored, self._layout, self._colour), time)

    def finish(self) -> Path:
        """Write what is left; the file is whole, but has no name yet. A second call does nothing.

        Returns:
            The hidden file, to be proved before ``close`` gives it its name.
        """
        if self._container is not None:
            try:
                with translated(self._part.output, Doing.WRITING):
                    self._finish()
            except BaseException:
                self._abandon()
                raise
        return self._part.path

    def close(self) -> None:
        """Finish the file and give it its name. A second call does nothing."""
        if self._closed:
            return
        self.finish()
        self._closed = True
        try:
            with translated(self._part.output, Doing.WRITING):
                self._part.publish()
        except BaseException:
            self._abandon()
            raise

    # Choosing

    def _chosen_layout(self, settings: EncodeSettings) -> Layout:
        info = self._info
        size = (info.width, info.height)
        if settings.pixel_format is not None:
            return asked_layout(self._codec, settings.pixel_format, size)
        return layout_for(
            self._codec,
            self._source_layout,
            size,
            transparent=info.transparent and self._codec in self._kind.clear,
            lossless=settings.lossless,
        )

    def _encoder_options(self, settings: EncodeSettings) -> dict[str, str]:
        options = options_of(self._codec, settings, transparent=self._layout.alpha)
        if self._codec in REORDERING and not (self._kind.tick or is_even(self._times)):
            options["bf"] = "0"
        if self._codec == "prores":
            options["profile"] = "hq" if self._layout.halves[1] else "4444"
        for key, value in (
            (self._info.light and options_for(self._codec, self._info.light)) or {}
        ).items():
            options[key] = f"{options[key]}:{value}" if key in options else value
        return options

    # Opening

    def _open(self) -> None:
        self._container = av.open(
            str(self._part.path),
            "w",
            format=self._kind.muxer,
            options=self._muxer_options(),
        )
        if not self._info.is_film:
            self._stream = self._add_pictures(None)
            self._container.start_encoding()
            return
        companions = Companions(self._info, self._container, self._kind)
        self._companions = companions
        companions.add_file_facts()
        pictures = video_stream(companions.source, self._info.path)
        wanted = {stream.index for stream in self._info.streams}
        for stream in companions.source.streams:  # in the source's order
            if stream.index == pictures.index:
                self._stream = self._add_pictures(pictures)
            elif stream.index in wanted:
                companions.add(stream)
        self._container.start_encoding()
        companions.start()

    def _muxer_options(self) -> dict[str, str]:
        options = dict(self._kind.options)
        if self._kind.animation:
            # These files tell no duration of their last picture but by this option.
            last = max(self._end - self._times[-1], self._base)
            if self._kind.muxer == "gif":
                options["final_delay"] = str(ticks(last, Fraction(1, 100)))
            elif self._kind.muxer == "apng":
                short = last.limit_denominator(65_535)
                options["final_delay"] = f"{short.numerator}/{short.denominator}"
        elif not self._kind.tick:
            # Where a stream starts late, MP4 stores the wait in ticks of the whole film.
            bases = [s.time_base for s in self._info.streams if s.kind == "audio" and s.time_base]
            options["movie_timescale"] = str(shared_clock([self._base, *bases]))
        return options

    def _add_pictures(self, source: VideoStream | None) -> VideoStream:
        assert self._container is not None
        if self._codec == "av1":
            os.environ.setdefault("SVT_LOG", "1")  # its only way to be quiet
        added = self._container.add_stream(ENCODERS[self._codec].name, options=self._options)
        stream = cast("VideoStream", added)  # the stubs do not know encoders by name
        stream.width, stream.height = self._info.width, self._info.height
        stream.pix_fmt = _FINAL.get((self._codec, self._layout.name), self._layout.name)
        stream.time_base = self._base
        if source is not None:
            stream.metadata.update(lasting(source.metadata))
            stream.disposition = source.disposition
        context = stream.codec_context
        context.time_base = self._base
        context.framerate = self._rate
        if self._codec != "vp9":
            context.thread_type = "AUTO"
        if self._codec.startswith("hevc") and self._kind.muxer in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # Apple's players take no other
        if self._codec == "vp9" and self._layout.alpha:
            stream.metadata["alpha_mode"] = "1"
        if self._info.sample_aspect:
            context.sample_aspect_ratio = self._info.sample_aspect
        _tag(context, self._colour)
        if self._info.display_matrix:
            stream.set_display_matrix(self._info.display_matrix)
        elif self._info.rotation:
            stream.set_display_rotation(self._info.rotation)
        return stream

    # Writing

    def _take(self, picture: VideoFrame, time: Fraction) -> None:
        """Hold a frame until the next one tells how long it is shown."""
        at = ticks(time, self._base)
        self._check_order(time)
        self._release(until=at)
        # What the decoder left on the frame would bind the encoder: its key frames, its clock.
        picture.pict_type = PictureType.NONE
        picture.pts, picture.time_base = at, self._base
        picture = self._finished(picture)
        _tag(picture, self._colour)
        self._held, self._last_time = (at, picture), time

    def _finished(self, picture: VideoFrame) -> VideoFrame:
        """What neither layouts nor colour know of: palettes, and the other order of bytes."""
        if self._codec == "gif":
            self._palette = self._palette or Palette(picture)
            return self._palette(picture)
        final = _FINAL.get((self._codec, self._layout.name))
        if final is None:
            return picture
        moved = picture.reformat(format=final)
        moved.pts, moved.time_base = picture.pts, picture.time_base
        return moved

    def _check_order(self, time: Fraction) -> None:
        if self._last_time is None:
            return
        step = self._kind.tick or self._base
        if ticks(time, step) > ticks(self._last_time, step):
            return
        if time <= self._last_time:
            raise ValueError(f"frame at {time} s comes after the one at {self._last_time} s")
        raise EncoderError(
            f"{self._part.output}: frames at {float(self._last_time):.6f} and {float(time):.6f} s",
            needed=f"times that differ in ticks of {step} s",
            do="write .mp4, which keeps finer times, or ask for fewer frames",
        )

    def _release(self, until: int) -> None:
        if self._held is None:
            return
        at, picture = self._held
        self._held = None
        self._durations[at] = max(until - at, 1)
        picture.duration = self._durations[at]
        self._mux(self._stream.encode(picture))

    def _mux(self, packets: list[Packet[Any]]) -> None:
        assert self._container is not None
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts, packet.duration)
            at = packet.pts if packet.dts is None else packet.dts
            if at is not None:
                self._copy(until=at * Fraction(packet.time_base))
            self._container.mux(packet)

    def _copy(self, until: Fraction | None) -> None:
        assert self._container is not None
        for packet in self._companions.until(until) if self._companions else ():
            self._container.mux_one(packet)

    def _finish(self) -> None:
        assert self._container is not None
        if self._held is not None and self._codec in REORDERING:
            self._held[1].pict_type = PictureType.I
        last = self._held
        self._release(until=ticks(self._end, self._base))
        if self._codec == "webp" and last is not None:
            self._stretch(last)
        self._mux(self._stream.encode(None))
        self._copy(until=None)
        container, self._container = self._container, None
        container.close()
        if self._companions is not None:
            self._companions.close()

    def _stretch(self, last: tuple[int, VideoFrame]) -> None:
        """Make an animated WebP last until its end.

        Its encoder takes no durations, and gives the last picture the mean of all others. The same
        picture once more becomes one with it; placed so, that the mean reaches just to the end.
        """
        at, picture = last
        first, count = ticks(self._times[0], self._base), len(self._times)
        again = first + (ticks(self._end, self._base) - first) * count // (count + 1)
        if again > at:
            picture.pts = again
            self._mux(self._stream.encode(picture))

    def _abandon(self) -> None:
        """Close what is open and leave nothing behind; what was wrong is raised already."""
        container, self._container = self._container, None
        try:
            if self._companions is not None:
                self._companions.close()
            if container is not None:
                container.close()
        except (av.error.FFmpegError, OSError):
            pass  # a full disk refuses the trailer too; the first error is the one to tell
        finally:
            self._part.discard()

    def _own_notices(self) -> list[str]:
        found = []
        if self._codec != self._wanted:
            found.append(f"{self._wanted} does not run here; {self._codec} in software stands in")
        if self._info.transparent and not self._layout.alpha:
            found.append(
                "transparency is left out: .mov with prores, .webm and .mkv with vp9, and .apng"
                " would hold it"
            )
        if self._info.light and options_for(self._codec, self._info.light) is None:
            found.append(
                f"how bright the picture was mastered (HDR10) is left out: {self._codec} cannot"
                " tell it; hevc, h264 and av1 can"
            )
        if self._info.changing_light:
            found.append(
                f"metadata of {' and '.join(self._info.changing_light)} is left out: no encoder"
                " here writes it; the base picture stays as it is"
            )
        if "pixel shape" in self.changed:
            aspect = self._info.sample_aspect
            found.append(f"the pixel shape {aspect} is lost: this file cannot tell it (.mp4 can)")
        if "bits" in self.changed:
            found.append(
                f"{self._source_layout.depth}-bit pictures are written with"
                f" {self._layout.depth} bits"
            )
        return found


_FINAL = {
    ("png", "rgb48le"): "rgb48be",
    ("png", "rgba64le"): "rgba64be",
    ("png", "gray16le"): "gray16be",
    ("apng", "rgb48le"): "rgb48be",
    ("apng", "rgba64le"): "rgba64be",
    ("gif", "rgb24"): "pal8",
    ("gif", "rgba"): "pal8",
}
"""Pixel formats that encoders want of layouts that are no layouts here."""


def _header_rate(times: Sequence[Fraction]) -> Fraction | None:
    rate = mean_rate(times)
    return rate if rate is not None and rate <= PLAUSIBLE_RATE else None


def _upright(info: ClipInfo) -> ClipInfo:
    """The clip as it is once its pixels are turned."""
    width, height = info.upright_size
    aspect = info.sample_aspect
    return replace(
        info,
        width=width,
        height=height,
        rotation=0,
        display_matrix=None,
        sample_aspect=1 / aspect if aspect and info.quarter_turns % 2 else aspect,
        # The usual rule goes by the stored height, and both ways must agree.
        colour=replace(info.colour, matrix=_told_matrix(info)),
    )


def _told_matrix(info: ClipInfo) -> int | None:
    told = info.colour
    if told.matrix is not None or _source_layout(info).family != "yuv":
        return told.matrix
    return told.read_matrix(info.height)


def _source_layout(info: ClipInfo) -> Layout:
    name = info.pixel_format
    if name not in LAYOUTS:
        name = planes.stand_in(VideoFrame(info.width, info.height, name))
    return LAYOUTS[name]


def _written_colour(info: ClipInfo, source: Layout, target: Layout) -> Colour:
    """The source's tags; where it has no matrix or another range, the ones that are used."""
    told = info.colour
    coding = planes.coding_of(source, told, info.height)
    if source.family == "yuv" and target.family == "yuv":
        implied = FULL if source.name.startswith("yuvj") else told.range
        return Colour(
            matrix=told.matrix,
            primaries=told.primaries,
            transfer=told.transfer,
            range=implied,
        )
    if target.family == "rgb":
        return Colour(matrix=0, primaries=told.primaries, transfer=told.transfer, range=FULL)
    full = coding.full if source.family == "gray" else False
    return Colour(
        matrix=told.read_matrix(info.height),
        primaries=told.primaries,
        transfer=told.transfer,
        range=FULL if full else LIMITED,
    )


def _tag(target: Any, colour: Colour) -> None:
    """Write tags: most encoders read them from their context, ProRes from the frame."""
    for name, code in (
        ("colorspace", colour.matrix),
        ("color_primaries", colour.primaries),
        ("color_trc", colour.transfer),
        ("color_range", colour.range),
    ):
        if code is not None:
            setattr(target, name, code)


def _guessed_rate(info: ClipInfo, time_base: Fraction) -> Fraction:
    rate = 1 / time_base
    return rate if rate <= PLAUSIBLE_RATE else (info.rate or Fraction(25))
