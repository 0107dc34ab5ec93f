"""Numbers and layouts of a model, as they run fastest on its device.

Room: pipeline. Changes no weight's value but by rounding to the number type that was asked for.
"""

from contextlib import AbstractContextManager, nullcontext

import torch

from mardini_cli.device import name_of
from mardini_cli.model.fastest import CHOICES
from mardini_cli.model.graphs import CudaRecorder, Graphs
from mardini_cli.model.mardini import MarDini
from mardini_cli.remembered import Remembered


def settle(model: MarDini, dtype: torch.dtype) -> MarDini:
    """Prepare a loaded model for making frames, in place.

    Picture latents are all networks: their weights take the number type that they run in, half of
    the memory. Motion latents hold flow and grids, which stay float32; autocast shortens the rest.
    Convolutions get their weights channels last, and hand that layout on to what they make: it is
    what their kernels work in. Not those of picture latents on CUDA: between theirs stand group
    norms, which copy that layout there and back (decoding 295 against 208 ms, docs/performance.md).

    Args:
        model: on its device, float32.
        dtype: number type of the networks.
    """
    if model.config.vae is not None and dtype != torch.float32:
        for parameter in model.parameters():  # the latents' statistics are buffers: float32
            parameter.data = parameter.data.to(dtype)
    pictures = model.config.vae is not None
    device = next(model.parameters()).device
    if device.type == "cuda":
        remember_kernels(device)
    if not (pictures and device.type == "cuda"):
        lay_out(model, torch.channels_last)
    return model


def remember_kernels(device: torch.device) -> None:
    """Let choices of attention kernels last: the same job shall give the same bytes tomorrow."""
    CHOICES.card = f"{name_of(device)}, torch {torch.__version__}"
    CHOICES.memory = Remembered("kernels")


def lay_out(model: MarDini, layout: torch.memory_format) -> None:
    """Store the autoencoder's convolutions in a layout, in place."""
    for parameter in model.autoencoder.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)


def compile_blocks(model: MarDini) -> MarDini:
    """Let torch compile the blocks of planner and denoiser, in place: ``--compile``.

    All blocks of a network are alike, so that each is compiled once, at the first window of a
    shape. What the compiler made is kept on disk, in the folder of its own cache.
    """
    for block in model.planner.blocks:
        block.compile()
    for block in model.denoiser.blocks:
        for way in ("reference", "made"):
            setattr(block, way, torch.compile(getattr(block, way)))
    return model


def record_steps(model: MarDini) -> MarDini:
    """Let sampling steps be recorded as CUDA graphs, in place: ``--compile``, too.

    Elsewhere than on CUDA, and where noise reaches given frames, so that no step is like another
    one's, nothing changes.
    """
    device = next(model.parameters()).device
    if device.type == "cuda" and model.config.isolated:
        model.graphs = Graphs(CudaRecorder(device))
    return model


def lengthened(model: MarDini) -> MarDini:
    """The same weights in float32: the model itself, or a copy where they are shorter.

    A copy, since others may run the model at the same time.
    """
    told = model.state_dict()
    if all(tensor.dtype == torch.float32 for tensor in told.values() if tensor.is_floating_point()):
        return model
    with torch.device("meta"):
        longer = MarDini(model.config)
    longer.load_state_dict(
        {key: t.float() if t.is_floating_point() else t for key, t in told.items()}, assign=True
    )
    return longer.eval()


def precision(model: MarDini, dtype: torch.dtype) -> AbstractContextManager[object]:
    """The context in which a settled model runs in ``dtype``."""
    weight = next(model.parameters())
    if weight.dtype == dtype:
        return nullcontext()
    return torch.autocast(weight.device.type, dtype=dtype)
