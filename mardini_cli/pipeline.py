"""Walk a plan: read the given frames, make the others window by window, write all in time order.

Room: pipeline (floor 5). Knows the plan, the model and the media; not where the weights came from
nor who asked. Prints nothing.

Three stages overlap. One thread decodes and converts given frames, the caller's thread runs the
model, one thread encodes. Bounded channels lie between, and each given frame is dropped after the
last window that needs it, so that memory depends on the window and never on the clip.

Dimension key
    b  windows in the batch    g  given, m  made slots of a window    c  latent channels
    h, w  pixels, or latent rows and columns
"""

from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby, islice
from threading import Condition
from time import monotonic
from typing import Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mardini_cli.config import SamplerConfig
from mardini_cli.diffusion.sampler import guided_velocity, noise_for, sample
from mardini_cli.errors import DamagedMediaError, MadeFrameError
from mardini_cli.events import Progress
from mardini_cli.media.probe import ClipInfo
from mardini_cli.media.reader import Frame, read, rgb
from mardini_cli.media.writer import Writer
from mardini_cli.model.autoencoder import Given
from mardini_cli.model.mardini import MarDini
from mardini_cli.tasks.plan import Plan, Slot, Window

Item = TypeVar("Item")
Picture = NDArray[np.float32]
"""``h w 3``, RGB in [0, 1]."""

DECODED_AHEAD = 3
"""Given frames that may wait for the model."""
WRITTEN_BEHIND = 9
"""Frames that may wait for the encoder: a window of the default model."""
PROGRESS_SECONDS = 0.5
"""How often progress is told while only the encoder is still at work."""
LARGEST_BATCH = 16
"""Windows made at once on a GPU at most; more bring no speed."""
GUIDED_BYTES, VAE_BYTES = 1000, 8000
"""Memory of a window for each pixel of each slot, by autoencoder; generous. ``tiny`` took 460 at
512 x 288 and 96 at 1920 x 1080."""


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


def run(
    plan: Plan, info: ClipInfo, model: MarDini, settings: MakeSettings, writer: Writer
) -> Generator[Progress, None, None]:
    """Make and write every frame of a plan; closing the iterator stops all of it.

    The writer is entered and left by the caller, so that what happens to an unfinished file is
    decided in one place.

    Raises:
        MadeFrameError: the model made NaN or infinity.
        MardiniError: whatever the reader or the writer meets, raised here.
    """
    began = monotonic()
    decoded = _Channel[_Decoded](DECODED_AHEAD)
    pages = _Channel[_Page](WRITTEN_BEHIND)
    tally = _Tally()

    def progress() -> Progress:
        return Progress(done=tally.written, total=len(plan.slots), elapsed=monotonic() - began)

    # Left in turn: the channels let their threads go before the threads are waited for.
    with ThreadPoolExecutor(2, thread_name_prefix="mardini") as threads, decoded, pages:
        reading = threads.submit(_read, info, _last_uses(plan).keys(), decoded)
        writing = threads.submit(_write, writer, pages, tally)
        desk = _Desk(plan, decoded, reading, pages, writing)
        make = Maker(model, settings)
        for windows in _batches(plan.windows, settings.batch or make.batch_size(plan, info)):
            desk.take(make(windows, desk.give(windows)))
            yield progress()
        desk.finish()
        while not wait([writing], timeout=PROGRESS_SECONDS).done:
            yield progress()
        writing.result()
        yield progress()


def _batches(windows: Sequence[Window], size: int) -> Iterator[tuple[Window, ...]]:
    """Consecutive windows that have their given and made slots at the same places."""
    for _, alike in groupby(windows, key=lambda window: window.mask):
        while batch := tuple(islice(alike, size)):
            yield batch


def _last_uses(plan: Plan) -> dict[int, int]:
    """For each given frame that a window needs: the number of the last such window."""
    return {
        slot.given: number
        for number, window in enumerate(plan.windows)
        for slot in window.given
        if slot.given is not None
    }


def paint(
    model: MarDini,
    given: Given,
    signal: Tensor,
    sampler: SamplerConfig,
    slots: Sequence[Sequence[int]],
) -> Tensor:
    """Sample the made frames of a batch of windows, if there are steps, and decode them.

    Args:
        model: the networks.
        given: what the model found in the windows.
        signal: the planner's.
        sampler: steps, guidance, seed.
        slots: for each window the places of its made frames in the whole job: their noise.

    Returns:
        ``b m 3 h w``, RGB, not clamped.
    """
    if not sampler.steps:
        return model.decode(None, None, given, signal)

    def velocity(heard: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda noisy, t: model.velocity(noisy, t, given, heard)

    shape = given.latent_shape
    noise = torch.stack(
        [torch.stack([noise_for(sampler.seed, slot, shape) for slot in row]) for row in slots]
    ).to(signal.device)  # b m c h w
    guided = guided_velocity(velocity(signal), velocity(None), sampler.guidance)
    latent = sample(guided, noise, sampler.steps)
    return model.decode(latent, torch.zeros(len(slots), device=signal.device), given, signal)


class Maker:
    """The model, run over batches of windows."""

    def __init__(self, model: MarDini, settings: MakeSettings) -> None:
        self.model, self.settings = model, settings
        self.device = next(model.parameters()).device
        self._noted = 0  # windows made so far: names the window in an error

    def batch_size(self, plan: Plan, info: ClipInfo) -> int:
        """One window on a CPU, whose cores one window keeps busy; what memory allows on a GPU."""
        if self.device.type != "cuda" or not plan.windows:
            return 1
        pixels = max(len(window.slots) for window in plan.windows) * info.width * info.height
        needed = pixels * (GUIDED_BYTES if self.model.config.guided else VAE_BYTES)
        free, _ = torch.cuda.mem_get_info(self.device)
        return int(max(1, min(LARGEST_BATCH, free // needed)))

    @torch.inference_mode()
    def __call__(
        self, windows: Sequence[Window], pictures: Sequence[Sequence[Picture]]
    ) -> list[tuple[Slot, Picture]]:
        """Make every made slot of windows of one shape.

        Args:
            windows: alike in their masks.
            pictures: for each window its given frames, in slot order.
        """
        frames = torch.stack([_planar(row) for row in pictures])  # b g 3 h w
        mask = torch.tensor([window.mask for window in windows], device=self.device)
        times = torch.tensor([window.positions() for window in windows], device=self.device)
        low = self.settings.dtype
        with torch.autocast(self.device.type, dtype=low, enabled=low != torch.float32):
            given = self.model.look(
                frames.to(self.device), mask, times, work=self.settings.resolution
            )
            slots = [[slot.index for slot in window.made] for window in windows]
            signal = self.model.plan(given)
            made = paint(self.model, given, signal, self.settings.sampler, slots).float()
        self._check(made, windows)
        pixels = made.clamp(0, 1).permute(0, 1, 3, 4, 2).contiguous().cpu().numpy()  # b m h w 3
        return [
            (slot, pixels[row, place])
            for row, window in enumerate(windows)
            for place, slot in enumerate(window.made)
        ]

    def _check(self, made: Tensor, windows: Sequence[Window]) -> None:
        """Refuse NaN and infinity before they become a black or torn picture."""
        bad = ~torch.isfinite(made).flatten(2).all(-1)  # b m
        for number, window in enumerate(windows, start=self._noted):
            row = bad[number - self._noted].tolist()
            frames = [str(s.index) for s, broken in zip(window.made, row, strict=True) if broken]
            if frames:
                raise MadeFrameError(
                    f"window {number}: NaN or infinity in made frames {', '.join(frames)}",
                    needed="finite pixels",
                    do="try --dtype fp32, or other weights",
                )
        self._noted += len(windows)


class _Channel(Generic[Item]):
    """A bounded queue between two threads, which either end can close.

    Nobody waits on a closed channel: ``put`` answers False, ``get`` hands out what is left and
    then None. As a context manager it is closed, whatever happens.
    """

    def __init__(self, room: int) -> None:
        self._room, self._items, self._closed = room, deque[Item](), False
        self._change = Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close(drop=True)

    def put(self, item: Item) -> bool:
        with self._change:
            self._change.wait_for(lambda: self._closed or len(self._items) < self._room)
            if not self._closed:
                self._items.append(item)
                self._change.notify_all()
            return not self._closed

    def get(self) -> Item | None:
        with self._change:
            self._change.wait_for(lambda: self._closed or bool(self._items))
            item = self._items.popleft() if self._items else None
            self._change.notify_all()
            return item

    def close(self, *, drop: bool = False) -> None:
        """No more items; with ``drop``, those still waiting are thrown away."""
        with self._change:
            self._closed = True
            if drop:
                self._items.clear()
            self._change.notify_all()


def _planar(pictures: Sequence[Picture]) -> Tensor:
    """Each ``h w 3`` to ``g 3 h w``."""
    return torch.stack([torch.from_numpy(p).permute(2, 0, 1) for p in pictures])


@dataclass(frozen=True, eq=False, slots=True)
class _Decoded:
    """A given frame as it comes out of the file."""

    frame: Frame
    picture: Picture | None
    """Converted for the model; None where no window needs it."""


@dataclass(frozen=True, eq=False, slots=True)
class _Page:
    """One frame of the output on its way to the encoder."""

    time: Fraction
    content: Frame | Picture
    """A given frame as it was decoded, or a made one."""


@dataclass(slots=True)
class _Tally:
    """Written by the encoding thread alone."""

    written: int = 0


def _read(info: ClipInfo, needed: Container[int], decoded: _Channel[_Decoded]) -> None:
    """Thread: decode every given frame, and convert those that a window needs."""
    try:
        with closing(read(info)) as frames:
            for number, frame in enumerate(frames):
                picture = rgb(frame, info) if number in needed else None
                if not decoded.put(_Decoded(frame, picture)):
                    return
    finally:
        decoded.close()


def _write(writer: Writer, pages: _Channel[_Page], tally: _Tally) -> None:
    """Thread: encode the output's frames in time order."""
    try:
        while (page := pages.get()) is not None:
            if isinstance(page.content, Frame):
                writer.original(page.content)
            else:
                writer.made(page.content, page.time)
            tally.written += 1
    finally:
        pages.close(drop=True)


class _Desk:
    """Between the threads: holds given frames while they are needed, and keeps time order."""

    def __init__(
        self,
        plan: Plan,
        decoded: _Channel[_Decoded],
        reading: Future[None],
        pages: _Channel[_Page],
        writing: Future[None],
    ) -> None:
        self._decoded, self._reading = decoded, reading
        self._pages, self._writing = pages, writing
        self._slots = deque(plan.slots)  # not yet handed to the encoder
        self._last_uses = _last_uses(plan)
        self._windows = 0  # begun so far
        self._fetched = 0  # given frames so far
        self._pictures: dict[int, Picture] = {}  # of given frames, for windows to come
        self._frames: dict[int, Frame] = {}  # given, waiting for their turn
        self._made: dict[int, Picture] = {}  # by slot, waiting for their turn

    def give(self, windows: Sequence[Window]) -> list[list[Picture]]:
        """Wait for the given frames of these windows, in slot order; forget what ends here."""
        numbers = [[s.given for s in window.given if s.given is not None] for window in windows]
        while self._fetched <= max(map(max, numbers)):
            self._fetch()
        pictures = [[self._pictures[number] for number in row] for row in numbers]
        self._windows += len(windows)
        for number in {number for row in numbers for number in row}:
            if self._last_uses[number] < self._windows:
                del self._pictures[number]
        return pictures

    def take(self, made: Iterable[tuple[Slot, Picture]]) -> None:
        """Accept made frames, and hand on whatever is next in time."""
        self._made |= {slot.index: picture for slot, picture in made}
        self._hand_on()

    def finish(self) -> None:
        """Hand on the given frames after the last window, and tell the encoder that this is all."""
        while self._slots:
            self._fetch()
        self._pages.close()

    def _fetch(self) -> None:
        item = self._decoded.get()
        if item is None:
            self._reading.result()  # raises what stopped the reader
            raise DamagedMediaError(
                f"the clip ends after {self._fetched} frames",
                needed="as many as were counted before the work began",
                do="leave the file alone while it is read, and start again",
            )
        self._frames[self._fetched] = item.frame
        if item.picture is not None:
            self._pictures[self._fetched] = item.picture
        self._fetched += 1
        self._hand_on()

    def _hand_on(self) -> None:
        while self._slots and (content := self._next()) is not None:
            if not self._pages.put(_Page(self._slots.popleft().time, content)):
                self._writing.result()  # raises what stopped the writer

    def _next(self) -> Frame | Picture | None:
        slot = self._slots[0]
        if slot.given is None:
            return self._made.pop(slot.index, None)
        return self._frames.pop(slot.given, None)
