"""Batches: windows cut, masks drawn, flow worked out, ahead of the step that needs them.

Room: training. Worker processes make them on the CPU, so that the process which drives the GPU
does nothing else. A batch is a function of (seed, stage, step) alone.

Dimension key
    b  windows    f  slots    g  given    m  made    p = b * m    h, w  pixels
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mardini_cli.errors import MardiniError
from mardini_cli.model import prior
from mardini_cli.model.warping import gaps, slots
from mardini_cli.training.clips import Drawn
from mardini_cli.training.crew import Own
from mardini_cli.training.darkroom import Darkroom, Drafts, Negatives
from mardini_cli.training.masks import draw_mask, draw_task, thin
from mardini_cli.training.seeds import seed_of
from mardini_cli.training.stages import StageConfig

Bytes = NDArray[np.uint8]


class Windows(Protocol):
    """A source of windows."""

    def draw(self, count: int, kept: Tensor, rng: torch.Generator, first: int = 0) -> Drawn:
        """Draw windows, and of each the slots ``kept``: ``count len(kept) 3 h w`` uint8.

        Args:
            count: windows.
            kept: slots that are wanted.
            rng: source of chance.
            first: number of the first one, counted over the whole stage.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Windows of one task."""

    given: Tensor
    """``b g 3 h w``: bytes on the host, [0, 1] once on the device."""
    made: Tensor
    """``b m 3 h w``, likewise."""
    mask: Tensor
    """``b f`` bool."""
    times: Tensor
    """``b f`` float32."""
    flow: Tensor | None = None
    """Prior between given neighbours at half size, ``b g-1 2 2 h/2 w/2``, pixels."""
    target: Tensor | None = None
    """Flow from the true made frame to both of its gap's frames, ``p 4 h/2 w/2``, pixels."""
    late: Negatives | None = None
    """Further windows, of photographs, that the device makes; they come after these."""
    own: bool = False
    """Whether these are the windows of one process alone."""
    bad: tuple[str, ...] = ()
    """Clips that were met while it was made and do not decode."""

    def pin_memory(self) -> Self:
        """Make the way to the device quick (the loader calls this)."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> Self:
        """Move to the device, bytes to [0, 1], flow to float32. Negatives stay negatives."""

        def moved(tensor: Tensor) -> Tensor:
            tensor = tensor.to(device, non_blocking=True)
            if tensor.dtype == torch.uint8:
                return tensor.float() / 255
            return tensor.float() if tensor.dtype == torch.float16 else tensor

        return self._each(moved)

    def share(self, rank: int, world: int) -> Self:
        """The windows of one process among ``world``."""
        b = len(self.mask)

        def part(x: Tensor) -> Tensor:
            return x.unflatten(0, (b, -1))[rank::world].flatten(0, 1) if b else x

        mine = self._each(part) if self.late is None else replace(self, late=None)._each(part)
        if self.late is None:
            return mine
        return replace(mine, late=self.late.each(lambda x: x[(rank - b) % world :: world]))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        return replace(
            self,
            given=change(self.given),
            made=change(self.made),
            mask=change(self.mask),
            times=change(self.times),
            flow=None if self.flow is None else change(self.flow),
            target=None if self.target is None else change(self.target),
            late=None if self.late is None else self.late.each(change),
        )


class Batches(Dataset[Batch]):
    """The batches of one stage, by their step.

    Args:
        sources: clips, and photographs if there are any.
        stage: what is asked of the windows.
        seed: the run's.
        own: windows of the process that asks; None makes them all.
    """

    def __init__(
        self,
        sources: tuple[Windows, Windows | None],
        stage: StageConfig,
        seed: int,
        own: Own | None = None,
    ) -> None:
        self.clips, self.photos = sources
        self.stage, self.seed, self.own = stage, seed, own

    def __len__(self) -> int:
        return self.stage.steps

    def __getitem__(self, step: int) -> Batch:
        """Make the batch of one step."""
        with _one_thread():
            return self._made(step)

    def _made(self, step: int) -> Batch:
        stage = self.stage
        rng = torch.Generator().manual_seed(seed_of(self.seed, stage.name, step))
        mask = draw_mask(draw_task(dict(stage.tasks), rng), stage.slots, stage.keep, rng)
        kept = thin(mask, stage.made, rng)
        synthetic = round(stage.batch * stage.photos) if self.photos else 0
        parts = [self.clips.draw(stage.batch - synthetic, kept, rng, step * stage.batch)]
        late = None
        if isinstance(self.photos, Drafts) and synthetic:
            late = self.photos.draft(synthetic, mask, kept, rng)
        elif self.photos and synthetic:
            parts.append(self.photos.draw(synthetic, kept, rng))
        frames, times = torch.cat([p.frames for p in parts]), torch.cat([p.times for p in parts])
        if self.own:  # before flow is searched, which costs most
            mine = [number for number in range(len(frames)) if self.own.has(number)]
            if late is not None:
                after = range(len(frames), stage.batch)
                there = [n - len(frames) for n in after if self.own.has(n)]
                late = late.each(lambda x: x[there])
            frames, times = frames[mine], times[mine]
        mask = mask[kept]
        b = len(frames)
        batch = Batch(
            given=frames[:, ~mask].contiguous(),
            made=frames[:, mask].contiguous(),
            mask=mask.expand(b, -1).contiguous(),
            times=times,
            late=late,
            own=self.own is not None,
            bad=parts[0].bad,
        )
        return batch if stage.kind == "vae" else self._with_flow(batch)

    def _with_flow(self, batch: Batch) -> Batch:
        b, g = batch.given.shape[:2]
        given = _luma(batch.given)
        flow = self._flows(prior.neighbours(given), "medium").unflatten(0, (b, g - 1, 2))
        target = None
        if self.stage.kind == "guided":
            target = self._flows(_truth_pairs(batch, given), "fast")
            target = target.view(-1, 4, *target.shape[-2:])
        if batch.late is not None and len(batch.late):
            batch = replace(batch, late=self._searched(batch.late))
        return replace(batch, flow=flow, target=target)

    def _searched(self, late: Negatives) -> Negatives:
        """With the prior of windows that the device will make."""
        assert isinstance(self.photos, Drafts)
        given = self.photos.given(late)
        b, g = given.shape[:2]
        flow = self._flows(prior.neighbours(given), "medium").unflatten(0, (b, g - 1, 2))
        return replace(late, flow=flow)

    def _flows(self, pairs: list[tuple[Bytes, Bytes]], preset: prior.Preset) -> Tensor:
        if not pairs:
            side = self.stage.side // 2
            return torch.zeros(0, 2, side, side, dtype=torch.float16)
        found = [prior.dis_flow(a, b, preset, shrink=2) for a, b in pairs]
        return torch.from_numpy(np.stack(found).astype(np.float16))

    def run(self, first: int, workers: int, device: torch.device) -> Iterator[Batch]:
        """Give the batches from step ``first`` on, each made in one of the worker processes."""
        loader: DataLoader[Batch | MardiniError] = DataLoader(
            _Told(self),
            batch_size=None,
            sampler=range(first, self.stage.steps),
            num_workers=workers,
            prefetch_factor=3 if workers else None,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # the loader would draw from everyone's otherwise
            worker_init_fn=_deaf if workers else None,
        )
        # A process that is forked beside OpenCV's threads has none of them, and waits for them.
        with _one_thread():
            ahead = iter(loader)
        for batch in ahead:
            if isinstance(batch, MardiniError):
                raise batch
            yield batch


def _deaf(worker: int) -> None:
    """Leave SIGTERM to the process that saves: schedulers send it to every process of a job, and a
    worker that died of it would take the run along. Workers end when that process does.
    """
    del worker
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class _Told(Dataset["Batch | MardiniError"]):
    """Batches, or the error that stands in the way: torch could not carry it out of a worker."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> Batch | MardiniError:
        try:
            return self.batches[step]
        except MardiniError as error:
            return error


def developed(batch: Batch, darkroom: Darkroom) -> Batch:
    """Make the windows that were left to the device, and put them after the others.

    Args:
        batch: on the device.
        darkroom: of the photographs that its negatives name.
    """
    if batch.late is None:
        return batch
    late = batch.late
    if not len(late):
        return replace(batch, late=None)
    sheet = darkroom.develop(late, target=batch.target is not None)
    made = late.mask[0]
    return replace(
        batch,
        given=torch.cat((batch.given, sheet.frames[:, ~made])),
        made=torch.cat((batch.made, sheet.frames[:, made])),
        mask=torch.cat((batch.mask, late.mask)),
        times=torch.cat((batch.times, late.times)),
        flow=_joined(batch.flow, late.flow),
        target=_joined(batch.target, sheet.target),
        late=None,
    )


def _joined(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return None if one is None or other is None else torch.cat((one, other))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Hold OpenCV to one thread: workers share the cores, and DIS flow varies with the count."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _luma(frames: Tensor) -> Bytes:
    """Bytes of RGB, ``... 3 h w``, to bytes of luma (weights in 256ths, which fit 16 bits)."""
    red, green, blue = (frames[..., c, :, :].numpy().astype(np.uint16) for c in range(3))
    luma: Bytes = ((77 * red + 150 * green + 29 * blue + 128) >> 8).astype(np.uint8)
    return luma


def _truth_pairs(batch: Batch, given: Bytes) -> list[tuple[Bytes, Bytes]]:
    made = _luma(batch.made)
    inside, outside = slots(batch.mask, given.shape[1])
    gap = gaps(batch.times.gather(1, inside), batch.times.gather(1, outside))
    return [
        (made[i, j], given[i, int(index[i, j])])
        for i in range(made.shape[0])
        for j in range(made.shape[1])
        for index in (gap.first, gap.second)
    ]
