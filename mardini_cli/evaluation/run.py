"""Measure a model and the baselines over a folder of clips.

Room: evaluation. Prints nothing: yields what happens, and writes into one folder.

    rows.jsonl     a row for every window and method, as it is measured: a run that was stopped
                   goes on from it, and ``reuse`` reads it
    results.json   settings, rows, means with intervals
    table.md       the means, for a model card
    clips.csv      the rows, for a spreadsheet
    features/      what FID's and FVD's networks saw, where they are asked for
    sheets/        true frames and every method's, for windows chosen by rule: pictures and films
    report.html    all of it in one file
"""

import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final

import torch

from mardini_cli import weights
from mardini_cli.device import choose_device, choose_dtype
from mardini_cli.errors import MissingFileError
from mardini_cli.evaluation import results
from mardini_cli.evaluation.bench import Bench, measure_sets
from mardini_cli.evaluation.excerpts import clips_of
from mardini_cli.evaluation.judges import Features, Judges
from mardini_cli.evaluation.ledger import Ledger
from mardini_cli.evaluation.methods import methods_of
from mardini_cli.evaluation.ours import Maker
from mardini_cli.evaluation.request import EvaluateRequest
from mardini_cli.evaluation.sheets import sheets_of
from mardini_cli.evaluation.tables import summarise
from mardini_cli.events import Event, Measured, Progress, Warned

MOST_WORKERS: Final = 16
"""Windows in work at once; each takes some hundred MB."""


def evaluate(request: EvaluateRequest) -> Generator[Event, None, None]:
    """Run an evaluation; the last event is ``Measured``.

    Raises:
        MissingFileError: no folder, or no clip in it that serves.
        OutputExistsError: results stand in the output folder already.
        UnwritableError: the output folder cannot be written.
        WeightsError, DeviceError, UsageError: as said by the model and the device.
    """
    began = monotonic()
    clips = clips_of(request.folder, request.limit)
    device = choose_device(request.device)
    dtype = choose_dtype(request.dtype, device)
    maker = _maker(request, device, dtype) if request.has_model else None
    methods = methods_of(request, maker)
    judges = Judges.of(request, device)
    results.prepare(request.output, overwrite=request.overwrite)
    ledger = Ledger(request.output, request.reuse, fresh=request.overwrite)
    features = Features(request.output, request.reuse, judges.of_sets)
    threads = torch.get_num_threads()
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        bench = Bench(request, clips, methods, ledger, device, pool, judges, features)
        for told in bench.run():
            if isinstance(told, Warned):
                yield told
            else:
                share, elapsed = round(100 * told), monotonic() - began
                yield Progress(done=share, total=100, elapsed=elapsed, unit="percent")
        if not bench.rows:
            raise MissingFileError(
                f"none of {len(clips)} clips in {request.folder} serves",
                needed="at least one that decodes and is long enough",
                do="see the warnings above",
            )
        chosen = sheets_of(bench) if request.sheets else []
    lines = summarise(bench.rows, list(bench.titles))
    few = list(measure_sets(bench, lines))
    yield from few
    torch.set_num_threads(threads)  # partly one setting for all threads: given back
    outcome = results.Outcome(
        request=request,
        device=results.device_name(device),
        dtype=str(dtype).removeprefix("torch."),
        clips=[path.name for path in clips],
        skipped=bench.skipped,
        failed={f"{protocol}: {name}": why for (protocol, name), why in bench.failed.items()},
        titles=bench.titles,
        rows=bench.rows,
        lines=lines,
        sheets=chosen,
        reused=ledger.reused,
        digests=judges.digests,
        few=[warned.message for warned in few],
        elapsed=monotonic() - began,
    )
    results.write(outcome)
    yield Measured(
        output=request.output / results.REPORT,
        clips=len({row.clip for row in bench.rows}),
        windows=sum(bench.windows.values()),
        table=results.main_tables(outcome),
        elapsed=monotonic() - began,
    )


def _maker(request: EvaluateRequest, device: torch.device, dtype: torch.dtype) -> Maker:
    # Weights stay float32: autocast takes what may be shorter, and leaves flow and grids alone.
    model = weights.load(request.model, device, torch.float32)
    return Maker(model=model, device=device, dtype=dtype, seed=request.seed)
