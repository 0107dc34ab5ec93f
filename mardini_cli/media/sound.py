"""Whether sound went along untouched: the same packets, at the same times beside the pictures.

Room: media (floor 2). Decodes nothing; holds one packet of each file.
"""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from typing import Any, Final

from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer
from av.packet import Packet

from mardini_cli.events import Check
from mardini_cli.media.copying import holds_in
from mardini_cli.media.door import BROKEN, open_source
from mardini_cli.media.probe import ClipInfo

HIDDEN: Final = "matroska"
"""Formats that cannot hide sound from before the start, so that it is left out."""


LAYERS: Final = ("mp1", "mp2")
"""MPEG audio that MP4 does not tell from MP3: the packets do."""


@dataclass(slots=True)
class _Track:
    """What the comparison of one track found."""

    packets: int = 0
    different: int = 0
    late: Fraction = Fraction(0)
    """Largest difference of times, seconds."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is played from a time on, seconds after the clip's origin."""

    payload: bytes
    time: Fraction

    def until(self, size: int) -> _Piece:
        return _Piece(self.payload[:size], self.time)

    def after(self, size: int, pace: int) -> _Piece | None:
        rest = self.payload[size:]
        return _Piece(rest, self.time + Fraction(size, pace)) if rest else None


def compare_sound(source: ClipInfo, found: ClipInfo, muxer: str) -> list[Check]:
    """Compare every track of sound that the result holds with the source's.

    Args:
        source: the clip.
        found: the result.
        muxer: FFmpeg's name of the result's container; tracks that it cannot hold are not missed.
    """
    tracks = [s.index for s in source.streams if s.kind == "audio"]
    results = [s.index for s in found.streams if s.kind == "audio"]
    if not (tracks or results):
        return []
    with (
        open_source(source.path, source.limits) as one,
        open_source(found.path, found.limits) as other,
    ):
        tracks = [index for index in tracks if holds_in(muxer, one.streams[index])]
        same = [_codec(one, i) for i in tracks] == [_codec(other, i) for i in results]
    number = Check(
        name="tracks of sound",
        passed=same,
        found=str(len(results)),
        needed=f"{len(tracks)}, of the same codecs",
    )
    if not same:
        return [number]
    return [number, *(_checks(source, found, pair) for pair in zip(tracks, results, strict=True))]


def _codec(container: InputContainer, index: int) -> str:
    context = getattr(container.streams[index], "codec_context", None)
    name = context.codec.canonical_name if context is not None else ""
    return "mp3" if name in LAYERS else name


def _checks(source: ClipInfo, found: ClipInfo, pair: tuple[int, int]) -> Check:
    track, digest = _Track(), sha256()
    with (
        open_source(source.path, source.limits) as one,
        open_source(found.path, found.limits) as other,
    ):
        first, second = one.streams[pair[0]], other.streams[pair[1]]
        tick = max(Fraction(first.time_base or 1), Fraction(second.time_base or 1))
        hidden = HIDDEN in other.format.name
        mine = _pieces(_packets(one, pair[0], hidden=hidden), source.origin)
        theirs = _pieces(_packets(other, pair[1], hidden=False), found.origin)
        pace = _pace(one, pair[0])
        for piece, copy in _evenly(mine, theirs, pace) if pace else _side_by_side(mine, theirs):
            track.packets += 1
            if piece is None or copy is None or piece.payload != copy.payload:
                track.different += 1
                continue
            digest.update(copy.payload)
            track.late = max(track.late, abs(copy.time - piece.time))
    return Check(
        name=f"sound (stream {pair[1]})",
        passed=not track.different and track.late <= tick,
        found=(
            f"{track.packets - track.different} of {track.packets} packets equal, "
            f"{float(track.late * 1000):.3g} ms off at most, SHA-256 {digest.hexdigest()[:16]}"
        ),
        needed=f"all equal, {float(tick * 1000):.3g} ms at most",
    )


def _payload(packet: Packet[Any]) -> bytes:
    """What a packet plays: AAC in transport streams has headers that other containers leave out."""
    data = bytes(packet)
    framed = len(data) > 9 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0
    if not framed or packet.stream.codec_context.name != "aac":
        return data
    return data[7 if data[1] & 1 else 9 :]  # without or with a checksum


def _packets(container: InputContainer, index: int, *, hidden: bool) -> Iterator[Packet[Any]]:
    """Packets that hold something; without those that an edit list hides where ``hidden``."""
    try:
        for packet in container.demux(container.streams[index]):
            before = packet.pts is not None and packet.pts + 2 * (packet.duration or 0) <= 0
            if packet.size and not (hidden and packet.is_discard and before):
                yield packet
    except BROKEN:
        return  # damaged from here on; the copy ends here too


def _pieces(packets: Iterator[Packet[Any]], origin: Fraction) -> Iterator[_Piece]:
    return (_Piece(_payload(packet), _time(packet, origin)) for packet in packets)


def _pace(container: InputContainer, index: int) -> int:
    """Bytes a second of plain samples, which every container cuts as it likes; 0 if coded."""
    context = container.streams[index].codec_context
    if not isinstance(context, AudioCodecContext) or not context.name.startswith("pcm_"):
        return 0
    return context.sample_rate * context.channels * context.format.bytes


def _side_by_side(
    mine: Iterator[_Piece], theirs: Iterator[_Piece]
) -> Iterator[tuple[_Piece | None, _Piece | None]]:
    while True:
        pair = next(mine, None), next(theirs, None)
        if pair == (None, None):
            return
        yield pair


def _evenly(
    mine: Iterator[_Piece], theirs: Iterator[_Piece], pace: int
) -> Iterator[tuple[_Piece | None, _Piece | None]]:
    """Side by side, cut wherever either is cut."""
    one, other = next(mine, None), next(theirs, None)
    while one and other:
        size = min(len(one.payload), len(other.payload))
        yield one.until(size), other.until(size)
        one = one.after(size, pace) or next(mine, None)
        other = other.after(size, pace) or next(theirs, None)
    for left in [one, *mine] if one else [other, *theirs] if other else []:
        yield left, None


def _time(packet: Packet[Any], origin: Fraction) -> Fraction:
    at = packet.pts if packet.pts is not None else packet.dts
    return (at or 0) * Fraction(packet.time_base) - origin
