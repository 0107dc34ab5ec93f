"""Where a token stands: rotary angles in time and in the frame.

Room: model. Arithmetic only; nothing here is learned and nothing knows what a token holds.
Two kinds, chosen by ``ModelConfig.positions``:

``real``     ours: three axes (time, row, column). Time is real-valued, rows and columns are
             measured in the whole frame, so uneven times, any size and crops need no resampling.
``counted``  the paper's (3.3): a learned [NEXT] token ends each row; two axes (index in the
             flattened frame, frame index), half of a head's channels each, base 10000.

Source: rotary code, Su et al. 2021; [NEXT] and two axes, MarDini 2.2.

Dimension key
    b  windows in the batch     f  slots of a window      n  tokens of a frame
    h  heads                    d  channels of a head     p  rotated pairs, d / 2
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mardini_cli.errors import ConfigError

FRAME_SPAN = 32.0
"""Units that a square whole frame spans along each side, on the real axes."""
REAL_BASE = 100.0
"""Slowest rotation of the real axes is 1 / REAL_BASE radians a unit: three frames a turn."""
COUNTED_BASE = 10000.0
"""The usual base, for indices that run into the thousands."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where a grid of tokens lies in the whole frame.

    The whole frame has area 1: it is sqrt(h / w) high and sqrt(w / h) wide. A crop is a part.
    """

    rows: int
    cols: int
    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0

    @classmethod
    def of_frame(cls, rows: int, cols: int, size: tuple[int, int]) -> "Grid":
        """Give the grid that covers a whole frame of ``size`` pixels (height, width)."""
        high, wide = size
        return cls(rows, cols, height=math.sqrt(high / wide), width=math.sqrt(wide / high))

    @property
    def tokens(self) -> int:
        """Tokens of a frame, without [NEXT]."""
        return self.rows * self.cols


@dataclass(frozen=True, slots=True, eq=False)
class Rotary:
    """Cosines and sines to rotate queries or keys by, float32; 1 stands for h."""

    cos: Tensor
    """``* n 1 p``."""
    signed: Tensor
    """Sines of both halves of a head's channels, the first half's negative: ``* n 1 2 p``."""

    @property
    def sin(self) -> Tensor:
        """Sines, ``* n 1 p``."""
        return self.signed[..., 1, :]

    def rotate(self, x: Tensor) -> Tensor:
        """Rotate ``* n h d``: channel i and channel i + d / 2 are one pair. In float32.

        Memory sets the pace, hence three passes over x; on CUDA it grows inside the kernels.
        """
        pairs = (x if x.is_cuda else x.float()).unflatten(-1, (2, -1))  # * n h 2 p
        along = pairs * self.cos.unsqueeze(-2)
        return torch.addcmul(along, pairs.flip(-2), self.signed).flatten(-2)

    def flat(self) -> "Rotary":
        """Join the first two dimensions."""
        return Rotary(self.cos.flatten(0, 1), self.signed.flatten(0, 1))

    def by_windows(self, windows: int) -> "Rotary":
        """Undo ``flat``."""
        return Rotary(*(part.unflatten(0, (windows, -1)) for part in (self.cos, self.signed)))

    def select(self, rows: Tensor) -> "Rotary":
        """Take the frames at ``rows`` of the first dimension."""
        return Rotary(self.cos.index_select(0, rows), self.signed.index_select(0, rows))


def window_rotary(
    kind: Literal["real", "counted"], channels: int, grid: Grid, times: Tensor
) -> Rotary:
    """Angles for every token of a batch of windows.

    Args:
        kind: ``ModelConfig.positions``; ``counted`` has a [NEXT] place after each row.
        channels: channels of one head.
        grid: where the tokens lie.
        times: ``b f``, real-valued positions; ``counted`` counts slots and reads only the shape.

    Returns:
        Rotary of ``(b f) n 1 p``.
    """
    if kind == "counted":
        return _counted(channels, grid, times)
    space = _space(channels // 2, grid, times.device)  # n p'
    count = channels // 2 - space.shape[-1]
    time = times.float().reshape(-1, 1, 1) * _speeds(count, REAL_BASE, times.device)  # (b f) 1 p"
    frames = time.shape[0]
    angles = torch.cat(
        (time.expand(-1, grid.tokens, -1), space.expand(frames, -1, -1)), dim=-1
    )  # (b f) n p
    return _rotary(angles)


def frame_rotary(channels: int, grid: Grid, device: torch.device, *, ends: bool = False) -> Rotary:
    """Angles of place alone, for grids of two sizes that lie on the same frame.

    The time axis' pairs stay still, so both kinds of positions may use it.

    Args:
        channels: channels of one head.
        grid: where the tokens lie.
        device: where the angles are wanted.
        ends: whether a [NEXT] follows each row; it stands at the row's right end.

    Returns:
        Rotary of ``n 1 p``.
    """
    space = _space(channels // 2, grid, device, ends=ends)
    still = space.new_zeros(space.shape[0], channels // 2 - space.shape[-1])
    return _rotary(torch.cat((still, space), dim=-1))


def _space(pairs: int, grid: Grid, device: torch.device, *, ends: bool = False) -> Tensor:
    """Angles of rows and columns, each a third of the pairs: ``n p'``."""
    if pairs < 3:
        raise ConfigError(
            f"{2 * pairs} channels a head", needed="at least 8 for three axes", do="use fewer heads"
        )
    speeds = _speeds(pairs // 3, REAL_BASE, device)
    rows = torch.arange(grid.rows, device=device, dtype=torch.float32) + 0.5
    cols = torch.arange(grid.cols + ends, device=device, dtype=torch.float32) + 0.5
    rows = (grid.top + rows * (grid.height / grid.rows)) * FRAME_SPAN
    cols = (grid.left + cols * (grid.width / grid.cols)) * FRAME_SPAN
    row_angles = (rows[:, None, None] * speeds).expand(-1, len(cols), -1)
    col_angles = (cols[None, :, None] * speeds).expand(len(rows), -1, -1)
    return torch.cat((row_angles, col_angles), dim=-1).flatten(0, 1)  # (row col) p'


def _counted(channels: int, grid: Grid, times: Tensor) -> Rotary:
    speeds = _speeds(channels // 4, COUNTED_BASE, times.device)
    places = torch.arange(grid.rows * (grid.cols + 1), device=times.device).float()
    frames = torch.arange(times.shape[1], device=times.device).float()
    place = (places[:, None] * speeds).expand(times.shape[1], -1, -1)  # f n p'
    frame = (frames[:, None, None] * speeds).expand(-1, len(places), -1)
    angles = torch.cat((place, frame), dim=-1)  # f n p
    return _rotary(angles.expand(times.shape[0], -1, -1, -1).flatten(0, 1))  # (b f) n p


def _speeds(count: int, base: float, device: torch.device) -> Tensor:
    """Radians a unit, from 1 down to nearly 1 / base."""
    return base ** (-torch.arange(count, device=device, dtype=torch.float32) / count)


def _rotary(angles: Tensor) -> Rotary:
    sin = angles.sin()
    signed = torch.stack((-sin, sin), -2)  # * n p -> * n 2 p
    return Rotary(angles.cos().unsqueeze(-2), signed.unsqueeze(-3))
