"""Clips for the tests, made on the spot. Nothing here is taken from the room under test."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a clip is made of."""

    times: Sequence[Fraction] = tuple(Fraction(n, 25) for n in range(8))
    end: Fraction | None = None
    time_base: Fraction = Fraction(1, 90_000)
    size: tuple[int, int] = (64, 48)
    pixel_format: str = "yuv420p"
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"crf": "12", "preset": "ultrafast"})
    tags: tuple[int, int, int, int] | None = None  # matrix, primaries, transfer, range
    aspect: Fraction | None = None
    rotation: int = 0
    audio: tuple[str, ...] = ()
    audio_start: Fraction = Fraction(0)
    audio_seconds: Fraction = Fraction(1)
    subtitles: bool = False
    chapters: bool = False
    title: str | None = None
    flat: tuple[int, int, int] | None = None  # Y, U, V of every frame


def even_times(count: int, rate: Fraction | int) -> tuple[Fraction, ...]:
    """Times of a clip of constant rate."""
    return tuple(Fraction(n) / rate for n in range(count))


UNEVEN = tuple(Fraction(n, 1000) for n in (0, 40, 50, 133, 300, 302, 420, 999))


def picture(number: int, size: tuple[int, int], pixel_format: str) -> av.VideoFrame:
    """A smooth picture, another one for each number."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    luma = 120 + 60 * np.sin((x + 5 * number) / 11) + 30 * np.cos((y - 3 * number) / 7)
    blue = 128 + 40 * np.sin((x + y) / 29 + number / 5)
    red = 128 + 40 * np.cos((x - y) / 31 + number / 7)
    planes = np.rint(np.stack([luma, blue, red])).clip(16, 235).astype(np.uint8)
    whole = av.VideoFrame.from_ndarray(planes, format="yuv444p")
    return whole if pixel_format == "yuv444p" else whole.reformat(format=pixel_format)


def card(codes: tuple[int, int, int], size: tuple[int, int]) -> av.VideoFrame:
    """A picture of one colour, yuv420p."""
    frame = av.VideoFrame(*size, "yuv420p")
    for plane, code in zip(frame.planes, codes, strict=True):
        plane.update(bytes([code]) * plane.buffer_size)
    return frame


def make_clip(path: Path, recipe: Recipe | None = None, muxer: str | None = None) -> Path:
    """Write a clip; the last frame lasts as long as the gap before it unless told."""
    recipe = recipe or Recipe()
    with av.open(str(path), "w", format=muxer) as container:
        video = _add_video(container, recipe)
        sounds = [_Sound(container, codec, recipe) for codec in recipe.audio]
        words = container.add_mux_stream("subrip") if recipe.subtitles else None
        if recipe.title is not None:
            container.metadata["title"] = recipe.title
        if recipe.chapters:
            second = Fraction(1, 1000)
            container.set_chapters(
                [
                    {
                        "id": 1,
                        "start": 0,
                        "end": 100,
                        "time_base": second,
                        "metadata": {"title": "a"},
                    },
                    {
                        "id": 2,
                        "start": 100,
                        "end": 300,
                        "time_base": second,
                        "metadata": {"title": "b"},
                    },
                ]
            )
        if words is not None:
            words.time_base = Fraction(1, 1000)
        for sound in sounds:
            sound.write()
        if words is not None:
            _write_words(container, words)
        _write_pictures(container, video, recipe)
    return path


def _add_video(container: OutputContainer, recipe: Recipe) -> VideoStream:
    stream = cast("VideoStream", container.add_stream(recipe.codec, options=dict(recipe.options)))
    stream.width, stream.height = recipe.size
    stream.pix_fmt = recipe.pixel_format
    stream.time_base = recipe.time_base
    context = stream.codec_context
    context.time_base = recipe.time_base
    context.framerate = Fraction(25)
    if recipe.tags is not None:
        matrix, primaries, transfer, span = recipe.tags
        context.colorspace, context.color_primaries = matrix, primaries
        context.color_trc, context.color_range = transfer, span
    if recipe.aspect is not None:
        context.sample_aspect_ratio = recipe.aspect
    if recipe.rotation:
        stream.set_display_rotation(recipe.rotation)
    return stream


def _write_pictures(container: OutputContainer, stream: VideoStream, recipe: Recipe) -> None:
    times = list(recipe.times)
    last = times[-1] - times[-2] if len(times) > 1 else Fraction(1, 25)
    ends = [*times[1:], recipe.end or times[-1] + last]
    lengths = {}
    packets: list[Any] = []
    for number, (time, end) in enumerate(zip(times, ends, strict=True)):
        frame = (
            picture(number, recipe.size, recipe.pixel_format)
            if recipe.flat is None
            else card(recipe.flat, recipe.size)
        )
        frame.pts, frame.time_base = int(time / recipe.time_base), recipe.time_base
        lengths[frame.pts] = int((end - time) / recipe.time_base)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    for packet in packets:
        packet.duration = lengths.get(packet.pts, packet.duration)
        container.mux(packet)


class _Sound:
    """One track of noise, so that no two packets are equal."""

    def __init__(self, container: OutputContainer, codec: str, recipe: Recipe) -> None:
        self.container, self.recipe = container, recipe
        stream: Any = container.add_stream(codec, rate=48_000)
        self.stream = stream
        self.stream.layout = "mono"
        self.seed = len(container.streams)
        self.stream.metadata["language"] = ("eng", "deu", "fra")[self.seed % 3]

    def write(self) -> None:
        noise = np.random.default_rng(self.seed)
        sizes = {"aac": 1024, "libopus": 960, "pcm_s16le": 1024}
        size = sizes[self.stream.codec_context.name]
        wanted = "s16" if self.stream.codec_context.name != "aac" else "fltp"
        start = int(self.recipe.audio_start * 48_000)
        for place in range(0, int(self.recipe.audio_seconds * 48_000), size):
            samples = noise.integers(-8000, 8000, (1, size)).astype(np.int16)
            if wanted == "fltp":
                samples = (samples / 32768).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format=wanted, layout="mono")
            frame.sample_rate, frame.pts = 48_000, start + place
            frame.time_base = Fraction(1, 48_000)
            self.container.mux(self.stream.encode(frame))
        self.container.mux(self.stream.encode(None))


def _write_words(container: OutputContainer, stream: Any) -> None:
    for start, text in ((0, b"one"), (150, b"two")):
        packet = av.Packet(text)
        packet.stream = stream
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = start
        packet.duration = 100
        container.mux(packet)


def sound_only(path: Path) -> Path:
    """A file with sound and nothing else."""
    with av.open(str(path), "w") as container:
        _Sound(container, "aac", Recipe()).write()
    return path


def truncated(path: Path, share: float) -> Path:
    """The first part of a file, beside it."""
    cut = path.with_name(f"cut-{path.name}")
    whole = path.read_bytes()
    cut.write_bytes(whole[: int(len(whole) * share)])
    return cut


def with_broken_packets(path: Path, numbers: Sequence[int]) -> Path:
    """The same file with some packets of pictures overwritten, beside it."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    broken = bytearray(path.read_bytes())
    for number in numbers:
        place, size = places[number]
        assert place is not None
        broken[place : place + size] = b"\xff" * size
    target = path.with_name(f"broken-{path.name}")
    target.write_bytes(broken)
    return target


def packets_of(path: Path, kind: str) -> list[list[tuple[Fraction | None, bytes]]]:
    """Times and bytes of all packets, a list for each stream of a kind."""
    found = []
    with av.open(str(path)) as container:
        indices = [s.index for s in container.streams if s.type == kind]
    for index in indices:
        with av.open(str(path)) as container:
            found.append(
                [
                    (None if p.pts is None else p.pts * Fraction(p.time_base), bytes(p))
                    for p in container.demux(container.streams[index])
                    if p.size
                ]
            )
    return found


def raw_frames(path: Path) -> list[list[bytes]]:
    """The bytes of each plane of each frame, without the padding of lines."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if len(frame.planes) == 1:  # packed: all components in one plane
                shape = [(frame.height, frame.width * frame.format.padded_bits_per_pixel // 8)]
            else:
                shape = [
                    (component.height, component.width * (1 + (component.bits > 8)))
                    for component in frame.format.components
                ]
            planes = []
            for plane, (rows, size) in zip(frame.planes, shape, strict=True):
                lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
                planes.append(lines[:rows, :size].tobytes())
            found.append(planes)
    return found
