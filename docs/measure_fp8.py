"""Measure what float8 in the linear layers of `l-t` would bring on a GPU: tables, and JSON.

Usage:
    python docs/measure_fp8.py OUTPUT.json [small] [SECONDS = 400]

Every shape that the linear layers meet (17 frames at 512x512, one given, 25 steps, random weights)
is multiplied in bfloat16 and in float8 (e4m3, ``torch._scaled_mm``) with one scale a tensor and
with one a row: the product alone, and with finding the scale of what goes in and rounding it,
compiled into as few kernels as torch finds. Calls are replayed as CUDA graphs, so that the host
does not count. Errors are those of normal numbers. Summed over the calls of a window they say what
share of planning and denoising the layers have, and so what the loop could gain at most, as it is
and with ``--compile``. What a kernel refuses is told in its line. After SECONDS no row is begun.

Nothing of it is a choice that users have; it says why. ``small`` takes `nano-vae`, to try it
without a GPU. Needs torch, numpy, OpenCV and PyAV, and of the project its folder alone.

Dimension key
    m  rows of a product    k  channels in    n  channels out
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mardini_cli.bench.cells import WAYS, Cell, Way, after_one, targets
from mardini_cli.bench.machine import ceiling, facts
from mardini_cli.bench.measuring import STAGES, Subject, forget, subject_of, timer, unwatched
from mardini_cli.config import SamplerConfig, nano_vae
from mardini_cli.device import choose_device, choose_dtype, synchronise

FLOAT8 = torch.float8_e4m3fn
LARGEST = torch.finfo(FLOAT8).max
CALLS, REPLAYS = 10, 7
"""Calls in a graph, and how often it is replayed: the median counts."""
NETWORKS = ("plan", "denoise")

Scaled = tuple[Tensor, Tensor]
"""Float8 numbers, and the scale that gives them back, float32."""


def whole_short(x: Tensor) -> Scaled:
    """Round to float8 with one scale."""
    scale = x.abs().amax().float().clamp_min(1e-12) / LARGEST
    return (x.float() / scale).to(FLOAT8), scale


def rows_short(x: Tensor) -> Scaled:
    """Round ``m k`` to float8 with a scale a row, ``m 1``."""
    scale = x.abs().amax(1, keepdim=True).float().clamp_min(1e-12) / LARGEST
    return (x.float() / scale).to(FLOAT8), scale


SHORT: dict[str, Callable[[Tensor], Scaled]] = {"tensor": whole_short, "row": rows_short}


@dataclass(kw_only=True)
class Shape:
    """A product of `l-t`, and what it takes."""

    m: int
    k: int
    n: int
    calls: int
    """In a window, all steps."""
    long: float = 0.0
    """Seconds in bfloat16."""
    product: dict[str, float] = field(default_factory=dict)
    """Seconds in float8, by scales; of the product alone."""
    whole: dict[str, float] = field(default_factory=dict)
    """Seconds with finding the scales of what goes in, and rounding it."""
    error: dict[str, float] = field(default_factory=dict)
    """Relative to float32, root mean square; "bfloat16" too."""
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Loop:
    """A window, planned and sampled, and what its linear layers take of it."""

    name: str
    seconds: float
    linear: float
    """Seconds of all linear layers in bfloat16, one after another."""
    could: dict[str, float]
    """Seconds of the loop if these were float8: by scales; "product" had scales for nothing, "best"
    takes for every shape what is quickest, bfloat16 too."""


def cell_of(small: bool) -> Cell:
    """The window whose products are measured."""
    if not small:
        return next(cell for cell in targets() if cell.name == "l-t, 17 frames, 512")
    few = SamplerConfig(steps=3)
    return Cell(name="nano-vae", config=nano_vae(), size=(64, 64), mask=after_one(5), sampler=few)


def shapes_of(subject: Subject) -> list[Shape]:
    """Every product of the linear layers in one window, most work first."""
    met = Counter[tuple[int, int, int]]()

    def meet(layer: nn.Linear, given: tuple[Tensor, ...]) -> None:
        x = given[0]
        met[x.numel() // x.shape[-1], layer.in_features, layer.out_features] += 1

    layers = [
        layer
        for network in (subject.model.planner, subject.model.denoiser)
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    hooks = [layer.register_forward_pre_hook(meet) for layer in layers]
    subject.run(unwatched)
    for hook in hooks:
        hook.remove()
    found = [Shape(m=m, k=k, n=n, calls=calls) for (m, k, n), calls in met.items()]
    return sorted(found, key=lambda s: -s.m * s.k * s.n * s.calls)


@torch.inference_mode()
def fill(shape: Shape, device: torch.device) -> None:
    """Measure a product in every way; what does not run is told."""
    rng = torch.Generator(device).manual_seed(0)
    x, w = (
        torch.randn(rows, shape.k, generator=rng, device=device, dtype=torch.bfloat16)
        for rows in (shape.m, shape.n)
    )
    true = x.float() @ w.float().T
    shape.long = paced(lambda: F.linear(x, w), device)
    shape.error["bfloat16"] = off(F.linear(x, w), true)
    for name, short in SHORT.items():
        try:
            measure_short(shape, name, short, (x, w, true))
        except Exception as error:  # noqa: BLE001 - a shape that its kernel refuses: told
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            shape.failed[name] = f"{type(error).__name__}: {first}"


def measure_short(
    shape: Shape, name: str, short: Callable[[Tensor], Scaled], numbers: tuple[Tensor, ...]
) -> None:
    """Measure a product in float8."""
    x, w, true = numbers
    weight, weight_scale = short(w)
    quickly = quick(short, x.device)

    def product(x8: Tensor, scale: Tensor) -> Tensor:
        return torch._scaled_mm(
            x8, weight.t(), scale, weight_scale.t(), out_dtype=torch.bfloat16, use_fast_accum=True
        )

    ready = short(x)
    found = product(*ready)
    shape.error[name] = off(found, true)
    shape.product[name] = paced(lambda: product(*ready), x.device)
    shape.whole[name] = paced(lambda: product(*quickly(x)), x.device)


def off(found: Tensor, true: Tensor) -> float:
    """Root of the mean square error over that of the truth."""
    return float((found.float() - true).norm() / true.norm())


def quick(short: Callable[[Tensor], Scaled], device: torch.device) -> Callable[[Tensor], Scaled]:
    """The rounding in few kernels: compiled for one shape, where there is a GPU."""
    if device.type != "cuda":
        return short
    torch.compiler.reset()  # else the shapes before it count, and torch gives up after some
    return cast(Callable[[Tensor], Scaled], torch.compile(short, dynamic=False))


def paced(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call, many in a row; on a GPU without the host."""
    for _ in range(3):
        call()
    if device.type != "cuda":
        return median(_clocked(call, device) for _ in range(REPLAYS))
    synchronise(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            call()
    graph.replay()
    return median(_clocked(graph.replay, device) for _ in range(REPLAYS)) / CALLS


def _clocked(call: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    began = perf_counter()
    call()
    synchronise(device)
    return perf_counter() - began


def loop_of(cell: Cell, shapes: Sequence[Shape], device: torch.device) -> Loop:
    """Time a window's plan and denoising, and say what shorter products would leave of it."""
    subject = subject_of(cell, device, choose_dtype("auto", device))
    subject.run(unwatched, 2)
    runs = list[float]()
    for _ in range(3):
        seconds = dict.fromkeys(STAGES, 0.0)
        subject.run(timer(seconds, device))
        runs.append(sum(seconds[stage] for stage in NETWORKS))
    linear = sum(shape.calls * shape.long for shape in shapes)
    rest = median(runs) - linear
    could = {
        name: rest + sum(s.calls * s.whole.get(name, s.long) for s in shapes) for name in SHORT
    }
    could["product"] = rest + sum(s.calls * min([s.long, *s.product.values()]) for s in shapes)
    could["best"] = rest + sum(s.calls * min([s.long, *s.whole.values()]) for s in shapes)
    return Loop(
        name=f"{cell.name}, {WAYS[cell.way]}", seconds=median(runs), linear=linear, could=could
    )


def table_of_shapes(shapes: Sequence[Shape]) -> str:
    """The products, microseconds; a ratio above 1 is a gain."""
    head = ["m x k to n", "calls", "bf16 us", "TFLOP/s"]
    for name in SHORT:
        head += [f"fp8 by {name} us", "with scaling us", "gain", "error"]
    lines = [head, ["---"] * len(head)]
    for shape in shapes:
        rate = 2 * shape.m * shape.k * shape.n / shape.long / 1e12
        line = [f"{shape.m} x {shape.k} to {shape.n}", f"{shape.calls}",
                f"{1e6 * shape.long:.1f}", f"{rate:.3g}"]  # fmt: skip
        for name in SHORT:
            if name in shape.failed:
                line += [shape.failed[name], "", "", ""]
                continue
            alone, whole = shape.product[name], shape.whole[name]
            line += [f"{1e6 * alone:.1f}", f"{1e6 * whole:.1f}",
                     f"{shape.long / alone:.2f} / {shape.long / whole:.2f}",
                     f"{shape.error[name]:.1%}"]  # fmt: skip
        lines.append(line)
    return table(lines)


def table_of_loops(loops: Sequence[Loop]) -> str:
    """What the loop could gain at most."""
    ways = (*SHORT, "product", "best")
    head = ["plan + denoise", "ms", "linear layers", *(f"if {way} ms" for way in ways)]
    lines = [head, ["---"] * len(head)]
    for loop in loops:
        line = [loop.name, f"{1e3 * loop.seconds:.1f}", f"{loop.linear / loop.seconds:.1%}"]
        for way in ways:
            line.append(f"{1e3 * loop.could[way]:.1f} ({loop.seconds / loop.could[way]:.2f})")
        lines.append(line)
    return table(lines)


def table(lines: Sequence[Sequence[str]]) -> str:
    """Rows in Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(kw_only=True)
class Found:
    """All that was measured."""

    machine: dict[str, str | int | float]
    shapes: list[Shape] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)

    def to_text(self) -> str:
        """Both tables."""
        parts = [json.dumps(self.machine), table_of_shapes(self.shapes)]
        return "\n\n".join([*parts, table_of_loops(self.loops)])


def measured(found: Found, device: torch.device, small: bool, until: float) -> Iterator[str]:
    """Measure products, then loops, and tell each as it is done."""
    cell, dtype = cell_of(small), choose_dtype("auto", device)
    for shape in shapes_of(subject_of(cell, device, dtype)):
        forget(device)
        if monotonic() > until:
            return  # a loop without all of its products would say nothing
        fill(shape, device)
        found.shapes.append(shape)
        yield table_of_shapes([shape])
    ways: tuple[Way, ...] = ("kept", "both") if device.type == "cuda" else ("kept",)
    for way in ways:
        if monotonic() > until:
            return
        found.loops.append(loop_of(replace(cell, way=way), found.shapes, device))
        forget(device)
        yield table_of_loops(found.loops[-1:])


def main(words: list[str]) -> None:
    """Measure; tell every row as it is done, and write the files after each."""
    output, small = Path(words[0]), "small" in words[1:]
    seconds = next((float(word) for word in words[1:] if word.isdecimal()), 400.0)
    until, device = monotonic() + seconds, choose_device()
    dtype = choose_dtype("auto", device)
    found = Found(machine=facts(device, dtype) | {"ceiling": ceiling(device, dtype)})
    for row in measured(found, device, small, until):
        print(row.splitlines()[-1], flush=True)
        output.write_text(json.dumps(asdict(found), indent=1) + "\n")
        output.with_suffix(".md").write_text(found.to_text() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
