"""Batches: windows cut, masks drawn, flow worked out, ahead of the step that needs them.

Room: training. A batch is a function of (seed, stage, step) alone.

Dimension key
    b  windows    f  slots    g  given    m  made    p = b * m    h, w  pixels
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mardini_cli.model import prior
from mardini_cli.model.guided import Gap, gaps
from mardini_cli.training.masks import draw_mask, draw_task, thin
from mardini_cli.training.stages import StageConfig

_AHEAD = 6  # batches made before they are asked for


class Windows(Protocol):
    """A source of windows."""

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """``b f 3 h w`` in [0, 1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Windows of one task."""

    frames: Tensor
    """``b f 3 h w`` in [0, 1]."""
    mask: Tensor
    """``b f``."""
    times: Tensor
    """``b f``."""
    flow: Tensor | None = None
    """Prior between given neighbours at half size, ``b g-1 2 2 h/2 w/2``, pixels."""
    target: Tensor | None = None
    """Flow from the true made frame to both of its gap's frames, ``p 4 h/2 w/2``, pixels."""

    @property
    def given(self) -> Tensor:
        """``b g 3 h w``."""
        return self.frames[~self.mask].view(self.frames.shape[0], -1, *self.frames.shape[2:])

    @property
    def made(self) -> Tensor:
        """``b m 3 h w``."""
        return self.frames[self.mask].view(self.frames.shape[0], -1, *self.frames.shape[2:])


class Batches:
    """Makes the batches of one stage, ahead of time."""

    def __init__(
        self, sources: tuple[Windows, Windows | None], stage: StageConfig, seed: int, threads: int
    ) -> None:
        self.clips, self.photos = sources
        self.stage, self.seed = stage, seed
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="flow")

    def make(self, step: int) -> Batch:
        """Make the batch of one step."""
        stage = self.stage
        rng = torch.Generator().manual_seed(_mix(self.seed, stage.name, step))
        mask = draw_mask(draw_task(dict(stage.tasks), rng), stage.slots, stage.keep, rng)
        kept = thin(mask, stage.made, rng)
        synthetic = round(stage.batch * stage.photos) if self.photos else 0
        parts = [self.clips.draw(stage.batch - synthetic, rng)] if synthetic < stage.batch else []
        if self.photos and synthetic:
            parts.append(self.photos.draw(synthetic, rng))
        frames = torch.cat(parts)[:, kept.to(parts[0].device)]
        b = len(frames)
        batch = Batch(
            frames,
            mask[kept].expand(b, -1).to(frames.device),
            kept.float().expand(b, -1).contiguous().to(frames.device),
        )
        return self._with_flow(batch) if stage.kind != "vae" else batch

    def _with_flow(self, batch: Batch) -> Batch:
        given = batch.given
        b, g = given.shape[:2]
        luma = prior.luma_bytes(given)
        pairs = [
            pair
            for window in luma
            for first, second in zip(window, window[1:], strict=False)
            for pair in ((first, second), (second, first))
        ]
        flow = self._flows(pairs, batch.frames.device, "medium").unflatten(0, (b, g - 1, 2))
        target = None
        if self.stage.kind == "guided":
            target = self._flows(_truth_pairs(batch, luma), batch.frames.device, "fast")
            target = target.view(-1, 4, *target.shape[-2:])
        return Batch(batch.frames, batch.mask, batch.times, flow, target)

    def _flows(
        self, pairs: list[tuple[np.ndarray, np.ndarray]], device: torch.device, preset: prior.Preset
    ) -> Tensor:
        if not pairs:
            side = self.stage.side // 2
            return torch.zeros(0, 2, side, side, device=device)
        found = prior.flows(pairs, preset, self.pool, shrink=2)
        return torch.from_numpy(found).to(device, non_blocking=True)

    def run(self, first: int) -> Iterator[Batch]:
        """Give the batches of the stage from ``first`` on, made in the background."""
        with ThreadPoolExecutor(2, thread_name_prefix="batch") as makers:
            waiting: deque[Future[Batch]] = deque()
            upcoming = iter(range(first, self.stage.steps))
            try:
                while True:
                    for step in upcoming:
                        waiting.append(makers.submit(self._apart, step))
                        if len(waiting) >= _AHEAD:
                            break
                    if not waiting:
                        return
                    yield _adopt(waiting.popleft().result())
            finally:
                for future in waiting:
                    future.cancel()

    def _apart(self, step: int) -> Batch:
        """Make a batch on a stream of its own, so that it does not wait for the step under way."""
        if not torch.cuda.is_available():
            return self.make(step)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            batch = self.make(step)
        stream.synchronize()
        return batch

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(cancel_futures=True)


def _adopt(batch: Batch) -> Batch:
    """Tell the allocator that this stream uses the batch too."""
    for tensor in (batch.frames, batch.mask, batch.times, batch.flow, batch.target):
        if tensor is not None and tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream())
    return batch


def _truth_pairs(batch: Batch, given: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    made = prior.luma_bytes(batch.made)
    gap: Gap = gaps(batch.mask.cpu(), batch.times.cpu())
    return [
        (made[i, j], given[i, int(index[i, j])])
        for i in range(made.shape[0])
        for j in range(made.shape[1])
        for index in (gap.first, gap.second)
    ]


def _mix(seed: int, name: str, step: int) -> int:
    """One seed from three, spread over 63 bits (splitmix64's constants)."""
    word = seed
    for part in (*name.encode(), step):
        word = (word ^ part) * 0x9E3779B97F4A7C15 & (2**64 - 1)
        word ^= word >> 31
    return word >> 1
