"""Measure what shorter numbers in the linear layers would bring on a CPU: a table, and JSON.

Usage:
    python docs/measure_numbers.py OUTPUT.json [x2] [x4] [animate] [small] [SECONDS = 1800]

`mardini-tiny`, the shipped weights, makes frames of `examples/cat.mp4` that were hidden from it, in
one thread: by 2 and by 4, with 0, 1 and 8 steps, and from one picture, with 8 steps and guidance,
where most is left to the networks; all of these by default. The linear layers of planner's and
denoiser's blocks compute in 8 bits (weights once, channel by channel; what goes through them anew
in every call: torch's own dynamic quantisation), all else in float32 or in bfloat16, beside either
alone. Told are decibels against the hidden frames, decibels that the change costs, and processor
time by turns. One more line, whose numbers are rounded to float8 by rows and worked on in float32,
tells quality alone. After SECONDS no row is begun. ``small`` takes one window, and no more than one
step.

Nothing of it is a choice that users have; it says why. Needs torch, numpy, OpenCV, PyAV and
safetensors, and of the project its folder alone.
"""

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, process_time

import av
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mardini_cli import weights
from mardini_cli.bench.cells import Cell, after_one, between
from mardini_cli.bench.machine import facts
from mardini_cli.bench.measuring import STAGES, Subject, unwatched
from mardini_cli.config import SamplerConfig
from mardini_cli.device import choose_dtype, use_threads
from mardini_cli.evaluation.metrics import psnr
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline.settling import settle

CLIP = Path(__file__).parents[1] / "examples" / "cat.mp4"
CPU = torch.device("cpu")
SLOTS = 9
WINDOWS = 3
MASKS = {"x2": between(2, SLOTS), "x4": between(4, SLOTS), "animate": after_one(SLOTS)}
CELLS = (
    ("x2", SamplerConfig(steps=0)),
    ("x4", SamplerConfig(steps=0)),
    ("x2", SamplerConfig(steps=1)),
    ("x4", SamplerConfig(steps=1)),
    ("x2", SamplerConfig(steps=8)),
    ("x4", SamplerConfig(steps=8)),
    ("animate", SamplerConfig(steps=8, guidance=2.5)),
)
"""As the commands do it by default, but for the steps."""
NETWORKS = ("plan", "denoise")
FLOAT8 = torch.float8_e4m3fn


class Int8Linear(nn.Module):
    """A linear layer in 8 bits: what torch's dynamic quantisation makes of one."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        scale = layer.weight.detach().abs().amax(1).clamp_min(1e-12) / 127
        with warnings.catch_warnings():  # that all of it is to go: one more thing to know of it
            warnings.simplefilter("ignore", UserWarning)
            short = torch.quantize_per_channel(
                layer.weight.detach(), scale, torch.zeros(len(scale), dtype=torch.long), 0,
                torch.qint8,
            )  # fmt: skip
            self.packed = torch.ops.quantized.linear_prepack(short, layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``... k`` to ``... n``, in the number type that a linear layer would answer in."""
        own = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        rows = x.float().reshape(-1, x.shape[-1])  # the null signal is one row, without a batch
        mapped: Tensor = torch.ops.quantized.linear_dynamic(rows, self.packed)
        return mapped.to(own).unflatten(0, x.shape[:-1]) if x.dim() > 1 else mapped[0].to(own)


class RoundedLinear(nn.Module):
    """A linear layer whose weights and inputs have been float8, each row with a scale."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = rounded(layer.weight.detach()), layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map ``... k`` to ``... n``."""
        return F.linear(rounded(x), self.weight, self.bias)


def rounded(x: Tensor) -> Tensor:
    """What float8 with a scale for each row leaves of ``... k``."""
    scale = x.abs().amax(-1, keepdim=True).clamp_min(1e-12) / torch.finfo(FLOAT8).max
    return (x / scale).to(FLOAT8).float() * scale


@dataclass(frozen=True)
class Numbers:
    """How a model computes."""

    name: str
    dtype: torch.dtype
    layer: Callable[[nn.Linear], nn.Module] | None = None
    """What stands for the blocks' linear layers."""
    timed: bool = True


NUMBERS = (
    Numbers("float32", torch.float32),
    Numbers("bfloat16", torch.bfloat16),
    Numbers("int8, float32", torch.float32, Int8Linear),
    Numbers("int8, bfloat16", torch.bfloat16, Int8Linear),
    Numbers("float8, rounded", torch.float32, RoundedLinear, timed=False),
)


def replaced(model: MarDini, numbers: Numbers) -> MarDini:
    """The model, or a copy whose blocks have other linear layers."""
    if numbers.layer is None:
        return model
    model = deepcopy(model)
    for network in (model.planner, model.denoiser):
        for name, layer in list(network.blocks.named_modules()):
            if isinstance(layer, nn.Linear):
                network.blocks.set_submodule(name, numbers.layer(layer))
    return model


@dataclass(kw_only=True)
class Made:
    """What a model's numbers came to over all windows of a cell."""

    cell: str
    numbers: str
    psnr: float = 0.0
    """Against the frames that were hidden, dB."""
    like: float = 0.0
    """Against those that float32 made, dB."""
    cost: float = 0.0
    """Decibels against the hidden frames that float32 has more."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Processor time of a made frame by stage; none where speed is not the point."""


def measured(asked: Sequence[str], small: bool, until: float) -> Iterator[list[Made]]:
    """Yield the rows of one cell after another."""
    model = settle(weights.load("mardini-tiny", CPU, torch.float32), torch.float32)
    models = {numbers: replaced(model, numbers) for numbers in NUMBERS}
    frames = clip()
    starts = torch.linspace(0, len(frames) - SLOTS, 1 if small else WINDOWS).long().tolist()
    windows = [frames[start : start + SLOTS] for start in starts]
    for task, sampler in CELLS:
        if monotonic() > until:
            return
        if task not in asked or (small and sampler.steps > 1):
            continue
        cell = Cell(
            name=f"{task}, {sampler.steps} steps",
            config=model.config,
            size=(frames.shape[2], frames.shape[3]),
            mask=MASKS[task],
            sampler=sampler,
        )
        yield made(cell, models, windows)


def clip() -> Tensor:
    """Frames of the example, ``f 3 h w`` in [0, 1]."""
    with av.open(str(CLIP)) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    return torch.stack([torch.from_numpy(picture) for picture in pictures]).movedim(-1, 1) / 255


def made(cell: Cell, models: dict[Numbers, MarDini], windows: Sequence[Tensor]) -> list[Made]:
    """Make every window by every model in turn, so that a busy moment meets them all."""
    rows = {n: Made(cell=cell.name, numbers=n.name) for n in models}
    mask = torch.tensor(cell.mask)
    for window in windows:
        first = None
        for numbers, model in models.items():
            subject = Subject(cell, model, numbers.dtype, window[~mask].unsqueeze(0))
            subject.run(unwatched, min(1, cell.sampler.steps))
            seconds = dict.fromkeys(STAGES, 0.0)
            found = subject.run(partial(worked, seconds)).float().clamp(0, 1)[0]
            first = found if first is None else first
            row = rows[numbers]
            row.psnr += float(psnr(found, window[mask]).mean()) / len(windows)
            row.like += float(psnr(found, first).mean()) / len(windows)
            if numbers.timed:
                for stage, took in seconds.items():
                    share = took / len(found) / len(windows)
                    row.seconds[stage] = row.seconds.get(stage, 0.0) + share
    told = list(rows.values())
    for row in told:
        row.cost = told[0].psnr - row.psnr
    return told


@contextmanager
def worked(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add a stage's processor time."""
    began = process_time()
    yield
    seconds[stage] += process_time() - began


def table(rows: Sequence[Made]) -> str:
    """Quality and speed, milliseconds; a ratio above 1 is a gain."""
    head = ["window", "numbers", "PSNR", "less by", "dB to float32", "plan + denoise ms",
            "all ms", "times float32's speed", "times bfloat16's"]  # fmt: skip
    lines = [head, ["---"] * len(head)]
    for row in rows:
        beside = {o.numbers: o for o in rows if o.cell == row.cell}
        line = [row.cell, row.numbers, f"{row.psnr:.2f}", f"{row.cost:.3f}",
                "" if row.numbers == "float32" else f"{row.like:.1f}"]  # fmt: skip
        if row.seconds:
            total = sum(row.seconds.values())
            line += [f"{1e3 * sum(row.seconds[s] for s in NETWORKS):.0f}", f"{1e3 * total:.0f}"]
            line += [
                f"{sum(beside[n].seconds.values()) / total:.2f}" for n in ("float32", "bfloat16")
            ]
        lines.append(line + [""] * (len(head) - len(line)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(words: list[str]) -> None:
    """Measure; tell every cell as it is done, and write the files after each."""
    output, small = Path(words[0]), "small" in words[1:]
    seconds = next((float(word) for word in words[1:] if word.isdecimal()), 1800.0)
    asked = [word for word in words[1:] if word in MASKS] or list(MASKS)
    use_threads(1)
    machine = facts(CPU, choose_dtype("auto", CPU))
    rows = list[Made]()
    for found in measured(asked, small, monotonic() + seconds):
        rows += found
        told = {"machine": machine, "rows": [asdict(row) for row in rows]}
        output.write_text(json.dumps(told, indent=1) + "\n")
        output.with_suffix(".md").write_text(f"{json.dumps(machine)}\n\n{table(rows)}\n")
    print(f"{json.dumps(machine)}\n\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
