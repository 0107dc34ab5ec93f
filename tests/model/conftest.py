"""What the model's tests share: networks that are awake, and windows to feed them."""

from collections.abc import Callable
from typing import TypeVar

import pytest
import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def _awake(network: Network, seed: int = 0, std: float = 0.15) -> Network:
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            drawn = torch.randn(parameter.shape, generator=rng) * std
            parameter.copy_(drawn + (parameter.mean() > 0.5))  # gains stay around 1
    return network.eval()


@pytest.fixture
def awake() -> Callable[..., nn.Module]:
    """Redraw every weight: fresh networks have zeros in them that would hide mistakes."""
    return _awake
