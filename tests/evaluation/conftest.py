"""Clips and pictures that evaluation tests measure."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

WriteClip = Callable[..., Path]


@pytest.fixture(scope="session")
def texture() -> Tensor:
    """A wide picture with soft structure at several sizes, ``3 320 480``."""
    rng = torch.Generator().manual_seed(7)
    layers = [
        torch.nn.functional.interpolate(
            torch.rand(1, 3, 320 // cell, 480 // cell, generator=rng),
            size=(320, 480),
            mode="bicubic",
        )[0]
        for cell in (32, 16, 8)
    ]
    return (sum(layers, start=torch.zeros(3, 1, 1)) / 3).clamp(0, 1)


@pytest.fixture
def write_clip(tmp_path: Path, texture: Tensor) -> WriteClip:
    """Write a clip whose camera pans over the texture; lossless."""

    def write(name: str, frames: int = 20, speed: int = 2, side: int = 288) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", format="matroska") as container:
            stream = container.add_stream("ffv1", rate=Fraction(24))
            stream.width, stream.height, stream.pix_fmt = side, side, "yuv444p"
            for number in range(frames):
                shift = number * speed
                view = texture[:, :side, shift : shift + side]
                pixels = view.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write
