"""``probe``: a clip in, what the program sees in it out.

Room: api. Light to import.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mardini_cli.events import Event, Probed
from mardini_cli.media.limits import MAX_FRAMES, MAX_PIXELS, Limits
from mardini_cli.tasks.cuts import find_cuts
from mardini_cli.tasks.duplicates import find_held

if TYPE_CHECKING:
    from mardini_cli.media.probe import ClipInfo, StreamInfo
    from mardini_cli.media.shots import Watch


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeRequest:
    """Tell what a clip holds. One field a flag."""

    clip: Path
    times: bool = False
    """Tell the exact time of every frame."""
    max_pixels: int = MAX_PIXELS
    """Most pixels of a frame."""
    max_frames: int = MAX_FRAMES
    """Most frames."""
    allow_network: bool = False
    """Let playlists name hosts and other files."""

    @property
    def limits(self) -> Limits:
        """How much the file may ask for."""
        return Limits(pixels=self.max_pixels, frames=self.max_frames, network=self.allow_network)


def probe(request: ProbeRequest) -> Generator[Event, None, None]:
    """Decode a clip once, and tell what was seen.

    Yields:
        ``Probed``.

    Raises:
        InputError: it cannot be read.
    """
    from mardini_cli.media.probe import probe as look
    from mardini_cli.media.shots import Watch

    watch = Watch()
    info = look(request.clip, lambda _time, frame: watch(frame), request.limits)
    yield _event(info, watch, times=request.times)


def _event(info: ClipInfo, watch: Watch, *, times: bool) -> Probed:
    from mardini_cli.media import facts, timing

    gaps = timing.gaps(info.times)
    width, height = info.upright_size
    names = facts.colour_names(info.colour)
    return Probed(
        path=info.path,
        container=info.container,
        codec=info.codec,
        frames=len(info.times),
        start=info.start,
        end=info.end,
        duration=info.end - info.start,
        rate=info.rate,
        even=timing.is_even_to(info.times, info.time_base),
        shortest=min(gaps, default=None),
        longest=max(gaps, default=None),
        clock=info.time_base,
        width=width,
        height=height,
        rotation=info.rotation % 360,
        aspect=info.sample_aspect,
        pixel_format=info.pixel_format,
        bits=facts.depth_of(info),
        transparent=info.transparent,
        interlaced=info.interlaced,
        matrix=names["matrix"],
        primaries=names["primaries"],
        transfer=names["transfer"],
        range=names["range"],
        cuts=find_cuts(watch.steps),
        held=len(find_held(watch.steps)),
        streams=tuple(_stream(stream) for stream in info.streams),
        chapters=facts.chapters_of(info),
        notices=info.notices,
        times=info.times if times else (),
    )


def _stream(stream: StreamInfo) -> str:
    words = [stream.codec or "unknown codec", stream.language, f"stream {stream.index}"]
    return f"{stream.kind}: {', '.join(word for word in words if word)}"
