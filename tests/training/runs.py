"""Small runs: clips made on the spot, stages of a few steps, and how a run is stopped."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mardini_cli import config
from mardini_cli.events import Event
from mardini_cli.model.mardini import MarDini
from mardini_cli.training import checkpoint, clips, loop
from mardini_cli.training.batches import Batch, Batches
from mardini_cli.training.crew import Chance, Crew
from mardini_cli.training.stages import StageConfig, TrainConfig
from tests.pipeline.clips import write_clip

SIDE = 64
SIZE = (72, 88)
CPU = torch.device("cpu")
CONFIG = """
preset = "nano"
data = ["clips"]
out = "run"
device = "cpu"
workers = 0
[[stages]]
name = "guided"
kind = "guided"
steps = 2
batch = 2
side = 48
"""
"""Settings of a run of two steps on ``clips``, as a person writes them."""


def data_folder(folder: Path, count: int = 3) -> Path:
    """Clips of a moving square, each of another length."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        times = [Fraction(n, 25) for n in range(20 + 3 * number)]
        write_clip(folder / f"clip{number}.mkv", times, size=SIZE)
    return folder


def photo_folder(folder: Path) -> Path:
    """Two photographs of smooth noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((300, 200)).save(folder / f"photo{number}.png")
    return folder


def stage(kind: Any = "guided", **settings: Any) -> StageConfig:
    """A stage of four steps, of two windows each."""
    standard = {"name": kind, "steps": 4, "batch": 2, "side": SIDE, "warmup": 2, "photos": 0.0}
    return StageConfig(kind=kind, **{**standard, **settings})


def settings(folder: Path, *stages: StageConfig, **changes: Any) -> TrainConfig:
    """A run beside its clips."""
    data = folder / "data"
    if not data.exists():
        data_folder(data)
    standard = {
        "preset": "nano",
        "data": (str(data),),
        "out": str(folder / "run"),
        "stages": stages,
        "device": "cpu",
        "save": 2,
        "workers": 0,
        "sheets": 0,
    }
    return TrainConfig(**{**standard, **changes})


def run(settings: TrainConfig) -> list[Event]:
    """Train to the end."""
    return list(loop.Run(settings).events())


class Stopped(Exception):
    """The run was stopped."""


def run_until_save(settings: TrainConfig, saves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until a checkpoint has been written so many times, and stop there."""
    save, left = checkpoint.save, [saves]

    def counted(*told: Any) -> None:
        save(*told)
        left[0] -= 1
        if not left[0]:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", counted)
        with pytest.raises(Stopped):
            run(settings)


def saved(folder: str) -> dict[str, Tensor]:
    """Everything in a run's checkpoint."""
    found = checkpoint.load(Path(folder), CPU)
    assert found is not None
    return found[1]


def moving_clip(frames: int = 30, rate: float = 25.0, seed: int = 0) -> clips.Clip:
    """A clip in memory: noise that moves two pixels a frame."""
    noise = torch.rand(1, 3, 20, 20 + frames, generator=torch.Generator().manual_seed(seed))
    wide = torch.nn.functional.interpolate(noise, scale_factor=4, mode="bilinear")[0]
    planes = torch.stack([wide[:, : SIZE[0], 2 * n : 2 * n + SIZE[1]] for n in range(frames)])
    return clip_of((planes * 255).to(torch.uint8), rate)


def clip_of(planes: Tensor, rate: float = 25.0) -> clips.Clip:
    """A clip of these frames, ``f 3 h w`` bytes."""
    return clips.Clip("made", planes, rate, clips.change(planes))


def write_film(path: Path, planes: Tensor, rate: int = 25) -> Path:
    """Write frames, ``f 3 h w`` bytes, as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = planes.shape[3], planes.shape[2], "yuv420p"
        for plane in planes:
            picture = plane.permute(1, 2, 0).contiguous().numpy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path


def batches(stage: StageConfig, seed: int = 0) -> Batches:
    """Batches of one moving clip."""
    sources = clips.usable([moving_clip()], stage.slots, stage.side)
    windows = clips.ClipWindows(sources, stage.slots, stage.side)
    return Batches((windows, None), stage, seed)


def batch(stage: StageConfig, step: int = 0) -> Batch:
    """One of them, as numbers."""
    return batches(stage)[step].to(CPU)


def model(preset: str = "nano") -> MarDini:
    """A small model, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MarDini(config.preset(preset))


def chance(seed: int = 0) -> Chance:
    """Chance of one process alone."""
    return Chance(seed, CPU, Crew())
