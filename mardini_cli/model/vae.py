"""Picture latents: every frame by itself to one eighth of its size, and back.

Room: model. Knows no sampler and no files. ``AutoencoderKL`` has the layout and the key names of
diffusers' class of that name, with quantising convolutions or (as for SD3 and FLUX) without, so its
weights and ours fit each other; the code is our own.
Source: VAE with f8 and 16 channels, MarDini 3 and Emu; layers, Rombach et al. 2022.

Dimension key
    b  windows in the batch     f  slots of a window        g  given, m  made slots
    n  tokens of a frame        c  channels                 p  frames of all windows together
    h, w  pixels, or latent rows and columns
"""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mardini_cli.config import ModelConfig, VaeConfig
from mardini_cli.errors import ConfigError
from mardini_cli.model.attention import Made
from mardini_cli.model.autoencoder import Autoencoder, Given
from mardini_cli.model.denoiser import patchify
from mardini_cli.model.kernels import Backend, attention
from mardini_cli.model.positions import Grid

FACTOR = 8
"""Pixels in one latent row or column."""
PIXELS_AT_ONCE = 2**20
"""Without gradients, frames pass a few at a time: memory depends on this, not on the window.
``Vae.pixels_at_once`` begins with it."""


class ResnetBlock(nn.Module):
    """Two normed convolutions beside a shortcut."""

    def __init__(self, inside: int, outside: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inside, eps=1e-6)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outside, eps=1e-6)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inside, outside, 1) if inside != outside else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``p c h w`` to ``p c' h w``."""
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        summed: Tensor = y + (x if self.conv_shortcut is None else self.conv_shortcut(x))
        return summed


class PictureAttention(nn.Module):
    """One head over all places of a latent."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])  # a list, as diffusers has it
        self.backend: Backend = "sdpa"  # no other kernel takes heads as wide as this

    def forward(self, x: Tensor) -> Tensor:
        """Map ``p c h w`` to the same."""
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # p (h w) c
        q, k, v = (project(tokens)[:, :, None] for project in (self.to_q, self.to_k, self.to_v))
        out = self.to_out[0](attention(q, k, v, backend=self.backend)[:, :, 0])
        summed: Tensor = x + out.transpose(1, 2).reshape(x.shape)
        return summed


class Downsampler(nn.Module):
    """Halves rows and columns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``p c h w`` to ``p c h/2 w/2``."""
        halved: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return halved


class Upsampler(nn.Module):
    """Doubles rows and columns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``p c h w`` to ``p c 2h 2w``."""
        doubled: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled


class DownBlock(nn.Module):
    """Residual blocks of one level of the encoder, and the way to the next."""

    def __init__(self, inside: int, outside: int, config: VaeConfig, *, last: bool) -> None:
        super().__init__()
        self.resnets = _resnets(inside, outside, config.blocks, config.groups)
        self.downsamplers = None if last else nn.ModuleList([Downsampler(outside)])

    def forward(self, x: Tensor) -> Tensor:
        """Map ``p c h w`` to ``p c' h/2 w/2``, or of the same size on the last level."""
        for layer in (*self.resnets, *(self.downsamplers or ())):
            x = layer(x)
        return x


class UpBlock(nn.Module):
    """Residual blocks of one level of the decoder, and the way to the next."""

    def __init__(self, inside: int, outside: int, config: VaeConfig, *, last: bool) -> None:
        super().__init__()
        self.resnets = _resnets(inside, outside, config.blocks + 1, config.groups)
        self.upsamplers = None if last else nn.ModuleList([Upsampler(outside)])

    def forward(self, x: Tensor) -> Tensor:
        """Map ``p c h w`` to ``p c' 2h 2w``, or of the same size on the last level."""
        for layer in (*self.resnets, *(self.upsamplers or ())):
            x = layer(x)
        return x


class MidBlock(nn.Module):
    """The coarsest level: attention between two residual blocks."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([PictureAttention(width, groups)])
        self.resnets = nn.ModuleList(ResnetBlock(width, width, groups) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``p c h w`` to the same."""
        for layer in (self.resnets[0], self.attentions[0], self.resnets[1]):
            x = layer(x)
        return x


class Encoder(nn.Module):
    """Pictures ``p 3 h w`` in [-1, 1] to mean and log-variance, ``p 2c h/8 w/8``."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths = config.widths
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            DownBlock(inside, outside, config, last=False)
            for inside, outside in pairwise((widths[0], *widths[:-1]))
        )
        self.down_blocks.append(DownBlock(widths[-2], widths[-1], config, last=True))
        self.mid_block = MidBlock(widths[-1], config.groups)
        self.conv_norm_out = nn.GroupNorm(config.groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode ``p 3 h w``."""
        x = self.conv_in(pictures)
        for block in self.down_blocks:
            x = block(x)
        encoded: Tensor = self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))
        return encoded


class Decoder(nn.Module):
    """Latents ``p c h/8 w/8`` to pictures ``p 3 h w`` in about [-1, 1]."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = MidBlock(widths[0], config.groups)
        self.up_blocks = nn.ModuleList(
            UpBlock(inside, outside, config, last=False)
            for inside, outside in pairwise((widths[0], *widths[:-1]))
        )
        self.up_blocks.append(UpBlock(widths[-2], widths[-1], config, last=True))
        self.conv_norm_out = nn.GroupNorm(config.groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode ``p c h/8 w/8``."""
        x = self.mid_block(self.conv_in(latents))
        for block in self.up_blocks:
            x = block(x)
        decoded: Tensor = self.conv_out(F.silu(self.conv_norm_out(x)))
        return decoded


class AutoencoderKL(nn.Module):
    """Encoder and decoder under diffusers' names: its state dict loads here strictly."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        if config.quant:
            channels = config.latent_channels
            self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1)
            self.post_quant_conv = nn.Conv2d(channels, channels, 1)

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures ``p 3 h w`` in [-1, 1] to mean and log-variance, ``p 2c h/8 w/8``."""
        encoded: Tensor = self.encoder(pictures)
        return self.quant_conv(encoded) if hasattr(self, "quant_conv") else encoded

    def decode(self, latents: Tensor) -> Tensor:
        """Latents ``p c h/8 w/8`` to pictures ``p 3 h w`` in about [-1, 1]."""
        if hasattr(self, "post_quant_conv"):
            latents = self.post_quant_conv(latents)
        decoded: Tensor = self.decoder(latents)
        return decoded


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
        places = self.pixels_at_once // FACTOR**2
        pictures = _by_frames(self.kl.decode, latent.to(weight.dtype), places)
        high, wide = given.size
        return (pictures[..., :high, :wide] + 1) / 2

    def _mean(self, frames: Tensor) -> Tensor:
        return self._encoded(frames).chunk(2, dim=2)[0]

    def _encoded(self, frames: Tensor) -> Tensor:
        """Encode ``b g 3 h w`` in [0, 1]: ``b g 2c h w``, float32."""
        weight = self.kl.encoder.conv_in.weight
        scaled = (frames * 2 - 1).to(weight.dtype)
        return _by_frames(self.kl.encode, scaled, self.pixels_at_once).float()

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


def _resnets(inside: int, outside: int, count: int, groups: int) -> nn.ModuleList:
    widths = (inside, *(outside,) * count)
    return nn.ModuleList(ResnetBlock(a, b, groups) for a, b in pairwise(widths))


def _by_frames(network: Callable[[Tensor], Tensor], frames: Tensor, places: int) -> Tensor:
    """Run ``b g c h w`` through a network of single frames, a few at a time.

    Args:
        network: maps ``p c h w``.
        frames: what it maps.
        places: of ``frames``, rows times columns, that pass at once without gradients; one frame
            at least does.
    """
    flat = frames.flatten(0, 1)  # p c h w
    at_once = len(flat)
    if not torch.is_grad_enabled():
        at_once = max(1, places // (flat.shape[-2] * flat.shape[-1]))
    whole, rest = divmod(len(flat), at_once)
    cuts = [at_once] * whole + [rest] * (rest > 0)
    return _like(frames, torch.cat([network(part) for part in flat.split_with_sizes(cuts)]))


def _like(windows: Tensor, flat: Tensor) -> Tensor:
    """Part frames ``p c h w`` by windows again, as ``windows`` is: ``b g c h w``."""
    return flat.reshape(*windows.shape[:2], *flat.shape[1:])


def _in_slots(tokens: Tensor, given_rows: Tensor, mask: Tensor) -> Tensor:
    """Lay tokens of given frames, ``b g n c``, out by slots, zero elsewhere: ``b f n c``."""
    slots = tokens.new_zeros(mask.numel(), *tokens.shape[2:])
    slots = slots.index_copy(0, given_rows, tokens.flatten(0, 1))
    return slots.reshape(*mask.shape, *tokens.shape[2:])
