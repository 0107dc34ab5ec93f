"""The planner: low-resolution frames and [MASK] in, one signal grid a frame out.

Room: model. Sees no noise and no diffusion time, and never paints a picture.
Source: MarDini 2.2, figure 2: pre-RMSNorm, spatial attention, spatio-temporal attention with
Identity Attention, two-matrix MLP; rotary positions; LayerNorm on queries and keys.

Dimension key
    b  windows in the batch     f  slots of a window      n  tokens of a frame      c  channels
"""

import torch
from torch import Tensor, nn

from mardini_cli.config import ModelConfig, PlannerConfig
from mardini_cli.errors import ShapeError
from mardini_cli.model.attention import Identity, IdentityAttention, Places, SpatialAttention
from mardini_cli.model.layers import Mlp, RMSNorm, drop_ends, end_rows, spread_weights
from mardini_cli.model.positions import Grid, window_rotary


class PlannerBlock(nn.Module):
    """Spatial attention, attention over all frames, MLP; each normed before and added after."""

    def __init__(self, config: PlannerConfig, identity: Identity) -> None:
        super().__init__()
        self.norm_spatial = RMSNorm(config.width)
        self.spatial = SpatialAttention(config.width, config.heads)
        self.norm_across = RMSNorm(config.width)
        self.across = IdentityAttention(config.width, config.heads, identity=identity)
        self.norm_mlp = RMSNorm(config.width)
        self.mlp = Mlp(config.width, config.mlp)

    def forward(self, x: Tensor, places: Places) -> Tensor:
        """Map ``(b f) n c`` to the same."""
        x = x + self.spatial(self.norm_spatial(x), places.rotary)
        x = x + self.across(self.norm_across(x), places)
        out: Tensor = x + self.mlp(self.norm_mlp(x))
        return out

    def shrink_sums(self, factor: float) -> None:
        """Scale what the block adds to its stream at the start of training."""
        for layer in (self.spatial.to_out, self.across.to_out, self.mlp.down):
            nn.init.xavier_uniform_(layer.weight, gain=factor)


class Planner(nn.Module):
    """The heavy network, run once a window."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        planner = config.planner
        self.positions, self.identity = config.positions, config.identity
        self.head_channels = planner.width // planner.heads
        self.embed = nn.Linear(config.planner_channels, planner.width)
        self.mask_token = nn.Parameter(torch.empty(planner.width))
        self.next_token = (
            nn.Parameter(torch.empty(planner.width)) if self.positions == "counted" else None
        )
        self.blocks = nn.ModuleList(
            PlannerBlock(planner, config.reading) for _ in range(planner.depth)
        )
        self.norm = RMSNorm(planner.width)
        self._initialise()

    def forward(self, tokens: Tensor, mask: Tensor, times: Tensor, grid: Grid) -> Tensor:
        """Plan a batch of windows.

        Args:
            tokens: given frames at low resolution, ``b f n c``; what stands in made slots is
                never read.
            mask: ``b f`` bool, True = to be made; windows may make unequally many.
            times: ``b f``, real-valued positions.
            grid: where the n tokens lie.

        Returns:
            The signal, ``b f n width``.

        Raises:
            ShapeError: the tensors are not of one batch, or not of this grid.
        """
        if tokens.shape[:3] != (*mask.shape, grid.tokens) or times.shape != mask.shape:
            raise ShapeError(
                f"tokens {tuple(tokens.shape)}, mask {tuple(mask.shape)}, times "
                f"{tuple(times.shape)}, grid of {grid.tokens}",
                needed="tokens b f n c, mask and times b f, grid of n",
                do="pass one batch of windows",
            )
        made = mask[..., None, None]
        x = self.embed(tokens.masked_fill(made, 0).to(self.embed.weight.dtype))  # b f n width
        x = torch.where(made, self.mask_token.to(x.dtype), x).flatten(0, 1)  # (b f) n width
        if self.next_token is not None:
            x = end_rows(x, self.next_token, grid)
        asking = torch.ones_like(mask) if self.identity == "off" else mask
        places = Places.of(asking, window_rotary(self.positions, self.head_channels, grid, times))
        for block in self.blocks:
            x = block(x, places)
        if self.next_token is not None:
            x = drop_ends(x, grid)
        signal: Tensor = self.norm(x).reshape(*mask.shape, grid.tokens, -1)  # b f n width
        return signal

    def _initialise(self) -> None:
        spread_weights(self)
        for token in (self.mask_token, self.next_token):
            if token is not None:
                nn.init.normal_(token, std=0.02)
        for module in self.modules():
            if isinstance(module, PlannerBlock):  # a deep stream of sums starts at unit size
                module.shrink_sums((3 * len(self.blocks)) ** -0.5)


class PlannerHead(nn.Module):
    """Turns the signal back into planner tokens, for the planner's own warm-up (paper 3.6)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.planner.width, config.planner_channels)

    def forward(self, signal: Tensor) -> Tensor:
        """Map ``b f n width`` to ``b f n c``."""
        tokens: Tensor = self.linear(signal)
        return tokens
