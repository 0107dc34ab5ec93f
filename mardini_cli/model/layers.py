"""Small layers that planner and denoiser share.

Room: model. Knows nothing of windows or frames.

Dimension key
    c  channels of a token      d  channels of a head      n  tokens of a frame, in rows
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mardini_cli.model.positions import Grid

EPSILON = 1e-6


class RMSNorm(nn.Module):
    """Root-mean-square norm; its gain follows the number type of what it norms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Norm ``... c``; the statistics are float32 inside torch's kernel."""
        # Mixed types would leave the fused kernel, under autocast above all.
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), EPSILON)


class HeadNorm(nn.Module):
    """LayerNorm over the channels of each head, for queries and keys."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Norm ``... d``."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.layer_norm(x, weight.shape, weight, bias, EPSILON)


class Mlp(nn.Module):
    """Two matrices with a GELU between; not gated (the paper's parameter counts rule that out)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``... c`` to ``... c``."""
        mapped: Tensor = self.down(F.gelu(self.up(x), approximate="tanh"))
        return mapped


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Scale and shift normed tokens ``... n c`` by ``... 1 c`` each, in one pass over them."""
    return torch.addcmul(shift, x, 1 + scale)


def end_rows(x: Tensor, end: Tensor, grid: Grid) -> Tensor:
    """Put the learned [NEXT] token after each row: ``* (rows cols) c`` to ``* (rows cols+1) c``."""
    rows = x.reshape(*x.shape[:-2], grid.rows, grid.cols, x.shape[-1])
    ends = end.to(x.dtype).expand(*rows.shape[:-2], 1, -1)
    return torch.cat((rows, ends), dim=-2).flatten(-3, -2)


def drop_ends(x: Tensor, grid: Grid) -> Tensor:
    """Undo ``end_rows``."""
    rows = x.reshape(*x.shape[:-2], grid.rows, grid.cols + 1, x.shape[-1])
    return rows[..., :-1, :].flatten(-3, -2)


def spread_weights(network: nn.Module) -> None:
    """Give every linear layer of a network Glorot weights and no bias."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
