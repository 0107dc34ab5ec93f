"""Opening a result: its container, its picture stream, and the streams that go along.

Room: media (floor 2). Writes headers and no frames.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
from av.container import OutputContainer
from av.video.stream import VideoStream

from mardini_cli.media.choosing import Choice, tag
from mardini_cli.media.copying import Companions, lasting
from mardini_cli.media.decoding import video_stream
from mardini_cli.media.encoders import ENCODERS
from mardini_cli.media.probe import ClipInfo
from mardini_cli.media.scheduling import kept_scheduling
from mardini_cli.media.timing import mean_rate, shared_clock, ticks

PLAUSIBLE_RATE = 1000
"""A time base finer than this tells nothing about the frame rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """The times of a result, seconds."""

    base: Fraction
    """A tick."""
    rate: Fraction
    """Frames a second, for headers."""
    times: Sequence[Fraction]
    end: Fraction


def clock_for(info: ClipInfo, base: Fraction, end: Fraction, times: Sequence[Fraction]) -> Clock:
    """The clock of a result; without ``times`` its frames stand where the source's do."""
    rate = _header_rate(times) or _guessed_rate(info, base)
    return Clock(base=base, rate=rate, times=times or info.times, end=end)


def _header_rate(times: Sequence[Fraction]) -> Fraction | None:
    rate = mean_rate(times)
    return rate if rate is not None and rate <= PLAUSIBLE_RATE else None


def _guessed_rate(info: ClipInfo, time_base: Fraction) -> Fraction:
    rate = 1 / time_base
    return rate if rate <= PLAUSIBLE_RATE else (info.rate or Fraction(25))


@dataclass(frozen=True, eq=False, slots=True)
class Opened:
    """A file whose headers are written."""

    container: OutputContainer
    stream: VideoStream
    """Its pictures."""
    companions: Companions | None
    """What goes along; nothing where the source is no film."""

    def close(self) -> None:
        """Write the trailer."""
        try:
            self.container.close()
        finally:
            if self.companions is not None:
                self.companions.close()

    def abandon(self) -> None:
        """Close what is open; what was wrong is raised already."""
        _shut(self.container, self.companions)


def open_result(path: Path, choice: Choice, clock: Clock) -> Opened:
    """Open the file that a choice describes, and write its headers.

    Raises:
        FFmpegError, OSError: FFmpeg or the disk refuses; nothing stays open.
    """
    container = av.open(
        str(path), "w", format=choice.kind.muxer, options=_muxer_options(choice, clock)
    )
    companions: Companions | None = None
    try:
        if not choice.info.is_film:
            stream = _add_pictures(container, choice, clock, None)
            _start(container)
            return Opened(container, stream, None)
        companions = Companions(choice.info, container, choice.kind)
        stream = _add_all(container, companions, choice, clock)
        _start(container)
        companions.start()
    except BaseException:
        _shut(container, companions)
        raise
    return Opened(container, stream, companions)


def _start(container: OutputContainer) -> None:
    """Open the encoders, and write the headers."""
    with kept_scheduling():
        container.start_encoding()


def _shut(container: OutputContainer, companions: Companions | None) -> None:
    try:
        if companions is not None:
            companions.close()
        container.close()
    except (av.error.FFmpegError, OSError):
        pass  # a full disk refuses the trailer too; the first error is the one to tell


def _add_all(
    container: OutputContainer, companions: Companions, choice: Choice, clock: Clock
) -> VideoStream:
    """Add the streams in the source's order; give that of the pictures."""
    companions.add_file_facts()
    pictures = video_stream(companions.source, choice.info.path)
    wanted = {stream.index for stream in choice.info.streams}
    added: VideoStream | None = None
    for stream in companions.source.streams:
        if stream.index == pictures.index:
            added = _add_pictures(container, choice, clock, pictures)
        elif stream.index in wanted:
            companions.add(stream)
    assert added is not None  # the pictures are one of the source's streams
    return added


def _muxer_options(choice: Choice, clock: Clock) -> dict[str, str]:
    options = dict(choice.kind.options)
    if choice.kind.animation:
        # These files tell no duration of their last picture but by this option.
        last = max(clock.end - clock.times[-1], clock.base)
        if choice.kind.muxer == "gif":
            options["final_delay"] = str(ticks(last, Fraction(1, 100)))
        elif choice.kind.muxer == "apng":
            short = last.limit_denominator(65_535)
            options["final_delay"] = f"{short.numerator}/{short.denominator}"
    elif not choice.kind.tick:
        # Where a stream starts late, MP4 stores the wait in ticks of the whole film.
        bases = [s.time_base for s in choice.info.streams if s.kind == "audio" and s.time_base]
        options["movie_timescale"] = str(shared_clock([clock.base, *bases]))
    return options


def _add_pictures(
    container: OutputContainer, choice: Choice, clock: Clock, source: VideoStream | None
) -> VideoStream:
    if choice.codec == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # its only way to be quiet
    added = container.add_stream(ENCODERS[choice.codec].name, options=choice.options)
    stream = cast("VideoStream", added)  # the stubs do not know encoders by name
    stream.width, stream.height = choice.info.width, choice.info.height
    stream.pix_fmt = choice.final_format or choice.layout.name
    stream.time_base = clock.base
    if source is not None:
        stream.metadata.update(lasting(source.metadata))
        stream.disposition = source.disposition
    context = stream.codec_context
    context.time_base = clock.base
    context.framerate = clock.rate
    if choice.codec != "vp9":
        context.thread_type = "AUTO"
    if choice.codec.startswith("hevc") and choice.kind.muxer in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # Apple's players take no other
    if choice.codec == "vp9" and choice.layout.alpha:
        stream.metadata["alpha_mode"] = "1"
    if choice.info.sample_aspect:
        context.sample_aspect_ratio = choice.info.sample_aspect
    tag(context, choice.colour)
    if choice.info.display_matrix:
        stream.set_display_matrix(choice.info.display_matrix)
    elif choice.info.rotation:
        stream.set_display_rotation(choice.info.rotation)
    return stream
