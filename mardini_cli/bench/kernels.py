"""Attention at the shapes of the presets, by every kernel that takes them.

Room: bench.
"""

from collections.abc import Iterator
from contextlib import suppress

import torch

from mardini_cli.errors import DeviceError
from mardini_cli.model.fastest import Choices, shape_of
from mardini_cli.model.kernels import dense_kernels, require_xformers

SHAPES = (
    (16, 1024, 1024, 16, 64),  # l-t at 512: within frames
    (1024, 16, 17, 16, 64),  # over the frames of a place
    (16, 1024, 256, 16, 64),  # the signal
    (1, 16384, 17408, 16, 64),  # l-st: over all frames
    (17, 256, 256, 32, 128),  # the planner: within frames
    (1, 4096, 4352, 32, 128),  # over all frames
    (16, 4096, 4096, 16, 64),  # l-t at 1024: within frames
    (4096, 16, 17, 16, 64),  # over the frames of a place
    (4, 464, 464, 4, 64),  # tiny at 456 x 256
    (1, 1856, 4176, 4, 64),
    (1, 7424, 16704, 4, 64),  # tiny at 1080p: over all frames
)
"""Sets, queries, keys, heads, channels of a head."""


@torch.inference_mode()
def kernel_times(
    device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each shape with the seconds of the kernels that run at it. CUDA only."""
    for sets, queries, keys, heads, channels in SHAPES:
        q, k, v = (
            torch.randn(sets, n, heads, channels, device=device, dtype=dtype)
            for n in (queries, keys, keys)
        )
        with suppress(DeviceError):  # then its column stays empty
            require_xformers(device, dtype, channels)  # loads it, so that it takes part
        yield shape_of(q, k), Choices().timed(q, k, v, dense_kernels(q))
