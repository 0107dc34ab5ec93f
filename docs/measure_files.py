"""Measure the file path alone: how quick it is beside plain FFmpeg, and whether memory grows.

Usage:
    python docs/measure_files.py speed [SECONDS = 4]       output frames a second, and their ratio
    python docs/measure_files.py memory [SECONDS = 120] [SIZE = 640x360]   MiB a minute of video
    python docs/measure_files.py inputs FOLDER            what becomes of every file of a folder
    python docs/measure_files.py quality CLIP             what given frames lose, plane by plane

The model is replaced by one that moves given frames by two pixels, so that what is left is
decoding, conversion to RGB and back, encoding, and the passage between them. The plain way is a
loop of PyAV, which is what ``ffmpeg -i in -c:v libx264 -crf 16 out`` does: decode and encode, no
conversion. Both encode as many frames, since encoding is most of the work. Run it on a machine
that does nothing else.
"""

import resource
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from time import monotonic, process_time
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import torch
from torch import Tensor, nn

from mardini_cli import api, config, pipeline, weights
from mardini_cli.errors import MardiniError
from mardini_cli.events import Finished, Progress, Warned
from mardini_cli.media import planes
from mardini_cli.media.colour import Colour
from mardini_cli.media.encoders import EncodeSettings
from mardini_cli.media.probe import ClipInfo, probe
from mardini_cli.media.reader import Frame, read
from mardini_cli.media.sequences import open_clip
from mardini_cli.media.source import ClipSource
from mardini_cli.media.timing import common_time_base
from mardini_cli.media.writer import Writer
from mardini_cli.model.mardini import MarDini
from mardini_cli.tasks.interpolate import interpolate

SIZE = (1920, 1080)
WINDOW = 9
RATE = 30
RING = 5


class Shift(nn.Module):
    """Stands where the model stands; its made frames are the given ones, moved by two pixels.

    Made frames that only repeat given ones would cost the encoder nothing. Its results take turns
    in memory that is there already, more of them than can be on their way at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.device = nn.Parameter(torch.zeros(()))  # says where the model is
        self.config = replace(config.nano(), window=WINDOW)
        self.planner = nn.Module()
        self.graphs = None
        self._ring: deque[Tensor] = deque()
        self.autoencoder = SimpleNamespace(see=lambda frames, _work: (frames[:, :, :1, :1],))
        self.autoencoder.between = lambda _seen: None

    def look(self, frames: Tensor, mask: Tensor, times: Tensor, *_known: object) -> Any:
        """Keep the given frames, one for each that is to be made."""
        del times
        grid = SimpleNamespace(tokens=1)  # small enough for one tile
        return SimpleNamespace(frames=frames[:, : int(mask[0].sum())], token_grid=grid)

    def plan(self, given: Any) -> Tensor:
        """Say nothing."""
        return cast("Tensor", given.frames[..., 0, 0])

    def decode(
        self, latent: None, level: None, given: Any, signal: Tensor, tile: int | None = None
    ) -> Tensor:
        """Move the given frames, ``b m 3 h w``."""
        del latent, level, signal, tile
        frames = given.frames
        fitting = len(self._ring) == RING and self._ring[0].shape == frames.shape
        made = self._ring.popleft() if fitting else torch.empty_like(frames)
        self._ring.append(made)
        while len(self._ring) > RING:
            self._ring.popleft()
        made[..., 2:] = frames[..., :-2]
        made[..., :2] = frames[..., -2:]
        return made


def film(path: Path, frames: int) -> Path:
    """A 1080p clip of a moving view, each frame with grain of its own as a camera gives it."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (34, 60, 3), dtype=np.uint8)
    wide = av.VideoFrame.from_ndarray(coarse, "rgb24").reformat(2400, 1360, "rgb24")
    scene = wide.to_ndarray().astype(np.int16) + random.normal(0, 9, (1360, 2400, 1)).astype(
        np.int16
    )
    grain = random.normal(0, 2.5, (*SIZE[::-1], 1)).astype(np.int16)
    with av.open(str(path), "w") as container:
        options = {"crf": "20", "preset": "ultrafast"}
        stream = container.add_stream("libx264", RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.thread_type = "AUTO"
        for number in range(frames):
            swing = number % (2 * RATE)
            left = 4 * min(swing, 2 * RATE - swing)
            still = scene[left : left + SIZE[1], left : left + SIZE[0]]
            view = still + np.roll(grain, random.integers(0, 999, 2), (0, 1))
            frame = av.VideoFrame.from_ndarray(np.clip(view, 0, 255).astype(np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def plain(source: Path, output: Path, options: dict[str, str], frames: int) -> None:
    """Decode and encode, nothing else; the source is read again until enough is written."""
    with av.open(str(output), "w") as container:
        stream = container.add_stream("libx264", RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.thread_type = "AUTO"
        written = 0
        while written < frames:
            with av.open(str(source)) as opened:
                opened.streams.video[0].thread_type = "AUTO"
                for frame in opened.decode(video=0):
                    if written == frames:
                        break
                    frame.pts, frame.time_base = written, Fraction(1, RATE)
                    frame.pict_type = 0  # the source's would bind
                    container.mux(stream.encode(frame))
                    written += 1
        container.mux(stream.encode())


def ours(source: Path, output: Path, encode: EncodeSettings) -> int:
    """The whole way of a file at factor 2, probing included; gives the frames written."""
    info = probe(source)
    plan = interpolate(info.times, 2, WINDOW)
    base = common_time_base([*plan.times, info.end])
    model = cast("MarDini", Shift())
    with Writer(output, info, base, info.end, encode) as writer:
        for _ in pipeline.run(plan, ClipSource(info), [model], pipeline.MakeSettings(), writer):
            pass
    return len(plan.slots)


def speed(seconds: int) -> None:
    """Print frames a second, both ways, for two presets of x264."""
    with tempfile.TemporaryDirectory() as folder:
        source = film(Path(folder, "in.mp4"), seconds * RATE)
        for preset in ("medium", "veryfast"):
            encode = EncodeSettings(codec="h264", crf=16, preset=preset)
            began, cpu = monotonic(), process_time()
            frames = ours(source, Path(folder, f"ours-{preset}.mp4"), encode)
            mine, mine_cpu = monotonic() - began, process_time() - cpu
            began, cpu = monotonic(), process_time()
            plain(source, Path(folder, "plain.mp4"), {"crf": "16", "preset": preset}, frames)
            other, other_cpu = monotonic() - began, process_time() - cpu
            print(
                f"x264 {preset}: ours {frames / mine:.1f}, plain {frames / other:.1f} frames/s,"
                f" ratio {other / mine:.2f} (of processor time {other_cpu / mine_cpu:.2f})"
            )


def memory(seconds: int, size: tuple[int, int]) -> None:
    """Print resident memory along one run, and its slope after the first quarter; Linux only."""
    global SIZE
    SIZE = size
    with tempfile.TemporaryDirectory() as folder:
        source = film(Path(folder, "in.mp4"), seconds * RATE)
        info = probe(source)
        plan = interpolate(info.times, 2, WINDOW)
        base = common_time_base([*plan.times, info.end])
        encode = EncodeSettings(codec="h264", preset="ultrafast")
        found = []
        with Writer(Path(folder, "out.mp4"), info, base, info.end, encode) as writer:
            model, making = cast("MarDini", Shift()), pipeline.MakeSettings()
            for told in pipeline.run(plan, ClipSource(info), [model], making, writer):
                if not isinstance(told, Progress):
                    continue
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                found.append((told.done / 2 / RATE / 60, pages * resource.getpagesize() / 2**20))
    steady = np.array([(at, size) for at, size in found if at > seconds / 240])
    slope = np.polyfit(steady[:, 0], steady[:, 1], 1)[0]
    print(f"{seconds} s: {steady[0, 1]:.0f} MiB after a quarter, {steady[-1, 1]:.0f} at the end")
    print(f"slope: {slope:.2f} MiB a minute of video")


def quality(clip: Path) -> None:
    """Print the PSNR of given frames against the source, by plane, and the error of the end."""
    info = probe(clip)
    print("| encoder | PSNR Y, U, V, dB | end, ticks off |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        for name, codec, lossless in _WAYS:
            output = Path(place, name)
            ours(clip, output, EncodeSettings(codec=codec, lossless=lossless))
            result = probe(output)
            off = (result.end - info.end) / result.time_base
            pairs = zip(read(info), _every_other(result), strict=True)
            errors = [_errors(before, after) for before, after in pairs]
            levels = [_psnr(float(np.mean(plane))) for plane in zip(*errors, strict=True)]
            told = f"{output.suffix} {codec or 'default'}{' lossless' if lossless else ''}"
            print(f"| {told} | {', '.join(levels)} | {float(off):g} |")


_WAYS: tuple[tuple[str, str | None, bool], ...] = (
    ("a.mp4", None, False),
    ("b.mp4", "hevc", False),
    ("c.webm", None, False),
    ("d.mp4", "av1", False),
    ("e.mov", "prores", False),
    ("f.mkv", "ffv1", False),
    ("g.mp4", "h264", True),
)


def _every_other(info: ClipInfo) -> Iterator[Frame]:
    return (frame for number, frame in enumerate(read(info)) if number % 2 == 0)


def _errors(before: Frame, after: Frame) -> list[float]:
    """Mean squared error of each plane, of 255 squared."""
    found = []
    layout = planes.LAYOUTS[before.picture.format.name]
    same = planes.converted(after.picture, Colour(), layout, Colour())
    for old, new in zip(
        planes.channels(before.picture, layout), planes.channels(same, layout), strict=True
    ):
        scale = 255 / (2**layout.depth - 1)
        found.append(float(np.mean((old.astype(float) - new.astype(float)) ** 2)) * scale**2)
    return found


def _psnr(error: float) -> str:
    return f"{10 * np.log10(255**2 / error):.1f}" if error else "infinite"


def inputs(folder: Path) -> None:
    """Print, for every file, what ``mardini interpolate --factor 2`` makes of it.

    The smallest model, with random weights: what counts here is the file.
    """
    with tempfile.TemporaryDirectory() as place:
        nano = Path(place, "nano")
        weights.save(MarDini(config.preset("nano")).eval(), nano, storage="fp32")
        print("| file | frames in, out | what came of it |\n| --- | --- | --- |")
        for path in sorted(folder.iterdir()):
            if path.suffix not in (".md", ".csv"):
                print("| " + " | ".join((path.name, *_tried(path, nano, Path(place)))) + " |")


def _tried(path: Path, nano: Path, place: Path) -> tuple[str, str]:
    request = api.InterpolateRequest(clip=path, output=place, model=str(nano), overwrite=True)
    try:
        events = list(api.interpolate(request))
    except MardiniError as error:
        return "-", f"refused: {str(error).replace(str(path.parent) + '/', '')}"
    told = [event.message for event in events if isinstance(event, Warned)]
    made = next(event for event in events if isinstance(event, Finished))
    count = len(probe(made.output).times)
    assert count == made.frames
    kind = f"`{made.output.suffix}`, {probe(made.output).codec}, {probe(made.output).pixel_format}"
    seen = len(open_clip(path, request.input_fps).info.times)  # the plan counts repeats as given
    return f"{seen}, {count}", "; ".join((kind, *told))


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "speed":
        speed(int(words[0]) if words else 4)
    elif what == "quality":
        quality(Path(words[0]))
    elif what == "inputs":
        inputs(Path(words[0]))
    else:
        width, height = words[1].split("x") if len(words) > 1 else ("640", "360")
        memory(int(words[0]) if words else 120, (int(width), int(height)))
