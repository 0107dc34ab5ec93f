"""What goes along untouched: packets of sound and subtitles, metadata, chapters, attachments.

Room: media (floor 2). Decodes nothing. Reads the source a second time, beside the reader, and
holds one packet at a time.
"""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

import io
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Disposition, Stream

from mardini_cli.media.containers import KINDS, FileKind
from mardini_cli.media.door import BROKEN, open_source
from mardini_cli.media.probe import ClipInfo
from mardini_cli.media.stretching import Stretched
from mardini_cli.media.timing import known, ticks

if TYPE_CHECKING:
    from av.container.core import Chapter  # there for type checkers only

# Facts about the source file that would be lies about the result.
_STALE = frozenset(
    {
        "encoder",
        "major_brand",
        "minor_version",
        "compatible_brands",
        "duration",
        "bps",
        "number_of_frames",
        "number_of_bytes",
        "rotate",
        "vendor_id",
    }
)


def lasting(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without the entries that describe the source's encoding."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _STALE and not key.lower().startswith("_statistics")
    }


class Companions:
    """The streams of a source that go into the result as they are.

    Streams that the container does not hold are left out; ``notices`` tells which, and which
    file ending would hold them.
    """

    def __init__(self, info: ClipInfo, output: OutputContainer, kind: FileKind) -> None:
        self._notices: list[str] = []
        self._data_streams = 0
        self._unhidden = 0
        self._origin, self._path = info.origin, info.path
        self._passage = info.passage
        self._output = output
        self._kind = kind
        self._source: InputContainer = open_source(info.path, info.limits)
        self._copies: dict[int, Stream] = {}
        self._round = 0
        self._packets: Iterator[Packet[Any]] = iter(())
        self._stretched: dict[int, Stretched] = {}
        self._ready: deque[Packet[Any]] = deque()

    @property
    def notices(self) -> list[str]:
        """What is left out, and what broke off; one line each."""
        found = list(self._notices)
        if self._data_streams:
            found.append(f"left out: {self._data_streams} data stream(s)")
        if self._unhidden:
            found.append(
                f"left out: {self._unhidden} packets of sound from before the start, which only"
                " .mp4 and .mov can hide"
            )
        return found

    @property
    def source(self) -> InputContainer:
        """The source, opened for copying."""
        return self._source

    def add_file_facts(self) -> None:
        """Copy metadata and chapters of the whole file. Call before the first packet."""
        if self._kind.animation:
            return
        self._output.metadata.update(lasting(self._source.metadata))
        if not self._passage.is_steady:
            return
        chapters = [
            moved for chapter in self._source.chapters() if (moved := self._chapter(chapter))
        ]
        if chapters:
            self._output.set_chapters(chapters)

    def _chapter(self, chapter: Chapter) -> Chapter | None:
        """A chapter on the result's clock; nothing if it lies outside the passage."""
        if self._passage.is_whole:
            return chapter
        base = known(chapter["time_base"])
        assert base is not None  # FFmpeg's chapters have a clock
        start, end = chapter["start"] * base, chapter["end"] * base
        if not self._passage.holds(start, end):
            return None
        moved = [max(ticks(self._passage.moved(time), base), 0) for time in (start, end)]
        return {**chapter, "start": moved[0], "end": moved[1]}

    def add(self, stream: Stream) -> None:
        """Take a stream into the result, or say in ``notices`` why not."""
        if isinstance(stream, AttachmentStream):
            self._attach(stream)
        elif _is_cover(stream) and self._kind.muxer == "matroska":
            self._attach_cover(stream)
        elif stream.type == "data":
            self._data_streams += 1
        elif stream.type == "audio" and self._passage.sound == "drop":
            keeps_step = self._passage.is_steady and self._passage.slowness == 1
            why = "as asked" if keeps_step else "which would not keep step"
            self._notices.append(f"left out: {_name(stream)}, {why}")
        elif stream.type == "subtitle" and not self._passage.is_steady:
            self._notices.append(f"left out: {_name(stream)}, which would not keep step")
        elif stream.type == "audio" and self._passage.sound == "stretch":
            self._stretch(stream)
        elif stream.type not in ("audio", "subtitle") or not holds(self._kind, stream):
            self._notices.append(self._left_out(stream))
        else:
            copy = self._output.add_stream_from_template(stream)
            copy.metadata.update(lasting(stream.metadata))
            copy.disposition = stream.disposition
            self._copies[stream.index] = copy

    def start(self) -> None:
        """Begin to read. Call after the last ``add``."""
        if self._copies or self._stretched:
            self._packets = self._read()
            self._fill()

    def until(self, time: Fraction | None) -> Iterator[Packet[Any]]:
        """Yield the packets that belong before a time, or all that are left."""
        while self._ready:
            packet = self._ready[0]
            at = packet.pts if packet.dts is None else packet.dts
            if time is not None and at is not None and at * Fraction(packet.time_base) > time:
                return
            self._ready.popleft()
            self._fill()
            yield packet

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _stretch(self, stream: Stream) -> None:
        if self._kind.animation:
            self._notices.append(self._left_out(stream))
            return
        assert isinstance(stream, AudioStream)
        track = Stretched(stream, self._output, self._passage, self._origin)
        track.stream.metadata.update(lasting(stream.metadata))
        track.stream.disposition = stream.disposition
        self._stretched[stream.index] = track

    def _read(self) -> Iterator[Packet[Any]]:
        """Packets of all rounds; sound that is repeated is read anew in each."""
        wanted = sorted((*self._copies, *self._stretched))
        for number in self._passage.rounds:
            if number > self._passage.rounds.start:
                self._source.seek(0)
            self._round = number
            yield from self._source.demux(*(self._source.streams[i] for i in wanted))

    def _fill(self) -> None:
        """Read until a packet is ready, or to the end."""
        try:
            while not self._ready and (packet := next(self._packets, None)) is not None:
                self._ready.extend(self._taken(packet))
        except BROKEN:
            self._notices.append("the sound breaks off where the file is damaged")
            self._packets = iter(())
        if not self._ready:
            for track in self._stretched.values():
                self._ready.extend(track.packets(None))
            self._stretched = {}

    def _taken(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """What becomes of a packet of the source."""
        # By size, not by dts: Matroska's packets may have no dts; empty ones end a stream.
        if not packet.size or not self._is_inside(packet):
            return
        if packet.stream_index in self._stretched:
            yield from self._stretched[packet.stream_index].packets(packet)
        elif not self._is_hidden(packet):
            yield self._readdressed(packet)

    def _is_inside(self, packet: Packet[Any]) -> bool:
        at = packet.pts if packet.pts is not None else packet.dts
        if self._passage.sound == "loop" and at is not None:
            return self._is_in_round(packet, at * Fraction(packet.time_base) - self._origin)
        if self._passage.start is None or at is None:
            return True
        base = Fraction(packet.time_base)
        start = at * base - self._origin
        return self._passage.holds(start, start + (packet.duration or 0) * base)

    def _is_in_round(self, packet: Packet[Any], time: Fraction) -> bool:
        passage, within = self._passage, time - self._passage.anchor
        if packet.stream.type != "audio":
            return self._round == 0
        shown = passage.at + within + self._round * passage.period
        return 0 <= within < passage.period and 0 <= shown < passage.until

    def _is_hidden(self, packet: Packet[Any]) -> bool:
        """Whether an edit list hides a packet that the result would let be heard.

        That is so in containers that hide nothing, and before a clip that something is made in
        front of. The one just before the start stays: decoders need it to come in cleanly.
        """
        cannot, moves = self._kind.whole_milliseconds, self._passage.moved(Fraction(0)) > 0
        if not (packet.is_discard and (cannot or moves)) or packet.pts is None:
            return False
        hidden = packet.pts + 2 * (packet.duration or 0) <= 0
        self._unhidden += hidden and not moves
        return hidden

    def _readdressed(self, packet: Packet[Any]) -> Packet[Any]:
        packet.stream = self._copies[packet.stream_index]
        if self._origin or not self._passage.is_whole:
            base = Fraction(packet.time_base)
            packet.pts, packet.dts = self._moved(packet.pts, base), self._moved(packet.dts, base)
            if packet.duration:
                packet.duration = ticks(packet.duration * self._passage.slowness, Fraction(1))
        return packet

    def _moved(self, at: int | None, base: Fraction) -> int | None:
        if at is None:
            return None
        if self._passage.slowness == 1:  # whole ticks: gaps between packets stay as they are
            late = self._round * self._passage.period
            return at - ticks(self._origin + self._passage.anchor - self._passage.at - late, base)
        return ticks(self._passage.moved(at * base - self._origin), base)

    def _attach(self, stream: AttachmentStream) -> None:
        if self._kind.muxer != "matroska":
            self._notices.append(self._left_out(stream))
            return
        self._output.add_attachment(stream.name or "attachment", stream.mimetype or "", stream.data)

    def _attach_cover(self, stream: Stream) -> None:
        """Matroska keeps covers as attachments, which it shows as pictures again."""
        ending, kind = _COVERS.get(stream.codec_context.codec.canonical_name, ("", ""))
        with open_source(self._path) as container:
            packets = container.demux(container.streams[stream.index])
            data = next((bytes(packet) for packet in packets if packet.size), b"")
        if not (ending and data):
            self._notices.append(self._left_out(stream))
            return
        self._output.add_attachment(f"cover.{ending}", kind, data)

    def _left_out(self, stream: Stream) -> str:
        what = _name(stream)
        homes = [ending for ending, kind in KINDS.items() if _could_go(kind, stream)]
        where = f" ({' and '.join(homes)} would)" if homes else ""
        return f"left out: {what}, which this container does not hold{where}"


_COVERS = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}


def _is_cover(stream: Stream) -> bool:
    return bool(getattr(stream, "disposition", Disposition(0)) & Disposition.attached_pic)


def _name(stream: Stream) -> str:
    if _is_cover(stream):
        return f"cover picture (stream {stream.index})"
    context = getattr(stream, "codec_context", None)
    codec = f" ({context.codec.canonical_name})" if context is not None else ""
    return f"{stream.type} stream {stream.index}{codec}"


def _could_go(kind: FileKind, stream: Stream) -> bool:
    if isinstance(stream, AttachmentStream) or _is_cover(stream):
        return kind.muxer == "matroska"
    return stream.type in ("audio", "subtitle") and holds(kind, stream)


def holds(kind: FileKind, stream: Stream) -> bool:
    """Whether a container takes a stream as it is: tried out in memory."""
    return holds_in(kind.muxer, stream)


def holds_in(name: str, stream: Stream) -> bool:
    """The same for a muxer by FFmpeg's name."""
    try:
        trial = av.open(io.BytesIO(), "w", format=name)
    except ValueError:  # a form that is only read, such as a picture
        return False
    try:
        trial.add_stream_from_template(stream)
        trial.start_encoding()
    except (ValueError, av.error.FFmpegError):  # ValueError is PyAV's own word for "cannot hold"
        return False
    finally:
        trial.close()
    return True
