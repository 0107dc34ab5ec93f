"""What the stages are asked for.

Room: training. Float32; frames ``p 3 h w``, flow ``p 4 h w`` (to the first, to the second frame).
Source: local contrast and the patch critic are ours; hinge loss, Lim and Ye
2017; edge-aware smoothness, Jonschkowski et al. 2020.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LUMA = (0.299, 0.587, 0.114)
_FAR = 12.0  # pixels; a flow that is farther off is pulled less


def luma(frames: Tensor) -> Tensor:
    """Luma of RGB, ``p 1 h w``."""
    return (frames * frames.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def steps(image: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbours along x and y."""
    return image[..., :, 1:] - image[..., :, :-1], image[..., 1:, :] - image[..., :-1, :]


def pixels(made: Tensor, truth: Tensor) -> Tensor:
    """L1 of values and of neighbouring differences."""
    edges = sum((a - b).abs().mean() for a, b in zip(steps(made), steps(truth), strict=True))
    return (made - truth).abs().mean() + edges


def contrast(made: Tensor, truth: Tensor) -> Tensor:
    """L1 of local contrast: mean size of luma differences in 16 x 16 places."""

    def local(frames: Tensor) -> Tensor:
        x, y = steps(luma(frames))
        return F.avg_pool2d(x.abs()[..., :-1, :] + y.abs()[..., :, :-1], 16, 8)

    return (local(made) - local(truth)).abs().mean()


def structure(made: Tensor, truth: Tensor) -> Tensor:
    """1 - SSIM on luma over 7 x 7 boxes."""
    a, b = luma(made), luma(truth)

    def box(x: Tensor) -> Tensor:
        mean: Tensor = F.avg_pool2d(x, 7, 2)
        return mean

    mean_a, mean_b = box(a), box(b)
    var_a, var_b = box(a * a) - mean_a**2, box(b * b) - mean_b**2
    both = box(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    index = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    index = index / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    similarity: Tensor = index.mean()
    return 1 - similarity


def flow_against(flow: Tensor, target: Tensor, trust: Tensor) -> Tensor:
    """How far flow is from one found on the truth, where that one explains the picture.

    L1 that grows more slowly beyond ``_FAR``.

    Args:
        flow: ``p 4 h w``, pixels.
        target: the same at the same size.
        trust: ``p 2 h w``, 0 to 1, how well the target explains each side.
    """
    square: Tensor = (flow - target).unflatten(1, (2, 2)).square().sum(2)
    gap = (square + 1e-3).sqrt() - 1e-3**0.5  # smooth at zero, and zero there
    distance: Tensor = (_FAR * torch.log1p(gap / _FAR) * trust).mean()
    return distance


def smooth(flow: Tensor, picture: Tensor) -> Tensor:
    """Steps of flow where the picture has none: ``flow`` and ``picture`` of one size."""
    total = flow.new_zeros(())
    for move, edge in zip(steps(flow), steps(luma(picture)), strict=True):
        total = total + (move.abs().clamp(max=4) * torch.exp(-20 * edge.abs())).mean()
    return total


def divergence(mean: Tensor, spread: Tensor) -> Tensor:
    """KL to the unit normal, nats a dimension; ``spread`` is log-variance."""
    return 0.5 * (mean.square() + spread.exp() - 1 - spread).mean()


class Critic(nn.Module):
    """Tells real patches from made ones, beside the nearer given frame."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        widths = (6, width, width * 2, width * 4, width * 4)
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            stride = 2 if i < 3 else 1
            layers += [nn.utils.parametrizations.spectral_norm(nn.Conv2d(a, b, 4, stride, 1))]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        layers += [nn.utils.parametrizations.spectral_norm(nn.Conv2d(widths[-1], 1, 4, 1, 1))]
        self.body = nn.Sequential(*layers)

    def forward(self, frames: Tensor, near: Tensor) -> Tensor:
        """Score patches: high is real."""
        scores: Tensor = self.body(torch.cat((frames, near), 1) * 2 - 1)
        return scores

    def loss(self, made: Tensor, truth: Tensor, near: Tensor) -> Tensor:
        """Hinge loss of the critic itself."""
        real, fake = self(truth, near), self(made.detach(), near)
        return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()
