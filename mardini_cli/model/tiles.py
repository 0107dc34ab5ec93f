"""Overlapping tiles: where they lie, and how what they say is blended.

Room: model. Pure functions of sizes and tensors. A tile is a part of the token grid; its tokens
keep their places in the whole frame, so that a network sees where it is.
Relative: averaging overlapping views at every sampling step, MultiDiffusion (Bar-Tal et al. 2023).

Dimension key
    ...  anything     h, w  rows and columns     k  pixels (or cells) in one token, each way
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mardini_cli.model.positions import Grid

TOKEN = 16
"""Pixels of the working size in one token, each way."""
OVERLAP = 8
"""Tokens that neighbouring tiles share at least: what networks see around a place."""
LARGEST_WHOLE = 4500
"""Tokens of a frame up to which ``auto`` makes no tiles: about 1440 x 800 working pixels."""
USUAL = 768
"""Side of ``auto``'s tiles, working pixels."""


class Box(NamedTuple):
    """A tile, in tokens of the whole grid."""

    top: int
    left: int
    rows: int
    cols: int

    def of(self, maps: Tensor, k: int) -> Tensor:
        """Cut the tile out of maps ``... h w`` with ``k`` cells a token."""
        down = slice(self.top * k, (self.top + self.rows) * k)
        across = slice(self.left * k, (self.left + self.cols) * k)
        return maps[..., down, across]

    def of_tokens(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Cut the tile out of tokens ``b f n c`` that lie on ``grid``."""
        maps = tokens.unflatten(2, (grid.rows, grid.cols)).movedim(-1, 2)  # b f c h w
        return self.of(maps, 1).movedim(2, -1).flatten(2, 3)

    def grid(self, whole: Grid) -> Grid:
        """The tile's tokens, in the whole frame's coordinates."""
        high, wide = whole.height / whole.rows, whole.width / whole.cols
        return Grid(
            self.rows,
            self.cols,
            top=whole.top + self.top * high,
            left=whole.left + self.left * wide,
            height=self.rows * high,
            width=self.cols * wide,
        )


def boxes(grid: Grid, side: int | None) -> list[Box]:
    """Cover a grid with tiles; one that is the whole where that fits.

    Args:
        grid: the tokens of a frame.
        side: of a tile, working pixels; None covers all with one.
    """
    if side is None:
        return [Box(0, 0, grid.rows, grid.cols)]
    cells = max(side // TOKEN, 2 * OVERLAP)
    return [
        Box(top, left, rows, cols)
        for top, rows in _spans(grid.rows, cells)
        for left, cols in _spans(grid.cols, cells)
    ]


def side_for(grid: Grid) -> int | None:
    """What ``auto`` chooses: no tiles, unless a frame has very many tokens."""
    return None if grid.tokens <= LARGEST_WHOLE else USUAL


def blended(parts: Iterator[tuple[Box, Tensor]], grid: Grid, k: int) -> Tensor:
    """Mix what tiles say, ``... h w`` each with ``k`` cells a token, into the whole's.

    The weight of a tile falls to its inner borders in a straight line; a single tile comes back
    as it is.
    """
    total = weight = torch.zeros(())
    for box, part in parts:
        if (box.rows, box.cols) == (grid.rows, grid.cols):
            return part
        if not total.dim():
            total = part.new_zeros((*part.shape[:-2], grid.rows * k, grid.cols * k))
            weight = part.new_zeros(total.shape[-2:], dtype=torch.float32)
        share = _weights(box, grid, k, part)
        box.of(total, k).add_(part * share.to(part.dtype))
        box.of(weight, k).add_(share)
    return total / weight.to(total.dtype)


def _spans(length: int, side: int) -> list[tuple[int, int]]:
    if length <= side:
        return [(0, length)]
    count = -(-(length - OVERLAP) // (side - OVERLAP))
    return [(round(n * (length - side) / (count - 1)), side) for n in range(count)]


def _weights(box: Box, grid: Grid, k: int, like: Tensor) -> Tensor:
    down = _ramp(box.top, box.rows, grid.rows, k)
    across = _ramp(box.left, box.cols, grid.cols, k)
    return (down[:, None] * across[None]).to(like.device)


def _ramp(start: int, length: int, whole: int, k: int) -> Tensor:
    place = torch.arange(length * k) + 0.5
    left = place / (OVERLAP * k) if start else torch.ones_like(place)
    right = (length * k - place) / (OVERLAP * k) if start + length < whole else left.new_ones(1)
    return torch.minimum(left, right.expand_as(left)).clamp(max=1)
