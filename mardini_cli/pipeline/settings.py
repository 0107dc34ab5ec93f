"""How the model is run over windows. Data only.

Room: pipeline.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch

from mardini_cli.config import SamplerConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeSettings:
    """How the model is run; what it is given is the plan's affair."""

    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    dtype: torch.dtype = torch.float32
    """Number type of the networks; flow, grids and the last merge stay float32."""
    resolution: int | None = None
    """Short side at which the model works out motion, pixels; None leaves it to the model."""
    batch: int | None = None
    """Windows made at once; None takes what suits the device. Changes no frame."""
    tile: int | Literal["auto"] | None = "auto"
    """Side of the tiles that denoiser and decoder work on, working pixels; None: the whole frame,
    ``auto``: the whole unless it is very large."""
    memory: int | None = None
    """Bytes that the model may take, weights included; None: what is free on the device."""
    match: bool = False
    """Hold the mean colour of frames that roll on from given ones (``joins.matched``)."""
    strict: bool = True
    """Refuse made frames that cannot be right; else tell of them. NaN and infinity never pass."""
