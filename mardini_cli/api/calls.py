"""The tasks as plain functions, for programs: flags in, the finished file out.

Room: api. Names and defaults are those of the command line. The functions wait for the end; who
wants the events on the way gives ``on_event``, or takes the generators of ``mardini_cli.api``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

from mardini_cli.api.animate import AnimateRequest
from mardini_cli.api.animate import animate as animate_events
from mardini_cli.api.clock import ClipAudio
from mardini_cli.api.extend import Audio, Direction, ExtendRequest
from mardini_cli.api.extend import extend as extend_events
from mardini_cli.api.fill import FillRequest
from mardini_cli.api.fill import fill as fill_events
from mardini_cli.api.interpolate import InterpolateRequest
from mardini_cli.api.interpolate import interpolate as interpolate_events
from mardini_cli.api.keyframes import Fit, KeyframesRequest
from mardini_cli.api.keyframes import keyframes as keyframes_events
from mardini_cli.api.making import Faults, MakeRequest, Plain, Resume
from mardini_cli.api.shots import AtCuts, Duplicates
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import UsageError
from mardini_cli.events import Event, Finished
from mardini_cli.tasks.grid import rate_of

Request = TypeVar("Request", bound=MakeRequest)
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
    at = tuple((_number(t), Path(p)) for t, p in (told.pop("frame", None) or {}).items())
    if at or len(sources) > 1:
        images = tuple(Path(source) for source in sources)
        for name in OF_CLIPS:
            told.pop(name, None)
        request = KeyframesRequest(images=images, at=at)
        return _finished(keyframes_events(_with(request, told)), on_event)
    if not sources:
        raise UsageError("no input", needed="a clip, or pictures", do="name one")
    return _finished(
        interpolate_events(_with(InterpolateRequest(clip=Path(sources[0])), told)), on_event
    )


def animate(
    image: FilePath, on_event: OnEvent | None = None, **flags: Unpack[Animating]
) -> Finished:
    """Make a clip from one picture; see ``interpolate`` for arguments and errors."""
    request = AnimateRequest(image=Path(image))
    return _finished(animate_events(_with(request, dict(flags))), on_event)


def extend(clip: FilePath, on_event: OnEvent | None = None, **flags: Unpack[Extending]) -> Finished:
    """Make a clip longer; see ``interpolate`` for arguments and errors."""
    request = ExtendRequest(clip=Path(clip))
    return _finished(extend_events(_with(request, dict(flags))), on_event)


def fill(clip: FilePath, on_event: OnEvent | None = None, **flags: Unpack[Filling]) -> Finished:
    """Make bad frames anew; see ``interpolate`` for arguments and errors."""
    names = {name: flags.get(name) for name in ("missing", "keep", "damaged")}
    request = FillRequest(clip=Path(clip), **names)  # type: ignore[arg-type]  # by name
    return _finished(fill_events(_with(request, dict(flags))), on_event)


def _with(request: Request, flags: dict[str, Any]) -> Request:
    """A request with flags in the places of its fields; the sampler's are flags of their own."""
    sampler = {name: flags.pop(name) for name in _SAMPLER & flags.keys()}
    unknown = flags.keys() - {field.name for field in fields(request)}
    if unknown:
        raise UsageError(
            f"unknown flag '{min(unknown)}'",
            needed="a flag of this task",
            do="see the command's --help",
        )
    for name in {"output", "work_dir", "write_cuts"} & flags.keys():
        flags[name] = None if flags[name] is None else Path(flags[name])
    if isinstance(flags.get("fps"), str):
        flags["fps"] = rate_of(flags["fps"])  # "59.94" means 60000/1001
    for name in {"fps", "input_fps", "seconds", "smooth", "slow_motion"} & flags.keys():
        flags[name] = None if flags[name] is None else _number(flags[name])
    return replace(request, sampler=replace(request.sampler, **sampler), **flags)


_SAMPLER = frozenset(field.name for field in fields(SamplerConfig))


def _number(value: Number) -> Fraction:
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"number '{value}'", needed="such as 24, 0.5 or '24000/1001'", do="write digits"
        ) from error


def _finished(events: Iterator[Event], on_event: OnEvent | None) -> Finished:
    last: Finished | None = None
    for event in events:
        if on_event is not None:
            on_event(event)
        if isinstance(event, Finished):
            last = event
    assert last is not None  # only a dry run has no end, and it is no flag here
    return last
