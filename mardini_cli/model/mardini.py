"""MarDini: a planner, a denoiser and an autoencoder that fit together.

Room: model. Knows no sampler, no files, no tasks: a window is given frames, a mask and times.
Source: the paper's Figure 2; the four verbs are one window's life:

    given  = model.look(frames, mask, times)           once a window
    signal = model.plan(given)                         once a window
    v      = model.velocity(noisy, t, given, signal)   once a sampling step
    frames = model.decode(latent, level, given, signal)

A sampler spares what does not change from step to step: ``kept = model.keep(given, [signal])``
once a window, then ``[v] = model.velocities(noisy, t, kept)``.

Dimension key
    b  windows     f  slots     g  given     m  made (g + m = f)     n  tokens     d  width
    c  channels    h, w  pixels, or latent rows and columns
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mardini_cli.config import ModelConfig
from mardini_cli.errors import ShapeError
from mardini_cli.model.autoencoder import Autoencoder, Given
from mardini_cli.model.denoiser import Denoiser, KeptWindows, unpatchify
from mardini_cli.model.graphs import Graphs
from mardini_cli.model.guided import Guided
from mardini_cli.model.planner import Planner
from mardini_cli.model.positions import Grid
from mardini_cli.model.tiles import Box, blended, boxes
from mardini_cli.model.vae import Vae


@dataclass(frozen=True, slots=True, eq=False)
class KeptTile:
    """What sampling keeps of a batch of windows, seen through a tile."""

    box: Box
    given: Given
    windows: KeptWindows | tuple[Tensor | None, ...]
    """Or the signals alone, where the noise reaches given frames too and each step asks anew."""


class MarDini(nn.Module):
    """One model for any set of given frames at any positions.

    Args:
        config: sizes; see ``config.PRESETS``.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.planner = Planner(config)
        self.denoiser = Denoiser(config)
        self.autoencoder: Autoencoder = Guided(config) if config.guided else Vae(config)
        self.graphs: Graphs | None = None  # sampling steps that are recorded, where asked for

    def look(
        self,
        frames: Tensor,
        mask: Tensor,
        times: Tensor,
        work: int | None = None,
        seen: tuple[Tensor, ...] | None = None,
        flow: Tensor | None = None,
    ) -> Given:
        """Work out what the given frames of a window tell.

        Args:
            frames: the given frames alone, in slot order, ``b g 3 h w``, RGB in [0, 1].
            mask: ``b f`` bool, True = to be made; as many a window.
            times: ``b f`` float32, real-valued positions, rising.
            work: short side at which motion is worked out, pixels; None is the model's choice.
            seen: what ``autoencoder.see`` said of these frames, ``b g ...``; None asks it.
            flow: what ``autoencoder.between`` said of neighbours, ``b g-1 2 2 h w``; None asks it.

        Raises:
            ShapeError: counts that do not agree, or a window without given or made frames.
        """
        _check(frames, mask, times)
        return self.autoencoder.look(frames, mask, times, work, seen, flow)

    def plan(self, given: Given) -> Tensor:
        """Read the window at low resolution: the planning signal, ``b f n d``."""
        signal: Tensor = self.planner(
            given.planner_tokens, given.mask, given.times, given.planner_grid
        )
        return signal

    def velocity(
        self,
        noisy: Tensor,
        t: Tensor,
        given: Given,
        signal: Tensor | None,
        drop: Tensor | None = None,
        tile: int | None = None,
    ) -> Tensor:
        """Tell v of the made frames' latents.

        Args:
            noisy: ``b m c h w``, noised normalised latents.
            t: ``b``, diffusion time of the made frames, 0 clean to 1000 noise.
            given: what ``look`` found.
            signal: what ``plan`` said; None stands for the learned null signal.
            drop: ``b`` bool, windows whose signal is replaced by the null signal (training).
            tile: side of the tiles that the denoiser works on, working pixels; None: the whole.

        Returns:
            ``b m c h w``.
        """
        patch = self.config.denoiser.patch
        parts = (
            (box, self._velocity(box.of(noisy, patch), t, given.cut(box), signal, drop))
            for box in boxes(given.token_grid, tile)
        )
        return blended(parts, given.token_grid, patch)

    def _velocity(
        self, noisy: Tensor, t: Tensor, given: Given, signal: Tensor | None, drop: Tensor | None
    ) -> Tensor:
        tokens = self.denoiser(
            self.autoencoder.noisy_tokens(noisy, given),
            given.reference_tokens,
            given.mask,
            given.times,
            t,
            given.token_grid,
            signal,
            given.planner_grid,
            drop,
        )
        return self._latent(tokens, given)

    def keep(
        self, given: Given, signals: Sequence[Tensor | None], tile: int | None = None
    ) -> tuple[KeptTile, ...]:
        """Work out once what all sampling steps of these windows have in common.

        Args:
            given: what ``look`` found.
            signals: what ``plan`` said, or None for the null signal; several run as one batch.
            tile: see ``velocity``.

        Returns:
            What the denoiser keeps, tile by tile.
        """
        cuts = ((box, given.cut(box)) for box in boxes(given.token_grid, tile))
        return tuple(
            KeptTile(
                box,
                cut,
                self.denoiser.keep(
                    cut.reference_tokens,
                    cut.mask,
                    cut.times,
                    cut.token_grid,
                    signals,
                    cut.planner_grid,
                )
                if self.config.isolated
                else tuple(signals),
            )
            for box, cut in cuts
        )

    def velocities(self, noisy: Tensor, t: Tensor, kept: Sequence[KeptTile]) -> Tensor:
        """Tell v for each signal that is kept: what ``velocity`` says, within rounding.

        Args:
            noisy: ``b m c h w``, noised normalised latents.
            t: ``b``, diffusion time of the made frames.
            kept: what ``keep`` found of these windows.

        Returns:
            ``s b m c h w``, in the order of the signals.
        """
        patch = self.config.denoiser.patch
        parts = ((tile.box, self._velocities(noisy, t, tile)) for tile in kept)
        _, rows, cols = noisy.shape[-3:]
        return blended(parts, Grid(rows // patch, cols // patch), patch)

    def _velocities(self, noisy: Tensor, t: Tensor, tile: KeptTile) -> Tensor:
        own = tile.box.of(noisy, self.config.denoiser.patch)
        if isinstance(tile.windows, tuple):
            each = [self._velocity(own, t, tile.given, one, None) for one in tile.windows]
            return torch.stack(each)
        tokens = self.autoencoder.noisy_tokens(own, tile.given)
        step = self.denoiser.step
        if self.graphs is not None:
            step = partial(self.graphs.step, step)
        return self._latent(step(tokens, t, tile.windows), tile.given)

    def _latent(self, tokens: Tensor, given: Given) -> Tensor:
        _, rows, cols = given.latent_shape
        patch = self.config.denoiser.patch
        return unpatchify(tokens, patch, rows // patch, cols // patch)

    def decode(
        self,
        latent: Tensor | None,
        level: Tensor | None,
        given: Given,
        signal: Tensor | None,
        tile: int | None = None,
    ) -> Tensor:
        """Paint the made frames, ``b m 3 h w``, RGB, not clamped.

        Args:
            latent: normalised ``b m c h w``; None decodes without (motion latents only).
            level: ``b``, how noisy the latent is, 0 clean to 1 noise; None with no latent.
            given: what ``look`` found.
            signal: what ``plan`` said, or None.
            tile: side of the tiles that the decoder works on, working pixels; None: the whole.
        """
        return self.autoencoder.decode(latent, level, given, signal, tile)


def _check(frames: Tensor, mask: Tensor, times: Tensor) -> None:
    made = mask.sum(-1).flatten().tolist()  # the one wait for the device
    slots = mask.shape[-1] if mask.dim() == 2 else 0
    given = frames.shape[1] if frames.dim() == 5 and frames.shape[2] == 3 else 0
    if (
        not 0 < given < slots
        or mask.shape != times.shape
        or len(frames) != len(mask)
        or set(made) != {slots - given}
    ):
        raise ShapeError(
            f"frames {tuple(frames.shape)}, mask {tuple(mask.shape)} with {made} made,"
            f" times {tuple(times.shape)}",
            needed="b g 3 h w, b f and b f, with g given and at least one made frame a window",
            do="pass the given frames alone, and windows that make as many",
        )
