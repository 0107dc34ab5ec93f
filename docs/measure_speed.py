"""Measure the paper's Table 3 and the project's aims on one GPU: tables, and JSON in a file.

Usage:
    python docs/measure_speed.py OUTPUT.json [SUITE ...] [SECONDS = 280]

Suites: targets, paper, kernels, files, compiled; all, in this order, by default. After SECONDS no
cell is begun. What does not fit in memory, or lacks a kernel, is told in its line, and the rest
goes on. Weights are random: their values change no time. Needs torch, numpy, OpenCV and PyAV, and
of the project its folder alone.
"""

import json
import sys
from pathlib import Path
from time import monotonic

import torch

from mardini_cli.bench.cells import Cell, compiled, paper, targets
from mardini_cli.bench.kernels import kernel_times
from mardini_cli.bench.machine import ceiling, facts
from mardini_cli.bench.measuring import Measured
from mardini_cli.bench.profiling import Profile
from mardini_cli.bench.report import Report
from mardini_cli.bench.run import bench
from mardini_cli.device import choose_device, choose_dtype
from mardini_cli.model.fastest import CHOICES

SUITES = ("targets", "paper", "kernels", "files", "compiled")
CELLS = {"targets": targets, "paper": paper, "compiled": compiled}
TAKEN_APART = (
    "l-t, 17 frames, 512",
    "l-t, 17 frames, 512, guidance, compiled and graphs",
    "tiny x2, 1920x1080, 0 steps",
    "tiny x2, 1920x1080, 8 steps",
    "symmetric, 17 frames, 512",
)


def main(words: list[str]) -> None:
    """Measure; tell every cell as it is done, write the file after each suite."""
    output = Path(words[0])
    suites = [word for word in words[1:] if word in SUITES] or list(SUITES)
    seconds = next((float(word) for word in words[1:] if word.isdecimal()), 280.0)
    until = monotonic() + seconds
    device = choose_device()
    dtype = choose_dtype("auto", device)
    print(json.dumps(facts(device, dtype)), flush=True)
    best = ceiling(device, dtype)
    cells, profiles = list[Measured](), list[Profile]()
    kernels, notes = dict[str, dict[str, float]](), list[str]()
    for suite in suites:
        if suite == "kernels" and device.type == "cuda":
            kernels |= dict(kernel_times(device, dtype))
        elif suite == "files":
            notes += files(device, dtype)
        elif suite in CELLS:
            measured(CELLS[suite](), until, cells, profiles)
        report = Report(
            machine=facts(device, dtype),
            ceiling=best,
            cells=cells,
            profiles=profiles,
            kernels=kernels,
            chosen=dict(CHOICES.chosen),
            notes=notes,
        )
        output.write_text(report.to_json())
        output.with_suffix(".md").write_text(report.to_text() + "\n")
    print(report.to_text(), flush=True)


def measured(
    suite: list[Cell], until: float, cells: list[Measured], profiles: list[Profile]
) -> None:
    """Measure a suite into the two lists."""
    device = choose_device()
    for found in bench(suite, device, choose_dtype("auto", device), TAKEN_APART, until):
        if isinstance(found, Profile):
            profiles.append(found)
            continue
        cells.append(found)
        told = found.failed or f"{1e3 * found.total:.1f} ms, {found.peak / 2**30:.2f} GiB"
        print(f"{found.name}: {told}", flush=True)


def files(device: torch.device, dtype: torch.dtype) -> list[str]:
    """Interpolate a clip of 1080p by two, from file to file."""
    from mardini_cli.bench.files import FileCell, interpolated  # late: it needs PyAV

    told = []
    for cell in (FileCell(), FileCell(batch=4), FileCell(size=(480, 854))):
        try:
            told.append(interpolated(cell, device, dtype).line)
        except Exception as error:  # noqa: BLE001 - told; the other numbers stand without it
            told.append(f"{cell}: {type(error).__name__}: {error}")
        print(told[-1], flush=True)
    return told


if __name__ == "__main__":
    main(sys.argv[1:])
