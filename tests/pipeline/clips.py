"""Small clips made on the spot, and what a clip holds when it is read back.

Shared by the tests of the pipeline, the api and the command line.
"""

from collections.abc import Sequence
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import cast

import av
import numpy as np
import torch
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mardini_cli import config, weights
from mardini_cli.model.mardini import MarDini

RATE = Fraction(25)
SAMPLES = 8000


def nano_model(seed: int = 0, spread: float = 0.004) -> MarDini:
    """The smallest model, with weights that make every part of it matter."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MarDini(config.preset("nano")).eval()
        with torch.no_grad():
            for parameter in model.parameters():  # last layers start at zero otherwise
                parameter.add_(spread * torch.randn_like(parameter))
    return model


def nano_weights(folder: Path) -> Path:
    """The same model as a weights folder."""
    weights.save(nano_model(), folder, storage="fp32")
    return folder


def even_times(count: int, rate: Fraction = RATE) -> list[Fraction]:
    """Times of a clip with a constant rate."""
    return [n / rate for n in range(count)]


def write_clip(
    path: Path,
    times: Sequence[Fraction],
    *,
    size: tuple[int, int] = (48, 64),
    codec: str = "ffv1",
    pixel_format: str = "yuv420p",
    base: Fraction = Fraction(1, 1000),
    sound: bool = False,
) -> Path:
    """Write a textured square that moves over a gradient.

    Args:
        path: its ending chooses the container.
        times: of the frames, whole ticks of ``base``.
        size: rows and columns.
        codec: FFmpeg's encoder.
        pixel_format: of the encoder.
        base: seconds a tick.
        sound: adds a tone as long as the pictures.
    """
    with av.open(str(path), "w") as container:
        rate = 1 / (times[1] - times[0]) if len(times) > 1 else RATE
        stream = cast("VideoStream", container.add_stream(codec, rate=rate))
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], pixel_format
        stream.codec_context.time_base = base
        voice = container.add_stream("pcm_s16le", rate=SAMPLES, layout="mono") if sound else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, size), "rgb24")
            frame.pts, frame.time_base = round(time / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice is not None:
            for part in _tone(float(times[-1])):
                container.mux(voice.encode(part))
            container.mux(voice.encode())
    return path


def picture(number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Frame of the moving square, ``h w 3``."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    red = (rows * 3 + columns * 2) % 256
    pixels = np.stack((red, 255 - red, np.full_like(red, 90)), -1).astype(np.uint8)
    left = (4 + 3 * number) % max(size[1] - 16, 1)
    texture = np.random.default_rng(7).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    pixels[12:28, left : left + 16] = texture
    return pixels


def _tone(seconds: float) -> list[av.AudioFrame]:
    wave = np.sin(np.arange(int(seconds * SAMPLES) + 400) * 0.3) * 9000
    frames = []
    for start in range(0, len(wave), 400):
        part = wave[start : start + 400].astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLES, start, Fraction(1, SAMPLES)
        frames.append(frame)
    return frames


def read_back(path: Path) -> list[tuple[Fraction, str]]:
    """Each frame's time and a hash of its planes."""
    with av.open(str(path)) as container:
        return [
            (_time(frame), sha256(frame.to_ndarray().tobytes()).hexdigest())
            for frame in container.decode(video=0)
        ]


def pixels(path: Path) -> NDArray[np.uint8]:
    """All frames' planes, ``f rows columns``."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray() for frame in container.decode(video=0)])


def sound_packets(path: Path) -> list[tuple[Fraction, str]]:
    """Each audio packet's time and a hash of its bytes."""
    with av.open(str(path)) as container:
        return [
            (packet.pts * Fraction(packet.time_base), sha256(bytes(packet)).hexdigest())
            for packet in container.demux(audio=0)
            if packet.pts is not None
        ]


def _time(frame: av.VideoFrame) -> Fraction:
    assert frame.pts is not None
    assert frame.time_base is not None
    return frame.pts * Fraction(frame.time_base)


def write_tone(path: Path) -> Path:
    """Write sound without pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLES, layout="mono")
        for part in _tone(0.2):
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    return path
