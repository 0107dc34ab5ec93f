"""Measure a model and the baselines over a folder of clips.

Room: evaluation. Prints nothing: yields what happens, and writes into one folder.

    results.json   settings, a row for every window and method, means with intervals
    table.md       the means, for a model card
    sheets/        true frames and every method's, for windows chosen by rule
    report.html    all of it in one file

Baselines run on CPU threads, the model and every metric on the device.

Dimension key
    b  windows    m  made slots    h, w  pixels    frames are RGB in [0, 1]
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

import torch
from torch import Tensor

from mardini_cli import weights
from mardini_cli.device import choose_device, choose_dtype
from mardini_cli.errors import MardiniError, MissingFileError
from mardini_cli.evaluation import results
from mardini_cli.evaluation.baselines import BASELINES, Baseline, motion_between
from mardini_cli.evaluation.excerpts import Excerpt, clips_of, excerpts_of
from mardini_cli.evaluation.ours import Maker
from mardini_cli.evaluation.protocols import PROTOCOLS, Protocol
from mardini_cli.evaluation.request import EvaluateRequest
from mardini_cli.evaluation.score import score
from mardini_cli.evaluation.sheets import Chosen, choose, draw
from mardini_cli.evaluation.tables import Row, summarise
from mardini_cli.events import Event, Measured, Progress, Warned

BATCH = 8
"""Windows made and measured at once; the model on a CPU makes one."""


def evaluate(request: EvaluateRequest) -> Iterator[Event]:
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
    results.prepare(request.output, overwrite=request.overwrite)
    maker = _maker(request, device, dtype) if request.has_model else None
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(initializer=torch.set_num_threads, initargs=(1,)) as pool:
        read = list(pool.map(excerpts_of, clips, range(len(clips))))
        skipped = [str(found) for found in read if isinstance(found, MardiniError)]
        for message in skipped:
            yield Warned(code="clip-skipped", message=f"left out: {message}")
        found = [e for some in read if not isinstance(some, MardiniError) for e in some]
        if not found:
            raise MissingFileError(
                f"none of {len(clips)} clips in {request.folder} serves",
                needed="at least one that decodes and is long enough",
                do="see the warnings above",
            )
        flows = list(pool.map(lambda e: motion_between(e.frames[0], e.frames[-1]), found))
        bench = Bench(found, flows, device, maker, request, pool, threads)
        for done in bench.run():
            yield Progress(done=done, total=bench.total, elapsed=monotonic() - began)
        chosen = bench.sheets() if request.sheets else []
        torch.set_num_threads(threads)  # partly one setting for all threads: given back
    lines = summarise(bench.rows)
    outcome = results.Outcome(
        request=request,
        device=results.device_name(device),
        dtype=str(dtype).removeprefix("torch."),
        clips=[path.name for path in clips],
        skipped=skipped,
        titles=bench.titles,
        rows=bench.rows,
        lines=lines,
        sheets=chosen,
        elapsed=monotonic() - began,
    )
    results.write(outcome)
    yield Measured(
        output=request.output / results.REPORT,
        clips=len({e.clip for e in found}),
        windows=len(found),
        table=results.main_tables(outcome),
        elapsed=monotonic() - began,
    )


def _maker(request: EvaluateRequest, device: torch.device, dtype: torch.dtype) -> Maker:
    # Weights stay float32: autocast takes what may be shorter, and leaves flow and grids alone.
    model = weights.load(request.model, device, torch.float32)
    return Maker(model=model, device=device, dtype=dtype, seed=request.seed)


@dataclass(frozen=True, eq=False, slots=True)
class Bench:
    """All methods over all windows."""

    excerpts: Sequence[Excerpt]
    flows: Sequence[float]
    device: torch.device
    maker: Maker | None
    request: EvaluateRequest
    pool: ThreadPoolExecutor
    """Its threads run torch alone each; together they fill the cores."""
    threads: int
    """Torch's own threads for the model, where that is on the CPU."""
    rows: list[Row] = field(default_factory=list)

    @property
    def protocols(self) -> list[Protocol]:
        """Asked for, in order."""
        return [PROTOCOLS[name] for name in self.request.protocols]

    @property
    def steps(self) -> tuple[int, ...]:
        """Sampling steps of the model's lines; none without a model."""
        return self.request.steps if self.maker else ()

    @property
    def titles(self) -> dict[str, str]:
        """Methods' names for the reader."""
        mine = {f"ours-{n}": f"ours, {n} step{'' if n == 1 else 's'}" for n in self.steps}
        return {name: BASELINES[name].title for name in self.request.baselines} | mine

    @property
    def total(self) -> int:
        """Made frames of the whole run."""
        return sum(
            len(self.excerpts) * len(p.made) * (len(self._baselines(p)) + len(self.steps))
            for p in self.protocols
        )

    def run(self) -> Iterator[int]:
        """Measure everything into ``rows``; yield the number of frames done."""
        done = 0
        for protocol in self.protocols:
            for rows in self._measured(protocol):
                self.rows.extend(rows)
                done += len(rows) * len(protocol.made)
                yield done

    def sheets(self) -> list[Chosen]:
        """Draw every method's frames of the windows that tell most."""
        by_window = {(e.clip, e.stride, e.start): e for e in self.excerpts}
        sheets = []
        for protocol in self.protocols:
            rows = [row for row in self.rows if row.protocol == protocol.name]
            for chosen in choose(rows):
                excerpt = by_window[chosen.window]
                made = {
                    self.titles[name]: frames[0] for name, frames in self._made(protocol, excerpt)
                }
                draw(self.request.output / chosen.file, excerpt, protocol, made)
                sheets.append(chosen)
        return sheets

    def _baselines(self, protocol: Protocol) -> list[Baseline]:
        asked = (BASELINES[name] for name in self.request.baselines)
        return [baseline for baseline in asked if baseline.applies(protocol)]

    def _measured(self, protocol: Protocol) -> Iterator[list[Row]]:
        given = list(protocol.given)
        for baseline in self._baselines(protocol):
            for places in self._batches(BATCH):
                inputs = [self.excerpts[place].frames[given] for place in places]
                made = self.pool.map(baseline.make, inputs, [protocol] * len(inputs))
                frames = torch.stack(list(made)).to(self.device)
                yield self._score(places, frames, protocol, baseline.name)
        if self.maker is not None:
            torch.set_num_threads(self.threads)
            for places in self._batches(1 if self.device.type == "cpu" else BATCH):
                batch = [self.excerpts[place] for place in places]
                for steps, frames in self.maker.make(batch, protocol, self.steps).items():
                    yield self._score(places, frames, protocol, f"ours-{steps}")

    def _made(self, protocol: Protocol, excerpt: Excerpt) -> Iterator[tuple[str, Tensor]]:
        """Every method's frames of one window, ``1 m 3 h w``."""
        for baseline in self._baselines(protocol):
            made = baseline.make(excerpt.frames[list(protocol.given)], protocol)
            yield baseline.name, made[None]
        if self.maker is not None:
            for steps, made in self.maker.make([excerpt], protocol, self.steps).items():
                yield f"ours-{steps}", made

    def _batches(self, size: int) -> Iterator[range]:
        for start in range(0, len(self.excerpts), size):
            yield range(start, min(start + size, len(self.excerpts)))

    def _score(self, places: range, made: Tensor, protocol: Protocol, method: str) -> list[Row]:
        batch = [self.excerpts[place] for place in places]
        return score(batch, [self.flows[place] for place in places], made, protocol, method)
