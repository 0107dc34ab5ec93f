"""Broken files, the same ones each time: media, pictures, weights and configs with faults put in.

Used by ``docs.measure_faults`` and by the tests. A mutant is a seed's bytes after one of a few
kinds of damage, chosen by a number: bits flipped, the end cut off, stretches zeroed, doubled or
exchanged, extreme numbers written over a header, the head of one file on the tail of another.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from mardini_cli.media.scheduling import kept_scheduling

Pixels = NDArray[np.uint8]

FRAMES, SIZE = 5, (64, 48)

_FILMS: Mapping[str, tuple[str, str, str | None]] = {
    "h264.mp4": ("libx264", "yuv420p", "aac"),
    "h264.ts": ("libx264", "yuv420p", "aac"),
    "h264.flv": ("libx264", "yuv420p", "aac"),
    "hevc.mkv": ("libx265", "yuv420p10le", None),
    "ffv1.mkv": ("ffv1", "yuv444p", "pcm_s16le"),
    "vp9.webm": ("libvpx-vp9", "yuv420p", "libopus"),
    "av1.mp4": ("libsvtav1", "yuv420p", None),
    "prores.mov": ("prores_ks", "yuva444p10le", "pcm_s16le"),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", None),
    "mjpeg.avi": ("mjpeg", "yuvj420p", "pcm_s16le"),
    "raw.nut": ("rawvideo", "rgb24", None),
    "raw.y4m": ("rawvideo", "yuv420p", None),
    "picture.gif": ("gif", "rgb8", None),
    "picture.apng": ("apng", "rgba", None),
}
_QUIET = {"libx265": {"x265-params": "log-level=none"}, "libsvtav1": {"preset": "12"}}
_STILLS = ("png", "jpg", "webp", "tif", "bmp", "ppm", "tga", "jp2")

EXTREMES = (
    0,
    1,
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)
_TAGS = (
    *(b"mvhd", b"tkhd", b"mdhd", b"stsd", b"stts", b"stsz", b"stsc", b"stco", b"ctts", b"elst"),
    *(b"avcC", b"hvcC", b"av1C", b"colr", b"trun", b"tfhd", b"avih", b"strh", b"strf", b"idx1"),
    *(b"IHDR", b"IDAT", b"acTL", b"fcTL", b"PLTE", b"VP8X", b"ANMF", b"ANIM", b"VP8 ", b"GIF89a"),
    *(b"\x1a\x45\xdf\xa3", b"\x16\x54\xae\x6b", b"\x1f\x43\xb6\x75", b"\xff\xc0", b"\xff\xe1"),
    *(b"YUV4MPEG2", b"II*\x00", b"BM", b"FLV", b"\x47"),
)


def media_seeds(folder: Path) -> list[Path]:
    """Write one small whole file of each kind: films with sound, animations, pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [_film(folder / name, *told) for name, told in _FILMS.items()]
    pixels = _pixels(0)
    for ending in _STILLS:
        made.append(folder / f"picture.{ending}")
        Image.fromarray(pixels).save(made[-1])
    animation = folder / "animation.webp"
    first, *rest = [Image.fromarray(_pixels(n)) for n in range(FRAMES)]
    first.save(animation, save_all=True, append_images=rest, duration=40)
    return [*made, animation]


def _pixels(number: int) -> Pixels:
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 90 * np.sin((x + 4 * number + 9 * c) / 9 + y / (7 + c)) for c in range(3)]
    pixels: Pixels = np.rint(np.stack(planes, -1)).astype(np.uint8)
    return pixels


def _film(path: Path, codec: str, pixel_format: str, sound: str | None) -> Path:
    muxer = {".y4m": "yuv4mpegpipe", ".apng": "apng"}.get(path.suffix)
    with kept_scheduling(), av.open(str(path), "w", format=muxer) as container:
        options = _QUIET.get(codec, {})
        stream = cast("VideoStream", container.add_stream(codec, rate=25, options=options))
        stream.width, stream.height = SIZE
        stream.pix_fmt = pixel_format
        voice: Any = (
            container.add_stream(cast(Any, sound), rate=48_000, layout="mono") if sound else None
        )
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(_pixels(number), format="rgb24")
            frame = frame.reformat(format=pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            wanted = "s16" if sound != "aac" else "fltp"
            size = 1024 if sound == "aac" else 960
            tone = np.sin(np.arange(size)[None] / 20)
            samples = (tone * 8000).astype(np.int16) if wanted == "s16" else tone.astype(np.float32)
            for number in range(8):
                part = av.AudioFrame.from_ndarray(samples, format=wanted, layout="mono")
                part.sample_rate, part.pts, part.time_base = (
                    48_000,
                    number * size,
                    Fraction(1, 48_000),
                )
                container.mux(voice.encode(part))
            container.mux(voice.encode(None))
    return path


# Kinds of damage: bytes, another seed's bytes and a source of chance to bytes.


def _flipped(data: bytearray, _other: bytes, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 2, 8, 64))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _flipped_head(data: bytearray, _other: bytes, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 2, 4, 16))):
        data[chance.randrange(min(len(data), 512))] ^= 1 << chance.randrange(8)
    return data


def _cut(data: bytearray, _other: bytes, chance: random.Random) -> bytearray:
    return data[: chance.randrange(1, len(data))]


def _zeroed(data: bytearray, _other: bytes, chance: random.Random) -> bytearray:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((4, 64, 1024)))
    data[start:end] = bytes(end - start)
    return data


def _doubled(data: bytearray, _other: bytes, chance: random.Random) -> bytearray:
    start = chance.randrange(len(data))
    part = data[start : start + chance.choice((1, 16, 512))]
    return data[:start] + part * chance.choice((1, 3, 50)) + data[start:]


def _exchanged(data: bytearray, _other: bytes, chance: random.Random) -> bytearray:
    size = max(1, len(data) // chance.choice((4, 16, 64)))
    one, two = (chance.randrange(max(1, len(data) - size)) for _ in range(2))
    data[one : one + size], data[two : two + size] = data[two : two + size], data[one : one + size]
    return data


def _numbered(data: bytearray, _other: bytes, chance: random.Random) -> bytearray:
    """Extreme numbers near the names of header fields, or anywhere where there are none."""
    for _ in range(chance.choice((1, 2, 6))):
        at = [place for tag in _TAGS if (place := data.find(tag)) >= 0]
        start = chance.choice(at) + chance.randrange(48) if at else chance.randrange(len(data))
        size = chance.choice((1, 2, 4, 8))
        number = chance.choice(EXTREMES) % 2 ** (8 * size)
        data[start : start + size] = number.to_bytes(size, chance.choice(("big", "little")))
    return data


def _joined(data: bytearray, other: bytes, chance: random.Random) -> bytearray:
    return data[: chance.randrange(1, len(data))] + other[chance.randrange(len(other)) :]


KINDS: tuple[Callable[[bytearray, bytes, random.Random], bytearray], ...] = (
    *(_flipped, _flipped_head, _cut, _zeroed, _doubled, _exchanged, _numbered, _numbered, _joined),
)


def media_mutants(
    seeds: Sequence[Path], folder: Path, numbers: range
) -> Iterator[tuple[Path, str]]:
    """Write broken files one at a time, seeds in turn; a number stands for one file for ever.

    Yields:
        Path and what was done; the caller takes the file away.
    """
    for number in numbers:
        chance = random.Random(number)
        seed = seeds[number % len(seeds)]
        kind = chance.choice(KINDS)
        data, other = bytearray(seed.read_bytes()), chance.choice(seeds).read_bytes()
        path = folder / f"{number:05d}-{seed.name}"
        path.write_bytes(kind(data, other or b"\0", chance) if data else b"")
        yield path, kind.__name__.strip("_")


_VALUES: tuple[Any, ...] = (
    *(
        0,
        1,
        -1,
        3,
        10**9,
        10**40,
        0.5,
        1e308,
        None,
        True,
        "",
        "abc",
        "\x1b[31m",
        [],
        {},
        [[]],
        [1, "a"],
    ),
    "../../etc/passwd",
)


def weights_mutants(whole: Path, folder: Path, numbers: range) -> Iterator[tuple[Path, str]]:
    """Write folders of broken weights one at a time.

    Args:
        whole: a small weights folder: config.json and model.safetensors.
        folder: where.
        numbers: which; a number stands for one damage for ever.

    Yields:
        The weights folder and what was done.
    """
    config, tensors = ((whole / n).read_bytes() for n in ("config.json", "model.safetensors"))
    for number in numbers:
        chance = random.Random(number)
        place = folder / f"{number:05d}-weights"
        place.mkdir()
        kind = chance.choice(("value", "value", "value", "bytes", "header", "header", "tensors"))
        parts = {"config.json": config, "model.safetensors": tensors}
        if kind == "value":
            told = json.loads(config)
            _spoil(told, chance)
            parts["config.json"] = json.dumps(told).encode()
        elif kind == "header":
            parts["model.safetensors"] = _spoilt_header(tensors, chance)
        else:
            name = "config.json" if kind == "bytes" else "model.safetensors"
            damage = chance.choice(KINDS)
            parts[name] = bytes(damage(bytearray(parts[name]), config, chance))
        for name, data in parts.items():
            (place / name).write_bytes(data)
        yield place, kind


def _spoil(told: Any, chance: random.Random) -> None:
    """Put a wrong value somewhere into nested tables, or take one away."""
    where = told
    while True:
        key = chance.choice(list(where) if isinstance(where, dict) else range(len(where)))
        if isinstance(where[key], dict | list) and where[key] and chance.random() < 0.8:
            where = where[key]
            continue
        if chance.random() < 0.15:
            del where[key]
        else:
            where[key] = chance.choice(_VALUES)
        return


def _spoilt_header(tensors: bytes, chance: random.Random) -> bytes:
    """The table at the head of a safetensors file, with a wrong value or a wrong length."""
    length = int.from_bytes(tensors[:8], "little")
    table, rest = json.loads(tensors[8 : 8 + length]), tensors[8 + length :]
    if chance.random() < 0.2:
        return chance.choice(EXTREMES).to_bytes(8, "little") + tensors[8:]
    for _ in range(chance.choice((1, 1, 3))):
        _spoil(table, chance)
    text = json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + rest


TRAINING = b"""preset = "nano"
data = ["clips"]
out = "run"
seed = 1
[[stages]]
name = "guided"
kind = "guided"
steps = 4
batch = 2
"""


def config_mutants(folder: Path, numbers: range) -> Iterator[tuple[Path, str]]:
    """Write broken training configs one at a time."""
    bombs = (
        b"x = " + b"[" * 100_000,
        b"x = " + b"{a=" * 50_000,
        b".".join([b"a"] * 20_000) + b" = 1",
        b"seed = " + b"9" * 100_000,
        b"\xff\xfe" + TRAINING,
        b'preset = "' + b"a" * 3_000_000 + b'"',
        b"[a]\n" * 1000,
    )
    for number in numbers:
        chance = random.Random(number)
        path = folder / f"{number:05d}.toml"
        if number < len(bombs):
            path.write_bytes(bombs[number])
            yield path, "bomb"
            continue
        kind = chance.choice(KINDS)
        text = bytearray(TRAINING)
        if chance.random() < 0.5:
            lines = TRAINING.decode().splitlines()
            at = chance.choice([n for n, line in enumerate(lines) if "=" in line])
            key = lines[at].partition("=")[0]
            lines[at] = f"{key}= {json.dumps(chance.choice(_VALUES))}"
            text = bytearray("\n".join(lines), "utf-8")
        path.write_bytes(kind(text, TRAINING, chance) if chance.random() < 0.5 else text)
        yield path, kind.__name__.strip("_")
