"""Picture latents: every frame by itself to one eighth of its size, and back.

Room: model. Knows no sampler and no files. The network is ``kl.AutoencoderKL``.
Source: VAE with f8 and 16 channels, MarDini 3 and Emu.

Dimension key
    b  windows in the batch     f  slots of a window        g  given, m  made slots
    n  tokens of a frame        c  channels                 p  frames of all windows together
    h, w  pixels, or latent rows and columns
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mardini_cli.config import ModelConfig
from mardini_cli.errors import ConfigError
from mardini_cli.model.attention import Made
from mardini_cli.model.autoencoder import Autoencoder, Given
from mardini_cli.model.denoiser import patchify
from mardini_cli.model.kl import AutoencoderKL
from mardini_cli.model.positions import Grid

FACTOR = 8
"""Pixels in one latent row or column."""
PIXELS_AT_ONCE = 2**20
"""Without gradients, frames pass a few at a time, larger ones strip by strip: memory depends on
this, not on the window. ``Vae.pixels_at_once`` begins with it."""


Network = Callable[[Tensor, int | None], Tensor]
"""Maps pictures or latents ``p c h w``, so many places of them at once."""


class Vae(Autoencoder):
    """Picture latents behind the interface that planner and denoiser know."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        vae = config.vae
        if vae is None or 2 ** (len(vae.widths) - 1) != FACTOR:
            raise ConfigError(
                f"preset {config.preset} with {'no VAE' if vae is None else vae.widths}",
                needed="a vae table with four widths: picture latents are an eighth of the frame",
                do="correct the config",
            )
        self.patch, self.low_resolution = config.denoiser.patch, config.low_resolution
        self.pixels_at_once = PIXELS_AT_ONCE
        self.kl = AutoencoderKL(vae)
        self.register_buffer("mean", torch.tensor(vae.mean).view(1, 1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(vae.std).view(1, 1, -1, 1, 1))

    def see(self, frames: Tensor, work: int | None = None) -> tuple[Tensor, ...]:
        """Encode frames ``p 3 h w`` twice: at their own size, and at the planner's.

        Latents are the means of what the encoder says, normalised by the stored statistics.
        """
        del work  # only motion latents have a working size
        alone = frames.unsqueeze(1)  # p 1 3 h w
        sizes = (self._padded(alone), self._small(alone))
        return tuple(self.normalise(self._mean(one)).squeeze(1) for one in sizes)

    def look(
        self,
        frames: Tensor,
        mask: Tensor,
        times: Tensor,
        work: int | None = None,
        seen: tuple[Tensor, ...] | None = None,
        flow: Tensor | None = None,
    ) -> Given:
        """See ``Autoencoder.look``; there is no flow, and no working size."""
        del work, flow
        size = (frames.shape[-2], frames.shape[-1])
        latent, low = seen or (_like(frames, part) for part in self.see(frames.flatten(0, 1)))
        channels, rows, cols = latent.shape[-3:]
        tokens, low_tokens = patchify(latent, self.patch), patchify(low, self.patch)
        given_rows = Made.of(mask).given_rows
        return Given(
            mask=mask,
            times=times.float(),
            size=size,
            planner_tokens=_in_slots(low_tokens, given_rows, mask),
            planner_grid=self._grid(low, size, covers=size),
            reference_tokens=_in_slots(tokens, given_rows, mask),
            token_grid=self._grid(latent, size, covers=(rows * FACTOR, cols * FACTOR)),
            latent_shape=(channels, rows, cols),
        )

    def encode(self, made: Tensor, given: Given) -> tuple[Tensor, Tensor]:
        """Encode true made frames ``b m 3 h w``: mean and log-variance, each ``b m c h w``."""
        del given  # every frame by itself
        mean, log_variance = self._encoded(self._padded(made)).chunk(2, dim=2)
        return mean, log_variance.clamp(-30, 20)

    def planner_target(self, made: Tensor, given: Given) -> Tensor:
        """Encode true made frames at the planner's size: ``b m n c``."""
        del given
        return patchify(self.normalise(self._mean(self._small(made))), self.patch)

    def noisy_tokens(self, latent: Tensor, given: Given) -> Tensor:
        """Cut noisy latents into tokens: ``b m c h w`` to ``b m n (p p c)``."""
        del given
        return patchify(latent, self.patch)

    def decode(
        self,
        latent: Tensor | None,
        level: Tensor | None,
        given: Given,
        signal: Tensor | None,
        tile: int | None = None,
    ) -> Tensor:
        """Paint made frames, each from its own latent alone: ``b m 3 h w``.

        Raises:
            ConfigError: no latent; picture latents have no draft mode.
        """
        del level, signal, tile
        if latent is None:
            raise ConfigError(
                "steps = 0 with picture latents", needed="1 or more", do="try --steps 25"
            )
        latent = latent * self.std + self.mean
        weight = self.kl.decoder.conv_in.weight
        pixels = FACTOR**2 * latent.shape[-2] * latent.shape[-1]
        pictures = self._by_frames(self.kl.decode, latent.to(weight.dtype), pixels)
        high, wide = given.size
        return (pictures[..., :high, :wide] + 1) / 2

    def _mean(self, frames: Tensor) -> Tensor:
        return self._encoded(frames).chunk(2, dim=2)[0]

    def _encoded(self, frames: Tensor) -> Tensor:
        """Encode ``b g 3 h w`` in [0, 1]: ``b g 2c h w``, float32."""
        weight = self.kl.encoder.conv_in.weight
        scaled = (frames * 2 - 1).to(weight.dtype)
        pixels = scaled.shape[-2] * scaled.shape[-1]
        return self._by_frames(self.kl.encode, scaled, pixels).float()

    def _by_frames(self, network: Network, frames: Tensor, pixels: int) -> Tensor:
        """Run ``b g c h w`` through a network of single frames, a few at a time.

        Args:
            network: maps ``p c h w``.
            frames: what it maps.
            pixels: of a frame at its own size.
        """
        flat = frames.flatten(0, 1)  # p c h w
        if torch.is_grad_enabled():
            return _like(frames, network(flat, None))
        at_once = max(1, self.pixels_at_once // pixels)
        places = self.pixels_at_once if pixels > self.pixels_at_once else None
        return _like(frames, torch.cat([network(part, places) for part in flat.split(at_once)]))

    def _padded(self, frames: Tensor) -> Tensor:
        """Repeat the lower and right edge up to whole tokens."""
        high, wide = frames.shape[-2:]
        unit = FACTOR * self.patch
        extra = (0, -wide % unit, 0, -high % unit)
        return _like(frames, F.pad(frames.flatten(0, 1), extra, mode="replicate"))

    def _small(self, frames: Tensor) -> Tensor:
        """Shrink to the planner's short side, in whole tokens; small frames are not enlarged."""
        size = frames.shape[-2:]
        unit = FACTOR * self.patch
        scale = min(1.0, self.low_resolution / min(size))
        low = [max(unit, round(side * scale / unit) * unit) for side in size]
        small = F.interpolate(
            frames.flatten(0, 1).float(), low, mode="bicubic", antialias=True, align_corners=False
        )
        return _like(frames, small.clamp(0, 1))

    def _grid(self, latent: Tensor, size: tuple[int, int], covers: tuple[int, int]) -> Grid:
        """Give the grid of tokens that covers ``covers`` pixels of a frame of ``size``."""
        rows, cols = latent.shape[-2] // self.patch, latent.shape[-1] // self.patch
        side = (size[0] * size[1]) ** 0.5
        return Grid(rows, cols, height=covers[0] / side, width=covers[1] / side)


def _like(windows: Tensor, flat: Tensor) -> Tensor:
    """Part frames ``p c h w`` by windows again, as ``windows`` is: ``b g c h w``."""
    return flat.reshape(*windows.shape[:2], *flat.shape[1:])


def _in_slots(tokens: Tensor, given_rows: Tensor, mask: Tensor) -> Tensor:
    """Lay tokens of given frames, ``b g n c``, out by slots, zero elsewhere: ``b f n c``."""
    slots = tokens.new_zeros(mask.numel(), *tokens.shape[2:])
    slots = slots.index_copy(0, given_rows, tokens.flatten(0, 1))
    return slots.reshape(*mask.shape, *tokens.shape[2:])
