"""One cell: built, run, timed stage by stage, counted.

Room: bench. A stage is one of the model's verbs: ``look`` (given frames encoded, the prior found),
``plan``, ``denoise`` (all sampling steps), ``decode``.

Dimension key
    b  windows    g  given, m  made slots    c  latent channels    h, w  pixels or latent rows, cols
"""

import gc
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from time import perf_counter, process_time

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from mardini_cli.bench.cells import Cell
from mardini_cli.device import synchronise
from mardini_cli.diffusion.sampler import guided_velocity, needs, noise_for, sample
from mardini_cli.model.autoencoder import Given
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline.making import sampled
from mardini_cli.pipeline.settling import (
    compile_blocks,
    lay_out,
    precision,
    record_steps,
    settle,
)

Size = Sequence[int]
STAGES = ("look", "plan", "denoise", "decode")
ENOUGH_SECONDS = 2.0
"""A cell is run again until this is spent, thrice at the most; the median counts."""
LOOK_EVERY = 0.01
"""Seconds between two looks at the process's memory on a CPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a cell took."""

    name: str
    made: int
    """Frames that a run makes."""
    steps: int
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage, medians over the runs."""
    flops: dict[str, int] = field(default_factory=dict)
    """By stage: matrix products, convolutions and attention, two for a multiply-add."""
    peak: int = 0
    """Most bytes in use at once, weights included: of the device, or of the process on a CPU. Where
    steps are recorded, what torch holds of the device: what graphs work in counts as free between
    their replays, but others may not have it."""
    first: float = 0.0
    """Seconds until the first frames: of a first run, of two steps at most, which chooses kernels,
    compiles and records."""
    cpu: float = 0.0
    """Seconds of processor time of a run."""
    failed: str = ""
    """Why there is nothing to tell; empty if all went well."""

    @property
    def total(self) -> float:
        """Seconds of a run."""
        return sum(self.seconds.values())

    @property
    def frame(self) -> float:
        """Seconds for one made frame."""
        return self.total / self.made

    def rate(self, *stages: str) -> float:
        """Floating-point operations a second over some stages."""
        seconds = sum(self.seconds[stage] for stage in stages)
        return sum(self.flops[stage] for stage in stages) / seconds if seconds else 0.0


Clock = Callable[[str], AbstractContextManager[object]]
"""Watches a stage, by its name, from its begin to its end."""
Run = Callable[[Clock, int | None], Tensor]
"""Makes the frames of a window, in so many sampling steps, or in its own."""


@dataclass(eq=False, slots=True)
class Subject:
    """A model that stands ready for a cell."""

    cell: Cell
    model: MarDini
    dtype: torch.dtype
    frames: Tensor
    """``b g 3 h w``, on the device."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.frames.device

    @torch.inference_mode()
    def run(self, clock: Clock, steps: int | None = None) -> Tensor:
        """Make the frames of the cell's windows: ``b m 3 h w``."""
        cell, model = self.cell, self.model
        steps = cell.sampler.steps if steps is None else steps
        sampler = replace(cell.sampler, steps=steps)
        mask = torch.tensor([cell.mask] * cell.batch, device=self.device)
        times = torch.arange(len(cell.mask), device=self.device).float().expand(mask.shape)
        slots = [
            [b * len(cell.mask) + i for i, made in enumerate(cell.mask) if made]
            for b in range(cell.batch)
        ]
        with precision(model, self.dtype):
            with clock("look"):
                given = model.look(self.frames, mask, times)
            with clock("plan"):
                signal = model.plan(given)
            with clock("denoise"):
                latent = (
                    self._plainly(given, signal, slots, steps)
                    if cell.way == "plain" and steps
                    else sampled(model, given, signal, sampler, slots)
                )
            with clock("decode"):
                level = None if latent is None else torch.zeros(cell.batch, device=self.device)
                made = model.decode(latent, level, given, signal)
        return made

    def _plainly(self, given: Given, signal: Tensor, slots: list[list[int]], steps: int) -> Tensor:
        """Sample with whole windows in every step, signal after signal."""
        guidance = self.cell.sampler.guidance
        heard = [signal if with_signal else None for with_signal in needs(guidance)]
        noise = torch.stack(
            [torch.stack([noise_for(0, slot, given.latent_shape) for slot in row]) for row in slots]
        ).to(self.device)

        def velocities(noisy: Tensor, t: Tensor) -> list[Tensor]:
            return [self.model.velocity(noisy, t, given, one) for one in heard]

        return sample(guided_velocity(velocities, guidance), noise, steps)


def subject_of(cell: Cell, device: torch.device, dtype: torch.dtype) -> Subject:
    """Build a cell's model with random weights, and frames that move."""
    with torch.device(device):
        model = MarDini(cell.config).eval()
    model.requires_grad_(False)
    settle(model, dtype)
    if cell.channels_last is not None:
        lay_out(model, torch.channels_last if cell.channels_last else torch.contiguous_format)
    if cell.way in ("compiled", "both"):
        compile_blocks(model)
    if cell.way in ("graphs", "both"):
        record_steps(model)
    return Subject(cell, model, dtype, moving(cell).to(device))


def moving(cell: Cell) -> Tensor:
    """Given frames of a cell: a soft texture that glides over the frame, ``b g 3 h w``."""
    high, wide = cell.size
    drawn = torch.rand(
        1, 3, high // 8 + 8, wide // 8 + 8, generator=torch.Generator().manual_seed(0)
    )
    texture = F.interpolate(drawn, scale_factor=8, mode="bilinear")[0]
    places = [slot for slot, made in enumerate(cell.mask) if not made]
    window = torch.stack([texture[:, p : p + high, 2 * p : 2 * p + wide] for p in places])
    return window.expand(cell.batch, *window.shape).clone()


def measure(subject: Subject) -> Measured:
    """Run a cell: once to warm up, then for the clock, then to count.

    Raises:
        torch.OutOfMemoryError: it does not fit.
    """
    cell, device = subject.cell, subject.device
    began = perf_counter()
    subject.run(unwatched, min(2, cell.sampler.steps))
    synchronise(device)
    first = perf_counter() - began
    recorded = subject.model.graphs is not None
    if recorded:  # what compiling took is no part of a run, nor is taking memory anew
        torch.cuda.empty_cache()
        subject.run(unwatched, min(2, cell.sampler.steps))
    runs, cpu = list[dict[str, float]](), list[float]()
    with peak_of(device, held=recorded) as peak:
        while len(runs) < 3 and sum(sum(run.values()) for run in runs) < ENOUGH_SECONDS:
            seconds, used = dict.fromkeys(STAGES, 0.0), process_time()
            subject.run(timer(seconds, device))
            cpu.append(process_time() - used)
            runs.append(seconds)
    median = sorted(runs, key=lambda run: sum(run.values()))[len(runs) // 2]
    return Measured(
        name=cell.name,
        made=cell.made,
        steps=cell.sampler.steps,
        seconds=median,
        flops=count(subject),
        peak=peak[0],
        first=first,
        cpu=sorted(cpu)[len(cpu) // 2],
    )


def count(subject: Subject) -> dict[str, int]:
    """Count a run's operations by stage; of the sampling steps two are run, the rest follows."""
    # Neither graphs nor the compiler's kernels can be looked into; they do the same.
    with _plainly(subject):
        return counted(subject.run, subject.cell.sampler.steps)


def counted(run: Run, steps: int) -> dict[str, int]:
    """Count what any model does in a window of so many steps, by stage; see ``count``."""
    one, two = (_count(run, n) for n in ((1, 2) if steps > 1 else (steps, steps)))
    each = two["denoise"] - one["denoise"]
    return {
        stage: one[stage] + (each * (steps - 1) if stage == "denoise" else 0) for stage in STAGES
    }


@contextmanager
def _plainly(subject: Subject) -> Iterator[None]:
    """Run blocks and steps as they are for a while."""
    compiled = subject.cell.way in ("compiled", "both")
    graphs, subject.model.graphs = subject.model.graphs, None
    try:
        with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
            yield
    finally:
        subject.model.graphs = graphs


def _count(run: Run, steps: int) -> Counter[str]:
    found = Counter[str]()
    for_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    @contextmanager
    def counting(stage: str) -> Iterator[None]:
        with FlopCounterMode(display=False, custom_mapping={for_cpu: _attention_on_cpu}) as mode:
            yield
        found[stage] = mode.get_total_flops()

    run(counting, steps)
    return found


def _attention_on_cpu(q: Size, k: Size, v: Size, *_: object, **__: object) -> int:
    return int(sdpa_flop_count(q, k, v))


@contextmanager
def unwatched(_stage: str) -> Iterator[None]:
    """Let a stage pass."""
    yield


def timer(seconds: dict[str, float], device: torch.device) -> Clock:
    """Add what each stage takes to its entry of ``seconds``."""

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        synchronise(device)
        began = perf_counter()
        yield
        synchronise(device)
        seconds[stage] += perf_counter() - began

    return timed


@contextmanager
def peak_of(device: torch.device, held: bool = False) -> Iterator[list[int]]:
    """Watch the memory while the context lasts; its only number is there at the end.

    Args:
        device: whose.
        held: whether on CUDA all counts that torch holds, in use or not.
    """
    found = [0]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        most = torch.cuda.max_memory_reserved if held else torch.cuda.max_memory_allocated
        found[0] = most(device)
        return
    import psutil  # late: on a GPU nobody needs it

    process, over = psutil.Process(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY):
            found[0] = max(found[0], process.memory_info().rss)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def forget(device: torch.device) -> None:
    """Give back what a cell has left behind, and what the compiler knows of it.

    It compiles a function for eight kinds of arguments at most, and runs it as it is after that.
    """
    if "torch._dynamo" in sys.modules:  # takes seconds to load
        torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
