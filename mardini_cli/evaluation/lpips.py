"""How alike two pictures look to a network that has learnt to tell things apart.

Room: evaluation. The network is AlexNet's convolutions; its weights are not ours to ship: whoever
has them names them. Float32 outside autocast, without TF32, whatever the device would rather.
Source: LPIPS version 0.1, Zhang et al. 2018; AlexNet, Krizhevsky 2014.

Dimension key
    ...  any leading dimensions    p  pictures    c  channels    h, w  pixels or places of a layer
"""

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mardini_cli.evaluation.metrics import pair
from mardini_cli.evaluation.seeing import Judge, exactly

LAYERS: Final = ((0, 3, 64, 11, 4, 2), (3, 64, 192, 5, 1, 2), (6, 192, 384, 3, 1, 1),
                 (8, 384, 256, 3, 1, 1), (10, 256, 256, 3, 1, 1))  # fmt: skip
"""Place in AlexNet's list, channels in and out, kernel, stride, padding."""
POOLED: Final = (1, 2)
"""Layers before which the largest of 3 x 3 places is taken, at stride 2."""
SHIFT: Final = (-0.030, -0.088, -0.188)
SCALE: Final = (0.458, 0.448, 0.450)
"""Mean and deviation that colours in [-1, 1] are brought to 0 and 1 by."""
SMALLEST: Final = 32
"""Pixels; below it the last layer has no place left."""


class Lpips(Judge):
    """The distance; 0 for equal pictures, more is worse."""

    needed = "the state of LPIPS 0.1 with AlexNet: its convolutions, and a weight a channel"
    advice = "store LPIPS(net='alex').state_dict()"
    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(inside, outside, kernel, stride, padding)
            for _, inside, outside, kernel, stride, padding in LAYERS
        )
        self.weights = nn.ParameterList(torch.ones(outside) for _, _, outside, *_ in LAYERS)
        self.register_buffer("shift", torch.tensor(SHIFT).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(3, 1, 1), persistent=False)

    def renamed(self, found: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """From the keys of the ``lpips`` package, or of AlexNet and channel weights together."""
        ours: dict[str, Tensor] = {}
        for number, (place, *_) in enumerate(LAYERS):
            for part in ("weight", "bias"):
                ends = (f"slice{number + 1}.{place}.{part}", f"features.{place}.{part}")
                ours |= {f"layers.{number}.{part}": v for k, v in found.items() if k.endswith(ends)}
            line = (f"lin{number}.model.1.weight", f"lins.{number}.model.1.weight")
            ours |= {f"weights.{number}": v.flatten() for k, v in found.items() if k.endswith(line)}
        return ours

    def forward(self, made: Tensor, true: Tensor) -> Tensor:
        """Compare ``... 3 h w`` in [0, 1]: ``...``.

        Raises:
            ShapeError: shapes that differ, or frames that are too small.
        """
        made, true = pair(made, true)
        lead = made.shape[:-3]
        ours, theirs = made.reshape(-1, *made.shape[-3:]), true.reshape(-1, *true.shape[-3:])
        apart = torch.zeros(len(ours), device=made.device)
        with torch.autocast(made.device.type, enabled=False), exactly():
            a, b = ((2 * x - 1 - self.shift) / self.scale for x in (ours, theirs))
            for number, layer in enumerate(self.layers):
                if number in POOLED:
                    a, b = F.max_pool2d(a, 3, 2), F.max_pool2d(b, 3, 2)
                a, b = F.relu(layer(a)), F.relu(layer(b))
                square = (_directions(a) - _directions(b)).square()  # p c h w
                apart = apart + (square * self.weights[number].view(-1, 1, 1)).sum(1).mean((1, 2))
        return apart.reshape(lead)


def _directions(x: Tensor) -> Tensor:
    """Length 1 over the channels at every place, ``p c h w``."""
    return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
