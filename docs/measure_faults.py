"""Measure what broken files do: thousands of them, each through the whole program.

Usage, from the repository's root:
    python -m docs.measure_faults [--media N = 2000] [--weights N = 400] [--configs N = 100]
                                  [--seeds FOLDER] [--keep FOLDER] [--first N]

Media and pictures are probed, decoded and made more of (the smallest model); weights are loaded and
make a frame; configs are read. What may come of it is a result or one ``MardiniError``. Anything
else is a finding: another exception, more than 20 s, a process that dies, a file left behind. The
work is done in a child process, which is started anew where it hangs or dies. Findings are listed,
and with ``--keep`` the files behind them are kept. Exit 1 where there is any.

The corpus is the same every time (``docs.mutants``): files have numbers, which chance is seeded
with, and ``--first`` begins with a later one for a corpus of others. ``--seeds`` takes the files of
a folder as seeds beside the ones that are made here.
"""

import argparse
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, process_time
from typing import IO, Any

LONGEST = 20.0
"""Seconds that one file may take."""
WARMING = 60.0
"""More seconds for the first file of a child, which has torch to load."""
CHILD = ["-m", "docs.measure_faults", "--child"]
MEMORY = 8 * 2**30
"""Address space of the child, bytes: torch alone maps more than half of it."""
LARGEST_SEED = 400_000
"""Bytes; larger files of a folder are no seeds."""


# The child: one line in for each file, one line out.


def _media(path: Path, nano: Path, place: Path) -> None:
    from mardini_cli import api
    from mardini_cli.errors import InputError
    from mardini_cli.media.stills import load

    with suppress(InputError):  # a film may be refused as a picture, and the other way round
        list(api.probe(api.ProbeRequest(clip=path)))
    with suppress(InputError):
        load(path)
    common: dict[str, Any] = {"model": str(nano), "device": "cpu", "resolution": 32}
    if path.name.rpartition("-")[2].startswith("picture."):
        both = (path, path)
        made = api.keyframes(
            api.KeyframesRequest(
                images=both, between=1, output=place / "made.mp4", range="0..0.05", **common
            )
        )
    else:
        made = api.interpolate(
            api.InterpolateRequest(clip=path, output=place / "made.mkv", range="0..0.1", **common)
        )
    list(made)


def _weights(path: Path, _nano: Path, place: Path) -> None:
    from mardini_cli import api

    seed = place.parent / "two.mkv"
    request = api.InterpolateRequest(
        clip=seed, output=place / "made.mkv", model=str(path), device="cpu", resolution=32
    )
    list(api.interpolate(request))


def _config(path: Path, _nano: Path, place: Path) -> None:
    from mardini_cli.training.reading import read_config

    del place
    read_config(path)


WORK: dict[str, Callable[[Path, Path, Path], None]] = {
    "media": _media,
    "weights": _weights,
    "config": _config,
}


def child(room: Path) -> None:
    """Work on files as they are named on standard input."""
    from mardini_cli.errors import MardiniError

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "w")
    place = room / "place"
    for line in sys.stdin:
        what, name = json.loads(line)
        told = "result"
        try:
            WORK[what](Path(name), room / "nano", place)
        except MardiniError as error:
            told = error.code
            if "\n" in str(error) or len(str(error)) > 2000:
                told = f"bug: no one line: {error}"
        except BaseException:  # noqa: BLE001 - what is looked for; it is told to the parent
            told = f"bug: {traceback.format_exc(limit=-3)}"
        answers.write(json.dumps(told) + "\n")
        answers.flush()


# The parent.


@dataclass
class Worker:
    """A child that is there when it is needed."""

    room: Path
    process: "subprocess.Popen[str] | None" = None
    fresh: bool = True
    """Whether its child has not answered yet: a new one has torch to load first."""

    def ask(self, what: str, path: Path) -> str:
        """Have one file worked on; says what came of it."""
        process = self.process or self._start()
        assert process.stdin is not None
        process.stdin.write(json.dumps([what, str(path)]) + "\n")
        process.stdin.flush()
        answer = self._answer(process)
        if answer is None:
            process.kill()
        if not answer:
            status = self._end(process)
            return "hang" if answer is None else f"crash: the process ended with {status}"
        return str(json.loads(answer))

    def _start(self) -> "subprocess.Popen[str]":
        words = [sys.executable, *CHILD, str(self.room)]
        with (self.room / "stderr.txt").open("ab") as errors:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
            )
        self.fresh = True
        return self.process

    def _answer(self, process: "subprocess.Popen[str]") -> str | None:
        """The next line; empty where the child died, None where it takes too long."""
        stdout: IO[str] | None = process.stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], LONGEST + (WARMING if self.fresh else 0))
        self.fresh = False
        return stdout.readline() if ready else None

    def _end(self, process: "subprocess.Popen[str]") -> int:
        self.process = None
        with suppress(BrokenPipeError):
            process.__exit__(None, None, None)  # closes the pipes, and waits
        return process.wait()

    def close(self) -> None:
        """End the child."""
        if self.process is not None:
            self._end(self.process)


@dataclass
class Tally:
    """What came of all files."""

    outcomes: "Counter[tuple[str, str]]" = field(default_factory=Counter)
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    slowest: float = 0.0


def measure(corpus: Iterator[tuple[str, Path, str]], room: Path, keep: Path | None = None) -> Tally:
    """Work through a corpus.

    Args:
        corpus: what to do (``media``, ``weights``, ``config``), the file, its damage; files are
            taken away here.
        room: a folder with the weights ``nano`` in it.
        keep: where files behind findings go.
    """
    tally, worker = Tally(), Worker(room)
    place = room / "place"
    place.mkdir()
    for what, path, damage in corpus:
        began, fresh = monotonic(), worker.process is None
        told = worker.ask(what, path)
        if not fresh:
            tally.slowest = max(tally.slowest, monotonic() - began)
        left = sorted(entry.name for entry in place.iterdir())
        wanted = {"made.mkv", "made.mp4"} if told == "result" else set()
        if set(left) - wanted and not told.startswith(("hang", "crash")):
            told = f"left behind: {', '.join(left)} after {told}"
        shutil.rmtree(place)
        place.mkdir()
        kind, _, _ = told.partition(":")
        tally.outcomes[what, kind] += 1
        if kind in {"bug", "hang", "crash", "left behind"}:
            tally.findings.append((path.name, damage, told))
            if keep is not None:
                keep.mkdir(exist_ok=True)
                (shutil.copytree if path.is_dir() else shutil.copy)(path, keep / path.name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    worker.close()
    return tally


def corpus(
    room: Path, numbers: dict[str, range], more: Path | None
) -> Iterator[tuple[str, Path, str]]:
    """Everything that is to be worked on, written as it is needed."""
    import torch

    from docs import mutants
    from mardini_cli import config, weights
    from mardini_cli.model.mardini import MarDini

    torch.manual_seed(0)
    weights.save(MarDini(config.preset("nano")).eval(), room / "nano", storage="fp32")
    broken = room / "broken"
    broken.mkdir()
    seeds = mutants.media_seeds(room / "seeds")
    shutil.copy(room / "seeds" / "ffv1.mkv", room / "two.mkv")
    if more is not None:
        found = sorted(path for path in more.iterdir() if path.suffix not in (".md", ".csv"))
        seeds += [path for path in found if 0 < path.stat().st_size <= LARGEST_SEED]
    for path, damage in mutants.media_mutants(seeds, broken, numbers["media"]):
        yield "media", path, damage
    for path, damage in mutants.weights_mutants(room / "nano", broken, numbers["weights"]):
        yield "weights", path, damage
    for path, damage in mutants.config_mutants(broken, numbers["config"]):
        yield "config", path, damage


def main() -> int:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--media", type=int, default=2000)
    parser.add_argument("--weights", type=int, default=400)
    parser.add_argument("--configs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.child is not None:
        child(told.child)
        return 0
    counts = {"media": told.media, "weights": told.weights, "config": told.configs}
    numbers = {what: range(told.first, told.first + count) for what, count in counts.items()}
    began = monotonic()
    with tempfile.TemporaryDirectory() as place:
        room = Path(place)
        tally = measure(corpus(room, numbers, told.seeds), room, told.keep)
        errors = (room / "stderr.txt").read_text(errors="replace")
    print("| what | outcome | files |\n| --- | --- | --- |")
    for (what, kind), count in sorted(tally.outcomes.items()):
        print(f"| {what} | `{kind}` | {count} |")
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    cpu = process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    print(
        f"\n{sum(tally.outcomes.values())} files, {len(tally.findings)} findings, slowest"
        f" {tally.slowest:.1f} s, {monotonic() - began:.0f} s in all, {cpu:.0f} s of CPU,"
        f" {memory:.2f} GiB of memory at most;"
        f" {len(errors.splitlines())} lines on the child's standard error"
    )
    for line in sorted(set(errors.splitlines())):
        print(f"standard error: {line}")
    for name, damage, finding in tally.findings:
        print(f"\n{name} ({damage}): {finding.strip()}")
    return bool(tally.findings)


if __name__ == "__main__":
    sys.exit(main())
