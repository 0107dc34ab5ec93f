"""Flow between given frames, before anything is learned: the decoder's starting point.

Room: model; the one door to OpenCV. CPU only; knows no networks.
Source: DIS flow, Kroeger et al. 2016; projection to a time between, Jiang et al. 2018 (Super
SloMo), sec. 3.2. Which flow serves best was measured (``docs/training-log.md``).

Dimension key
    b  windows    g  given frames    m  made frames    h, w  pixels    2  x, then y
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any, Literal, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bytes = NDArray[np.uint8]
Preset = Literal["ultrafast", "fast", "medium"]
_LUMA = (0.299, 0.587, 0.114)
_SMALLEST = 16  # DIS needs a few patches of 8 pixels a side


def dis_flow(a: Bytes, b: Bytes, preset: Preset = "medium", shrink: int = 1) -> NDArray[np.float32]:
    """Tell where each pixel of ``a`` stands in ``b``.

    Args:
        a: luma, ``h w``, 8 bit.
        b: the same size.
        preset: how hard to look.
        shrink: average the result over cells of so many pixels a side.

    Returns:
        ``2 h/shrink w/shrink``, pixels of the frames: ``a[y, x]`` is seen at
        ``b[y + flow[1], x + flow[0]]``.
    """
    size = (a.shape[1] // shrink, a.shape[0] // shrink)
    if min(a.shape) < _SMALLEST:
        return np.zeros((2, *size[::-1]), np.float32)
    engine = cv2.DISOpticalFlow.create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{preset.upper()}"))
    # None asks for a search from nothing; the stubs leave it out. Zeros are another start: they
    # count as a known flow, and the result differs.
    search = cast(Callable[[Bytes, Bytes, None], NDArray[np.float32]], engine.calc)
    flow: NDArray[Any] = search(a, b, None)
    if shrink > 1:
        flow = cv2.resize(flow, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(flow.transpose(2, 0, 1), np.float32)


def luma_bytes(frames: Tensor) -> Bytes:
    """Round RGB in [0, 1], ``... 3 h w``, to 8-bit luma on the host, ``... h w``."""
    weights = torch.tensor(_LUMA, device=frames.device).view(3, 1, 1)
    luma = (frames.float() * weights).sum(-3)  # not einsum: autocast would shorten it
    return luma.mul(255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def flows(
    pairs: Sequence[tuple[Bytes, Bytes]],
    preset: Preset = "medium",
    pool: Executor | None = None,
    shrink: int = 1,
) -> NDArray[np.float32]:
    """Flow of every pair, ``p 2 h w``; pairs are shared out over the threads of ``pool``.

    Without a pool, over as many threads as torch uses.
    """
    if pool is None:
        with ThreadPoolExecutor(min(len(pairs), torch.get_num_threads())) as own:
            return flows(pairs, preset, own, shrink)
    work = partial(dis_flow, preset=preset, shrink=shrink)
    return np.stack(list(pool.map(work, *zip(*pairs, strict=True))))


def between_neighbours(frames: Tensor, pool: Executor | None = None) -> Tensor:
    """Flow both ways between given frames that follow each other.

    Args:
        frames: ``b g 3 h w``, RGB in [0, 1].
        pool: threads to share; None makes two for this call.

    Returns:
        ``b g-1 2 2 h w``, pixels: index 0 of the third axis forward, 1 backward.
    """
    b, g, _, h, w = frames.shape
    if g < 2:
        return frames.new_zeros(b, 0, 2, 2, h, w, dtype=torch.float32)
    found = torch.from_numpy(flows(neighbours(luma_bytes(frames)), pool=pool))
    return found.view(b, g - 1, 2, 2, h, w).to(frames.device)


def neighbours(luma: Bytes) -> list[tuple[Bytes, Bytes]]:
    """Pairs of given frames that follow each other, ``b g h w``: forward, then backward."""
    return [
        pair
        for window in luma
        for first, second in pairwise(window)
        for pair in ((first, second), (second, first))
    ]


def project(forward: Tensor, backward: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """Flow from a made frame to both frames of its gap, by straight motion.

    Args:
        forward: flow from the gap's first frame to its second, ``m 2 h w``.
        backward: from its second to its first.
        tau: ``m``, the made frame's place: 0 first, 1 second, outside [0, 1] beyond them.

    Returns:
        Flow to the first and to the second frame, each ``m 2 h w``.
    """
    tau = tau.view(-1, 1, 1, 1)
    inside_first = -(1 - tau) * tau * forward + tau.square() * backward
    inside_second = (1 - tau).square() * forward - tau * (1 - tau) * backward
    # Beyond the gap the squares would blow up what the two flows disagree on.
    after, before = tau > 1, tau < 0
    first = torch.where(after, tau * backward, torch.where(before, -tau * forward, inside_first))
    second = torch.where(
        after, (tau - 1) * backward, torch.where(before, (1 - tau) * forward, inside_second)
    )
    return first, second
