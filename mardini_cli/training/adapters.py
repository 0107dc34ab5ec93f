"""Low-rank corrections of weights that stay: fine-tuning with a fraction of the optimiser's memory.

Room: training. A correction stands beside its layer while a stage goes, under a name of its own in
checkpoints, and is worked into the layer's weights at the end: what comes out is a model like any
other.
Source: LoRA, Hu et al. 2021, for linear layers; for convolutions the first of two factors has the
kernel, the second is 1 x 1.

Dimension key
    r  rank    i, o  channels into and out of a layer    k  kernel
"""

from collections.abc import Callable, Iterable
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

Layer = nn.Linear | nn.Conv2d


class Adapter(nn.Module):
    """The correction of one layer; it begins at nothing."""

    def __init__(self, layer: Layer, rank: int) -> None:
        super().__init__()
        outside, inside, *kernel = layer.weight.shape
        self.down = nn.Parameter(layer.weight.new_empty(rank, inside, *kernel))
        self.up = nn.Parameter(layer.weight.new_zeros(outside, rank, *(1 for _ in kernel)))
        nn.init.normal_(self.down, std=self.down[0].numel() ** -0.5)
        self.way = _way(layer)

    def forward(self, x: Tensor) -> Tensor:
        """What is added to the layer's answer to ``x``."""
        return self.way(x, self.down, self.up)

    def weight(self) -> Tensor:
        """The same as a change of the layer's weight, ``o i`` or ``o i k k``."""
        change = self.up.flatten(1) @ self.down.flatten(1)  # o r, r (i k k) -> o (i k k)
        return change.view(len(self.up), *self.down.shape[1:])


def _way(layer: Layer) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """How a layer's kind takes two factors; of the layer itself nothing is kept."""
    if isinstance(layer, nn.Linear):
        return lambda x, down, up: F.linear(F.linear(x, down), up)
    stride, padding, dilation = layer.stride, layer.padding, layer.dilation
    return lambda x, down, up: F.conv2d(F.conv2d(x, down, None, stride, padding, dilation), up)


class Adapters(nn.ModuleList):
    """Corrections of every matrix and convolution under some modules.

    Args:
        modules: whose weights stay.
        rank: of each correction.
    """

    def __init__(self, modules: Iterable[nn.Module], rank: int) -> None:
        super().__init__()
        self._layers: list[Layer] = []
        self._handles: list[RemovableHandle] = []
        for module in modules:
            for layer in module.modules():
                if _has_room(layer, rank):
                    self._attach(layer, Adapter(layer, rank))

    def _attach(self, layer: Layer, adapter: Adapter) -> None:
        def corrected(_layer: nn.Module, inputs: tuple[Tensor], answer: Tensor) -> Tensor:
            change: Tensor = adapter(inputs[0])
            return answer + change

        self.append(adapter)
        self._layers.append(layer)
        self._handles.append(layer.register_forward_hook(corrected))

    @torch.no_grad()
    def merge(self) -> None:
        """Work the corrections into the weights, and step back."""
        for layer, adapter, handle in zip(self._layers, self, self._handles, strict=True):
            assert isinstance(adapter, Adapter)
            layer.weight += adapter.weight()
            handle.remove()
        self._layers, self._handles = [], []


def _has_room(layer: nn.Module, rank: int) -> TypeGuard[Layer]:
    """Whether a correction of that rank is smaller than what it corrects."""
    if isinstance(layer, nn.Conv2d) and (layer.groups > 1 or layer.padding_mode != "zeros"):
        return False
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        return False
    outside, inside = len(layer.weight), layer.weight[0].numel()
    return bool(rank * (outside + inside) < outside * inside)
