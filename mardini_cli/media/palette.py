"""Pictures of at most 256 colours, for GIF: a palette for each frame, by FFmpeg's own filters.

Room: media (floor 2). Transparency becomes all or nothing, as GIF has it.
"""

from av import VideoFrame
from av.filter import Graph

_CHOOSE = "stats_mode=single:reserve_transparent="
_DRAW = "new=1:dither=sierra2_4a:diff_mode=rectangle"


class Palette:
    """Turns frames of one size and format, packed RGB with alpha or without, into palette ones."""

    def __init__(self, template: VideoFrame) -> None:
        graph = Graph()
        source = graph.add_buffer(
            width=template.width,
            height=template.height,
            format=template.format,
            time_base=template.time_base,
        )
        split = graph.add("split")
        chosen = graph.add("palettegen", _CHOOSE + str(int(template.format.name == "rgba")))
        drawn = graph.add("paletteuse", _DRAW)
        sink = graph.add("buffersink")
        source.link_to(split)
        split.link_to(drawn, 0, 0)
        split.link_to(chosen, 1, 0)
        chosen.link_to(drawn, 0, 1)
        drawn.link_to(sink)
        graph.configure()
        self._graph = graph

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Give the frame in its own best 256 colours, at the same time."""
        self._graph.vpush(frame)
        drawn = self._graph.vpull()
        drawn.pts, drawn.time_base = frame.pts, frame.time_base
        return drawn
