"""FFmpeg's own interpolation filter, as a user of FFmpeg would run it: a baseline to beat.

Room: media. Frames in, frames out; no files, and nothing of the model.

The filter thinks in streams. It looks at four frames to make those between the middle two, and at
the end of a stream it drops what it still held. So the first and the last frame are handed in
once more each, outside the times that are asked for.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from mardini_cli.errors import ShapeError

SETTINGS: Final = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"
"""Best motion compensation. Scene detection is off: it compares a step with the one before it,
and the padding stands still, so that any motion would look like a cut."""
PADDING: Final = 1
"""Copies of the first and the last frame on either side; more change no frame (measured)."""
TO_YUV: Final = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
"""RGB to full-range BT.601, the filter's planes; nothing is thrown away but bits beyond eight."""


def minterpolate(given: Sequence[NDArray[np.float32]], step: int) -> list[NDArray[np.float32]]:
    """Make ``step - 1`` frames in every gap of evenly spaced frames.

    Args:
        given: at least two frames of one size, ``h w 3``, RGB in [0, 1].
        step: slots from one given frame to the next, 2 or more.

    Returns:
        All ``(len(given) - 1) * step + 1`` slots, the given ones as the filter hands them back.

    Raises:
        ShapeError: fewer than two frames, sizes that differ, or a step below 2.
    """
    if len(given) < 2 or step < 2 or len({frame.shape for frame in given}) > 1:
        raise ShapeError(
            f"{len(given)} frames {sorted({frame.shape for frame in given})} and step {step}",
            needed="two or more frames of one size and a step of 2 or more",
            do="pass the frames of one clip",
        )
    wanted = (len(given) - 1) * step + 1
    found: dict[Fraction, NDArray[np.float32]] = {}
    for frame in _stream(given, step):
        assert frame.pts is not None
        assert frame.time_base is not None
        found[frame.pts * frame.time_base] = _to_rgb(frame)
    start = PADDING * step
    return [found[Fraction(start + slot)] for slot in range(wanted)]


def _stream(given: Sequence[NDArray[np.float32]], step: int) -> Iterator[VideoFrame]:
    """Run the padded frames through the filter: one second is one slot."""
    height, width, _ = given[0].shape
    graph = _graph(width, height, step)
    padded = [*[given[0]] * PADDING, *given, *[given[-1]] * PADDING]
    for place, picture in enumerate(padded):
        frame = _to_frame(picture)
        frame.pts, frame.time_base = place * step, Fraction(1)
        graph.push(frame)
        yield from _ready(graph)
    graph.push(None)
    yield from _ready(graph)


def _graph(width: int, height: int, step: int) -> Graph:
    graph = Graph()
    source = graph.add(
        "buffer",
        f"video_size={width}x{height}:pix_fmt=yuv444p:time_base=1/1:frame_rate=1/{step}"
        ":pixel_aspect=1/1:range=pc:colorspace=smpte170m",
    )
    filtered = graph.add("minterpolate", f"fps=1:{SETTINGS}")
    sink = graph.add("buffersink")
    source.link_to(filtered)
    filtered.link_to(sink)
    graph.configure()
    return graph


def _ready(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(frame, VideoFrame)
        yield frame


def _to_frame(picture: NDArray[np.float32]) -> VideoFrame:
    planes = np.einsum("hwc,yc->yhw", picture, TO_YUV)
    planes[1:] += 128 / 255
    pixels = np.rint(np.clip(planes, 0, 1) * 255).astype(np.uint8)
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="yuv444p")
    frame.color_range, frame.colorspace = 2, 6  # full range, BT.601: what the graph was told
    return frame


def _to_rgb(frame: VideoFrame) -> NDArray[np.float32]:
    planes = frame.to_ndarray().astype(np.float32) / 255
    planes[1:] -= np.float32(128 / 255)
    back = np.linalg.inv(TO_YUV.astype(np.float64)).astype(np.float32)
    return np.ascontiguousarray(np.clip(np.einsum("yhw,cy->hwc", planes, back), 0, 1))
