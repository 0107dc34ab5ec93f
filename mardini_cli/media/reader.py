"""Reading a clip: its frames, one after the other, and their pixels as RGB.

Room: media (floor 2). Streams; holds no more than the decoder's own few frames.
"""

from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av import VideoFrame

from mardini_cli.errors import DamagedMediaError
from mardini_cli.media import planes
from mardini_cli.media.colour import Floats
from mardini_cli.media.decoding import Decoding, video_stream
from mardini_cli.media.door import Doing, open_source, translated
from mardini_cli.media.probe import ClipInfo


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One decoded picture with its time, seconds."""

    time: Fraction
    picture: VideoFrame
    """In the source's own planes; only this room looks inside."""


def read(info: ClipInfo) -> Generator[Frame, None, None]:
    """Decode a clip's frames in order: exactly ``info.times``, no more and no fewer.

    Raises:
        MissingFileError: the file has gone since it was probed.
        DamagedMediaError: the file no longer holds what ``info`` says.
    """
    path, limits = info.path, info.limits
    with open_source(path, limits) as container, translated(path, Doing.DECODING):
        walk = Decoding(container, video_stream(container, path), path, limits)
        number = 0
        for time, picture in walk.frames():
            if number == len(info.times) or time != info.times[number]:
                raise _changed(info, number)
            yield Frame(time, picture)
            number += 1
        if number != len(info.times):
            raise _changed(info, number)


def _changed(info: ClipInfo, number: int) -> DamagedMediaError:
    return DamagedMediaError(
        f"{info.path}: frame {number} of {len(info.times)} is not where it was when the file was"
        " probed",
        needed="a file that stays as it is",
        do="wait until nothing writes to it, then run again",
    )


def rgb(frame: Frame, info: ClipInfo) -> Floats:
    """Give a frame's picture as the model sees it: upright, RGB, in [0, 1].

    Never by way of 8 bits: planes, then the matrix and range of the source in float32.

    Returns:
        float32, ``h w 3``, of ``info.upright_size``: a view of what lies ``3 h w`` in memory.
    """
    return _upright(planes.rgb_of(frame.picture, info.colour), info)


def rgba(frame: Frame, info: ClipInfo) -> Floats:
    """Give a frame's picture with its transparency where the clip has any.

    Returns:
        As ``rgb``, but ``h w 4`` of a transparent clip: the fourth channel is alpha, 1 opaque.
    """
    stored = planes.rgb_of(frame.picture, info.colour)
    if info.transparent:
        alpha = planes.alpha_of(frame.picture)
        assert alpha is not None  # every frame of a clip has one format
        stored = np.concatenate([np.moveaxis(stored, -1, 0), alpha[None]])  # 4 h w
        stored = np.moveaxis(stored, 0, -1)
    return _upright(stored, info)


def _upright(stored: Floats, info: ClipInfo) -> Floats:
    planar = np.moveaxis(stored, -1, 0)  # h w c -> c h w
    turned = np.ascontiguousarray(np.rot90(planar, info.quarter_turns, axes=(1, 2)))
    return np.moveaxis(turned, 0, -1)
