"""What is measured: which slots are given, and which frames of which clips stand in them.

Room: evaluation. Knows no model and no metric. Reads clips through ``media``.

A protocol is data: a window of 9 slots and the ones that are given. The frames come from a
folder of clips. Of every clip and stride one window is taken, from the middle of the clip, so
that the choice depends on nothing but the clip's length. Frames are brought to a short side of
288 (antialiased, only where they differ) and cropped to the centre 256 x 256.

Dimension key
    f  slots of a window     h, w  pixels     frames are RGB in [0, 1]
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mardini_cli.errors import ConfigError, MardiniError, MissingFileError, TooFewFramesError
from mardini_cli.media import probe, reader

SLOTS: Final = 9
SHORT_SIDE: Final = 288
CROP: Final = 256
STRIDES: Final = (1, 2)
CLIP_SUFFIXES: Final = frozenset(
    {".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm", ".y4m"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """A window of ``SLOTS`` frames and the slots whose frames are given."""

    name: str
    given: tuple[int, ...]
    """Slots, ascending; at least one, and not all."""

    def __post_init__(self) -> None:
        inside = all(0 <= slot < SLOTS for slot in self.given)
        ascending = list(self.given) == sorted(set(self.given))
        if not (inside and ascending and 0 < len(self.given) < SLOTS):
            raise ConfigError(
                f"protocol {self.name} gives slots {self.given}",
                needed=f"ascending slots from 0 to {SLOTS - 1}, at least one and not all",
                do="change 'given'",
            )

    @property
    def made(self) -> tuple[int, ...]:
        """Slots to be made."""
        return tuple(slot for slot in range(SLOTS) if slot not in self.given)

    @property
    def mask(self) -> tuple[bool, ...]:
        """A flag a slot, True = to be made."""
        return tuple(slot not in self.given for slot in range(SLOTS))

    @property
    def one_sided(self) -> bool:
        """Some made slot has given frames on one side only."""
        return self.given[0] > 0 or self.given[-1] < SLOTS - 1


PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol(name="x8", given=(0, 8)),
            Protocol(name="x4", given=(0, 4, 8)),
            Protocol(name="x2", given=(0, 2, 4, 6, 8)),
            Protocol(name="extend", given=(0, 1)),
            Protocol(name="animate", given=(0,)),
        )
    }
)


def protocol(name: str) -> Protocol:
    """Look a protocol up by its name.

    Raises:
        ConfigError: no protocol of this name.
    """
    if name not in PROTOCOLS:
        raise ConfigError(
            f"unknown protocol '{name}'", needed=f"one of {', '.join(PROTOCOLS)}", do="choose one"
        )
    return PROTOCOLS[name]


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


def middle_window(count: int, stride: int) -> range | None:
    """Frames of the window in the middle of a clip of ``count`` frames; None if it is too short."""
    span = (SLOTS - 1) * stride + 1
    if count < span:
        return None
    start = (count - span) // 2
    return range(start, start + span, stride)


def chunks(count: int) -> list[range]:
    """Cut a clip as VIDIM-Bench does: from frame 0, without overlap, the tail dropped."""
    return [range(start, start + SLOTS) for start in range(0, count - SLOTS + 1, SLOTS)]


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


def excerpts(clips: Sequence[Path]) -> Iterator[Excerpt | MardiniError]:
    """Read the windows of some clips, clip by clip.

    A clip that cannot serve is not passed over in silence: its error stands in its place.
    """
    for place, path in enumerate(clips):
        try:
            yield from _excerpts_of(path, place * len(STRIDES))
        except MardiniError as error:
            yield error


def _excerpts_of(path: Path, ordinal: int) -> Iterator[Excerpt]:
    info = probe.probe(path)
    windows = {stride: middle_window(len(info.times), stride) for stride in STRIDES}
    wanted = {index for window in windows.values() if window for index in window}
    if not wanted:
        raise TooFewFramesError(
            f"{path.name} holds {len(info.times)} frames",
            needed=f"at least {SLOTS}",
            do="leave it out or name a longer clip",
        )
    pictures = {
        index: fitted(torch.from_numpy(reader.rgb(frame, info)).permute(2, 0, 1))  # h w 3 -> 3 h w
        for index, frame in _first(reader.read(info), max(wanted) + 1)
        if index in wanted
    }
    for place, (stride, window) in enumerate(windows.items()):
        if window is not None:
            yield Excerpt(
                clip=path.name,
                stride=stride,
                start=window[0],
                ordinal=ordinal + place,
                frames=torch.stack([pictures[index] for index in window]),
            )


def _first(frames: Iterator[reader.Frame], count: int) -> Iterator[tuple[int, reader.Frame]]:
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
