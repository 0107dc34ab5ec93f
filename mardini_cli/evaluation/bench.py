"""All methods over all windows, clip after clip.

Room: evaluation. Writes rows into the ledger as they are measured; draws nothing.

Work is shared out by window. On a CPU each worker has torch to itself on one thread and takes a
window through a method and its metrics: threads inside torch wait for one another, and far longer
where the machine has other work. On a GPU the workers make the baselines, and the device makes and
measures windows in batches.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from mardini_cli.errors import BaselineError, MardiniError
from mardini_cli.evaluation.baselines import motion_between
from mardini_cli.evaluation.excerpts import Excerpt, excerpts_of
from mardini_cli.evaluation.judges import Features, Judges
from mardini_cli.evaluation.ledger import Ledger, key_of
from mardini_cli.evaluation.measures import FEWEST, SETS
from mardini_cli.evaluation.methods import Method
from mardini_cli.evaluation.protocols import PROTOCOLS, Cut, Protocol
from mardini_cli.evaluation.request import EvaluateRequest
from mardini_cli.evaluation.score import score, whole_windows
from mardini_cli.evaluation.tables import Line, Row, Where
from mardini_cli.events import Warned

BATCH: Final = 8
"""Windows made and measured at once on a GPU."""
TRUTH: Final = "truth"
"""Whose windows those of a method are compared with, where sets are."""
AHEAD: Final = 2
"""Clips that are read while another is worked on."""
HELD_BYTES: Final = 2**29
"""Made frames kept for the pictures, as bytes; what does not fit is made again."""


@dataclass(frozen=True, eq=False, slots=True)
class Sighted:
    """A window with what is known of it before anything is made."""

    excerpt: Excerpt
    flow: float
    digest: str


@dataclass(eq=False, slots=True)
class Bench:
    """What a run needs, and what it found."""

    request: EvaluateRequest
    clips: Sequence[Path]
    methods: Sequence[Method]
    ledger: Ledger
    device: torch.device
    pool: ThreadPoolExecutor
    """Its threads run torch alone each; together they fill the cores."""
    judges: Judges
    features: Features
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Why clips were left out, a line each."""
    failed: dict[tuple[str, str], str] = field(default_factory=dict)
    """Protocol and method to why a program's line is missing."""
    windows: dict[str, int] = field(default_factory=dict)
    """Windows of each cut."""
    held: dict[tuple[str, str, Where], Tensor] = field(default_factory=dict)
    """Protocol, method and window to made frames, ``m 3 h w`` uint8."""
    held_bytes: int = 0
    keys: dict[tuple[str, str], dict[Where, str]] = field(default_factory=dict)
    """Protocol and method (or ``TRUTH``) to the key of each window, where sets are compared."""

    @property
    def protocols(self) -> list[Protocol]:
        """Asked for, in order."""
        return [PROTOCOLS[name] for name in self.request.protocols]

    @property
    def titles(self) -> dict[str, str]:
        """Methods' names for the reader, in the order of the tables."""
        return {k: v for method in self.methods for k, v in method.titles().items()}

    def run(self) -> Iterator[Warned | float]:
        """Measure everything into ``rows``; yield warnings, and the share that is done."""
        cuts = list(dict.fromkeys(protocol.cut for protocol in self.protocols))
        for number, cut in enumerate(cuts):
            for told in self._run_cut(cut):
                yield told if isinstance(told, Warned) else (number + told) / len(cuts)
        methods = {name: place for place, name in enumerate(self.titles)}
        protocols = {name: place for place, name in enumerate(self.request.protocols)}
        # Stable: windows stay in the order of the clips.
        self.rows.sort(key=lambda row: (protocols[row.protocol], methods[row.method]))

    def excerpts(self, cut: Cut) -> Iterator[tuple[int, list[Excerpt] | MardiniError]]:
        """Read clip after clip, the next ones already while this one is worked on."""
        read = partial(excerpts_of, cut=cut, root=self.request.folder)
        ahead = [self.pool.submit(read, p, place) for place, p in enumerate(self.clips[:AHEAD])]
        left = cut.most
        for place in range(len(self.clips)):
            found = ahead.pop(0).result()
            following = place + AHEAD
            if following < len(self.clips):
                ahead.append(self.pool.submit(read, self.clips[following], following))
            if left is not None and not isinstance(found, MardiniError):
                found = found[:left]
                left -= len(found)
            yield place, found
            if left == 0:
                return

    def _run_cut(self, cut: Cut) -> Iterator[Warned | float]:
        parts = [(p, m) for p in self.protocols if p.cut == cut for m in self.methods]
        self.windows[cut.name] = 0
        for place, found in self.excerpts(cut):
            if isinstance(found, MardiniError):
                message = str(found)
                if message not in self.skipped:
                    self.skipped.append(message)
                    yield Warned(code="clip-skipped", message=f"left out: {message}")
                continue
            self.windows[cut.name] += len(found)
            sighted = list(self.pool.map(_sight, found))
            for protocol in dict.fromkeys(protocol for protocol, _ in parts):
                self._see_truth(sighted, protocol)
            for number, (protocol, method) in enumerate(parts):
                if method.applies(protocol):
                    yield from self._measure(sighted, protocol, method)
                yield (place + (number + 1) / len(parts)) / len(self.clips)
        count = self.windows[cut.name]
        if cut.expected is not None and count != cut.expected:
            yield Warned(
                code="window-count",
                message=f"{cut.name}: {count} windows where the benchmark's data set gives"
                f" {cut.expected}; the figures are not those of the benchmark",
            )

    def _measure(
        self, sighted: Sequence[Sighted], protocol: Protocol, method: Method
    ) -> Iterator[Warned]:
        missing = [(one, self._missing(one, protocol, method)) for one in sighted]
        alone = self.device.type == "cpu" or not method.learned
        for names, group in groupby(missing, key=lambda pair: pair[1]):
            if not names:
                continue
            work = partial(self._made_and_scored, names=names, protocol=protocol, method=method)
            batches = _batches([one for one, _ in group], 1 if alone else BATCH)
            try:
                for rows in self.pool.map(work, batches) if alone else map(work, batches):
                    self.rows += rows
            except BaselineError as error:
                self._fail(protocol.name, names, str(error))
                yield Warned(code=error.code, message=f"{protocol.name}: {error}")
                return

    def _missing(self, one: Sighted, protocol: Protocol, method: Method) -> tuple[str, ...]:
        """Lines that are still to be measured; rows of the others are taken."""
        lacks = []
        for name in self._lines(protocol, method):
            template = Row(
                protocol=protocol.name,
                method=name,
                clip=one.excerpt.clip,
                stride=one.excerpt.stride,
                start=one.excerpt.start,
                flow=one.flow,
                figures={},
            )
            key = self._key(one, protocol, method, name)
            row = self.ledger.find(key, template) if self.features.have(key) else None
            if row is None:
                lacks.append(name)
            else:
                self.rows.append(row)
                self._note(row, key)
        return tuple(lacks)

    def _key(self, one: Sighted, protocol: Protocol, method: Method, name: str) -> str:
        """What a row is found by; with a network that measures, by its weights as well."""
        identity = method.identity(name)
        if self.judges.lpips is not None:
            identity = f"{identity} lpips {self.judges.lpips.digest}"
        return key_of(one.digest, one.excerpt, protocol, identity)

    def _lines(self, protocol: Protocol, method: Method) -> list[str]:
        return [name for name in method.titles() if (protocol.name, name) not in self.failed]

    def _fail(self, protocol: str, names: Sequence[str], why: str) -> None:
        """Leave lines out of a protocol: half a line would be a mean over other windows."""
        for name in names:
            self.failed[protocol, name] = why
        self.rows = [r for r in self.rows if (r.protocol, r.method) not in self.failed]

    def _made_and_scored(
        self, batch: Sequence[Sighted], names: Sequence[str], protocol: Protocol, method: Method
    ) -> list[Row]:
        excerpts = [one.excerpt for one in batch]
        rows = []
        for name, frames in method.make(excerpts, protocol, names).items():
            flows = [one.flow for one in batch]
            made, lpips = frames.to(self.device), self.judges.lpips
            scored = score(excerpts, flows, made, protocol, name, lpips)
            seen = self._seen(excerpts, protocol, made)
            for place, (one, row, pictures) in enumerate(zip(batch, scored, frames, strict=True)):
                key = self._key(one, protocol, method, name)
                self.features.put(key, {k: samples[place] for k, samples in seen.items()})
                self.ledger.add(key, row)
                self._note(row, key)
                self._hold(row, pictures)
            rows += scored
        return rows

    def _seen(
        self, excerpts: Sequence[Excerpt], protocol: Protocol, made: Tensor | None = None
    ) -> dict[str, Tensor]:
        """What networks of sets see in true windows, or in those with made frames put in."""
        if not self.judges.of_sets:
            return {}
        true = torch.stack([excerpt.frames for excerpt in excerpts]).to(self.device)
        windows = true if made is None else whole_windows(true, made, protocol)
        return self.judges.see(windows, protocol)

    def _see_truth(self, sighted: Sequence[Sighted], protocol: Protocol) -> None:
        """Let the networks of sets see the true windows, once for all methods."""
        if not self.judges.of_sets:
            return

        def see(one: Sighted) -> None:
            key = f"{TRUTH} {one.digest} {protocol.made}"
            if not self.features.have(key):
                seen = self._seen([one.excerpt], protocol)
                self.features.put(key, {k: samples[0] for k, samples in seen.items()})
            where = one.excerpt.clip, one.excerpt.stride, one.excerpt.start
            self.keys.setdefault((protocol.name, TRUTH), {})[where] = key

        list((self.pool.map if self.device.type == "cpu" else map)(see, sighted))

    def _note(self, row: Row, key: str) -> None:
        if self.judges.of_sets:
            self.keys.setdefault((row.protocol, row.method), {})[row.window] = key

    def _hold(self, row: Row, pictures: Tensor) -> None:
        if self.request.sheets and self.held_bytes + pictures.numel() <= HELD_BYTES:
            self.held_bytes += pictures.numel()
            levels = pictures.clamp(0, 1).mul(255).round().to(torch.uint8).cpu()
            self.held[row.protocol, row.method, row.window] = levels

    def frames(self, protocol: Protocol, excerpt: Excerpt) -> dict[str, Tensor]:
        """Every method's made frames of one window, ``m 3 h w`` in [0, 1], by name."""
        window = (excerpt.clip, excerpt.stride, excerpt.start)
        found = {}
        for method in self.methods:
            names = self._lines(protocol, method) if method.applies(protocol) else []
            held = {name: self.held.get((protocol.name, name, window)) for name in names}
            lacks = [name for name, levels in held.items() if levels is None]
            made = method.make([excerpt], protocol, lacks) if lacks else {}
            for name, levels in held.items():
                found[name] = made[name][0].cpu() if levels is None else levels.float() / 255
        return found


def measure_sets(bench: Bench, lines: Sequence[Line]) -> Iterator[Warned]:
    """Compare all of a method's windows with the truth's: FID and FVD, into the lines.

    Yields:
        Where there are so few samples that the figure is mostly one of their number.
    """
    few: dict[str, int] = {}
    for line in (line for line in lines if line.third == "all"):
        found = bench.keys.get((line.protocol, line.method), {})
        true = bench.keys.get((line.protocol, TRUTH), {})
        for measure in bench.judges.of_sets:
            windows = sorted(found)  # they were noted as they were done
            samples = bench.features.distance(
                measure, [found[where] for where in windows], [true[where] for where in windows]
            )
            if samples is None:
                continue
            line.sets[measure], count = samples
            if count < FEWEST[measure]:
                few[f"{line.protocol}: {SETS[measure].title}"] = count
    for which, count in few.items():
        least = FEWEST[which.rpartition(" ")[2].lower()]
        yield Warned(
            code="few-samples",
            message=f"{which} of {count} samples, where {least} are the least that tell of more"
            " than their number; compare it only with figures of the same windows",
        )


def _sight(excerpt: Excerpt) -> Sighted:
    flow = motion_between(excerpt.frames[0], excerpt.frames[-1])
    return Sighted(excerpt, flow, excerpt.digest())


def _batches(windows: Sequence[Sighted], size: int) -> list[Sequence[Sighted]]:
    return [windows[start : start + size] for start in range(0, len(windows), size)]
