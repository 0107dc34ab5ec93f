"""Writing a clip: given frames in their own planes, made frames turned into the same, sound copied.

Room: media (floor 2). Knows no plan and no model; frames come in time order. ``choosing`` settles
how they are written, ``opening`` opens the file.

Times. A frame's time becomes whole ticks of the time base asked for; MP4 and MOV keep it exactly,
Matroska and WebM round to whole milliseconds. Each packet carries how long its frame is shown, so
that the file ends when it should. The last frame is a key frame: it is then also the last one in
decoding order, whose duration is the one that MP4 stores. MP4 knows only gaps between decoding
times, so frames are reordered (B-frames) only where the source's gaps are all equal.

The result is written to a hidden file beside its place and gets its name when all of it is on the
disk; whatever ends the work early, that file is removed.
"""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from av import VideoFrame
from av.packet import Packet
from av.video.frame import PictureType

from mardini_cli.errors import EncoderError, MadeFrameError, ShapeError
from mardini_cli.media import planes
from mardini_cli.media.choosing import REORDERING, chosen, tag
from mardini_cli.media.colour import Floats
from mardini_cli.media.copying import Companions
from mardini_cli.media.door import Doing, translated
from mardini_cli.media.encoders import EncodeSettings
from mardini_cli.media.opening import Opened, clock_for, open_result
from mardini_cli.media.output import PartFile, part_for
from mardini_cli.media.palette import Palette
from mardini_cli.media.planes import Layout
from mardini_cli.media.probe import ClipInfo
from mardini_cli.media.reader import Frame
from mardini_cli.media.timing import ticks


class Writer:
    """Writes one clip. Use as a context manager; a clean exit puts the file in its place.

    Args:
        output: where the result goes; ``check_output`` has been asked. Or the part file that
            will go there.
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
        output: Path | PartFile,
        info: ClipInfo,
        time_base: Fraction,
        end: Fraction,
        settings: EncodeSettings | None = None,
        times: Sequence[Fraction] = (),
    ) -> None:
        self._part = output if isinstance(output, PartFile) else part_for(output)
        name = self._part.output
        self._choice = chosen(name, info, settings or EncodeSettings(), times or info.times)
        self._info = self._choice.info
        self._clock = clock_for(self._info, time_base, end, times)
        self._opened: Opened | None = None
        self._companions: Companions | None = None
        self._palette: Palette | None = None
        self._held: tuple[int, VideoFrame] | None = None
        self._last_time: Fraction | None = None
        self._durations: dict[int, int] = {}
        self._closed = False

    @property
    def notices(self) -> tuple[str, ...]:
        """What the result lacks or changes against the source, one line each."""
        copied = self._companions.notices if self._companions else []
        return (*self._choice.notices, *copied)

    @property
    def changed(self) -> frozenset[str]:
        """What the result cannot keep of the picture, by the names of ``verify``'s checks."""
        return self._choice.changed

    def __enter__(self) -> Self:
        try:
            with translated(self._part.output, Doing.WRITING):
                self._part.begin()
                self._opened = open_result(self._part.path, self._choice, self._clock)
            self._companions = self._opened.companions
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
            picture, choice = frame.picture, self._choice
            if choice.turns:
                picture = planes.turned(picture, choice.turns, self._info.colour)
            picture = planes.converted(picture, self._info.colour, choice.layout, choice.colour)
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
        with translated(self._part.output, Doing.WRITING):
            self._take(self.stored(rgb), time)

    def stored(self, rgb: Floats) -> VideoFrame:
        """A made frame as it goes to the encoder, in the planes of ``layout``."""
        turned = np.rot90(rgb, -self._info.quarter_turns).astype(np.float32, copy=False)
        return planes.frame_from_rgb(turned, self._choice.layout, self._choice.colour)

    def restored(self, frame: VideoFrame, time: Fraction) -> None:
        """Write what ``stored`` gave."""
        with translated(self._part.output, Doing.WRITING):
            self._take(frame, time)

    @property
    def layout(self) -> Layout:
        """How the numbers of the result's frames lie."""
        return self._choice.layout

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the result's frames as they are stored."""
        return self._info.height, self._info.width

    @property
    def pixels(self) -> str:
        """All that turns a made frame into planes, in words."""
        choice = self._choice
        return f"{self.layout.name} {self.size} {self._info.quarter_turns} {choice.colour}"

    def finish(self) -> Path:
        """Write what is left; the file is whole, but has no name yet. A second call does nothing.

        Returns:
            The hidden file, to be proved before ``close`` gives it its name.
        """
        if self._opened is not None:
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

    # Writing

    def _take(self, picture: VideoFrame, time: Fraction) -> None:
        """Hold a frame until the next one tells how long it is shown."""
        at = ticks(time, self._clock.base)
        self._check_order(time)
        self._release(until=at)
        # What the decoder left on the frame would bind the encoder: its key frames, its clock.
        picture.pict_type = PictureType.NONE
        picture.pts, picture.time_base = at, self._clock.base
        picture = self._finished(picture)
        tag(picture, self._choice.colour)
        self._held, self._last_time = (at, picture), time

    def _finished(self, picture: VideoFrame) -> VideoFrame:
        """What neither layouts nor colour know of: palettes, and the other order of bytes."""
        if self._choice.codec == "gif":
            self._palette = self._palette or Palette(picture)
            return self._palette(picture)
        final = self._choice.final_format
        if final is None:
            return picture
        moved = picture.reformat(format=final)
        moved.pts, moved.time_base = picture.pts, picture.time_base
        return moved

    def _check_order(self, time: Fraction) -> None:
        if self._last_time is None:
            return
        step = self._choice.kind.tick or self._clock.base
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
        assert self._opened is not None
        at, picture = self._held
        self._held = None
        self._durations[at] = max(until - at, 1)
        picture.duration = self._durations[at]
        self._mux(self._opened.stream.encode(picture))

    def _mux(self, packets: list[Packet[Any]]) -> None:
        assert self._opened is not None
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts, packet.duration)
            at = packet.pts if packet.dts is None else packet.dts
            if at is not None:
                self._copy(until=at * Fraction(packet.time_base))
            self._opened.container.mux(packet)

    def _copy(self, until: Fraction | None) -> None:
        assert self._opened is not None
        for packet in self._companions.until(until) if self._companions else ():
            self._opened.container.mux_one(packet)

    def _finish(self) -> None:
        assert self._opened is not None
        if self._held is not None and self._choice.codec in REORDERING:
            self._held[1].pict_type = PictureType.I
        last = self._held
        self._release(until=ticks(self._clock.end, self._clock.base))
        if self._choice.codec == "webp" and last is not None:
            self._stretch(last)
        self._mux(self._opened.stream.encode(None))
        self._copy(until=None)
        opened, self._opened = self._opened, None
        opened.close()

    def _stretch(self, last: tuple[int, VideoFrame]) -> None:
        """Make an animated WebP last until its end.

        Its encoder takes no durations, and gives the last picture the mean of all others. The same
        picture once more becomes one with it; placed so, that the mean reaches just to the end.
        """
        assert self._opened is not None
        (at, picture), clock = last, self._clock
        first, count = ticks(clock.times[0], clock.base), len(clock.times)
        again = first + (ticks(clock.end, clock.base) - first) * count // (count + 1)
        if again > at:
            picture.pts = again
            self._mux(self._opened.stream.encode(picture))

    def _abandon(self) -> None:
        """Close what is open and leave nothing behind; what was wrong is raised already."""
        opened, self._opened = self._opened, None
        try:
            if opened is not None:
                opened.abandon()
        finally:
            self._part.discard()
