"""Short films for a page: pictures one after the other, each shown long enough to see it.

Room: media (floor 2). VP9 in WebM, which every browser plays.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from av import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mardini_cli.errors import ShapeError
from mardini_cli.media.output import whole

RATE: Final = 4
"""Pictures a second."""
QUALITY: Final = {"crf": "30", "b": "0", "cpu-used": "4", "row-mt": "0"}


def write_player(output: Path, pictures: Iterable[NDArray[np.uint8]], rate: int = RATE) -> None:
    """Write pictures as a film; it appears when it is whole.

    Args:
        output: where, ``.webm``; replaced if it is there.
        pictures: RGB, ``h w 3``, all of one size with even sides.
        rate: pictures a second.

    Raises:
        ShapeError: none, sizes that differ, or odd sides.
        UnwritableError: the folder or the disk refuses.
    """
    frames = list(pictures)
    sizes = {frame.shape for frame in frames}
    if len(sizes) != 1 or any(side % 2 for size in sizes for side in size[:2]):
        raise ShapeError(
            f"pictures of shapes {sorted(sizes)}", needed="one size, even sides", do="pad them"
        )
    with whole(output) as path:
        _encode(path, frames, rate)


def _encode(path: Path, frames: Sequence[NDArray[np.uint8]], rate: int) -> None:
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libvpx-vp9", rate=rate, options=dict(QUALITY))
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        for number, picture in enumerate(frames):
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
