"""The denoiser: noisy made frames and clean references in, v of the made frames out.

Room: model. Knows no schedule and no sampler: diffusion time comes in as a number.
Source: MarDini 2.3, figure 2, and DiT (adaLN-Zero); diffusion time 0 on given frames, VIDIM;
pooled signal in the MLP's modulation, MarDini 2.3.

Dimension key
    b  windows in the batch     f  slots of a window      m  made slots      c  channels
    n  tokens of a frame        l  tokens of its signal   p  latent rows and columns of a token
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mardini_cli.config import SCHEDULE_LENGTH, DenoiserConfig, ModelConfig
from mardini_cli.errors import ShapeError
from mardini_cli.model.attention import (
    Identity,
    IdentityAttention,
    Places,
    QueryKeyValue,
    SpatialAttention,
    attention,
)
from mardini_cli.model.layers import Mlp, RMSNorm, drop_ends, end_rows, spread_weights
from mardini_cli.model.positions import Grid, Rotary, frame_rotary, window_rotary

WAVES = 128
"""Frequencies that tell diffusion time."""


def patchify(latent: Tensor, patch: int) -> Tensor:
    """Cut latents ``... c h w`` into tokens ``... (h/p w/p) (p p c)``.

    Raises:
        ShapeError: the patch does not divide rows and columns.
    """
    *lead, channels, high, wide = latent.shape
    if high % patch or wide % patch:
        raise ShapeError(
            f"latents of {high} x {wide}",
            needed=f"rows and columns in multiples of {patch}",
            do="pad the frames",
        )
    cut = latent.reshape(*lead, channels, high // patch, patch, wide // patch, patch)
    axis = len(lead)
    cut = cut.permute(*range(axis), axis + 1, axis + 3, axis + 2, axis + 4, axis)
    return cut.flatten(-3).flatten(-3, -2)  # ... rows cols p p c -> ... (rows cols) (p p c)


def unpatchify(tokens: Tensor, patch: int, rows: int, cols: int) -> Tensor:
    """Undo ``patchify``: tokens ``... (rows cols) (p p c)`` to latents ``... c h w``."""
    *lead, _, channels = tokens.shape
    cut = tokens.reshape(*lead, rows, cols, patch, patch, channels // patch**2)
    axis = len(lead)
    cut = cut.permute(*range(axis), axis + 4, axis, axis + 2, axis + 1, axis + 3)
    return cut.reshape(*lead, channels // patch**2, rows * patch, cols * patch)


class TimeEmbedding(nn.Module):
    """Diffusion time to a vector: waves of many lengths, then two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * WAVES, width)
        self.second = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        """Map times ``...`` in [0, SCHEDULE_LENGTH] to ``... width``."""
        powers = torch.arange(WAVES, device=t.device, dtype=torch.float32) / WAVES
        angles = t.float().unsqueeze(-1) * torch.exp(-math.log(10.0 * SCHEDULE_LENGTH) * powers)
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1).to(self.first.weight.dtype)
        embedded: Tensor = self.second(F.silu(self.first(waves)))
        return embedded


class CrossAttention(QueryKeyValue):
    """Each token attends to the signal of its own frame."""

    def forward(
        self, x: Tensor, signal: Tensor, rotary: Rotary, signal_rotary: Rotary | None
    ) -> Tensor:
        """Read the signal.

        Args:
            x: tokens, ``(b f) n c``.
            signal: ``(b f) l d``; or the null signal, ``d``, which needs no question: all its
                keys and values are equal.
            rotary: places of the tokens in the frame.
            signal_rotary: places of the signal's tokens; None with the null signal.

        Returns:
            What to add to x: ``(b f) n c``, or ``c`` for the null signal.
        """
        if signal_rotary is None:
            value: Tensor = self.to_out(self.to_kv(signal).chunk(2, dim=-1)[1])
            return value
        k, v = self.keys_values(signal, signal_rotary)
        q = self.queries(x, rotary, v.dtype)
        return self.merge(attention(q, k, v, backend=self.backend))


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What every block reads besides its tokens; worked out once a pass."""

    places: Places
    rotary: Rotary
    """Places of the tokens in the frame, for the signal: ``n 1 p``."""
    signal: Tensor
    """``(b f) l d``, or the null signal ``d``."""
    signal_rotary: Rotary | None
    """``l 1 p``; None with the null signal."""
    time: Tensor
    """Embedded diffusion time of every frame, through its SiLU: ``(b f) 1 c``."""
    time_and_signal: Tensor
    """The same with the pooled signal: ``(b f) 1 c``."""


class DenoiserBlock(nn.Module):
    """Modulated spatial attention, attention over frames, signal, modulated MLP."""

    def __init__(self, config: DenoiserConfig, identity: Identity, signal_width: int) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.norm_spatial = RMSNorm(width)
        self.modulate_spatial = nn.Linear(width, 3 * width)
        self.spatial = SpatialAttention(width, heads)
        self.norm_across = RMSNorm(width)
        self.across = IdentityAttention(width, heads, config.attention, identity)
        self.norm_cross = RMSNorm(width)
        self.cross = CrossAttention(width, heads, signal_width)
        self.norm_mlp = RMSNorm(width)
        self.modulate_mlp = nn.Linear(width, 3 * width)
        self.mlp = Mlp(width, config.mlp)

    def forward(self, x: Tensor, scene: Scene) -> Tensor:
        """Map ``(b f) n c`` to the same."""
        shift, scale, gate = self.modulate_spatial(scene.time).chunk(3, dim=-1)  # (b f) 1 c
        y = self.norm_spatial(x) * (1 + scale) + shift
        x = x + gate * self.spatial(y, scene.places.rotary)
        x = x + self.across(self.norm_across(x), scene.places)
        x = x + self.cross(self.norm_cross(x), scene.signal, scene.rotary, scene.signal_rotary)
        shift, scale, gate = self.modulate_mlp(scene.time_and_signal).chunk(3, dim=-1)
        y = self.norm_mlp(x) * (1 + scale) + shift
        out: Tensor = x + gate * self.mlp(y)
        return out

    def start_as_identity(self) -> None:
        """Set every gate, and every sum that has none, to zero (adaLN-Zero)."""
        for layer in (self.modulate_spatial, self.modulate_mlp):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.across.to_out, self.cross.to_out):
            nn.init.zeros_(layer.weight)


class Denoiser(nn.Module):
    """The light network, run once a sampling step."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        denoiser, signal_width = config.denoiser, config.planner.width
        width = denoiser.width
        self.positions = config.positions
        self.head_channels = width // denoiser.heads
        self.embed_noisy = nn.Linear(config.noisy_channels, width)
        self.embed_reference = (  # the paper's way where both are latents: one embedding
            None
            if config.reference_channels == config.noisy_channels
            else nn.Linear(config.reference_channels, width)
        )
        self.next_token = nn.Parameter(torch.empty(width)) if self.positions == "counted" else None
        self.time = TimeEmbedding(width)
        self.null_signal = nn.Parameter(torch.empty(signal_width))
        self.pooled_signal = nn.Sequential(
            nn.SiLU(),
            nn.Linear(signal_width, signal_width),
            nn.SiLU(),
            nn.Linear(signal_width, width),
        )
        self.blocks = nn.ModuleList(
            DenoiserBlock(denoiser, config.identity, signal_width) for _ in range(denoiser.depth)
        )
        self.norm = RMSNorm(width)
        self.modulate = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, config.latent_channels * denoiser.patch**2)
        self._initialise()

    def forward(
        self,
        noisy: Tensor,
        reference: Tensor,
        mask: Tensor,
        times: Tensor,
        t: Tensor,
        grid: Grid,
        signal: Tensor | None,
        signal_grid: Grid,
        drop: Tensor | None = None,
    ) -> Tensor:
        """Predict v of the made frames.

        Args:
            noisy: what is read at made slots, ``b m n c``. Windows that make fewer than m
                leave their last rows unread.
            reference: given frames, ``b f n c'``; what stands in made slots is never read.
            mask: ``b f`` bool, True = to be made.
            times: ``b f``, real-valued positions.
            t: ``b``, diffusion time of the made frames, 0 to SCHEDULE_LENGTH; given ones have 0.
            grid: where the n tokens lie.
            signal: the planner's, ``b f l d``; None: the learned null signal.
            signal_grid: where the l tokens lie.
            drop: ``b`` bool, True = this window gets the null signal all the same (training).

        Returns:
            v, ``b m n (p p c)``; zero in unread rows.

        Raises:
            ShapeError: the tensors are not of one batch, or not of these grids.
        """
        self._check(noisy, reference, mask, grid, signal, signal_grid)
        places = Places.of(mask, window_rotary(self.positions, self.head_channels, grid, times))
        if places.made.most != noisy.shape[1]:
            raise ShapeError(
                f"{noisy.shape[1]} noisy frames a window, mask of {places.made.most}",
                needed="as many as the window makes that makes most",
                do="pass one noisy frame a made slot",
            )
        x = self._embed(noisy, reference, places, grid)
        scene = self._scene(places, t, mask, grid, signal, signal_grid, drop)
        for block in self.blocks:
            x = block(x, scene)
        if self.next_token is not None:
            x = drop_ends(x, grid)
        made = places.made
        shift, scale = self.modulate(scene.time.index_select(0, made.rows)).chunk(2, dim=-1)
        x = self.norm(x.index_select(0, made.rows)) * (1 + scale) + shift
        v: Tensor = made.pad(self.out(x)).reshape(*noisy.shape[:3], -1)  # b m n (p p c)
        return v

    def _check(
        self,
        noisy: Tensor,
        reference: Tensor,
        mask: Tensor,
        grid: Grid,
        signal: Tensor | None,
        signal_grid: Grid,
    ) -> None:
        fits = (
            noisy.shape[0] == mask.shape[0]
            and noisy.shape[2] == grid.tokens
            and reference.shape[:3] == (*mask.shape, grid.tokens)
            and (signal is None or signal.shape[:3] == (*mask.shape, signal_grid.tokens))
        )
        if not fits:
            raise ShapeError(
                f"noisy {tuple(noisy.shape)}, reference {tuple(reference.shape)}, mask "
                f"{tuple(mask.shape)}, signal {None if signal is None else tuple(signal.shape)}, "
                f"grids of {grid.tokens} and {signal_grid.tokens}",
                needed="noisy b m n c, reference b f n c, mask b f, signal b f l d, grids of n, l",
                do="pass one batch of windows",
            )

    def _embed(self, noisy: Tensor, reference: Tensor, places: Places, grid: Grid) -> Tensor:
        """Put noisy and given tokens in their slots: ``(b f) n c``."""
        made = places.made
        from_noisy = self.embed_noisy(made.unpad(noisy.flatten(0, 1)))
        embed = self.embed_reference or self.embed_noisy
        from_given = embed(reference.flatten(0, 1).index_select(0, made.given_rows))
        x = from_noisy.new_empty(reference.shape[0] * reference.shape[1], *from_noisy.shape[1:])
        x = x.index_copy(0, made.rows, from_noisy).index_copy(0, made.given_rows, from_given)
        return x if self.next_token is None else end_rows(x, self.next_token, grid)

    def _scene(
        self,
        places: Places,
        t: Tensor,
        mask: Tensor,
        grid: Grid,
        signal: Tensor | None,
        signal_grid: Grid,
        drop: Tensor | None,
    ) -> Scene:
        time = self.time(t[:, None] * mask).reshape(-1, 1, self.out.in_features)  # (b f) 1 c
        if signal is not None:
            signal = signal.flatten(0, 1)  # (b f) l d
            if drop is not None:
                dropped = drop.repeat_interleave(mask.shape[1])[:, None, None]
                signal = torch.where(dropped, self.null_signal.to(signal.dtype), signal)
            pooled = self.pooled_signal(signal.mean(1, keepdim=True))
        else:
            pooled = self.pooled_signal(self.null_signal)
        device, channels = mask.device, self.head_channels
        ends = self.next_token is not None
        return Scene(
            places=places,
            rotary=frame_rotary(channels, grid, device, ends=ends),
            signal=self.null_signal if signal is None else signal,
            signal_rotary=None if signal is None else frame_rotary(channels, signal_grid, device),
            time=F.silu(time),
            time_and_signal=F.silu(time + pooled),
        )

    def _initialise(self) -> None:
        spread_weights(self)
        for token in (self.null_signal, self.next_token):
            if token is not None:
                nn.init.normal_(token, std=0.02)
        for module in self.modules():
            if isinstance(module, DenoiserBlock):
                module.start_as_identity()
        for layer in (self.modulate, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
