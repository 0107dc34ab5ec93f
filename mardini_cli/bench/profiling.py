"""Where the time of a cell goes: kernels (or operators on a CPU), by kind.

Room: bench.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from mardini_cli.bench.measuring import Subject, unwatched

KINDS = (
    ("layout", ("nchwto", "nhwcto", "nchw2", "nhwc2", "reorder")),
    ("attention", ("flash", "fmha", "attention", "sdp", "softmax")),
    ("convolution", ("conv", "wgrad", "implicit", "winograd", "dgrad", "xmma_fprop")),
    (
        "matrix product",
        ("gemm", "nvjet", "cutlass", "matmul", "addmm", "aten::mm", "bmm", "linear"),
    ),
    ("norm", ("norm",)),
    ("warp and resize", ("grid_sampl", "upsample", "im2col", "pool", "pad")),
    ("copy", ("memcpy", "copy", "cat", "index", "gather", "memset", "fill", "clone", "contiguous")),
    ("triton", ("triton",)),
    (
        "pointwise",
        (
            "elementwise",
            "vectorized",
            "unrolled",
            "mul",
            "add",
            "sub",
            "div",
            "gelu",
            "silu",
            "leaky",
            "sigmoid",
            "where",
            "clamp",
            "reduce",
            "mean",
            "sum",
        ),
    ),
)
"""A kind, and what the names of its kernels hold; the first that fits counts."""
LISTED = 25


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """One run of a cell, taken apart."""

    name: str
    kinds: dict[str, float]
    """Seconds by kind, largest first."""
    kernels: list[tuple[str, float, int]]
    """The costliest: name, seconds, calls."""


def profiled(subject: Subject, steps: int = 3) -> Profile:
    """Run a cell with a few sampling steps under the profiler, and sort what ran."""
    steps = min(steps, subject.cell.sampler.steps)
    name = f"{subject.cell.name}, {steps} of its steps"
    return taken_apart(name, lambda: subject.run(unwatched, steps), subject.device)


def taken_apart(name: str, run: Callable[[], object], device: torch.device) -> Profile:
    """Run something under the profiler, and sort what ran."""
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as found:
        run()
    seconds, calls = defaultdict[str, float](float), Counter[str]()
    for event in found.key_averages():
        spent = event.self_device_time_total if cuda else event.self_cpu_time_total
        if cuda and event.device_type.name != "CUDA":
            continue  # what the host did while it handed work over
        seconds[event.key] += spent / 1e6
        calls[event.key] += event.count
    kinds = defaultdict[str, float](float)
    for key, spent in seconds.items():
        kinds[kind_of(key)] += spent
    return Profile(
        name=name,
        kinds=dict(_most(kinds)),
        kernels=[(key, spent, calls[key]) for key, spent in _most(seconds)[:LISTED]],
    )


def kind_of(name: str) -> str:
    """Sort a kernel or operator by its name."""
    small = name.lower()
    return next((kind for kind, parts in KINDS if any(p in small for p in parts)), "other")


def _most(seconds: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(seconds.items(), key=lambda item: -item[1])
