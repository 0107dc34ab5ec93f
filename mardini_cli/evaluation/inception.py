"""What FID compares: 2,048 features of a picture, of an Inception network as FID has it.

Room: evaluation. The weights are not ours to ship: whoever has them names them. Float32 outside
autocast, without TF32.
Source: Inception version 3, Szegedy et al. 2016; FID, Heusel et al. 2017. The network of 2015 that
FID was published with differs from later ones: padding does not count in means, and the last block
takes the largest of nine places in place of their mean. Keys are those of the state that
pytorch-fid keeps (its release ``fid_weights``), which is that network in PyTorch.

Dimension key
    ...  any leading dimensions    p  pictures    c  channels    h, w  pixels or places of a layer
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mardini_cli.evaluation.seeing import Judge, exactly

FEATURES: Final = 2048
SIDE: Final = 299
"""Pixels that pictures are brought to."""
AT_ONCE: Final = 16
"""Pictures in work together."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A convolution with its norm."""

    name: str
    inside: int
    outside: int
    kernel: tuple[int, int]
    stride: int = 1
    padded: bool = True


Fork = tuple[Unit, ...]
"""Units side by side on the same input."""
Pool = Callable[[Tensor], Tensor]
Step = Unit | Fork | Pool


def average(x: Tensor) -> Tensor:
    """Mean of 3 x 3 places; those outside do not count."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def largest(x: Tensor) -> Tensor:
    """Largest of 3 x 3 places."""
    return F.max_pool2d(x, 3, 1, 1)


def halved(x: Tensor) -> Tensor:
    """Largest of 3 x 3 places, at stride 2."""
    return F.max_pool2d(x, 3, 2)


class Conv(nn.Module):
    """Convolution, norm, ReLU."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        rows, cols = unit.kernel
        padding = (rows // 2, cols // 2) if unit.padded else 0
        self.conv = nn.Conv2d(
            unit.inside, unit.outside, unit.kernel, unit.stride, padding, bias=False
        )
        self.bn = nn.BatchNorm2d(unit.outside, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``p c h w``."""
        return F.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Branches side by side, their channels one after the other."""

    def __init__(self, branches: Sequence[Sequence[Step]]) -> None:
        super().__init__()
        self.branches = branches
        for step in (step for branch in branches for step in branch):
            for unit in step if isinstance(step, tuple) else (step,):
                if isinstance(unit, Unit):
                    self.add_module(unit.name, Conv(unit))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``p c h w``."""
        return torch.cat([self._along(branch, x) for branch in self.branches], 1)

    def _along(self, branch: Sequence[Step], x: Tensor) -> Tensor:
        for step in branch:
            if isinstance(step, Unit):
                x = self.get_submodule(step.name)(x)
            elif isinstance(step, tuple):
                x = torch.cat([self.get_submodule(unit.name)(x) for unit in step], 1)
            else:
                x = step(x)
        return x


def _chain(name: str, start: int, *parts: tuple[int, tuple[int, int]], last: int = 1) -> list[Unit]:
    """Units one after the other, numbered; the last at stride ``last``, without padding if 2."""
    units, inside = [], start
    for number, (outside, kernel) in enumerate(parts, 1):
        stride = last if number == len(parts) else 1
        own = name if len(parts) == 1 else f"{name}_{number}"
        units.append(Unit(own, inside, outside, kernel, stride, padded=stride == 1))
        inside = outside
    return units


ONE, THREE, FIVE = (1, 1), (3, 3), (5, 5)
ROW, COLUMN = (1, 7), (7, 1)


def _fine(inside: int, pooled: int) -> Block:
    return Block(
        [
            _chain("branch1x1", inside, (64, ONE)),
            _chain("branch5x5", inside, (48, ONE), (64, FIVE)),
            _chain("branch3x3dbl", inside, (64, ONE), (96, THREE), (96, THREE)),
            [average, *_chain("branch_pool", inside, (pooled, ONE))],
        ]
    )


def _first_half(inside: int) -> Block:
    return Block(
        [
            _chain("branch3x3", inside, (384, THREE), last=2),
            _chain("branch3x3dbl", inside, (64, ONE), (96, THREE), (96, THREE), last=2),
            [halved],
        ]
    )


def _middle(inside: int, c: int) -> Block:
    long = [(c, ONE), (c, COLUMN), (c, ROW), (c, COLUMN), (192, ROW)]
    return Block(
        [
            _chain("branch1x1", inside, (192, ONE)),
            _chain("branch7x7", inside, (c, ONE), (c, ROW), (192, COLUMN)),
            _chain("branch7x7dbl", inside, *long),
            [average, *_chain("branch_pool", inside, (192, ONE))],
        ]
    )


def _second_half(inside: int) -> Block:
    long = [(192, ONE), (192, ROW), (192, COLUMN), (192, THREE)]
    return Block(
        [
            _chain("branch3x3", inside, (192, ONE), (320, THREE), last=2),
            _chain("branch7x7x3", inside, *long, last=2),
            [halved],
        ]
    )


def _coarse(inside: int, pool: Pool) -> Block:
    def forked(name: str) -> Fork:
        return Unit(f"{name}a", 384, 384, (1, 3)), Unit(f"{name}b", 384, 384, (3, 1))

    doubled: list[Step] = [
        Unit("branch3x3dbl_1", inside, 448, ONE),
        Unit("branch3x3dbl_2", 448, 384, THREE),
        forked("branch3x3dbl_3"),
    ]
    return Block(
        [
            _chain("branch1x1", inside, (320, ONE)),
            [Unit("branch3x3_1", inside, 384, ONE), forked("branch3x3_2")],
            doubled,
            [pool, *_chain("branch_pool", inside, (192, ONE))],
        ]
    )


class Inception(Judge):
    """Pictures to features."""

    needed = "the state of FID's Inception network, as pytorch-fid has it"

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(Unit("", 3, 32, THREE, 2, padded=False))
        self.Conv2d_2a_3x3 = Conv(Unit("", 32, 32, THREE, padded=False))
        self.Conv2d_2b_3x3 = Conv(Unit("", 32, 64, THREE))
        self.Conv2d_3b_1x1 = Conv(Unit("", 64, 80, ONE))
        self.Conv2d_4a_3x3 = Conv(Unit("", 80, 192, THREE, padded=False))
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = (
            _fine(192, 32), _fine(256, 64), _fine(288, 64),
        )  # fmt: skip
        self.Mixed_6a = _first_half(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (
            _middle(768, c) for c in (128, 160, 160, 192)
        )
        self.Mixed_7a = _second_half(768)
        self.Mixed_7b, self.Mixed_7c = _coarse(1280, average), _coarse(2048, largest)

    def forward(self, frames: Tensor) -> Tensor:
        """Features of ``... 3 h w`` in [0, 1]: ``... FEATURES``."""
        lead, flat = frames.shape[:-3], frames.reshape(-1, *frames.shape[-3:])
        with torch.autocast(frames.device.type, enabled=False), exactly():
            found = [self._features(part.float()) for part in flat.split(AT_ONCE)]
        return torch.cat(found).reshape(*lead, FEATURES)

    def _features(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False) * 2 - 1
        for name, layer in self.named_children():
            x = layer(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = halved(x)
        return x.mean((2, 3))
