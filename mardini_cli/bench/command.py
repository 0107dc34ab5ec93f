"""``mardini bench``: a request in, events out; and what later estimates rest on.

Room: bench.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic

import torch

from mardini_cli.bench.cells import Cell, cells_of, compiled, paper, targets
from mardini_cli.bench.machine import ceiling, facts
from mardini_cli.bench.measuring import Measured
from mardini_cli.bench.profiling import Profile
from mardini_cli.bench.report import Report
from mardini_cli.bench.request import BenchRequest
from mardini_cli.bench.run import bench
from mardini_cli.device import choose_device, choose_dtype, use_threads
from mardini_cli.errors import OutputExistsError
from mardini_cli.events import Benched, Progress
from mardini_cli.media.output import write_whole
from mardini_cli.model.fastest import CHOICES
from mardini_cli.pipeline import estimate
from mardini_cli.pipeline.estimate import Loads, Shape, Speed

SAMPLED, LARGE = ((320, 176), 2), (1920, 1080)
"""Further cells: two sizes that are sampled tell what grows with tokens and what with pairs; and
frames beyond the working size tell what the frames themselves cost."""
FILE_SECONDS = 1


def run(request: BenchRequest) -> Iterator[Progress | Benched]:
    """Measure what a request asks for.

    Yields:
        ``Progress`` in cells, then ``Benched``.

    Raises:
        MardiniError: no such preset, task or device; or the report stands there already.
    """
    began = monotonic()
    if request.output is not None and request.output.exists() and not request.overwrite:
        raise OutputExistsError(
            f"{request.output} exists already",
            needed="a free name",
            do="choose another name with -o, or allow --overwrite",
        )
    if request.threads is not None:
        use_threads(request.threads)
    device = choose_device(request.device)
    dtype = choose_dtype(request.dtype, device)
    cells = _cells(request)
    taken_apart = [cells[0].name] if request.profile else []
    found, profiles = list[Measured](), list[Profile]()
    best = ceiling(device, dtype)
    for one in bench(cells, device, dtype, taken_apart):
        if isinstance(one, Profile):
            profiles.append(one)
            continue
        found.append(one)
        elapsed = monotonic() - began
        yield Progress(done=len(found), total=len(cells), elapsed=elapsed, unit="cells")
    notes, kept = list[str](), None
    if request.suite == "quick":
        notes, kept = _calibrated(request, cells, found, device, dtype)
    report = Report(
        machine=facts(device, dtype),
        ceiling=best,
        cells=found,
        profiles=profiles,
        chosen=dict(CHOICES.chosen),
        notes=notes,
    )
    if request.output is not None:
        write_whole(request.output, report.to_json())
    yield Benched(
        table=report.to_text(),
        report=report.to_json(),
        written=request.output,
        calibration=kept,
        elapsed=monotonic() - began,
    )


def sample_of(cell: Cell, measured: Measured) -> tuple[Loads, dict[str, float]]:
    """The loads of a cell's window, and what its stages took."""
    shape = Shape(config=cell.config, size=cell.size, sampler=cell.sampler)
    made = sum(cell.mask)
    return estimate.window_loads(shape, len(cell.mask) - made, made), measured.seconds


def _cells(request: BenchRequest) -> list[Cell]:
    if request.suite != "quick":
        return {"targets": targets, "paper": paper, "compiled": compiled}[request.suite]()
    sizes = [(high, wide) for wide, high in request.sizes]
    few = [size for size in sizes if size == min(sizes)]
    cells = [
        cell
        for steps in request.steps
        # Sampling large frames takes minutes on a CPU, and its time follows from small ones.
        for cell in cells_of(
            request.preset,
            request.task,
            few if steps and request.sizes == BenchRequest().sizes else sizes,
            [steps],
            request.guidance,
        )
    ]
    if request.keep and any(request.steps):
        (wide, high), steps = SAMPLED
        cells += cells_of(request.preset, request.task, [(high, wide)], [steps], request.guidance)
    if request.keep and 0 in request.steps and cells[0].config.guided:
        cells += cells_of(request.preset, request.task, [LARGE[::-1]], [0])
    return cells


def _calibrated(
    request: BenchRequest,
    cells: Sequence[Cell],
    found: Sequence[Measured],
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[list[str], Path | None]:
    """Time a file of the first size, and keep what later estimates need."""
    from mardini_cli.bench.files import FileCell, interpolated  # late: the others need no PyAV

    wide, high = min(request.sizes)
    file = interpolated(FileCell(size=(high, wide), seconds=FILE_SECONDS), device, dtype)
    good = [(cell, one) for cell, one in zip(cells, found, strict=True) if not one.failed]
    if not request.keep or not good:
        return [file.line], None
    pixels = wide * high
    given = file.cell.seconds * file.cell.rate
    speed = Speed(
        stages=estimate.fitted([sample_of(cell, one) for cell, one in good]),
        read=file.decode / (given * pixels),
        write=file.encode / (file.made * pixels),
    )
    key = estimate.key_of(cells[0].config, device, dtype)
    return [file.line], estimate.remember(key, speed)
