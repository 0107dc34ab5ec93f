"""The true frames that stand in the windows: folders of clips in, excerpts out.

Room: evaluation. Knows no model and no metric. Reads clips through ``media``.

Frames are brought to a short side of 288 (antialiased, only where they differ) and cropped to the
centre 256 x 256; ``linear_light`` is VIDIM-Bench's way instead.
Source: VIDIM-Bench's recipe, the VIDIM dataset scripts (Jain et al. 2024).

Dimension key
    f  slots of a window     h, w  pixels     frames are RGB in [0, 1]
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mardini_cli.errors import ConfigError, MardiniError, MissingFileError, TooFewFramesError
from mardini_cli.evaluation.protocols import SLOTS, STRIDES, middle_window
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import Frame, read, rgb

SHORT_SIDE: Final = 288
CROP: Final = 256
CLIP_SUFFIXES: Final = frozenset(
    {".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm", ".y4m"}
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Excerpt:
    """The true frames of one window."""

    clip: str
    """File name."""
    stride: int
    start: int
    """The clip's frame in slot 0."""
    ordinal: int
    """Place among all the windows of the folder; seeds follow from it."""
    frames: Tensor
    """``f 3 h w`` float32."""

    @property
    def name(self) -> str:
        """Clip, stride and start in one word."""
        return f"{self.clip}@{self.start}x{self.stride}"


def clips_of(folder: Path, limit: int | None = None) -> list[Path]:
    """Clips of a folder by name, the first ``limit`` of them.

    Raises:
        MissingFileError: no such folder, or no clip in it.
    """
    if not folder.is_dir():
        raise MissingFileError(
            f"{folder} is no folder", needed="a folder of clips", do="check the path"
        )
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in CLIP_SUFFIXES)
    if not found:
        raise MissingFileError(
            f"{folder} holds no clip",
            needed=f"at least one file ending in {', '.join(sorted(CLIP_SUFFIXES))}",
            do="name a folder of clips",
        )
    return found[:limit]


def excerpts_of(path: Path, place: int) -> list[Excerpt] | MardiniError:
    """Read the windows of one clip, the one of stride 1 first.

    Args:
        path: the clip.
        place: its number among the clips of the folder; seeds follow from it.

    Returns:
        Windows, or why the clip cannot serve: one bad clip must not end a long run, and must
        not be passed over in silence.
    """
    try:
        return _read(path, place * len(STRIDES))
    except MardiniError as error:
        return error


def _read(path: Path, ordinal: int) -> list[Excerpt]:
    info = probe(path)
    windows = {stride: middle_window(len(info.times), stride) for stride in STRIDES}
    wanted = {index for window in windows.values() if window for index in window}
    if not wanted:
        raise TooFewFramesError(
            f"{path.name} holds {len(info.times)} frames",
            needed=f"at least {SLOTS}",
            do="leave it out or name a longer clip",
        )
    pictures = {
        index: fitted(torch.from_numpy(rgb(frame, info)).permute(2, 0, 1))  # h w 3 -> 3 h w
        for index, frame in _first(read(info), max(wanted) + 1)
        if index in wanted
    }
    return [
        Excerpt(
            clip=path.name,
            stride=stride,
            start=window[0],
            ordinal=ordinal + place,
            frames=torch.stack([pictures[index] for index in window]),
        )
        for place, (stride, window) in enumerate(windows.items())
        if window is not None
    ]


def _first(frames: Iterator[Frame], count: int) -> Iterator[tuple[int, Frame]]:
    """Number the first frames, and read no further."""
    return zip(range(count), frames, strict=False)


def fitted(frame: Tensor) -> Tensor:
    """Bring ``3 h w`` to a short side of 288 (antialiased) and cut the centre 256 x 256."""
    rows, columns = frame.shape[-2:]
    short = min(rows, columns)
    if short != SHORT_SIDE:
        size = [max(SHORT_SIDE, round(side * SHORT_SIDE / short)) for side in (rows, columns)]
        frame = F.interpolate(
            frame[None], size=size, mode="bicubic", antialias=True, align_corners=False
        )[0].clamp(0, 1)
    top, left = ((side - CROP) // 2 for side in frame.shape[-2:])
    return frame[:, top : top + CROP, left : left + CROP].contiguous()


def linear_light(frame: Tensor) -> Tensor:
    """Bring ``3 h w`` to 256 x 256 as VIDIM-Bench does.

    The largest even centre square, area means in linear light (gamma 2.2), rounded to 8 bits.

    Raises:
        ConfigError: the square is smaller than 256; the benchmark only shrinks.
    """
    rows, columns = frame.shape[-2:]
    side = min(rows, columns) // 2 * 2
    if side < CROP:
        raise ConfigError(
            f"frames of {columns} x {rows}",
            needed=f"{CROP} pixels each way",
            do="use larger frames",
        )
    top, left = (rows - side) // 2, (columns - side) // 2
    light = frame[:, top : top + side, left : left + side].double().pow(2.2)
    weights = _area_weights(side, CROP)  # rows of shares: area means at any ratio
    small = weights @ light @ weights.T  # 3 side side -> 3 256 256
    return (small.clamp(0, 1).pow(1 / 2.2) * 255).round().div(255).float()


def _area_weights(long: int, short: int) -> Tensor:
    """Share of each of ``long`` cells in each of ``short`` larger ones; rows sum to 1."""
    weights = torch.zeros(short, long, dtype=torch.float64)
    ratio = long / short
    for row in range(short):
        begin, end = row * ratio, (row + 1) * ratio
        for cell in range(math.floor(begin), min(math.ceil(end), long)):
            weights[row, cell] = (min(end, cell + 1) - max(begin, cell)) / ratio
    return weights
