"""Sound played slower or faster at its own pitch, by FFmpeg's atempo filter.

Room: media (floor 2). One track at a time; holds a few frames of sound.
"""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
from av import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet

from mardini_cli.media.passage import Passage
from mardini_cli.media.timing import ticks

CODECS = {"webm": "libopus"}
"""Encoder of sound by muxer; AAC, which plays everywhere, in all others."""
OPUS_RATE = 48_000
LAYOUTS = {1: "mono", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
"""By channels: encoders refuse sound whose file does not say where its speakers stand."""
STEP = Fraction(2)
"""One filter changes the tempo by at most this; more are chained, as its manual advises."""


class Stretched:
    """One track of sound, decoded, slowed down or sped up, and encoded again."""

    def __init__(
        self, source: AudioStream, output: OutputContainer, passage: Passage, origin: Fraction
    ) -> None:
        codec = CODECS.get(output.format.name, "aac")
        self._rate = OPUS_RATE if codec == "libopus" else source.codec_context.sample_rate
        made: Any = output.add_stream(codec, rate=self._rate)
        made.layout = LAYOUTS.get(source.codec_context.layout.nb_channels, "stereo")
        made.format = made.codec_context.codec.audio_formats[0].name
        self.stream: AudioStream = made
        self._passage, self._origin = passage, origin
        self._graph: Graph | None = None
        self._place = 0  # samples handed to the encoder
        self._first: int | None = None

    def packets(self, packet: Packet[Any] | None) -> Iterator[Packet[Any]]:
        """Take a packet of the source, or None at its end; yield what is ready."""
        frames = packet.decode() if packet is not None else []
        for frame in frames:
            assert isinstance(frame, AudioFrame)
            if self._graph is None:
                self._begin(frame)
            assert self._graph is not None
            self._graph.push(frame)
            yield from self._ready()
        if packet is None and self._graph is not None:
            self._graph.push(None)
            yield from self._ready()
            yield from self.stream.encode(None)

    def _begin(self, frame: AudioFrame) -> None:
        base = Fraction(frame.time_base or 1)
        start = self._passage.moved((frame.pts or 0) * base - self._origin)
        self._first = ticks(start, Fraction(1, self._rate))
        self._graph = _graph(frame, self._tempos(), self._rate, self.stream)

    def _tempos(self) -> list[Fraction]:
        tempo = 1 / self._passage.slowness
        found = []
        while not 1 / STEP <= tempo <= STEP:
            step = STEP if tempo > 1 else 1 / STEP
            found.append(step)
            tempo /= step
        return [*found, tempo]

    def _ready(self) -> Iterator[Packet[Any]]:
        assert self._graph is not None
        assert self._first is not None
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, AudioFrame)
            # Counted, not read: the filter's own clock starts anew at each link of the chain.
            frame.pts, frame.time_base = self._first + self._place, Fraction(1, self._rate)
            self._place += frame.samples
            yield from self.stream.encode(frame)


def _graph(frame: AudioFrame, tempos: list[Fraction], rate: int, target: AudioStream) -> Graph:
    graph = Graph()
    last = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format,
        layout=frame.layout,
        time_base=frame.time_base,
    )
    # Silence where the source has holes, so that counted samples stay in step with the pictures.
    steps = [("aresample", f"{rate}:async=1")]
    steps += [("atempo", f"{float(tempo):.9f}") for tempo in tempos]
    layout = target.layout.name
    steps.append(("aformat", f"sample_fmts={target.format.name}:channel_layouts={layout}"))
    for name, words in steps:
        link = graph.add(name, words)
        last.link_to(link)
        last = link
    sink = graph.add("abuffersink")
    last.link_to(sink)
    graph.configure()
    return graph
