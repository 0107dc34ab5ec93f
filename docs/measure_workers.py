"""Measure work that is shared out: a batch by one worker and by two, a clip by one device and two.

Usage:
    python -m docs.measure_workers OUTPUT.json [SECONDS = 80] [MODEL] [NAME=NUMBER ...]

MODEL is mardini-tiny, or a folder of weights; numbers are those of SIZES. Real commands, as a
person types them; where there are two GPUs each worker has its own. Among the clips is one that is
broken: it must fail, and the others must not. The results of both ways are held beside each other,
bytes and frames. Exit code 1: something came out as it should not. Needs what the program needs,
and of the project its folder alone.

A command that is not done when SECONDS are over is ended with all processes that it began, and so
it is if this one is ended.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
SIZES = {
    "clips": 8,
    "frames": 17,  # of a clip
    "long": 33,  # frames of the clip that devices share
    "width": 456,
    "height": 256,
    "steps": 8,
}
SAID = 400
"""Characters of what a command said last, where it failed."""


@dataclass(kw_only=True)
class Run:
    """What a command told, and when."""

    status: int = 0
    """Exit code, or minus the signal's number."""
    late: bool = False
    """It was ended, since the time was over."""
    seconds: float = 0.0
    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """Seconds since the start, and the event."""
    said: str = ""
    """What it said last, where it failed."""

    @property
    def ending(self) -> str:
        """How it ended, for eyes."""
        return "out of time" if self.late else f"status {self.status}: {self.said.strip()}"

    def of(self, kind: str) -> list[tuple[float, dict[str, Any]]]:
        """Events of one kind."""
        return [(when, event) for when, event in self.events if event["event"] == kind]


def main(words: Sequence[str]) -> int:
    """Measure; write and tell each part as it is done."""
    output, rest = Path(words[0]), words[1:]
    until = monotonic() + next((float(word) for word in rest if word.isdecimal()), 80.0)
    sizes = SIZES | {n: int(v) for n, _, v in (w.partition("=") for w in rest if "=" in w)}
    model = next((w for w in rest if "=" not in w and not w.isdecimal()), "mardini-tiny")
    told: dict[str, Any] = {"torch": version("torch"), "cards": cards(), "model": model, **sizes}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        flags = {"model": model, "codec": "ffv1", "steps": sizes["steps"], "seed": 3}
        for part in (workers, devices):
            told[part.__name__] = part(Path(place), sizes, flags, until, wrong)
            output.write_text(json.dumps({**told, "wrong": wrong}, indent=1) + "\n")
            print(json.dumps({part.__name__: told[part.__name__]}, indent=1), flush=True)
    print("\n".join(wrong) or "all as it should be", flush=True)
    return 1 if wrong else 0


def workers(
    place: Path, sizes: Mapping[str, int], flags: Mapping[str, Any], until: float, wrong: list[str]
) -> dict[str, Any]:
    """A batch by one worker and by two."""
    folder = place / "clips"
    folder.mkdir()
    for number in range(sizes["clips"]):
        clip(folder / f"{number}.mkv", number, sizes["frames"], sizes)
    (folder / "0 broken.mkv").write_bytes(b"no film")  # begun early: the others come after it
    told: dict[str, Any] = {}
    for count in (1, 2):
        words = ["interpolate", str(folder), "--output-dir", str(place / str(count))]
        words += ["--factor", "4", "--workers", str(count), *spelled(flags)]
        run = command(words, until)
        ends = [when for when, _ in run.of("finished")]
        failed = [event["item"] for _, event in run.of("failed")]
        told[str(count)] = {
            "status": run.status,
            "seconds": run.seconds,
            "finished": ends,
            "a result": pace(ends, count),
            "devices": sorted({event["device"] for _, event in run.of("planned")}),
            "failed": [event["found"] for _, event in run.of("failed")],
        }
        if (run.status, len(ends), len(failed)) != (1, sizes["clips"], 1):
            wrong.append(f"workers {count}: {len(ends)} results, {run.ending}")
    one, two = told["1"], told["2"]
    told["times as fast, from start to end"] = one["seconds"] / two["seconds"]
    if one["a result"] and two["a result"]:
        told["times as fast, once all have begun"] = one["a result"] / two["a result"]
    names = [f"{number}.x4.mkv" for number in range(sizes["clips"])]
    told["results"] = beside(*([place / n / name for name in names] for n in "12"), wrong=wrong)
    return told


def devices(
    place: Path, sizes: Mapping[str, int], flags: Mapping[str, Any], until: float, wrong: list[str]
) -> dict[str, Any]:
    """One clip by one device and by two, each twice: the first time kernels are chosen."""
    count = len(cards())
    if count == 1:
        return {"not run": "one card alone"}
    clip(place / "long.mkv", 99, sizes["long"], sizes)
    names = ["0", "0,1"] if count else ["cpu", "cpu,cpu"]
    jobs = [(name, again) for name in names for again in (1, 2)]
    results = [place / f"long {n}.mkv" for n in range(len(jobs))]
    shared = {**flags, "factor": 8, "input": "long.mkv", "verify": False}
    text = ""
    for (name, _), result in zip(jobs, results, strict=True):
        job = {**shared, "devices": name, "output": result.name}
        text += "[[job]]\n" + "".join(f"{key} = {json.dumps(job[key])}\n" for key in job)
    (place / "jobs.toml").write_text(text)
    run = command(["batch", str(place / "jobs.toml"), "--workers", "1"], until)
    told: dict[str, Any] = {"status": run.status, "seconds": run.seconds}
    took = {event["item"]: event["elapsed"] for _, event in run.of("finished")}
    for item, (name, again) in enumerate(jobs, start=1):
        told[f"{name}, run {again}"] = took.get(item)
    if run.status or len(took) < len(jobs):
        wrong.append(f"devices: {len(took)} results, {run.ending}")
        return told
    told["times as fast"] = took[2] / took[4]
    told["results"] = beside([results[1]], [results[3]], wrong=wrong)
    return told


def pace(ends: Sequence[float], count: int) -> float | None:
    """Seconds from result to result, once every worker has its first."""
    if len(ends) <= count:
        return None
    return (ends[-1] - ends[count - 1]) / (len(ends) - count)


def spelled(flags: Mapping[str, Any]) -> list[str]:
    """Settings as the words of a command."""
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]


def beside(one: Sequence[Path], other: Sequence[Path], *, wrong: list[str]) -> dict[str, Any]:
    """Hold results of two ways beside each other."""
    pairs = [pair for pair in zip(one, other, strict=True) if all(path.exists() for path in pair)]
    steps = list[int]()
    for left, right in pairs:
        films = pictures(left), pictures(right)
        if len(films[0]) != len(films[1]):
            wrong.append(f"{right.name}: {len(films[1])} frames, {len(films[0])} the other way")
        steps += [int(np.abs(a.astype(np.int16) - b).max()) for a, b in zip(*films, strict=False)]
    return {
        "files": len(pairs),
        "of the same bytes": sum(a.read_bytes() == b.read_bytes() for a, b in pairs),
        "frames": len(steps),
        "frames that differ": sum(step > 0 for step in steps),
        "by at most, of 255": max(steps, default=0),
    }


def command(words: Sequence[str], until: float) -> Run:
    """Run the program, and hear its events; at ``until`` it is ended, with all that it began."""
    run, began = Run(), monotonic()
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "mardini_cli", *words, "--json"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as child,
    ):

        def end() -> None:
            run.late = True
            end_group(child)

        timer = Timer(max(0.0, until - began), end)
        timer.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if line.endswith("\n"):  # else it was cut off
                    run.events.append((round(monotonic() - began, 3), json.loads(line)))
            run.status = child.wait()
        finally:
            timer.cancel()
            end_group(child)
        run.seconds = round(monotonic() - began, 3)
        errors.seek(0)
        run.said = errors.read()[-SAID:] if run.status else ""
    return run


def end_group(child: subprocess.Popen[str]) -> None:
    """End a process and all that it began."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def clip(path: Path, seed: int, frames: int, sizes: Mapping[str, int]) -> None:
    """Write a soft view that glides by; each seed another."""
    high, wide = sizes["height"], sizes["width"]
    shape = high // 32 + 4, wide // 32 + 8, 3
    coarse = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    view = np.asarray(cv2.resize(coarse, (wide + 4 * frames, high)), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 24)
        stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
        for number in range(frames):
            part = np.ascontiguousarray(view[:, 4 * number : 4 * number + wide])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part, "rgb24")))
        container.mux(stream.encode())


def pictures(path: Path) -> list[NDArray[Any]]:
    """Decode a film's planes."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def cards() -> list[str]:
    """Names of the GPUs; asked without torch, which takes seconds to load."""
    words = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):  # some containers have the devices alone
        return sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    return done.stdout.splitlines()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was begun is ended on the way
    sys.exit(main(sys.argv[1:]))
