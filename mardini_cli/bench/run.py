"""The bench: cell after cell, whatever becomes of one.

Room: bench.
"""

from collections.abc import Iterable, Iterator
from time import monotonic

import torch

from mardini_cli.bench.cells import Cell
from mardini_cli.bench.measuring import Measured, forget, measure, subject_of
from mardini_cli.bench.profiling import Profile, profiled


def bench(
    cells: Iterable[Cell],
    device: torch.device,
    dtype: torch.dtype,
    profile: Iterable[str] = (),
    until: float | None = None,
) -> Iterator[Measured | Profile]:
    """Measure cells in turn.

    Args:
        cells: what to measure.
        device: where.
        dtype: number type of the networks.
        profile: names of cells that are taken apart too.
        until: time of ``monotonic`` after which no cell is begun.

    Yields:
        A ``Measured`` for every cell, failed or not, and a ``Profile`` where one was asked for.
    """
    names = set(profile)
    for cell in cells:
        if until is not None and monotonic() > until:
            yield _failed(cell, "not run: out of time")
            continue
        yield from _one(cell, device, dtype, cell.name in names)
        forget(device)


def _one(
    cell: Cell, device: torch.device, dtype: torch.dtype, taken_apart: bool
) -> Iterator[Measured | Profile]:
    try:
        subject = subject_of(cell, device, dtype)
        yield measure(subject)
        if taken_apart:
            yield profiled(subject)
    except torch.OutOfMemoryError:
        yield _failed(cell, "out of memory")
    except Exception as error:  # noqa: BLE001 - whatever a kernel or compiler lacks: told, no end
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        yield _failed(cell, f"{type(error).__name__}: {first}")


def _failed(cell: Cell, why: str) -> Measured:
    return Measured(name=cell.name, made=cell.made, steps=cell.sampler.steps, failed=why)
