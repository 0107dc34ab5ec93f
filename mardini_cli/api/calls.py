"""The tasks as plain functions, for programs: flags in, the finished file out.

Room: api. Names and defaults are those of the command line. The functions wait for the end; who
wants the events on the way gives ``on_event``, or takes the generators of ``mardini_cli.api``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict, Unpack

from mardini_cli.api.clock import ClipAudio
from mardini_cli.api.extend import Audio, Direction
from mardini_cli.api.keyframes import Fit
from mardini_cli.api.making import Faults, Plain, Resume
from mardini_cli.api.settings import request_of, run
from mardini_cli.api.shots import AtCuts, Duplicates
from mardini_cli.errors import UsageError
from mardini_cli.events import Event, Finished, Skipped

OnEvent = Callable[[Event], None]
FilePath = str | Path
Number = int | float | str | Fraction
"""A float is read as it is written: 0.1 is a tenth."""


OF_CLIPS = (
    "factor",
    "input_fps",
    "input_format",
    "input_size",
    "input_pix_fmt",
    "slow_motion",
    "speed",
    "start",
    "end",
    "audio",
    "cuts",
    "cut_threshold",
    "write_cuts",
    "at_cuts",
    "duplicates",
    "verify",
)
"""Flags of ``interpolate`` that mean nothing for pictures."""


class Making(TypedDict, total=False):
    """Flags that all tasks share."""

    output: FilePath | None
    output_dir: FilePath | None
    steps: int
    guidance: float
    seed: int
    model: str
    device: str
    devices: str | None
    dtype: str
    attention: str
    resolution: int | None
    tile: str
    batch: int | None
    memory_limit: str | None
    threads: int | None
    compile: bool
    faults: Faults
    max_pixels: int
    max_frames: int
    allow_network: bool
    codec: str | None
    crf: int | None
    preset: str | None
    bitrate: str | None
    lossless: bool
    bake_rotation: bool
    pix_fmt: str | None
    overwrite: bool
    skip_existing: bool
    resume: Resume
    work_dir: FilePath | None
    until: str | None
    max_minutes: float | None
    range: str | None
    preview: bool
    sidecar: bool
    compare: Plain | None


class Interpolating(Making, total=False):
    """Flags of ``interpolate``."""

    factor: int | None
    input_fps: Number
    input_format: str | None
    input_size: str | None
    input_pix_fmt: str | None
    slow_motion: Number | None
    speed: str | None
    start: str | None
    end: str | None
    audio: ClipAudio
    cuts: str
    cut_threshold: float | None
    write_cuts: FilePath | None
    at_cuts: AtCuts
    duplicates: Duplicates
    verify: bool
    between: int
    frame: Mapping[Number, FilePath]
    """Pictures by their times, seconds."""
    fps: Number | None
    seconds: Number | None
    fit: Fit | None
    background: str


class Animating(Making, total=False):
    """Flags of ``animate``."""

    frames: int | None
    seconds: Number | None
    fps: Number
    smooth: Number | None
    reference_at: str
    loop: bool
    background: str


class Extending(Making, total=False):
    """Flags of ``extend``."""

    frames: int | None
    seconds: Number | None
    direction: Direction
    context: int | None
    loop: bool
    audio: Audio


class Filling(Making, total=False):
    """Flags of ``fill``."""

    missing: str | None
    keep: str | None
    damaged: str | None


def interpolate(
    *sources: FilePath, on_event: OnEvent | None = None, **flags: Unpack[Interpolating]
) -> Finished:
    """Make the frames between a clip's frames, or between two pictures and more.

    Args:
        sources: a clip, or pictures; none with ``frame``.
        on_event: is told every event.
        flags: as on the command line.

    Raises:
        MardiniError: anything that the caller can act on.
    """
    told: dict[str, Any] = dict(flags)
    if told.get("frame") or len(sources) > 1:
        told = {name: value for name, value in told.items() if name not in OF_CLIPS}
        return _finished("keyframes", sources, told, on_event)
    if not sources:
        raise UsageError("no input", needed="a clip, or pictures", do="name one")
    return _finished("interpolate", sources[0], told, on_event)


def animate(
    image: FilePath, on_event: OnEvent | None = None, **flags: Unpack[Animating]
) -> Finished:
    """Make a clip from one picture; see ``interpolate`` for arguments and errors."""
    return _finished("animate", image, flags, on_event)


def extend(clip: FilePath, on_event: OnEvent | None = None, **flags: Unpack[Extending]) -> Finished:
    """Make a clip longer; see ``interpolate`` for arguments and errors."""
    return _finished("extend", clip, flags, on_event)


def fill(clip: FilePath, on_event: OnEvent | None = None, **flags: Unpack[Filling]) -> Finished:
    """Make bad frames anew; see ``interpolate`` for arguments and errors."""
    return _finished("fill", clip, flags, on_event)


def _finished(
    task: str, source: Any, flags: Mapping[str, Any], on_event: OnEvent | None
) -> Finished:
    last: Finished | None = None
    for event in run(request_of(task, source, flags, "")):
        if on_event is not None:
            on_event(event)
        if isinstance(event, Finished):
            last = event
        if isinstance(event, Skipped):
            last = _untouched(event.output)
    assert last is not None  # only a dry run has no end, and it is no flag here
    return last


def _untouched(output: Path) -> Finished:
    """A result that stood there already, and was to be left alone: nothing was made."""
    size = output.stat().st_size if output.is_file() else 0
    return Finished(output=output, frames=0, made=0, duration=Fraction(0), elapsed=0.0, size=size)
