"""What FVD compares: 400 answers of a network that tells actions, to a window of frames.

Room: evaluation. The weights are not ours to ship: whoever has them names them. Float32 outside
autocast, without TF32.
Source: I3D, Carreira & Zisserman 2017, trained on Kinetics-400; FVD, Unterthiner et al. 2018, whose
features are the answers before their softmax. Keys are those of the usual PyTorch states of I3D
(``Conv3d_1a_7x7.conv3d.weight``).

The network halves time three times and then takes means of two places: it needs nine frames.

Dimension key
    b  windows    f  slots    c  channels    h, w  pixels or places of a layer
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mardini_cli.errors import ShapeError
from mardini_cli.evaluation.seeing import Judge, exactly

FEATURES: Final = 400
SIDE: Final = 224
"""Pixels that frames are brought to."""
FEWEST: Final = 9
"""Frames."""
MIXED: Final = (
    ("Mixed_3b", 192, (64, 96, 128, 16, 32, 32)),
    ("Mixed_3c", 256, (128, 128, 192, 32, 96, 64)),
    ("Mixed_4b", 480, (192, 96, 208, 16, 48, 64)),
    ("Mixed_4c", 512, (160, 112, 224, 24, 64, 64)),
    ("Mixed_4d", 512, (128, 128, 256, 24, 64, 64)),
    ("Mixed_4e", 512, (112, 144, 288, 32, 64, 64)),
    ("Mixed_4f", 528, (256, 160, 320, 32, 128, 128)),
    ("Mixed_5b", 832, (256, 160, 320, 32, 128, 128)),
    ("Mixed_5c", 832, (384, 192, 384, 48, 128, 128)),
)
"""Channels in; of the single branch, of both steps of the second and the third, of the pooled."""
POOLED: Final = {
    "Conv3d_1a_7x7": ((1, 3, 3), (1, 2, 2)),
    "Conv3d_2c_3x3": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3c": ((3, 3, 3), (2, 2, 2)),
    "Mixed_4f": ((2, 2, 2), (2, 2, 2)),
}
"""Layers after which the largest places are taken: window and stride."""
Three = tuple[int, int, int]


def even(x: Tensor, kernel: Three, stride: Three) -> Tensor:
    """Pad with zeros so that every stride begins a window, the odd place behind."""
    pads: list[int] = []
    for size, k, s in zip(x.shape[-3:], kernel, stride, strict=True):
        missing = max(0, (-(-size // s) - 1) * s + k - size)
        pads = [missing // 2, missing - missing // 2, *pads]
    return F.pad(x, pads)


def pooled(x: Tensor, kernel: Three, stride: Three) -> Tensor:
    """Largest places; what is padded is 0, as everything is that a ReLU silenced."""
    return F.max_pool3d(even(x, kernel, stride), kernel, stride)


class Conv(nn.Module):
    """Convolution, norm, ReLU; or a convolution alone that answers."""

    def __init__(
        self, inside: int, outside: int, side: int, stride: int = 1, *, answers: bool = False
    ) -> None:
        super().__init__()
        self.kernel: Three = (side, side, side)
        self.stride: Three = (stride, stride, stride)
        self.conv3d = nn.Conv3d(inside, outside, self.kernel, self.stride, bias=answers)
        self.bn = None if answers else nn.BatchNorm3d(outside, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``b c f h w``."""
        found: Tensor = self.conv3d(even(x, self.kernel, self.stride))
        return found if self.bn is None else F.relu(self.bn(found))


class Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, inside: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        single, second, second_out, third, third_out, last = widths
        self.b0 = Conv(inside, single, 1)
        self.b1a, self.b1b = Conv(inside, second, 1), Conv(second, second_out, 3)
        self.b2a, self.b2b = Conv(inside, third, 1), Conv(third, third_out, 3)
        self.b3b = Conv(inside, last, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``b c f h w``."""
        around = pooled(x, (3, 3, 3), (1, 1, 1))
        found = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(around))
        return torch.cat(found, 1)


class I3d(Judge):
    """Windows to answers."""

    needed = "the state of I3D for RGB, trained on Kinetics-400"

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Conv(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = Conv(64, 64, 1)
        self.Conv3d_2c_3x3 = Conv(64, 192, 3)
        for name, inside, widths in MIXED:
            self.add_module(name, Mixed(inside, widths))
        self.logits = Conv(1024, FEATURES, 1, answers=True)

    def forward(self, windows: Tensor) -> Tensor:
        """Answers to ``b f 3 h w`` in [0, 1]: ``b FEATURES``, the mean over time.

        Raises:
            ShapeError: windows of fewer than nine frames.
        """
        if windows.shape[1] < FEWEST:
            raise ShapeError(
                f"windows of {windows.shape[1]} frames",
                needed=f"{FEWEST} at least",
                do="measure longer windows",
            )
        with torch.autocast(windows.device.type, enabled=False), exactly():
            return torch.cat([self._answers(window.float()) for window in windows.split(1)])

    def _answers(self, windows: Tensor) -> Tensor:
        b, f = windows.shape[:2]
        frames = F.interpolate(
            windows.flatten(0, 1), (SIDE, SIDE), mode="bilinear", align_corners=False
        )
        x = (frames * 2 - 1).unflatten(0, (b, f)).transpose(1, 2)  # b 3 f h w
        for name, layer in self.named_children():
            if name == "logits":
                x = F.avg_pool3d(x, (2, 7, 7), 1)
            x = layer(x)
            if name in POOLED:
                x = pooled(x, *POOLED[name])
        answers: Tensor = x.mean((2, 3, 4))
        return answers
