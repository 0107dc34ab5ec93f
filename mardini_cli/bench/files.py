"""From file to file: a clip is interpolated, and its stages are also timed alone.

Room: bench. The only part of it that needs the media room.
"""

import tempfile
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import perf_counter, process_time

import av
import numpy as np
import torch
from numpy.typing import NDArray

from mardini_cli import pipeline
from mardini_cli.config import SamplerConfig, tiny
from mardini_cli.media.encoders import EncodeSettings
from mardini_cli.media.probe import ClipInfo, probe
from mardini_cli.media.reader import rgb
from mardini_cli.media.source import ClipSource
from mardini_cli.media.timing import common_time_base
from mardini_cli.media.writer import Writer
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline.settling import settle
from mardini_cli.tasks.interpolate import interpolate
from mardini_cli.tasks.plan import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class FileCell:
    """A clip, and how it is made longer."""

    size: tuple[int, int] = (1080, 1920)
    """Height and width, pixels."""
    seconds: int = 3
    rate: int = 24
    factor: int = 2
    batch: int | None = None
    steps: int = 0
    preset: str | None = None
    """Of x264; None is what every command takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileMeasured:
    """What a clip took."""

    cell: FileCell
    made: int
    total: float
    """Seconds from opening the source to the finished file; frames' times were found before."""
    cpu: float
    """Seconds of processor time of the same."""
    decode: float
    """Seconds to decode and convert all given frames, alone."""
    encode: float
    """Seconds to convert and encode as many made frames, alone."""

    @property
    def real_time(self) -> float:
        """Seconds of clip for a second of work."""
        return self.cell.seconds / self.total

    @property
    def line(self) -> str:
        """All of it in one line."""
        (high, wide), made = self.cell.size, self.made
        return (
            f"tiny, from file to file: x{self.cell.factor}, {wide}x{high},"
            f" batch {self.cell.batch or 'auto'}, {self.cell.steps} steps:"
            f" {made / self.total:.1f} made frames/s,"
            f" {self.real_time:.2f} x real time at {self.cell.rate}/s;"
            f" a made frame took {1e3 * self.cpu / made:.0f} ms of processor time; alone, decode"
            f" {1e3 * self.decode / made:.1f} and encode {1e3 * self.encode / made:.1f} ms"
        )


def interpolated(
    cell: FileCell, device: torch.device, dtype: torch.dtype, model: MarDini | None = None
) -> FileMeasured:
    """Interpolate a film of our own, from file to file.

    Args:
        cell: which.
        device: where the model runs.
        dtype: number type of the networks.
        model: settled already; None is ``tiny`` with random weights.
    """
    if model is None:
        with torch.device(device):
            model = settle(MarDini(tiny()).eval().requires_grad_(False), dtype)
    with tempfile.TemporaryDirectory() as folder:
        info = probe(film(Path(folder, "in.mp4"), cell))
        plan = interpolate(info.times, cell.factor, model.config.window)
        settings = pipeline.MakeSettings(
            sampler=SamplerConfig(steps=cell.steps), dtype=dtype, batch=cell.batch
        )
        warm = plan.part(plan.times[0], plan.times[min(len(plan.times) - 1, 16)])
        _write(warm, info, model, settings, Path(folder, "warm.mp4"))
        began, used = perf_counter(), process_time()
        _write(plan, info, model, settings, Path(folder, "out.mp4"))
        total, cpu = perf_counter() - began, process_time() - used
        began = perf_counter()
        pictures = _decoded(info)
        decode = perf_counter() - began
        began = perf_counter()
        _encoded(pictures, plan.made_count, info, Path(folder, "alone.mp4"))
        encode = perf_counter() - began
    return FileMeasured(
        cell=cell, made=plan.made_count, total=total, cpu=cpu, decode=decode, encode=encode
    )


def film(path: Path, cell: FileCell) -> Path:
    """A soft view that glides by, with grain as a camera gives it."""
    (high, wide), random = cell.size, np.random.default_rng(0)
    coarse = random.integers(0, 255, (high // 32 + 8, wide // 32 + 8, 3), dtype=np.uint8)
    stretched = av.VideoFrame.from_ndarray(coarse, "rgb24").reformat(
        wide + 256, high + 256, "rgb24"
    )
    view = stretched.to_ndarray().astype(np.int16)
    view += random.normal(0, 6, (*view.shape[:2], 1)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", cell.rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
        for number in range(cell.seconds * cell.rate):
            left = min(4 * number, 250)
            part = view[left // 2 : left // 2 + high, left : left + wide]
            picture = np.clip(part, 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path


def _write(
    plan: Plan, info: ClipInfo, model: MarDini, settings: pipeline.MakeSettings, output: Path
) -> None:
    base = common_time_base([*plan.times, info.end])
    with Writer(output, info, base, info.end, EncodeSettings(), plan.times) as writer:
        for _ in pipeline.run(plan, ClipSource(info), [model], settings, writer):
            pass


def _decoded(info: ClipInfo) -> list[NDArray[np.float32]]:
    """Decode and convert every frame; the first few are kept."""
    kept = list[NDArray[np.float32]]()
    with closing(ClipSource(info).frames()) as frames:
        for frame in frames:
            picture = rgb(frame, info)
            if len(kept) < 8:
                kept.append(picture)
    return kept


def _encoded(pictures: list[NDArray[np.float32]], count: int, info: ClipInfo, output: Path) -> None:
    times = [Fraction(number, 2 * 24) for number in range(count)]
    end = Fraction(count, 2 * 24)
    with Writer(output, info, Fraction(1, 48), end, EncodeSettings(), times) as writer:
        for number, time in enumerate(times):
            writer.made(pictures[number % len(pictures)], time)
