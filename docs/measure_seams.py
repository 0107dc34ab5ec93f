"""Measure whether tiles show: the step between pixels across their borders, and how frames differ.

Usage:
    python docs/measure_seams.py [WIDTH HEIGHT TILE = 1366 768 384]

Two frames of examples/cat.mp4, made that large, are given; the shipped weights make three between
them, in float32 on the CPU, once as a whole and once in tiles, without and with sampling. A step
is the mean difference of neighbouring pixels; its share is that of the step at the tiles' borders
in the mean step of the frame. A border shows where the share is not that of the whole frame.
"""

import sys
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from torch import Tensor

from mardini_cli import weights
from mardini_cli.config import SamplerConfig
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.tiles import TOKEN, boxes
from mardini_cli.pipeline import paint

CLIP = Path(__file__).parents[1] / "examples" / "cat.mp4"
GIVEN = (0, 4)
"""Frames of the clip."""
MADE = 3
STEPS = (0, 2)


def main(words: list[str]) -> None:
    """Measure, and tell a line for each number of sampling steps."""
    wide, high, side = (int(word) for word in words) if words else (1366, 768, 384)
    model = weights.load("mardini-tiny", torch.device("cpu"), torch.float32).eval()
    frames = given(wide, high)
    for steps in STEPS:
        whole, lines = painted(model, frames, steps, None)
        tiled, lines = painted(model, frames, steps, side)
        shares = [
            share(tiled, along, lines[along]) / share(whole, along, lines[along])
            for along in lines
            if lines[along]
        ]
        apart = (whole - tiled).abs() * 255
        print(
            f"{wide} x {high}, tiles of {side}, {steps} steps: across borders"
            f" {', '.join(f'{100 * (ratio - 1):+.2f} %' for ratio in shares)} (columns, rows);"
            f" frames differ by {float(apart.mean()):.4f} of 255 in the mean, by"
            f" {float(apart.max()):.1f} at most",
            flush=True,
        )


def given(wide: int, high: int) -> Tensor:
    """Two frames of the clip, ``1 2 3 h w`` in [0, 1]."""
    with av.open(str(CLIP)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    large = [cv2.resize(frames[n], (wide, high), interpolation=cv2.INTER_CUBIC) for n in GIVEN]
    return torch.from_numpy(np.stack(large)).movedim(-1, 1).unsqueeze(0).float() / 255


@torch.inference_mode()
def painted(
    model: MarDini, frames: Tensor, steps: int, side: int | None
) -> tuple[Tensor, dict[int, list[int]]]:
    """Make the frames between; also the tiles' borders by the axis that they cut: -1, -2."""
    mask = torch.tensor([[False, *[True] * MADE, False]])
    times = torch.linspace(0, 1, MADE + 2).unsqueeze(0)
    high, wide = frames.shape[-2:]
    seen = model.look(frames, mask, times, work=min(high, wide))
    sampler = SamplerConfig(steps=steps, guidance=1.0)
    made = paint(model, seen, model.plan(seen), sampler, [list(range(1, 1 + MADE))], side)
    tiles = boxes(seen.token_grid, side)
    ends = {-1: wide, -2: high}
    found = {
        -1: {end for box in tiles for end in (box.left, box.left + box.cols)},
        -2: {end for box in tiles for end in (box.top, box.top + box.rows)},
    }
    return made, {
        axis: sorted(end * TOKEN for end in found[axis] if 0 < end * TOKEN < ends[axis])
        for axis in found
    }


def share(frames: Tensor, axis: int, borders: list[int]) -> float:
    """Step across borders, as a part of the mean step along an axis."""
    steps = frames.diff(dim=axis).abs().movedim(axis, -1).flatten(0, -2).mean(0)
    return float(steps[[border - 1 for border in borders]].mean() / steps.mean())


if __name__ == "__main__":
    main(sys.argv[1:])
