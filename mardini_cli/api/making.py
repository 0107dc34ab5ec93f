"""The settings that every command shares which makes frames, and what is refused of them.

Room: api. Light to import.
"""

import re
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

from mardini_cli.api.deadline import check_limits
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import ConfigError
from mardini_cli.media.limits import MAX_FRAMES, MAX_PIXELS, Limits

SMALLEST_RESOLUTION = 32
SMALLEST_TILE = 256
Plain = Literal["repeat", "blend"]
Resume = Literal["auto", "never", "force"]
Faults = Literal["stop", "warn"]
ATTENTION = ("auto", "xformers", "sdpa")


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeRequest:
    """What all requests have that make frames. One field a flag."""

    output: Path | None = None
    """File, or folder for it; None puts it beside the input, under a name that tells the task."""
    output_dir: Path | None = None
    """Folder for it, made where there is none; results of a tree keep their places below it."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    """``--steps``, ``--guidance`` and ``--seed``."""
    model: str = "mardini-tiny"
    """Weights: a release name, a folder, a file or a place on the Hub."""
    device: str = "auto"
    devices: str | None = None
    """Several devices that share the windows, such as ``0,1``; instead of ``device``."""
    dtype: str = "auto"
    attention: str = "auto"
    """Attention kernels: auto, xformers or sdpa."""
    resolution: int | None = None
    """Short side at which motion is worked out, pixels; frames keep their size."""
    tile: str = "auto"
    """Tiles that denoiser and decoder work on: auto, off, or their side in working pixels."""
    batch: int | None = None
    """Windows made at once; None takes what suits the device."""
    memory_limit: str | None = None
    """What the model may take, weights included, such as 8G; None: what is free on a GPU."""
    threads: int | None = None
    """Processor threads of the networks and of the prior flow; None is one a core. Files have
    threads of their own."""
    compile: bool = False
    """Let torch compile the networks' blocks first."""
    faults: Faults = "stop"
    """Made frames that cannot be right, twice: stop, or warn and keep them."""
    max_pixels: int = MAX_PIXELS
    """Most pixels of a given frame."""
    max_frames: int = MAX_FRAMES
    """Most frames of a clip, and of the result."""
    allow_network: bool = False
    """Let playlists name hosts and other files."""
    codec: str | None = None
    """h264, hevc, av1, vp9, prores, ffv1, h264_nvenc, ...; None takes what suits the container
    and keeps what the input has."""
    crf: int | None = None
    """Quality, lower is better; None is the encoder's usual one."""
    preset: str | None = None
    """How long the encoder looks for small files, in its own words."""
    bitrate: str | None = None
    """Bits a second such as 8M, in place of a quality."""
    lossless: bool = False
    """Keep every bit of what is encoded."""
    bake_rotation: bool = False
    """Turn the pixels upright, instead of telling players to."""
    pix_fmt: str | None = None
    """FFmpeg's pixel format; None is the input's, or the nearest that the encoder takes."""
    overwrite: bool = False
    """Replace an output that stands there already."""
    skip_existing: bool = False
    """Leave an output that stands there already, and call that done."""
    resume: Resume = "auto"
    """auto goes on from what stopped work left, where it fits, and keeps made frames if the work
    takes long; force keeps them always, and goes on with another device or version too; never."""
    work_dir: Path | None = None
    """Folder for made frames that are kept; None is a hidden folder beside the output."""
    until: str | None = None
    """Stop at this time of day, or date and time, and keep what is made."""
    max_minutes: float | None = None
    """Stop after so many minutes, and keep what is made."""
    dry_run: bool = False
    """Check and plan, and make nothing."""
    show_plan: bool = False
    """Tell every window with its frames."""
    range: str | None = None
    """``A..B``, seconds of the result: make that part alone, as it will be in the whole."""
    preview: bool = False
    """Draw a contact sheet beside the result."""
    sidecar: bool = False
    """Write a record beside the result, from which it can be made again."""
    compare: Plain | None = None
    """Write a film with a plain one on the left: repeat or blend."""

    def __post_init__(self) -> None:
        check_making(self)

    @property
    def limits(self) -> Limits:
        """How much a file may ask for."""
        return Limits(pixels=self.max_pixels, frames=self.max_frames, network=self.allow_network)


def making_of(request: MakeRequest) -> dict[str, Any]:
    """The shared settings as keywords, to make one request out of another."""
    return {f.name: getattr(request, f.name) for f in fields(MakeRequest)}


def check_making(request: MakeRequest) -> None:
    """Refuse settings that mean nothing, with the request.

    Raises:
        ConfigError: unknown attention, or a number out of range.
    """
    if request.attention not in ATTENTION:
        raise ConfigError(
            f"unknown attention '{request.attention}'",
            needed=f"one of {', '.join(ATTENTION)}",
            do="choose one",
        )
    if request.resolution is not None and request.resolution < SMALLEST_RESOLUTION:
        raise ConfigError(
            f"resolution {request.resolution}",
            needed=f"a short side of at least {SMALLEST_RESOLUTION} pixels",
            do="leave it out to let the model choose",
        )
    if request.batch is not None and request.batch < 1:
        raise ConfigError(
            f"batch {request.batch}", needed="at least 1 window at once", do="try --batch auto"
        )
    if request.compare not in (None, *get_args(Plain)):
        raise ConfigError(
            f"compare with '{request.compare}'",
            needed=" or ".join(get_args(Plain)),
            do="choose one",
        )
    if request.resume not in get_args(Resume):
        raise ConfigError(
            f"resume '{request.resume}'", needed=", ".join(get_args(Resume)), do="choose one"
        )
    if request.skip_existing and request.overwrite:
        raise ConfigError(
            "both --skip-existing and --overwrite", needed="one of them", do="leave one out"
        )
    check_limits(request.until, request.max_minutes)
    if request.faults not in get_args(Faults):
        raise ConfigError(
            f"faults '{request.faults}'", needed=" or ".join(get_args(Faults)), do="choose one"
        )
    if request.output is not None and request.output_dir is not None:
        raise ConfigError(
            f"output {request.output} and output folder {request.output_dir}",
            needed="one of them",
            do="leave --output or --output-dir out",
        )
    if request.threads is not None and request.threads < 1:
        raise ConfigError(
            f"threads {request.threads}", needed="at least 1", do="leave it out to use every core"
        )
    bytes_of(request.memory_limit)
    if request.sidecar and request.output == Path("-"):
        raise ConfigError(
            "a record of what goes down a pipe", needed="a file", do="name one with -o"
        )
    tile_of(request.tile)
    span_of(request.range)
    _ = request.limits


def bytes_of(text: str | None) -> int | None:
    """Read a size such as 8G, 1.5 GiB or 900M: bytes, with binary units.

    Raises:
        ConfigError: other words, or nothing at all.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " ") if found else 0
    if size < 1:
        raise ConfigError(
            f"memory limit '{text}'", needed="a size such as 8G or 900M", do="try --memory-limit 8G"
        )
    return int(size)


def tile_of(text: str) -> int | Literal["auto"] | None:
    """Read ``auto``, ``off`` (None) or a side in pixels.

    Raises:
        ConfigError: other words, or tiles smaller than what they share with their neighbours.
    """
    if text == "auto":
        return "auto"
    if text == "off":
        return None
    if not text.isdecimal() or int(text) < SMALLEST_TILE:
        raise ConfigError(
            f"tile '{text}'",
            needed=f"auto, off, or a side of at least {SMALLEST_TILE} pixels",
            do="try --tile auto",
        )
    return int(text)


def span_of(text: str | None) -> tuple[Fraction, Fraction] | None:
    """Read ``A..B``: seconds, as decimals or fractions; B comes after A.

    Raises:
        ConfigError: other words.
    """
    if text is None:
        return None
    try:
        start, end = (Fraction(part) for part in text.split(".."))
    except (ValueError, ZeroDivisionError):
        start = end = Fraction(0)
    if not 0 <= start < end:
        raise ConfigError(
            f"range '{text}'", needed="seconds A..B, with A before B", do="try --range 1..2.5"
        )
    return start, end
