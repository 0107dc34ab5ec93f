"""True frames at the size at which they are measured.

Room: evaluation. Tensor arithmetic only. Frames are ``3 h w``, RGB in [0, 1].
Source: ``linear_light`` and ``squash`` are VIDIM-Bench's (Jain et al. 2024, data set scripts).
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mardini_cli.errors import ConfigError
from mardini_cli.evaluation.protocols import Fit

SHORT_SIDE: Final = 288
SIDE: Final = 256


def crop(frame: Tensor) -> Tensor:
    """Bring ``3 h w`` to a short side of 288 (antialiased) and cut the centre 256 x 256."""
    rows, columns = frame.shape[-2:]
    short = min(rows, columns)
    if short != SHORT_SIDE:
        frame = _resized(
            frame, [max(SHORT_SIDE, round(side * SHORT_SIDE / short)) for side in (rows, columns)]
        )
    top, left = ((side - SIDE) // 2 for side in frame.shape[-2:])
    return frame[:, top : top + SIDE, left : left + SIDE].contiguous()


def native(frame: Tensor) -> Tensor:
    """Keep the frame as it is."""
    return frame.contiguous()


def squash(frame: Tensor) -> Tensor:
    """Bring ``3 h w`` to 256 x 256, whatever its shape, as the benchmark's frames are stored."""
    if frame.shape[-2:] == (SIDE, SIDE):
        return frame.contiguous()
    return _resized(frame, [SIDE, SIDE])


def _resized(frame: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(
        frame[None], size=size, mode="bicubic", antialias=True, align_corners=False
    )[0].clamp(0, 1)


def linear_light(frame: Tensor) -> Tensor:
    """Bring ``3 h w`` to 256 x 256 as VIDIM-Bench does.

    The largest even centre square, area means in linear light (gamma 2.2), rounded to 8 bits.

    Raises:
        ConfigError: the square is smaller than 256; the benchmark only shrinks.
    """
    rows, columns = frame.shape[-2:]
    side = min(rows, columns) // 2 * 2
    if side < SIDE:
        raise ConfigError(
            f"frames of {columns} x {rows}",
            needed=f"{SIDE} pixels each way",
            do="use larger frames",
        )
    top, left = (rows - side) // 2, (columns - side) // 2
    light = frame[:, top : top + side, left : left + side].double().pow(2.2)
    weights = _area_weights(side, SIDE)  # rows of shares: area means at any ratio
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


FITS: Final[Mapping[Fit, Callable[[Tensor], Tensor]]] = MappingProxyType(
    {"crop": crop, "native": native, "linear-light": linear_light, "squash": squash}
)
