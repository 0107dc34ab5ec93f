"""Measure what training costs on one GPU or several: tables, and JSON in a file.

Usage:
    python docs/measure_training.py OUTPUT.json [SUITE ...] [SECONDS = 240]
        [--data DIR] [--photos DIR] [--only NAME] [--small]
    torchrun --nproc-per-node 2 docs/measure_training.py OUTPUT.json [SECONDS = 90] [--only NAME]

Suites: steps, profile, loader, identity, compiled; all, in this order, by default. Under torchrun:
scaling alone. loader and identity need --data, a folder of clips; loader takes --photos too;
identity needs weights/mardini-tiny in the working folder. --only takes the cells whose names hold
its word, "l-t" for instance. After SECONDS no cell is begun; each suite has its share of them. What
does not fit in memory, or fails, is told in its line, and the rest goes on. --small, which is so
without a GPU, takes tiny sizes: a trial of the script, not a measurement. Weights are random: their
values change no time. Needs torch, numpy, OpenCV, PyAV and safetensors, and of the project its
folder alone, on PYTHONPATH.

Operations are those of the step there and back, counted once (``training.cost``): what
``recompute`` works out again is not counted, so it lowers the share of the ceiling. The ceiling is
the fastest matrix product of this device, measured on the spot.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, Literal

import torch
from torch import Tensor
from torch import distributed as dist

from mardini_cli import weights
from mardini_cli.bench.machine import ceiling, facts
from mardini_cli.bench.measuring import forget, peak_of
from mardini_cli.bench.profiling import Profile, taken_apart
from mardini_cli.config import ModelConfig, preset
from mardini_cli.device import choose_device, choose_dtype, cores, synchronise
from mardini_cli.model.mardini import MarDini
from mardini_cli.training import cost, crew
from mardini_cli.training.batches import Batch
from mardini_cli.training.blocks import run_as, share_out
from mardini_cli.training.crew import Chance, Crew
from mardini_cli.training.movers import Movers
from mardini_cli.training.objectives import KINDS, Step
from mardini_cli.training.recipes import paper_stages, tiny_stages
from mardini_cli.training.seen import Seen, see
from mardini_cli.training.stages import StageConfig, TrainConfig
from mardini_cli.training.starting import claim, device_name
from mardini_cli.training.stepping import Stepper, autocast
from mardini_cli.training.supply import Supply

SHARES = {"steps": 0.38, "profile": 0.05, "loader": 0.15, "identity": 0.30, "compiled": 0.12}
"""Of the seconds, for each suite."""
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 28, 32, 48, 64, 96)
"""Windows that are tried."""
LARGEST_STEP = 5e14
"""Operations of a step at most: enough to fill a GPU, and over in seconds."""
ROOM = 0.9
"""Of a GPU's memory, what a step may take by the count."""
TIMED = 2.0
"""Seconds that a cell is timed, three steps at the least."""
GIB = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A step that is measured."""

    name: str
    sizes: ModelConfig
    stage: StageConfig
    given: tuple[int, ...]
    """Slots that are given; the others are made."""
    most: int = 96
    """Windows of one process at most."""
    pixels: bool = False
    """Whether the autoencoder works too; else what it says is there already."""
    recompute: bool = False
    compile: bool = False
    moves: bool = True
    """Whether weights move; else the step is gone there and back, and no moments are kept."""
    way: str = "alone"
    """One process by itself, or all with whole networks, or all with parts: alone, whole, parts."""

    @property
    def work(self) -> "Cell":
        """The same work, however it is done: all that is counted depends on it."""
        return replace(
            self, name="", most=1, recompute=False, compile=False, moves=True, way="alone"
        )

    @property
    def mask(self) -> Tensor:
        """Slots of a window, True = to be made."""
        mask = torch.ones(self.stage.slots, dtype=torch.bool)
        mask[list(self.given)] = False
        return mask


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What a cell took."""

    name: str
    way: str = "alone"
    windows: int = 0
    """Of all processes that work together."""
    step: float = 0.0
    """Seconds, median."""
    windows_rate: float = 0.0
    """Windows a second."""
    frames_rate: float = 0.0
    """Made frames a second."""
    flops: float = 0.0
    """Operations a second of one process."""
    share: float = 0.0
    """Of the ceiling."""
    peak: int = 0
    """Bytes."""
    first: float = 0.0
    """Seconds of the first step, which chooses kernels and compiles."""
    failed: str = ""

    @property
    def line(self) -> list[str]:
        """A row of the table."""
        if self.failed:
            return [self.name, self.way, self.failed, *[""] * 6]
        return [
            self.name,
            self.way,
            str(self.windows),
            f"{1e3 * self.step:.1f}",
            f"{self.windows_rate:.2f}",
            f"{self.frames_rate:.1f}",
            f"{self.flops / 1e12:.3g}",
            f"{self.share:.1%}",
            f"{self.peak / GIB:.2f}",
        ]


HEAD = [
    "cell", "way", "windows a step", "step ms", "windows/s", "made frames/s", "TFLOP/s a process",
    "of ceiling", "peak GiB",
]  # fmt: skip


@dataclass(kw_only=True, slots=True)
class Found:
    """All that was measured."""

    machine: dict[str, Any]
    ceiling: float
    rows: list[Row] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Step and mean loss since the row before, by reading."""
    notes: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Keep a line, and tell it."""
        self.notes.append(line)
        print(line, flush=True)

    def text(self) -> str:
        """Tables in Markdown."""
        machine = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        parts = [f"{machine}\n\nfastest matrix product: {self.ceiling / 1e12:.2f} TFLOP/s\n"]
        if self.rows:
            parts.append(table([HEAD, *(row.line for row in self.rows)]))
        for one in self.profiles:
            total = sum(one.kinds.values()) or 1.0
            rows = [[kind, f"{1e3 * s:.2f}", f"{s / total:.1%}"] for kind, s in one.kinds.items()]
            rows += [
                [f"`{name[:80]}` x {calls}", f"{1e3 * s:.2f}", f"{s / total:.1%}"]
                for name, s, calls in one.kernels[:12]
            ]
            parts.append(f"{one.name}\n\n{table([['kind', 'ms', 'share'], *rows])}")
        if self.curves:
            names = list(self.curves)
            columns = [dict(self.curves[name]) for name in names]
            rows = [
                [str(step), *(f"{c[step]:.4f}" if step in c else "" for c in columns)]
                for step in sorted({step for column in columns for step in column})
            ]
            parts.append(table([["step", *names], *rows]))
        return "\n".join([*parts, *self.notes]) + "\n"


def table(rows: list[list[str]]) -> str:
    """A table in Markdown; the first row is its head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def step_cells(*, small: bool) -> list[Cell]:
    """The cells of one process, the largest model first: what is not reached is the least loss."""
    guided, joint, still, large = named_cells(small=small)
    moving = replace(large, moves=True, name=large.name.removesuffix(STILL))
    return [
        again(large),
        large,
        moving,
        again(moving),
        still,
        again(still),
        guided,
        joint,
        again(joint),
        replace(joint, pixels=True, name=f"{joint.name}, from pixels"),
        replace(joint, most=4 * joint.most, name=f"{joint.name}, more windows"),
        replace(large, pixels=True, name=f"{large.name}, from pixels through the VAE"),
    ]


def again(cell: Cell) -> Cell:
    """The same, its blocks worked out again on the way back."""
    return replace(cell, recompute=True, name=f"{cell.name}, recompute")


def compiled_cells(*, small: bool) -> list[Cell]:
    """Cells whose blocks are compiled, which takes long the first time."""
    _, joint, _, large = named_cells(small=small)
    cells = (large, again(large), joint)
    return [replace(one, compile=True, name=f"{one.name}, compiled") for one in cells]


STILL = ", there and back"


def named_cells(*, small: bool) -> tuple[Cell, Cell, Cell, Cell]:
    """Guided and joint stage of the small model, and J-T1 and J-T3 of the paper's."""
    _, wide, _, joint, _ = tiny_stages()
    names = ("nano", "nano-vae", "nano-vae") if small else ("tiny", "s-st", "l-t")
    tiny, medium, large = map(preset, names)
    if small:
        large = replace(large, window=17, denoiser=replace(large.denoiser, attention="t"))
    paper = {stage.name: stage for stage in paper_stages(replace(large, window=17))}
    side = 64 if small else 512
    first, third = (replace(paper[name], side=side, steps=10**6) for name in ("J-T1", "J-T3"))
    shown = 64 if small else 256
    wide, joint = (replace(one, steps=10**6, side=shown) for one in (wide, joint))
    # Of the recipe's windows three made frames are decoded, the others are left out.
    wide = replace(wide, slots=5)
    most, wider = (2, 4) if small else (28, 96)
    return (
        Cell(
            name=f"{names[0]} guided", sizes=tiny, stage=wide, given=(0, 4), most=most, pixels=True
        ),
        Cell(name=f"{names[0]} joint", sizes=tiny, stage=joint, given=(0, 8), most=min(most, 24)),
        Cell(
            name=f"{names[1]}, 9 frames, {side}", sizes=medium, stage=first, given=(0, 4, 8),
            most=wider,
        ),
        Cell(
            name=f"{names[2]}, 17 frames, {side}{STILL}", sizes=large, stage=third,
            given=(0, 8, 16), most=wider, moves=False,
        ),
    )  # fmt: skip


class Subject:
    """A cell that stands ready.

    Args:
        cell: what is measured.
        windows: of each process.
        device: where.
        crew: the processes that work together.
    """

    def __init__(self, cell: Cell, windows: int, device: torch.device, crew: Crew) -> None:
        self.cell, self.device, self.crew = cell, device, crew
        torch.manual_seed(0)
        with torch.device(device):
            model = MarDini(cell.sizes)
        run_as(model, TrainConfig(recompute=cell.recompute, compile=cell.compile))
        if cell.way == "parts":
            share_out(model, crew, device)
        self.objective = KINDS[cell.stage.kind](model, cell.stage)
        self.objective.train()
        self.batch = material(shapes(cell), windows * crew.world, device)
        self.done = 0
        self.stepper: Stepper | None = None
        if cell.moves:
            movers = Movers(self.objective, cell.stage)
            self.stepper = Stepper(self.objective, movers, crew, seed=0, spike=0.0)

    def step(self) -> None:
        """Take a step; it is on its way when this comes back."""
        self.done += 1
        if self.stepper is not None:
            self.stepper(self.batch, self.done, 0.1, 1e-5)
            return
        mine = self.batch.share(self.crew.rank, self.crew.world)
        with autocast(self.device):
            asked = self.objective.ask(Step(mine, Chance(0, self.device, self.crew)))
        asked.total.backward()
        moving = [p for p in self.objective.parameters() if p.requires_grad]
        self.crew.meet(moving)
        for parameter in moving:
            parameter.grad = None


def shapes(cell: Cell) -> Batch | Seen:
    """One window of a cell that has shapes alone."""
    with cost.META:
        model = MarDini(cell.sizes)
    if cell.pixels:
        return cost.window_of(cell.stage, cell.mask)
    return cost.seen_of(model, cell.stage, cell.mask)


def material(window: Batch | Seen, count: int, device: torch.device) -> Batch | Seen:
    """So many windows of random numbers on the device, in the shapes of one."""
    rng = torch.Generator(device).manual_seed(0)

    def filled(x: Tensor) -> Tensor:
        shape = (count * len(x), *x.shape[1:])
        if not x.is_meta:  # mask and times
            return x.expand(shape).contiguous().to(device)
        return torch.rand(shape, generator=rng, device=device)

    return window._each(filled)


def counted(cell: Cell) -> tuple[cost.Counted, int, int]:
    """Count a window: its operations, what is kept; and the weights that move, and that rest."""
    return _counted(cell.work)


@cache
def _counted(cell: Cell) -> tuple[cost.Counted, int, int]:
    with cost.META:
        model = MarDini(cell.sizes)
    found = cost.count(model, cell.stage, shapes(cell))
    with cost.META:
        objective = KINDS[cell.stage.kind](model, cell.stage)
    moving = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    return found, moving, sum(p.numel() for p in objective.parameters()) - moving


def fitting(cell: Cell, device: torch.device, world: int) -> int:
    """Windows of a process that fit, by the count; 0 where the weights alone are too many."""
    found, _, _ = counted(cell)
    most = [n for n in COUNTS if n <= cell.most and n * found.flops <= LARGEST_STEP] or [1]
    if device.type != "cuda":
        return most[-1]
    window = found.kept.bytes(recompute=cell.recompute) / 2  # in bfloat16 it takes less than this
    room = ROOM * torch.cuda.get_device_properties(device).total_memory - state_of(cell, world)
    return max((n for n in most if n * window <= room), default=0)


def state_of(cell: Cell, world: int) -> int:
    """Bytes of what a process holds beside its windows, as ``training.cost`` counts them."""
    _, moving, still = counted(cell)
    shards = world if cell.way == "parts" else 1
    of_each = 5 if cell.moves else 2
    return 4 * of_each * moving // shards + 4 * still + 2 * (moving + still)


def measured(cell: Cell, device: torch.device, crew: Crew, best: float) -> Row:
    """Measure a cell; what fails is told in the row."""
    windows = fitting(cell, device, crew.world)
    failed = f"does not fit beside {state_of(cell, crew.world) / GIB:.0f} GiB of state"
    while windows:
        try:
            return timed(cell, windows, device, crew, best)
        except torch.OutOfMemoryError:
            failed = f"{windows} windows: out of memory"
        except Exception as error:  # noqa: BLE001 - told; the other numbers stand without it
            failed = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}"
            break
        finally:
            forget(device)
        # Processes that meet must not try apart.
        windows = max((n for n in COUNTS if n < windows), default=0) if crew.world == 1 else 0
    return Row(name=cell.name, way=cell.way, failed=failed)


def timed(cell: Cell, windows: int, device: torch.device, crew: Crew, best: float) -> Row:
    """Build a cell, warm it up, and time it.

    Raises:
        torch.OutOfMemoryError: it does not fit.
    """
    subject = Subject(cell, windows, device, crew)
    began = perf_counter()
    subject.step()
    synchronise(device)
    first = perf_counter() - began
    subject.step()
    synchronise(device)
    times = list[float]()
    with peak_of(device) as peak:
        while len(times) < 3 or sum(times) < (0.3 if SMALL else TIMED):
            began = perf_counter()
            subject.step()
            synchronise(device)
            times.append(crew.agree(perf_counter() - began, device))
    step = sorted(times)[len(times) // 2]
    found, _, _ = counted(cell)
    rate, together = windows * found.flops / step, windows * crew.world
    return Row(
        name=cell.name,
        way=cell.way,
        windows=together,
        step=step,
        windows_rate=together / step,
        frames_rate=together * int(cell.mask.sum()) / step,
        flops=rate,
        share=rate / best,
        peak=peak[0],
        first=first,
    )


def steps(found: Found, device: torch.device, words: argparse.Namespace, until: float) -> None:
    """Steps of one process."""
    del words
    one_by_one(found, step_cells(small=SMALL), device, until)


def compiled(found: Found, device: torch.device, words: argparse.Namespace, until: float) -> None:
    """Steps of one process, their blocks compiled."""
    del words
    one_by_one(found, compiled_cells(small=SMALL), device, until)


def one_by_one(found: Found, cells: list[Cell], device: torch.device, until: float) -> None:
    """Measure cells by one process until the time is over."""
    for cell in (cell for cell in cells if ONLY in cell.name):
        if monotonic() > until:
            found.note(f"{cell.name}: not reached")
            continue
        told(found, measured(cell, device, Crew(), found.ceiling))


SMALL, ONLY = False, ""


def told(found: Found, row: Row) -> None:
    """Keep a row, and tell it."""
    found.rows.append(row)
    print(" | ".join(row.line), flush=True)


def profile(found: Found, device: torch.device, words: argparse.Namespace, until: float) -> None:
    """Take a step of the largest model apart."""
    del words, until
    *_, cell = named_cells(small=SMALL)
    windows = max(1, fitting(cell, device, 1) // 2)
    subject = Subject(cell, windows, device, Crew())
    for _ in range(2):
        subject.step()
    synchronise(device)

    def run() -> None:
        subject.step()
        synchronise(device)

    found.profiles.append(taken_apart(f"{cell.name}, {windows} windows", run, device))


def loader(found: Found, device: torch.device, words: argparse.Namespace, until: float) -> None:
    """Batches with real decoding, alone and beside the steps that they feed."""
    if not words.data:
        found.note("loader: no --data")
        return
    _, cell, *_ = named_cells(small=SMALL)
    stage = replace(cell.stage, batch=4 if SMALL else 24, steps=100_000)
    workers = max(1, cores() - 1)
    plain = TrainConfig(
        preset=cell.sizes.preset,
        data=(words.data,),
        photos=(words.photos,) if words.photos else (),
        stages=(stage,),
        workers=workers,
        short=96 if SMALL else 288,
    )
    both: list[Literal["workers", "device"]] = ["workers", "device"]
    streamed: list[Literal["no", "yes"]] = ["no", "yes"]
    loaded: dict[str, Supply] = {}
    cells = [(stream, place) for stream in streamed for place in both[: 1 + bool(words.photos)]]
    for number, (stream, place) in enumerate(cells):
        left = (until - monotonic()) / (len(cells) - number)
        if left < 1:
            found.note(f"loader: {stream}, {place}: not reached")
            continue
        config = replace(plain, stream=stream, photos_on=place)
        if stream not in loaded:
            began = perf_counter()
            supply = Supply(config, device)
            supply.load((stage,))
            frames = sum(len(clip.frames) for clip in supply.clips)
            what = f"{len(supply.clips)} clips, {frames} frames" if frames else "clips left on disk"
            found.note(f"loader: {what}: {perf_counter() - began:.2f} s before the first batch")
            loaded[stream] = supply
        supply = loaded[stream]
        supply.config = config
        model = model_of(cell.sizes, device)
        name = f"loader: clips {'streamed' if stream == 'yes' else 'in memory'}, photos on {place}"
        alone = fed(supply, model, device, left / 3, learns=False)
        fed_on = fed(supply, model, device, left / 3, learns=True)
        found.note(
            f"{name}: {workers} workers, batches of {stage.batch}: {alone:.2f} batches/s alone, "
            f"{fed_on:.2f} steps/s with the steps that they feed"
        )
        forget(device)


def model_of(sizes: ModelConfig, device: torch.device) -> MarDini:
    """A model with random weights, the same every time."""
    torch.manual_seed(0)
    with torch.device(device):
        return MarDini(sizes)


def fed(
    supply: Supply, model: MarDini, device: torch.device, seconds: float, *, learns: bool
) -> float:
    """Batches a second, made ready on the device; with ``learns`` each is learnt from."""
    (stage,), workers = supply.config.stages, supply.config.workers
    objective = KINDS[stage.kind](model, stage)
    stepper = Stepper(objective, Movers(objective, stage), Crew(), seed=0, spike=0.0)
    stepper.ready = ready = supply.ready(stage)
    began, warm, until = perf_counter(), 0, perf_counter() + seconds
    for number, batch in enumerate(supply.train(stage, model).run(0, workers, device)):
        if learns:
            stepper(batch, number, 0.1, 1e-5)
        elif isinstance(batch, Batch):
            ready(batch)
        if not warm:
            # Every worker begins with one of its own: they come at once, and say nothing.
            synchronise(device)
            if number + 1 >= workers or perf_counter() > until:
                began, warm = perf_counter(), number + 1
                until = began + seconds
        elif perf_counter() > until:
            synchronise(device)
            return (number + 1 - warm) / (perf_counter() - began)
    raise AssertionError("a stage without an end")


def identity(found: Found, device: torch.device, words: argparse.Namespace, until: float) -> None:
    """Loss of the joint stage, planner and denoiser from nothing, by what given frames ask."""
    if not words.data:
        found.note("identity: no --data")
        return
    _, cell, *_ = named_cells(small=SMALL)
    batch = 4 if SMALL else 24
    stage = replace(cell.stage, batch=batch, photos=0.0, steps=100_000)
    stage = replace(stage, warmup=10) if SMALL else stage
    known = weights.load("weights/mardini-tiny", device, torch.float32)
    # The decoder's ear for the planner is of the planner's width, and no latent depends on it.
    state = known.autoencoder.state_dict()
    state = {name: value for name, value in state.items() if not name.startswith("planned")}
    small = preset("nano")
    sizes = replace(known.config, planner=small.planner, denoiser=small.denoiser)
    sizes = sizes if SMALL else known.config
    config = TrainConfig(
        data=(words.data,), stages=(stage,), stream="no", short=96 if SMALL else 288,
        workers=max(1, cores() - 1),
    )  # fmt: skip
    supply = Supply(config, device)
    supply.load((stage,))
    whole = until - monotonic()
    batches = list[Seen]()
    for one in supply.drawn(stage).run(0, config.workers, device):
        with autocast(device):
            batches.append(see(known, one.to(device), stage.kind).to(device))
        if monotonic() > until - 0.8 * whole or len(batches) == 400:
            break
    kinds: list[tuple[str, Literal["token", "frame", "off"]]] = [
        ("on: a given token asks itself", "token"),
        ("on: a given token asks its frame", "frame"),
        ("off: a given token asks all", "off"),
    ]
    most, seconds = 0, 0.2 * whole
    for name, reading in kinds:
        model = model_of(replace(sizes, identity=reading), device)
        model.autoencoder.load_state_dict(state, strict=False)
        rows = learnt(model, stage, batches, (most, seconds))
        found.curves[name] = rows
        most = most or rows[-1][0]
        seconds = 0.3 * whole  # the others take as many steps, each of them longer
        found.note(
            f"identity: {name}: loss {rows[0][1]:.4f} over the first {rows[0][0]} steps, "
            f"{rows[-1][1]:.4f} at step {rows[-1][0]}; {len(batches)} batches of {batch} windows"
        )
        forget(device)


def learnt(
    model: MarDini,
    stage: StageConfig,
    batches: list[Seen],
    limits: tuple[int, float],
) -> list[tuple[int, float]]:
    """Train for so many steps (0: as many as fit), and seconds: step and mean loss since the last.

    The batches come again when all have been seen, with other noise.
    """
    most, seconds = limits
    objective = KINDS[stage.kind](model, stage)
    objective.train()
    stepper = Stepper(objective, Movers(objective, stage), Crew(), seed=0, spike=0.0)
    every = 5 if SMALL else 25
    until, rows, losses = monotonic() + seconds, list[tuple[int, float]](), list[Tensor]()
    step = 0
    while not rows or (monotonic() < until and step != most):
        rate = stage.rate * min(1.0, (step + 1) / stage.warmup)
        stepper(batches[step % len(batches)], step, step / stage.steps, rate)
        losses.append(stepper.figures["v"])
        step += 1
        if step % every == 0:
            rows.append((step, float(torch.stack(losses).mean())))
            losses = []
    return rows


def scaling(
    found: Found, device: torch.device, processes: Crew, output: Path, until: float
) -> None:
    """Steps of several processes beside the same step of each by itself.

    What one process cannot hold is told in its row before it is tried: one that fails alone leaves
    the others waiting, for as long as ``main`` lets them.
    """
    _, joint, _, large = named_cells(small=SMALL)
    moving = replace(large, moves=True, name=large.name.removesuffix(STILL))
    ways = ("alone", "whole", "parts")
    cells = [
        joint,
        again(large),
        again(moving),
        large,
    ]
    for cell in cells:
        if ONLY not in cell.name:
            continue
        # The same windows a process, whatever the way, so that the same work is compared.
        fits = {way: fitting(replace(cell, way=way), device, processes.world) for way in ways}
        most = min((n for n in fits.values() if n), default=0)
        by_way = dict[str, Row]()
        for way in ways:
            if processes.agree(float(monotonic() > until), device):
                continue
            one = replace(cell, way=way, most=min(cell.most, most) if fits[way] else cell.most)
            row = measured(one, device, Crew() if way == "alone" else processes, found.ceiling)
            failed = processes.agree(float(bool(row.failed)), device)
            by_way[way] = replace(
                row,
                step=processes.agree(row.step, device),
                peak=int(processes.agree(row.peak, device)),
                failed=row.failed or ("failed in another process" if failed else ""),
            )
            if processes.rank == 0:
                told(found, by_way[way])
                write(output, found)
        compared(found, cell.name, by_way)


def compared(found: Found, name: str, rows: dict[str, Row]) -> None:
    """Tell which share of the step alone remains to the processes together."""
    alone = rows.get("alone")
    for way in ("whole", "parts"):
        row = rows.get(way)
        if alone is None or row is None or alone.failed or row.failed:
            continue
        found.notes.append(
            f"scaling, {name}, {way}: {alone.step / row.step:.1%} of {row.windows} windows "
            f"in the time of a process alone ({1e3 * alone.step:.1f} and {1e3 * row.step:.1f} ms)"
        )


@contextmanager
def saving(output: Path, found: Found, name: str) -> Iterator[None]:
    """Write what there is after a suite, whatever happened in it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - told; the other numbers stand without it
        found.note(f"{name}: {type(error).__name__}: {error}")
    finally:
        write(output, found)


def write(output: Path, found: Found) -> None:
    """Write the tables and the numbers."""
    output.write_text(json.dumps(asdict(found), indent=1) + "\n")
    output.with_suffix(".md").write_text(found.text())


def parsed(words: list[str]) -> argparse.Namespace:
    """What the words ask for."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--data", default="")
    parser.add_argument("--photos", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_intermixed_args(words)
    asked.suites = [word for word in asked.rest if word in SHARES] or list(SHARES)
    asked.seconds = next((float(word) for word in asked.rest if word.isdecimal()), 0.0)
    return asked


def main(words: list[str]) -> None:
    """Measure; tell every cell as it is done, write the files after each suite."""
    global SMALL, ONLY
    asked, began = parsed(words), monotonic()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = choose_device(device_name("auto", world))
    claim(device)
    ONLY = asked.only
    SMALL = asked.small or device.type != "cuda"
    torch.backends.cudnn.benchmark = True  # as a run does
    dtype = choose_dtype("auto", device) if device.type == "cuda" else torch.float32
    if world > 1:
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(seconds=90))
    processes = crew.join()
    best = ceiling(device, dtype)
    found = Found(machine=facts(device, dtype) | {"processes": world}, ceiling=best)
    if processes.rank == 0:
        print(json.dumps(found.machine), f"{best / 1e12:.2f} TFLOP/s", flush=True)
    if world > 1:
        try:
            scaling(found, device, processes, asked.output, began + (asked.seconds or 90.0))
        finally:
            if processes.rank == 0:
                write(asked.output, found)
                print(found.text(), flush=True)
            crew.leave()
        return
    seconds = asked.seconds or 240.0
    shares = {name: SHARES[name] for name in asked.suites}
    until = began
    for name in asked.suites:
        until = max(until, monotonic()) + seconds * shares[name] / sum(shares.values())
        with saving(asked.output, found, name):
            SUITE[name](found, device, asked, min(until, began + seconds))
        forget(device)
    print(found.text(), flush=True)


SUITE = {
    "steps": steps,
    "profile": profile,
    "loader": loader,
    "identity": identity,
    "compiled": compiled,
}

if __name__ == "__main__":
    main(sys.argv[1:])
