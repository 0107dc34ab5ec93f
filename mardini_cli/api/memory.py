"""How the networks run, and whether they fit into memory, told before any weights are loaded.

Room: api. Light to import: torch comes in late.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mardini_cli.api.making import MakeRequest, bytes_of, tile_of

if TYPE_CHECKING:
    import torch

    from mardini_cli.config import ModelConfig
    from mardini_cli.pipeline import MakeSettings


def settings_of(request: MakeRequest, dtype: torch.dtype, *, match: bool = False) -> MakeSettings:
    """How the model is run over windows.

    Args:
        request: what was asked for.
        dtype: number type of the networks.
        match: whether the colour of frames that roll on is held.
    """
    from mardini_cli.pipeline import MakeSettings

    return MakeSettings(
        sampler=request.sampler,
        dtype=dtype,
        resolution=request.resolution,
        tile=tile_of(request.tile),
        batch=request.batch,
        memory=bytes_of(request.memory_limit),
        match=match,
        strict=request.faults == "stop",
    )


def is_judged(request: MakeRequest) -> bool:
    """Whether there may be a bound; told without torch, which takes seconds to load."""
    return request.memory_limit is not None or shutil.which("nvidia-smi") is not None


def check_memory(
    settings: MakeSettings,
    config: ModelConfig,
    devices: Sequence[torch.device],
    size: tuple[int, int],
    largest: tuple[int, int] = (1, 1),
) -> None:
    """Refuse what does not fit into the memory of a device, or into ``--memory-limit``.

    Args:
        settings: how the model is run.
        config: its sizes.
        devices: all that share the work.
        size: height and width of the frames, pixels.
        largest: given and made frames of the largest window; the smallest there is where no plan
            is made yet.

    Raises:
        MemoryLimitError: it does not fit, however it is cut.
    """
    from mardini_cli.pipeline import memory

    for device in devices:
        model = memory.sketch(config, settings.dtype)
        memory.check(model, device, size, settings, largest)
