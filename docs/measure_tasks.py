"""Measure every task from file to file, as a program calls it: a table, and JSON in a file.

Usage:
    python docs/measure_tasks.py OUTPUT.json [SECONDS = 280] [SUITE ...] [MODEL ...]

Suites: clip, tasks, drift, devices, memory; all, in this order, by default. Models: mardini-tiny,
the shipped weights, at 456 x 256; and presets, with random weights, at 512 x 512: l-t by default
where there is a GPU. After SECONDS no cell is begun. What does not fit in memory is told in its
line, and the rest goes on. Needs torch, numpy, OpenCV, PyAV, safetensors and huggingface_hub; and
of the project its folder alone.

A cell's seconds are those of reading, making and writing: not of loading. On a GPU a cell is run
twice, and the second run counts: the first one chooses kernels.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import monotonic, process_time
from typing import Any
from unittest.mock import patch

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

import mardini_cli
from mardini_cli import weights
from mardini_cli.api.carrying import keep_models
from mardini_cli.bench.files import FileCell, film
from mardini_cli.bench.machine import facts
from mardini_cli.bench.measuring import forget, peak_of
from mardini_cli.config import PRESETS, preset, sampler_of, tiny
from mardini_cli.device import choose_device, choose_dtype, cuda_count
from mardini_cli.events import Event, Finished, Joined, Progress, Warned
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import faults
from mardini_cli.tasks.windows import context_of

ROOT = Path(__file__).parents[1]
CLIP, STILL = ROOT / "examples" / "cat.mp4", ROOT / "examples" / "boat.jpg"
SHIPPED = "mardini-tiny"
SIDE = 512
"""Of the square frames that presets with random weights make."""
SIZES = ((256, 456), (1080, 1920), (2160, 3840))
"""Height and width of the cells that tell memory."""
STEPS = {"tasks": 25, "memory": 2}
"""Sampling steps of models that make nothing without; memory does not grow with steps."""
EXTENSIONS = 10
"""Windows of the cell that tells drift."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A call of a task."""

    suite: str
    name: str
    task: str
    sources: tuple[Path, ...]
    model: str = SHIPPED
    flags: Mapping[str, Any] = field(default_factory=dict)
    again: bool = True
    """On a GPU: run it twice."""


@dataclass(kw_only=True)
class Line:
    """What a call took."""

    suite: str
    model: str
    name: str
    frames: int = 0
    """Of the result."""
    made: int = 0
    seconds: float = 0.0
    """From the first given frame to the last written one."""
    first: float = 0.0
    """The same, of a GPU's first run."""
    whole: float = 0.0
    """With checks, loading if it was not loaded, and proof."""
    cpu: float = 0.0
    """Seconds of processor time of ``whole``."""
    peak: int = 0
    """Most bytes at once: of the first device, weights included; or of the process on a CPU."""
    joins: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: str = ""


def main(words: list[str]) -> None:
    """Measure; tell every cell as it is done, and write the files after each."""
    output = Path(words[0])
    seconds = next((float(word) for word in words[1:] if word.isdecimal()), 280.0)
    asked = [word for word in words[1:] if word in SUITES] or list(SUITES)
    device = choose_device()
    usual = [SHIPPED, "l-t"] if device.type == "cuda" else [SHIPPED]
    models = [word for word in words[1:] if word in (SHIPPED, *PRESETS)] or usual
    until = monotonic() + seconds
    told = facts(device, choose_dtype("auto", device)) | {"devices": cuda_count()}
    print(json.dumps(told), flush=True)
    lines = list[Line]()
    keep_models()
    with tempfile.TemporaryDirectory() as place:
        for suite in asked:  # the larger models last: theirs is the longest way
            if SHIPPED in models:
                for cell in SUITES[suite](SHIPPED, Path(place)):
                    lines.append(measured(cell, lines, Path(place), device, until))
                    write(output, told, lines)
        for name in models:
            if name == SHIPPED or monotonic() > until:
                continue
            try:
                folder = random_weights(name, Path(place), device)
            except Exception as error:  # noqa: BLE001 - told; the other models stand without it
                lines.append(Line(suite="all", model=name, name="weights", failed=brief(error)))
                continue
            for suite in ("tasks", "devices", "memory"):
                for cell in SUITES[suite](str(folder), Path(place)) if suite in asked else ():
                    lines.append(measured(cell, lines, Path(place), device, until))
                    write(output, told, lines)
        write(output, told, lines)
    print(table(lines), flush=True)


def measured(
    cell: Cell, before: Sequence[Line], place: Path, device: torch.device, until: float
) -> Line:
    """Run a cell, whatever becomes of it."""
    line = Line(suite=cell.suite, model=Path(cell.model).name, name=cell.name)
    if monotonic() > until:
        line.failed = "not run: out of time"
        return line
    try:
        if cell.task == "command":
            command(line, cell, place)
        else:
            work(line, cell, place, device)
        if cell.suite == "devices":
            compare(line, before, place)
    except Exception as error:  # noqa: BLE001 - told in its line, and the rest goes on
        line.failed = brief(error)
    forget(device)
    print(row(line), flush=True)
    return line


def brief(error: Exception) -> str:
    """Say in a few words what stopped a cell."""
    if isinstance(error, torch.OutOfMemoryError):
        return "out of memory"
    return f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0][:200]}"


def work(line: Line, cell: Cell, place: Path, device: torch.device) -> None:
    """Call a task; fills the line."""
    for number in range(2 if cell.again and device.type == "cuda" else 1):
        line.first, line.joins, line.notes = line.seconds, [], []
        began, used = monotonic(), process_time()
        # Random weights make no pictures: looking for what is wrong with them would cost time.
        blind = nullcontext() if cell.model == SHIPPED else patch.object(faults, "find", no_faults)
        with peak_of(device) as peak, blind:
            made = call(cell, place / f"{cell.suite} {cell.name}.mkv", hearing(line))
        line.whole, line.cpu = monotonic() - began, process_time() - used
        line.peak, line.frames, line.made = peak[0], made.frames, made.made
        del number


def no_faults(*_window: object) -> list[faults.Fault]:
    """Find nothing."""
    return []


def hearing(line: Line) -> Callable[[Event], None]:
    """Something that takes events, and notes what a line tells."""

    def hear(event: Event) -> None:
        match event:
            case Progress(elapsed=elapsed, unit="frames"):
                line.seconds = elapsed
            case Joined(step=step, usual=usual, colour=colour, sharpness=sharpness):
                line.joins.append(
                    {"step": step, "usual": usual, "colour": colour, "sharpness": sharpness}
                )
            case Warned(code=code, message=message):
                line.notes.append(f"{code}: {message}")
            case _:
                pass

    return hear


def call(cell: Cell, output: Path, hear: Callable[[Event], None]) -> Finished:
    """Call the public function of a task."""
    one = {"devices": "0"} if cuda_count() else {}  # the same words load the model once
    flags = {"resume": "never", "overwrite": True, "model": cell.model, **one, **cell.flags}
    task = getattr(mardini_cli, cell.task)
    finished: Finished = task(*cell.sources, on_event=hear, output=output, **flags)
    return finished


def command(line: Line, cell: Cell, place: Path) -> None:
    """Run the command line, as a person does: with the start of Python and of torch."""
    import resource

    words = ["interpolate", *map(str, cell.sources), "--factor", "4", "--quiet"]
    output = place / "command.mp4"
    began = monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "mardini_cli", *words, "-o", str(output)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    line.seconds = line.whole = monotonic() - began
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr else "no word")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    line.cpu, line.peak = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
    line.frames = len(pictures(output))
    line.made = line.frames - len(pictures(cell.sources[0]))
    line.notes = ["peak: of the process's own memory"]


def compare(line: Line, before: Sequence[Line], place: Path) -> None:
    """Set a job beside the same one on the first device alone: frames, and seconds."""
    alone = next((o for o in before if o.suite == "devices" and o.model == line.model), None)
    if alone is None or alone.failed:
        return
    one, other = (pictures(place / f"devices {name}.mkv") for name in (alone.name, line.name))
    steps = [int(np.abs(a.astype(np.int16) - b).max()) for a, b in zip(one, other, strict=True)]
    differ = sum(step > 0 for step in steps)
    same = "identical" if not differ else f"{differ} differ, by {max(steps)} of 255 at most"
    line.notes += [f"{len(steps)} frames beside those of {alone.name}: {same}"]
    line.notes += [f"{alone.seconds / line.seconds:.2f} times as fast"]


def pictures(path: Path) -> list[NDArray[Any]]:
    """Decode a film's planes."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def random_weights(name: str, place: Path, device: torch.device) -> Path:
    """Write a weights folder for a preset: its values change no time."""
    folder = place / name
    torch.manual_seed(0)
    with torch.device(device):
        model = MarDini(preset(name))
    weights.save(model, folder, "bf16")
    del model
    forget(device)
    return folder


def sampling(model: str, suite: str) -> dict[str, Any]:
    """Flags for models with picture latents, which make nothing without sampling."""
    return {} if config_of(model).guided else {"steps": STEPS[suite]}


def config_of(model: str) -> mardini_cli.config.ModelConfig:
    """The sizes of a model by its name, or by the folder of its random weights."""
    return tiny() if model == SHIPPED else preset(Path(model).name)


def clip(model: str, place: Path) -> Iterator[Cell]:
    """The first command of the README, from the outside and from the inside."""
    del place
    common: dict[str, Any] = {"suite": "clip", "sources": (CLIP,), "model": model}
    yield Cell(**common, name="command: interpolate --factor 4", task="command")
    yield Cell(**common, name="interpolate --factor 4", task="interpolate", flags={"factor": 4})


def tasks(model: str, place: Path) -> Iterator[Cell]:
    """Every task with its own defaults; of motion latents, with eight steps too."""
    source, still = inputs(model, place)
    keys = keyframes(source, place)
    size = config_of(model).window
    ahead = size - context_of(size)
    settings = sampling(model, "tasks")
    common: dict[str, Any] = {"suite": "tasks", "model": model}
    cells = [
        ("interpolate", "interpolate", (source,), {"factor": 4, "verify": False}),
        ("animate", "animate", (still,), sampler_flags("animate")),
        ("extend", "extend", (source,), {"frames": ahead}),
        ("fill", "fill", (source,), {"missing": "3-5"}),
        ("keyframes", "interpolate", keys, {"between": size - 2}),
        ("loop of a clip", "extend", (source,), {"frames": ahead, "loop": True}),
        ("loop of a picture", "animate", (still,), {"loop": True, **sampler_flags("animate")}),
    ]
    for name, task, sources, flags in cells:
        cell = Cell(**common, name=name, task=task, sources=sources, flags={**flags, **settings})
        yield cell
        if not settings and "steps" not in flags:
            yield replace(cell, name=f"{name}, 8 steps", flags={**flags, "steps": 8})


def sampler_flags(task: str) -> dict[str, Any]:
    """The task's own steps and guidance, said aloud."""
    sampler = sampler_of(task)
    return {"steps": sampler.steps, "guidance": sampler.guidance}


def drift(model: str, place: Path) -> Iterator[Cell]:
    """Ten windows that roll on from one another: the error at every border."""
    del place
    size = config_of(model).window
    frames = EXTENSIONS * (size - context_of(size))
    cell = Cell(
        suite="drift",
        name=f"extend --frames {frames}",
        task="extend",
        sources=(CLIP,),
        model=model,
        flags={"frames": frames},
        again=False,
    )
    yield cell
    yield replace(cell, name=f"{cell.name} --steps 8", flags={**cell.flags, "steps": 8})


def devices(model: str, place: Path) -> Iterator[Cell]:
    """One job by one device, window by window there, and by several."""
    count = cuda_count()
    shipped = model == SHIPPED
    if count:
        cell = FileCell(size=(256, 456), rate=24, seconds=10)
        source = film(place / "long.mp4", cell) if shipped else inputs(model, place)[0]
        names = [",".join(map(str, range(some))) for some in (1, 2, 4, 8) if some <= count]
    else:
        source, names = inputs(model, place)[0], ["cpu", "cpu,cpu"]
    flags = {"factor": 8, "codec": "ffv1", "verify": False, "seed": 3}
    flags |= {"steps": 8} if shipped else sampling(model, "tasks" if count else "memory")
    if not count:
        flags |= {"end": "0:0.3", "steps": 2}
    for name, batch in ((names[0], None), (names[0], 1), *((name, None) for name in names[1:])):
        yield Cell(
            suite="devices",
            name=f"devices {name}, batch {batch or 'auto'}",
            task="interpolate",
            sources=(source,),
            model=model,
            flags={**flags, "devices": name, "batch": batch},
        )


def memory(model: str, place: Path) -> Iterator[Cell]:
    """What one window at once takes, by the size of its frames; and what a GPU's batch takes."""
    settings = sampling(model, "memory")
    for high, wide in SIZES:
        source = film(place / f"{high}.mp4", FileCell(size=(high, wide), rate=3, seconds=1))
        cell = Cell(
            suite="memory",
            name=f"{wide} x {high}, one window",
            task="interpolate",
            sources=(source,),
            model=model,
            flags={"factor": 4, "verify": False, "batch": 1, **settings},
            again=high == SIZES[0][0],  # its first run may load the model
        )
        yield cell
        if not settings:
            flags = {**cell.flags, "steps": 2}
            yield replace(cell, name=f"{cell.name}, 2 steps", flags=flags)
        if cuda_count():
            flags = {**cell.flags, "batch": None}
            yield replace(cell, name=f"{wide} x {high}, batch auto", flags=flags)


def inputs(model: str, place: Path) -> tuple[Path, Path]:
    """A clip and a picture of the model's size."""
    if model == SHIPPED:
        return CLIP, STILL
    square = place / "square.mp4"
    if not square.exists():
        film(square, FileCell(size=(SIDE, SIDE), rate=8, seconds=1))
        picture = cv2.imread(str(STILL))
        assert picture is not None
        cv2.imwrite(str(place / "square.png"), cv2.resize(picture, (SIDE, SIDE)))
    return square, place / "square.png"


def keyframes(source: Path, place: Path) -> tuple[Path, ...]:
    """Three frames of a clip, as pictures."""
    with av.open(str(source)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    paths = []
    for number in (0, len(frames) // 2, len(frames) - 1):
        paths.append(place / f"{source.stem} {number}.png")
        cv2.imwrite(str(paths[-1]), frames[number])
    return tuple(paths)


SUITES: Mapping[str, Callable[[str, Path], Iterator[Cell]]] = {
    "clip": clip,
    "tasks": tasks,
    "drift": drift,
    "devices": devices,
    "memory": memory,
}


def write(output: Path, machine: Mapping[str, Any], lines: Sequence[Line]) -> None:
    """Write what is measured so far: JSON, and Markdown beside it."""
    told = {"machine": machine, "lines": [asdict(line) for line in lines]}
    output.write_text(json.dumps(told, indent=1) + "\n")
    head = ", ".join(f"{key} {value}" for key, value in machine.items())
    output.with_suffix(".md").write_text(f"{head}\n\n{table(lines)}\n")


def table(lines: Sequence[Line]) -> str:
    """All cells in Markdown; the joins of drift, and what else there is to say, below."""
    head = ["suite", "model", "cell", "made", "s", "s a made frame", "whole s", "CPU s", "peak GiB"]
    rows = [barred(head), barred(["---"] * len(head)), *map(row, lines)]
    for line in lines:
        if line.suite == "drift" and line.joins:
            rows += ["", f"{line.model}, {line.name}", "", *drawn(line.joins)]
    rows += ["", *(f"{line.model}, {line.name}: {note}" for line in lines for note in line.notes)]
    return "\n".join(rows)


def row(line: Line) -> str:
    """A cell as a row."""
    if line.failed:
        return barred([line.suite, line.model, line.name, line.failed])
    cells = [line.suite, line.model, line.name, str(line.made), f"{line.seconds:.2f}"]
    cells += [f"{line.seconds / max(line.made, 1):.3f}", f"{line.whole:.2f}", f"{line.cpu:.1f}"]
    return barred([*cells, f"{line.peak / 2**30:.2f}"])


def drawn(joins: Sequence[Mapping[str, float]]) -> list[str]:
    """Borders as columns."""
    named = {"colour": (255, 1), "sharpness": (1, 2), "step": (1, 3), "usual": (1, 3)}
    rows = [barred(["border", *(str(n) for n in range(1, len(joins) + 1))])]
    rows.append(barred(["---"] * (1 + len(joins))))
    for name, (scale, digits) in named.items():
        rows.append(barred([name, *(f"{scale * join[name]:.{digits}f}" for join in joins)]))
    return rows


def barred(cells: Sequence[str]) -> str:
    """Cells of a row in Markdown."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
