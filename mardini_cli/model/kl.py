"""An autoencoder of single pictures: eight times smaller, 16 channels.

Room: model. ``AutoencoderKL`` has the layout and the key names of diffusers' class of that name,
with quantising convolutions or (as for SD3 and FLUX) without, so its weights and ours fit each
other; the code is our own.
Source: layers, Rombach et al. 2022.

Every ``forward`` takes ``places``, None or what passes at once of a picture: see ``strips``. It
then writes over its input where that spares memory.

Dimension key
    p  pictures, all of one size      c  channels      h, w  pixels, or latent rows and columns
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mardini_cli.config import VaeConfig
from mardini_cli.model.kernels import Backend, attention
from mardini_cli.model.strips import Layer, by_strips, in_place, normed

QUERIES = 2**13
"""Places of a latent that look at all others at once: plain kernels keep a number for each pair."""


class ResnetBlock(nn.Module):
    """Two normed convolutions beside a shortcut."""

    def __init__(self, inside: int, outside: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inside, eps=1e-6)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outside, eps=1e-6)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inside, outside, 1) if inside != outside else None

    def forward(self, x: Tensor, places: int | None = None) -> Tensor:
        """Map ``p c h w`` to ``p c' h w``."""
        y = by_strips(_normed(self.norm1, self.conv1, x, places), x, places)
        last = _normed(self.norm2, self.conv2, y, places)
        if places is not None:
            if self.conv_shortcut is not None:
                x = in_place(self.conv_shortcut, x, places)
            return by_strips(last, y, places, onto=x)
        summed: Tensor = last(y) + (x if self.conv_shortcut is None else self.conv_shortcut(x))
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
        seen = [attention(some, k, v, backend=self.backend) for some in q.split(QUERIES, 1)]
        out = self.to_out[0](torch.cat(seen, 1)[:, :, 0])
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

    def forward(self, x: Tensor, places: int | None = None) -> Tensor:
        """Map ``p c h w`` to ``p c' h/2 w/2``, or of the same size on the last level."""
        for resnet in self.resnets:
            x = resnet(x, places)
        for layer in self.downsamplers or ():
            x = by_strips(layer, x, places)
        return x


class UpBlock(nn.Module):
    """Residual blocks of one level of the decoder, and the way to the next."""

    def __init__(self, inside: int, outside: int, config: VaeConfig, *, last: bool) -> None:
        super().__init__()
        self.resnets = _resnets(inside, outside, config.blocks + 1, config.groups)
        self.upsamplers = None if last else nn.ModuleList([Upsampler(outside)])

    def forward(self, x: Tensor, places: int | None = None) -> Tensor:
        """Map ``p c h w`` to ``p c' 2h 2w``, or of the same size on the last level."""
        for resnet in self.resnets:
            x = resnet(x, places)
        for layer in self.upsamplers or ():
            x = by_strips(layer, x, places)
        return x


class MidBlock(nn.Module):
    """The coarsest level: attention between two residual blocks."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([PictureAttention(width, groups)])
        self.resnets = nn.ModuleList(ResnetBlock(width, width, groups) for _ in range(2))

    def forward(self, x: Tensor, places: int | None = None) -> Tensor:
        """Map ``p c h w`` to the same."""
        x = self.attentions[0](self.resnets[0](x, places))
        mapped: Tensor = self.resnets[1](x, places)
        return mapped


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

    def forward(self, pictures: Tensor, places: int | None = None) -> Tensor:
        """Encode ``p 3 h w``."""
        x = by_strips(self.conv_in, pictures, places)
        for block in self.down_blocks:
            x = block(x, places)
        x = self.mid_block(x, places)
        return by_strips(_normed(self.conv_norm_out, self.conv_out, x, places), x, places)


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

    def forward(self, latents: Tensor, places: int | None = None) -> Tensor:
        """Decode ``p c h/8 w/8``."""
        x = self.mid_block(by_strips(self.conv_in, latents, places), places)
        for block in self.up_blocks:
            x = block(x, places)
        return by_strips(_normed(self.conv_norm_out, self.conv_out, x, places), x, places)


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

    def encode(self, pictures: Tensor, places: int | None = None) -> Tensor:
        """Pictures ``p 3 h w`` in [-1, 1] to mean and log-variance, ``p 2c h/8 w/8``.

        Args:
            pictures: what to encode.
            places: pixels that pass at once, without gradients; None: all. Changes nothing else.
        """
        encoded: Tensor = self.encoder(pictures, places)
        return self.quant_conv(encoded) if hasattr(self, "quant_conv") else encoded

    def decode(self, latents: Tensor, places: int | None = None) -> Tensor:
        """Latents ``p c h/8 w/8`` to pictures ``p 3 h w`` in about [-1, 1]; see ``encode``."""
        if hasattr(self, "post_quant_conv"):
            latents = self.post_quant_conv(latents)
        decoded: Tensor = self.decoder(latents, places)
        return decoded


def _resnets(inside: int, outside: int, count: int, groups: int) -> nn.ModuleList:
    widths = (inside, *(outside,) * count)
    return nn.ModuleList(ResnetBlock(a, b, groups) for a, b in pairwise(widths))


def _normed(norm: nn.GroupNorm, conv: nn.Conv2d, x: Tensor, places: int | None) -> Layer:
    over = normed(norm, x, places)
    return lambda strip: conv(F.silu(over(strip)))
