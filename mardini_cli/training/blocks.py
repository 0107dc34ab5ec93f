"""The blocks of planner and denoiser, where memory and time of large models lie.

Room: training. Which blocks there are, and how they are run: compiled, or worked out twice.
"""

from collections.abc import Iterator
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from mardini_cli.model.mardini import MarDini
from mardini_cli.training.stages import TrainConfig


def blocks_of(model: MarDini) -> Iterator[nn.Module]:
    """Planner's blocks, then the denoiser's."""
    yield from model.planner.blocks
    yield from model.denoiser.blocks


def run_as(model: MarDini, config: TrainConfig) -> None:
    """Have the blocks worked out again on the way back, or compiled, as the settings say.

    Names of weights stay what they are, so checkpoints do not know of it.
    """
    for block in blocks_of(model):
        if config.recompute:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        if config.compile:
            block.compile()
