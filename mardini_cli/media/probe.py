"""What a file holds: its frames' exact times, its picture, its colour, its other streams.

Room: media (floor 2). Decodes, keeps no pixels, writes nothing.

The times are found by decoding every frame: at 1080p about 100 frames a second and core, where
packets alone would be forty times quicker. But packets cannot tell which frames will come: damaged
ones do not, frames of an edit list's lead-in do not, some formats store no times, and some store
two packets for a frame. Leaving out the deblocking filter saves nothing (measured).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from mardini_cli.errors import DamagedMediaError, NoVideoError
from mardini_cli.media.colour import Colour
from mardini_cli.media.decoding import Decoding, video_stream
from mardini_cli.media.door import Doing, open_source, translated
from mardini_cli.media.light import Light, changing_light_of, light_of
from mardini_cli.media.limits import USUAL, Limits
from mardini_cli.media.passage import Passage
from mardini_cli.media.planes import is_transparent
from mardini_cli.media.timing import gaps, is_even, known, mean_rate, typical_gap

Watch = Callable[[Fraction, VideoFrame], object]
UNSPECIFIED = 2  # FFmpeg's code for matrix, primaries and transfer that the file does not tell


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamInfo:
    """One stream beside the pictures."""

    index: int
    kind: Literal["video", "audio", "subtitle", "data", "attachment"]
    codec: str
    """FFmpeg's name, or nothing where FFmpeg does not know it."""
    language: str | None
    time_base: Fraction | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipInfo:
    """A clip as the program sees it. Times are seconds, on the file's own clock."""

    path: Path
    container: str
    """FFmpeg's name of the format, such as ``mov,mp4,m4a,3gp,3g2,mj2``."""
    codec: str
    width: int
    """Columns as stored, before turning."""
    height: int
    """Rows as stored, before turning."""
    rotation: int
    """Degrees to turn the stored picture counter-clockwise, so that it stands upright."""
    display_matrix: tuple[int, ...] | None
    """The nine numbers behind the rotation, as FFmpeg has them; nothing if the file has none."""
    sample_aspect: Fraction | None
    """Width of a pixel over its height; nothing if the file does not tell."""
    pixel_format: str
    colour: Colour
    interlaced: bool
    time_base: Fraction
    start: Fraction
    """Time of the first frame."""
    rate: Fraction | None
    """Mean frames a second; nothing for a single frame."""
    times: tuple[Fraction, ...]
    """When each frame is shown: exactly the frames that ``read`` yields, strictly rising."""
    last_duration: Fraction
    """How long the last frame is shown."""
    origin: Fraction = Fraction(0)
    """Taken off all times: the first tick of a transport stream's running clock, else 0."""
    streams: tuple[StreamInfo, ...] = ()
    """All other streams, in the file's order."""
    transparent: bool = False
    """Whether any pixel of any frame is less than opaque."""
    light: Light = field(default_factory=Light)
    """How bright the picture was mastered; high dynamic range only."""
    changing_light: tuple[str, ...] = ()
    """Names of metadata that tell brightness by scene or frame, such as HDR10+; never written."""
    passage: Passage = field(default_factory=Passage)
    """What of the streams beside the pictures a result takes over."""
    notices: tuple[str, ...] = field(default=())
    """What a person should know about the file, one line each."""
    damage: tuple[str, ...] = ()
    """Those of them that tell of damage."""
    limits: Limits = USUAL
    """What the file was allowed to ask for, and is whenever it is read again."""
    is_film: bool = True
    """Whether ``path`` is a film whose sound and metadata go along; pictures have none."""

    @property
    def end(self) -> Fraction:
        """When the last frame ceases to be shown."""
        return self.times[-1] + self.last_duration

    @property
    def quarter_turns(self) -> int:
        """Quarters of a turn, counter-clockwise, that stand the picture upright: 0 to 3."""
        return round(self.rotation / 90) % 4

    @property
    def upright_size(self) -> tuple[int, int]:
        """Columns and rows of the picture as a person sees it."""
        size = (self.width, self.height)
        return size[::-1] if self.quarter_turns % 2 else size


def probe(path: Path, watch: Watch | None = None, limits: Limits = USUAL) -> ClipInfo:
    """Read what a clip holds, by decoding it once.

    Args:
        path: a regular file.
        watch: called with the time and the picture of each frame as it passes.
        limits: what the file may ask for.

    Raises:
        MissingFileError: nothing there, or no permission.
        NotMediaError: no regular file, or nothing that FFmpeg knows.
        NoVideoError: no moving pictures in it.
        LimitError: larger or longer than allowed.
        DamagedMediaError: too much of it cannot be decoded, or its pictures change size or
            format on the way.
    """
    path = Path(path)
    with open_source(path, limits) as container, translated(path, Doing.DECODING):
        stream = video_stream(container, path)
        limits.check_size(path, stream.width, stream.height)
        walk = Decoding(container, stream, path, limits)
        others = [other for other in container.streams if other is not stream]
        found = _scan(walk, path, watch)
        return _info(container, walk, found, others)


def check_decodes(path: Path, limits: Limits = USUAL) -> tuple[int, int] | None:
    """Decode the first frame, to refuse in a moment what ``probe`` would refuse later.

    Returns:
        Rows and columns; None where FFmpeg cannot tell.

    Raises:
        As ``probe``.
    """
    with open_source(path, limits) as container, translated(path, Doing.DECODING):
        if path.suffix.lower() == ".webp":
            return None  # animated ones, which FFmpeg does not decode
        stream = video_stream(container, path)
        limits.check_size(path, stream.width, stream.height)
        next(Decoding(container, stream, path, limits).frames(), None)
        return stream.height, stream.width


def count_packets(path: Path, limits: Limits = USUAL) -> int:
    """Count the packets of a clip's pictures, quickly: about as many as frames.

    Args:
        path: a regular file.
        limits: what the file may ask for.

    Raises:
        InputError: as ``probe``.
    """
    path = Path(path)
    with open_source(path, limits) as container, translated(path, Doing.DECODING):
        stream = video_stream(container, path)
        return sum(bool(p.size) and not p.is_discard for p in container.demux(stream))


@dataclass(frozen=True, eq=False, slots=True)
class _Found:
    """What a walk over all frames told."""

    first: VideoFrame
    times: tuple[Fraction, ...]
    transparent: bool


def _scan(walk: Decoding, path: Path, watch: Watch | None) -> _Found:
    first: VideoFrame | None = None
    times: list[Fraction] = []
    transparent = False
    for time, frame in walk.frames():
        if first is None:
            walk.limits.check_size(path, frame.width, frame.height)
            first = frame
        elif _shape(frame) != _shape(first):
            raise DamagedMediaError(
                f"{path}: the picture changes from {_shape(first)} to {_shape(frame)}"
                f" at {float(time):.3f} s",
                needed="one size and pixel format all through",
                do="re-encode it first",
            )
        times.append(time)
        walk.limits.check_frames(f"{path}, read so far", len(times))
        transparent = transparent or is_transparent(frame)
        if watch is not None:
            watch(time, frame)
    if first is None:
        error = DamagedMediaError if walk.damaged else NoVideoError
        raise error(
            f"{path}: no frame can be decoded",
            needed=f"at least one picture, of at most {walk.limits.pixels} pixels",
            do="check that the file is whole; --max-pixels allows larger ones",
        )
    return _Found(first, tuple(times), transparent)


def _shape(frame: VideoFrame) -> str:
    return f"{frame.width}x{frame.height} {frame.format.name}"


def _info(
    container: InputContainer, walk: Decoding, found: _Found, others: Sequence[Stream]
) -> ClipInfo:
    """Put together what was found.

    Args:
        others: streams beside the pictures, as the file shows when it is opened: a damaged FLV
            finds more as it is read, which the next to open it would miss.
    """
    stream, first, times = walk.stream, found.first, found.times
    base = known(stream.time_base)
    assert base is not None  # a decoder that yields frames has a clock
    last_duration = _last_duration(walk, times, base)
    damage = _damage(walk)
    return ClipInfo(
        path=walk.path,
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        width=first.width,
        height=first.height,
        rotation=first.rotation,
        display_matrix=_display_matrix(first),
        sample_aspect=known(stream.sample_aspect_ratio),
        pixel_format=first.format.name,
        colour=colour_of(first),
        interlaced=bool(first.interlaced_frame),
        time_base=base,
        start=times[0],
        rate=_rate(stream, times, base),
        times=times,
        last_duration=last_duration,
        origin=walk.origin,
        streams=tuple(map(_stream_info, others)),
        transparent=found.transparent,
        light=light_of(first),
        changing_light=changing_light_of(first),
        limits=walk.limits,
        notices=(*damage, *_notices(container, walk, first, times[-1] + last_duration)),
        damage=damage,
    )


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    try:
        side_data: Any = frame.side_data  # its type stub lists no kinds
        data = side_data["DISPLAYMATRIX"]
    except (KeyError, ValueError):
        # A ValueError: PyAV 18 has no name for some other kind of side data, such as EXIF.
        return None
    return tuple(int(number) for number in np.frombuffer(memoryview(data), np.int32)[:9])


def colour_of(frame: VideoFrame) -> Colour:
    """What a decoded frame says about its colour."""

    def told(code: int, silence: int) -> int | None:
        return None if int(code) == silence else int(code)

    return Colour(
        matrix=told(frame.colorspace, UNSPECIFIED),
        primaries=told(frame.color_primaries, UNSPECIFIED),
        transfer=told(frame.color_trc, UNSPECIFIED),
        range=told(frame.color_range, 0),
    )


def _rate(stream: VideoStream, times: tuple[Fraction, ...], base: Fraction) -> Fraction | None:
    """Mean of the times; the file's own figure where it says the same to one tick.

    The file's own survives rounding: whole milliseconds of 24000/1001 mean something else.
    """
    mean = mean_rate(times)
    told = known(stream.average_rate)
    if mean is None or told is None or is_even(times):
        return mean
    agrees = abs((len(times) - 1) / told - (times[-1] - times[0])) <= base
    return told if agrees else mean


def _last_duration(walk: Decoding, times: tuple[Fraction, ...], base: Fraction) -> Fraction:
    told = walk.last_duration
    usual = typical_gap(times)
    # One tick of a fine clock is what FFmpeg says when a container stores no durations.
    if told == base and usual is not None and usual > 4 * base:
        told = None
    if told is not None and not (_durations_are_shuffled(walk, times) or _are_guessed(walk)):
        return told
    stream = walk.stream
    if stream.duration and stream.start_time is not None:
        end = (stream.start_time + stream.duration) * base - walk.origin
        if end > times[-1]:
            return end - times[-1]
    if told is not None:
        return told
    before = gaps(times[-2:])
    rate = known(stream.average_rate) or Fraction(25)
    return before[0] if before else 1 / rate


def _durations_are_shuffled(walk: Decoding, times: tuple[Fraction, ...]) -> bool:
    """MP4 stores gaps of decoding; with reordered, uneven frames they are not those of showing."""
    return bool(walk.stream.codec_context.has_b_frames) and not is_even(times)


def _are_guessed(walk: Decoding) -> bool:
    """FFmpeg parses VP9 in MP4 anew, and puts the mean rate in the place of its durations."""
    codec = walk.stream.codec_context.codec.canonical_name
    return codec == "vp9" and walk.container.format.name.startswith("mov")


def _stream_info(stream: Stream) -> StreamInfo:
    context = getattr(stream, "codec_context", None)
    return StreamInfo(
        index=stream.index,
        kind=cast("Literal['video', 'audio', 'subtitle', 'data', 'attachment']", stream.type),
        codec=context.codec.canonical_name if context is not None else "",
        language=stream.language,
        time_base=known(stream.time_base),
    )


def _damage(walk: Decoding) -> tuple[str, ...]:
    found = []
    if walk.damaged:
        found.append(f"{walk.damaged} of {walk.packets} packets are damaged and were skipped")
    if walk.marked:
        found.append(f"{walk.marked} frames decode with errors")
    if walk.unplaced:
        found.append(
            f"{walk.unplaced} frames share a time with another or go back, and are left out"
        )
    return tuple(found)


def _notices(
    container: InputContainer, walk: Decoding, first: VideoFrame, end: Fraction
) -> list[str]:
    found = []
    if walk.untimed:
        found.append(f"{walk.untimed} frames have no time in the file and are counted at its rate")
    if first.interlaced_frame:
        found.append("the clip is interlaced; its fields are treated as whole frames")
    if not container.streams.audio and container.duration is not None:
        whole = Fraction(container.duration, 1_000_000)
        if whole > end + 1:
            found.append(
                f"the file says {float(whole):.2f} s, but its pictures end at {float(end):.2f} s"
            )
    return found
