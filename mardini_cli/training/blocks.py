"""The blocks of planner and denoiser, where memory and time of large models lie.

Room: training. Which blocks there are, and how they are run: compiled, or worked out twice.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from mardini_cli.model.mardini import MarDini
from mardini_cli.training.crew import Crew, mesh
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
        if config.compile:  # inside: the compiler leaves what torch's checkpoint calls alone
            block.forward = torch.compile(block.forward)
        if config.recompute:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def share_out(model: MarDini, crew: Crew, device: torch.device) -> None:
    """Leave each process its part of planner and denoiser (FSDP2), block by block.

    The autoencoder is small, and its ways are no single forward call: each process has it whole.
    """
    row = mesh(crew, device)
    for module in (*blocks_of(model), model.planner, model.denoiser):
        fully_shard(module, mesh=row)


def gathered(model: MarDini) -> MarDini:
    """The model with all of its weights, on the host; every process must ask."""
    state = {
        name: (value.full_tensor() if isinstance(value, DTensor) else value).cpu()
        for name, value in model.state_dict().items()
    }
    with torch.device("meta"):
        whole = MarDini(model.config)
    whole.load_state_dict(state, assign=True)
    return whole
