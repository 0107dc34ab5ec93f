"""What the guided autoencoder is built of: features, refining, the encoder, the residual.

Room: model. Networks of convolutions alone; which tensors they read is ``guided``'s business.
Relatives: features and refining coarse to fine, IFRNet (Kong et al. 2022).

Dimension key
    p  images (made or given frames of the batch)     c  channels     h, w  rows and columns
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mardini_cli.config import GuidedConfig

STRIDES = (2, 4, 8, 16)
"""Pixels in one cell of each level."""
_SLOPE = 0.1


def conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution and its activation, which keep the size of what goes through them."""
    layer = nn.Conv2d(inside, outside, 3, stride, 1)
    nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
    return nn.Sequential(layer, nn.LeakyReLU(_SLOPE, inplace=True))


def silent(layer: nn.Conv2d) -> nn.Conv2d:
    """Start a last layer at zero, so that the first step is the classical interpolation."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Pyramid(nn.Module):
    """Features of one frame at 1/2, 1/4, 1/8 and 1/16."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        inside = (3, *widths[:-1])
        self.levels = nn.ModuleList(
            nn.Sequential(conv(i, o, stride=2), conv(o, o))
            for i, o in zip(inside, widths, strict=True)
        )

    def forward(self, frames: Tensor) -> list[Tensor]:
        """``p 3 h w`` in [0, 1] to four levels."""
        levels, x = [], frames * 2 - 1
        for level in self.levels:
            x = level(x)
            levels.append(x)
        return levels


class Refine(nn.Module):
    """One level: reads both warped sides, corrects flow and mask, says how far the prior holds."""

    def __init__(self, inside: int, hidden: int, coarser: int, outside: int) -> None:
        super().__init__()
        self.enter = conv(inside, hidden)
        self.carry = nn.Conv2d(coarser, hidden, 1) if coarser else None
        self.body = nn.ModuleList(
            nn.Sequential(conv(hidden, hidden), conv(hidden, hidden)) for _ in range(2)
        )
        self.leave = silent(nn.Conv2d(hidden, outside, 3, 1, 1))

    def forward(
        self, x: Tensor, coarser: Tensor | None, added: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the state ``p hidden h w`` and the corrections ``p outside h w``, float32."""
        x = self.enter(x)
        if self.carry is not None and coarser is not None:
            x = x + self.carry(F.interpolate(coarser, scale_factor=2, mode="nearest"))
        if added is not None:
            x = x + added
        for block in self.body:
            x = x + block(x)
        return x, self.leave(x).float()


class MotionEncoder(nn.Module):
    """Says what the made frame does that the prior did not: mean and log-variance at 1/8."""

    def __init__(self, config: GuidedConfig) -> None:
        super().__init__()
        cells = (2 * config.radius + 1) ** 2
        self.pictures = nn.Sequential(conv(9, 32, 2), conv(32, 48, 2), conv(48, 64, 2))
        self.mix = nn.Sequential(conv(64 + 2 * cells + 4, 96), conv(96, 64))
        self.leave = nn.Conv2d(64, 2 * config.latent_channels, 3, 1, 1)

    def forward(self, pictures: Tensor, matches: Tensor) -> tuple[Tensor, Tensor]:
        """Both warped sides beside the true frame ``p 9 h w``, and the matching at 1/8."""
        x = self.pictures(pictures)
        mean, spread = self.leave(self.mix(torch.cat((x, matches), 1))).float().chunk(2, 1)
        return mean, spread.clamp(-12, 4)


class Residual(nn.Module):
    """Paints what neither side has; sees warped pictures and features, never the latent."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(36 + 2 * features, hidden), conv(hidden, hidden), conv(hidden, hidden)
        )
        self.leave = silent(nn.Conv2d(hidden, 12, 3, 1, 1))

    def forward(self, pictures: Tensor, features: Tensor) -> Tensor:
        """``p 9 h w`` (both sides and their merge) and features at 1/2 to ``p 3 h w``."""
        x = torch.cat((F.pixel_unshuffle(pictures * 2 - 1, 2), features), 1)
        return F.pixel_shuffle(self.leave(self.body(x)).float(), 2)
