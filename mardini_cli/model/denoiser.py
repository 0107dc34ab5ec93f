"""The denoiser: noisy made frames and clean references in, v of the made frames out.

Room: model. Knows no schedule and no sampler: diffusion time comes in as a number.
Source: MarDini 2.3, figure 2, and DiT (adaLN-Zero); diffusion time 0 on given frames, VIDIM;
pooled signal in the MLP's modulation, MarDini 2.3.

Dimension key
    b  windows in the batch     f  slots of a window      m  made slots      c  channels
    n  tokens of a frame        l  tokens of its signal   p  latent rows and columns of a token
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mardini_cli.config import SCHEDULE_LENGTH, ModelConfig
from mardini_cli.errors import ShapeError
from mardini_cli.model.attention import KeysValues, Places
from mardini_cli.model.blocks import DenoiserBlock, Heard, Kept, Scene, Step
from mardini_cli.model.layers import RMSNorm, drop_ends, end_rows, modulated, spread_weights
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


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class KeptWindows:
    """What the denoiser keeps of a batch of windows over all sampling steps.

    Signals (the planner's, the null signal) are worked out side by side, as one larger batch.
    """

    blocks: tuple[Kept, ...]
    signals: int
    rotary: Rotary
    """Angles of the made frames' tokens, ``(signals b) m n 1 p``."""
    frame_rotary: Rotary
    pooled: Tensor
    """Pooled signal of every made frame, ``(signals b m) 1 c``."""
    grid: Grid


class Denoiser(nn.Module):
    """The light network, run once a sampling step."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        denoiser, signal_width = config.denoiser, config.planner.width
        width = denoiser.width
        self.positions, self.identity = config.positions, config.identity
        self.reference = config.reference
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
            DenoiserBlock(denoiser, config.reading, signal_width) for _ in range(denoiser.depth)
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
            t: ``b``, diffusion time of the made frames, 0 to SCHEDULE_LENGTH; given ones have 0,
                or the same (``ModelConfig.reference``).
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
        rotary = window_rotary(self.positions, self.head_channels, grid, times)
        places = Places.of(mask, rotary)
        if places.made.most != noisy.shape[1]:
            raise ShapeError(
                f"{noisy.shape[1]} noisy frames a window, mask of {places.made.most}",
                needed="as many as the window makes that makes most",
                do="pass one noisy frame a made slot",
            )
        x = self._embed(noisy, reference, places, grid)
        asking = places
        if self.identity == "off":
            asking = Places.of(torch.ones_like(mask), rotary)
        scene = self._scene(asking, t, mask, grid, signal, signal_grid, drop)
        for block in self.blocks:
            x = block(x, scene)
        if self.next_token is not None:
            x = drop_ends(x, grid)
        made = places.made
        out = self._leave(x.index_select(0, made.rows), scene.time.index_select(0, made.rows))
        v: Tensor = made.pad(out).reshape(*noisy.shape[:3], -1)  # b m n (p p c)
        return v

    def keep(
        self,
        reference: Tensor,
        mask: Tensor,
        times: Tensor,
        grid: Grid,
        signals: Sequence[Tensor | None],
        signal_grid: Grid,
    ) -> KeptWindows:
        """Work out once what the sampling steps of a batch of windows have in common.

        Only where given frames stand apart from the noise (``ModelConfig.isolated``).

        Args:
            reference: given frames, ``b f n c'``.
            mask: ``b f`` bool; every window makes as many.
            times: ``b f``, real-valued positions.
            grid: where the n tokens lie.
            signals: each ``b f l d``, or None for the null signal.
            signal_grid: where the l tokens lie.

        Raises:
            ShapeError: windows that make unequally many frames.
        """
        rotary = window_rotary(self.positions, self.head_channels, grid, times)
        made = Places.of(mask, rotary).made
        if made.padded_rows is not None:
            raise ShapeError(
                f"windows that make {sorted(set(made.counts))} frames",
                needed="as many in every window",
                do="batch windows that are alike",
            )
        nobody = mask.new_zeros(made.windows, mask.shape[1] - made.most)
        given = Places.of(nobody, rotary.select(made.given_rows))
        x = self._given(reference.flatten(0, 1).index_select(0, made.given_rows), grid)
        no_time = x.new_zeros(made.windows)
        kept, pooled = list[tuple[KeysValues, Heard]](), list[Tensor]()
        for signal in signals:
            heard = None if signal is None else signal.flatten(0, 1)
            own = None if heard is None else heard.index_select(0, made.given_rows)
            own = None if own is None else own.unflatten(0, (made.windows, -1))
            scene = self._scene(given, no_time, nobody, grid, own, signal_grid, None)
            theirs = self.null_signal if heard is None else heard.index_select(0, made.rows)
            kept += self._kept(x, scene, theirs)
            pooled.append(self._pooled(theirs).expand(len(made.rows), 1, -1))
        blocks = (kept[index :: len(self.blocks)] for index in range(len(self.blocks)))
        repeated = rotary.select(made.rows.repeat(len(signals)))
        return KeptWindows(
            blocks=tuple(_joined(block, made.windows) for block in blocks),
            signals=len(signals),
            rotary=repeated.by_windows(made.windows * len(signals)),
            frame_rotary=scene.rotary,
            pooled=torch.cat(pooled),
            grid=grid,
        )

    def step(self, noisy: Tensor, t: Tensor, kept: KeptWindows) -> Tensor:
        """Predict v of the made frames: what ``forward`` says, within rounding.

        Args:
            noisy: what is read at made slots, ``b m n c``.
            t: ``b``, diffusion time.
            kept: of the same windows.

        Returns:
            v for each signal, ``s b m n (p p c)``.
        """
        x = self.embed_noisy(noisy.to(self.embed_noisy.weight.dtype))  # b m n c
        if self.next_token is not None:
            x = end_rows(x, self.next_token, kept.grid)
        time = self.time(t).repeat_interleave(noisy.shape[1], 0).repeat(kept.signals, 1)[:, None]
        step = Step(kept.rotary, kept.frame_rotary, F.silu(time), F.silu(time + kept.pooled))
        x = x.repeat(kept.signals, 1, 1, 1)  # (s b) m n c
        for block, held in zip(self._blocks(), kept.blocks, strict=True):
            x = block.made(x, held, step)
        if self.next_token is not None:
            x = drop_ends(x, kept.grid)
        v: Tensor = self._leave(x.flatten(0, 1), step.time)
        return v.reshape(kept.signals, *noisy.shape[:3], -1)

    def _kept(self, x: Tensor, scene: Scene, signal: Tensor) -> list[tuple[KeysValues, Heard]]:
        """Send given frames through all blocks; what each block keeps of one signal."""
        kept = list[tuple[KeysValues, Heard]]()
        for block in self._blocks():
            x, keys_values = block.reference(x, scene)
            kept.append((keys_values, block.cross.hear(signal, scene.signal_rotary)))
        return kept

    def _blocks(self) -> list[DenoiserBlock]:
        return cast("list[DenoiserBlock]", list(self.blocks))

    def _leave(self, x: Tensor, time: Tensor) -> Tensor:
        """Made frames' tokens ``p n c`` to v, ``p n (p p c)``."""
        shift, scale = self.modulate(time).chunk(2, dim=-1)
        out: Tensor = self.out(modulated(self.norm(x), shift, scale))
        return out

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
        own = self.embed_noisy.weight.dtype
        from_noisy = self.embed_noisy(made.unpad(noisy.flatten(0, 1)).to(own))
        if self.next_token is not None:
            from_noisy = end_rows(from_noisy, self.next_token, grid)
        from_given = self._given(reference.flatten(0, 1).index_select(0, made.given_rows), grid)
        x = from_noisy.new_empty(reference.shape[0] * reference.shape[1], *from_noisy.shape[1:])
        out: Tensor = x.index_copy(0, made.rows, from_noisy)
        return out.index_copy(0, made.given_rows, from_given)

    def _given(self, reference: Tensor, grid: Grid) -> Tensor:
        """Embed given frames alone, ``p n c'``: ``p n c``."""
        embed = self.embed_reference or self.embed_noisy
        x: Tensor = embed(reference.to(embed.weight.dtype))
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
        noisy = torch.ones_like(mask) if self.reference == "shared" else mask
        time = self.time(t[:, None] * noisy).reshape(-1, 1, self.out.in_features)  # (b f) 1 c
        if signal is not None:
            signal = signal.flatten(0, 1)  # (b f) l d
            if drop is not None:
                dropped = drop.repeat_interleave(mask.shape[1])[:, None, None]
                signal = torch.where(dropped, self.null_signal.to(signal.dtype), signal)
        signal = self.null_signal if signal is None else signal
        pooled = self._pooled(signal)
        device, channels = mask.device, self.head_channels
        ends = self.next_token is not None
        return Scene(
            places=places,
            rotary=frame_rotary(channels, grid, device, ends=ends),
            signal=signal,
            signal_rotary=None
            if signal.dim() == 1
            else frame_rotary(channels, signal_grid, device),
            time=F.silu(time),
            time_and_signal=F.silu(time + pooled),
        )

    def _pooled(self, signal: Tensor) -> Tensor:
        """Pool signals ``p l d`` to ``p 1 c``; the null signal ``d`` to ``c``."""
        pooled: Tensor = self.pooled_signal(
            signal if signal.dim() == 1 else signal.mean(1, keepdim=True)
        )
        return pooled

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


def _joined(parts: Sequence[tuple[KeysValues, Heard]], windows: int) -> Kept:
    """Put what one block keeps of several signals into one batch."""
    keys, values = (
        torch.cat([keys_values[i].unflatten(0, (windows, -1)) for keys_values, _ in parts])
        for i in (0, 1)
    )
    return Kept((keys, values), tuple(heard for _, heard in parts))
