"""What every command that makes frames shares: settings, checks, and the walk to the end.

Room: api. Light to import: torch and the media libraries come in late.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from mardini_cli.config import ModelConfig, SamplerConfig
from mardini_cli.errors import ConfigError, EncoderError, OutputExistsError
from mardini_cli.events import Drawn, Event, Finished, Planned, Warned
from mardini_cli.tasks.drawing import draw

if TYPE_CHECKING:
    import torch

    from mardini_cli.media.encoders import EncodeSettings
    from mardini_cli.media.probe import ClipInfo
    from mardini_cli.media.source import Source
    from mardini_cli.media.writer import Writer
    from mardini_cli.model.attention import Backend
    from mardini_cli.model.mardini import MarDini
    from mardini_cli.tasks.plan import Plan

WRITTEN_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".m4v")
"""Containers that an output is given without being asked for: the input's own, or else mp4."""
SMALLEST_RESOLUTION = 32
SMALLEST_TILE = 256
Plain = Literal["repeat", "blend"]
ATTENTION = ("auto", "xformers", "sdpa")


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeRequest:
    """What all requests have that make frames. One field a flag."""

    output: Path | None = None
    """File, or folder for it; None puts it beside the input, under a name that tells the task."""
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
    dry_run: bool = False
    """Check and plan, and make nothing."""
    show_plan: bool = False
    """Tell every window with its frames."""
    range: str | None = None
    """``A..B``, seconds of the result: make that part alone, as it will be in the whole."""
    preview: bool = False
    """Draw a contact sheet beside the result."""
    compare: Plain | None = None
    """Write a film with a plain one on the left: repeat or blend."""

    def __post_init__(self) -> None:
        check_making(self)


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
    tile_of(request.tile)
    span_of(request.range)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What a request chose, checked: weights that are there, a device that is there."""

    weights: str
    """Their name, with the commit if they are from the Hub."""
    config: ModelConfig
    device: torch.device
    others: tuple[torch.device, ...]
    """Further devices, which share the work."""
    dtype: torch.dtype
    encode: EncodeSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A request that passed every check."""

    request: MakeRequest
    source: Source
    output: Path
    plan: Plan
    end: Fraction
    """When the last frame ceases to be shown, on the plan's clock, seconds."""
    tools: Tools
    match: bool = False
    """Hold the mean colour of frames that roll on from given ones."""
    info: ClipInfo
    """What the result takes over: planes, colour, sound; its clock is the result's."""
    cuts: int = 0
    """Cuts of the source that no window lies over."""
    held: int = 0
    """Frames of the source that repeat the one before them."""
    proved: bool = False
    """Compare the result with the source before it gets its name."""


def output_for(request: MakeRequest, source: Path, mark: str, suffix: str | None = None) -> Path:
    """Where the result goes: as asked, or named after the source and the task's mark.

    Args:
        request: whose ``output`` is a file, a folder, or None.
        source: first input.
        mark: what the name gets, such as ``x4``.
        suffix: ending of the file; None is the source's own where it can be written.
    """
    if request.output is not None and not request.output.is_dir():
        return request.output
    own = source.suffix.lower()
    ending = suffix or (own if own in WRITTEN_SUFFIXES else ".mp4")
    mark = mark if request.range is None else f"{mark}.sample"  # not under the whole's name
    return (request.output or source.parent) / f"{source.stem}.{mark}{ending}"


def check_place(request: MakeRequest, output: Path, sources: Sequence[Path]) -> EncodeSettings:
    """Check the place of the result and the encoder, before any work.

    Raises:
        OutputError, ConfigError: it cannot be written as asked.
    """
    from mardini_cli.media.encoders import EncodeSettings, codec_for
    from mardini_cli.media.output import check_output

    encode = EncodeSettings(
        codec=request.codec,
        crf=request.crf,
        preset=request.preset,
        bitrate=request.bitrate,
        lossless=request.lossless,
        bake_rotation=request.bake_rotation,
        pixel_format=request.pix_fmt,
    )
    for source in sources:
        check_output(output, source, request.overwrite)
    codec_for(output, encode)
    if request.preview:
        check_free(request, preview_of(output))
    if request.compare is not None:
        check_free(request, comparison_of(output))
    return encode


def preview_of(output: Path) -> Path:
    """Where the contact sheet of a result goes."""
    return output.with_suffix(".preview.png")


def comparison_of(output: Path) -> Path:
    """Where the film beside a plain one goes."""
    return output.with_suffix(f".compare{output.suffix}")


def check_free(request: MakeRequest, path: Path) -> None:
    """Refuse to replace what stands beside the result, unless it is allowed.

    Raises:
        OutputExistsError: a file is there.
    """
    if path.exists() and not request.overwrite:
        raise OutputExistsError(
            f"{path} exists already",
            needed="a free name",
            do="choose another name with -o, or allow --overwrite",
        )


def choose_tools(request: MakeRequest, encode: EncodeSettings) -> Tools:
    """Find the weights' sizes and the device; loads torch, but no weights.

    Raises:
        WeightsError, DeviceError, UsageError: what was asked for is not there.
    """
    from mardini_cli import weights
    from mardini_cli.device import choose_device, choose_dtype

    config = weights.read_card(weights.find(request.model, fetch=False)).config
    device, *others = [choose_device(name) for name in _device_names(request)]
    dtype = choose_dtype(request.dtype, device)
    if request.attention == "xformers":
        import torch

        from mardini_cli.model.attention import require_xformers

        require_xformers(device, torch.float32, config.planner.width // config.planner.heads)
    return Tools(
        weights=weights.identity(request.model),
        config=config,
        device=device,
        others=tuple(others),
        dtype=dtype,
        encode=encode,
    )


def _device_names(request: MakeRequest) -> list[str]:
    """Names for ``choose_device``; a bare number is a CUDA device.

    Raises:
        ConfigError: an empty name.
    """
    if request.devices is None:
        return [request.device]
    names = [name.strip() for name in request.devices.split(",")]
    if not all(names):
        raise ConfigError(
            f"devices '{request.devices}'", needed="names with commas between", do="try 0,1"
        )
    return [f"cuda:{name}" if name.isdecimal() else name for name in names]


def check_ticks(output: Path, times: Sequence[Fraction]) -> None:
    """Refuse a container whose clock cannot tell the frames apart.

    Raises:
        EncoderError: two frames within one of its ticks, or uneven times where it knows a rate
            alone.
    """
    from mardini_cli.media.containers import kind_of
    from mardini_cli.media.timing import is_even, ticks

    if kind_of(output).even and not is_even(times):
        raise EncoderError(
            f"{output}: frames at uneven times",
            needed="a constant rate in y4m",
            do="add --fps 60, or write .mkv",
        )
    tick = kind_of(output).tick
    if tick is not None:
        stamps = [ticks(time, tick) for time in times]
        if len(set(stamps)) < len(stamps):
            shortest = min(right - left for left, right in pairwise(times))
            raise EncoderError(
                f"{output}: frames {float(shortest * 1000):.3g} ms apart",
                needed=f"at least {float(tick * 1000):g} ms between frames in this container",
                do=f"try -o {output.with_suffix('.mp4').name}, or a smaller --factor",
            )


def planned(job: Job) -> Planned:
    """Tell the plan of a job."""
    width, height = job.info.upright_size
    return Planned(
        source=job.source.info.path,
        output=job.output,
        task=job.plan.task,
        given=job.plan.given_count,
        made=job.plan.made_count,
        windows=len(job.plan.windows),
        width=width,
        height=height,
        start=job.plan.times[0],
        end=job.plan.times[-1],
        steps=job.request.sampler.steps,
        seed=job.request.sampler.seed,
        weights=job.tools.weights,
        device=", ".join(str(one) for one in (job.tools.device, *job.tools.others)),
        cuts=job.cuts,
        held=job.held,
        drawing=draw(job.plan) if job.request.show_plan else "",
    )


def load_models(request: MakeRequest, tools: Tools) -> list[MarDini]:
    """Load the weights on every device; they stay float32: autocast takes what may be shorter."""
    import torch

    from mardini_cli import weights
    from mardini_cli.model.attention import use_backend

    models = []
    for device in (tools.device, *tools.others):
        model = weights.load(request.model, device, torch.float32)
        use_backend(model, cast("Backend", request.attention))
        models.append(model)
    return models


def carry_out(job: Job, models: Sequence[MarDini] = ()) -> Iterator[Event]:
    """Tell the plan, make and write; closing the iterator stops the work and leaves no file.

    Args:
        job: what to do.
        models: loaded already, one a device; none loads them.

    Yields:
        ``Planned``, then ``Warned`` and ``Progress`` as they come, ``Verified`` where the result
        is proved, then ``Finished``; only
        ``Planned`` and ``Warned`` in a dry run.
    """
    began = monotonic()
    job = _part(job)
    yield planned(job)
    for notice in job.info.notices:
        yield Warned(code="input", message=notice)
    if job.request.dry_run:
        return
    yield from _make(job, models or load_models(job.request, job.tools))
    yield Finished(
        output=job.output,
        frames=len(job.plan.times),
        made=job.plan.made_count,
        duration=job.end - job.plan.times[0],
        elapsed=monotonic() - began,
        size=_size(job.output),
    )
    yield from _looking(job)


def _size(output: Path) -> int:
    """Bytes on disk; of many pictures together; 0 of what went down a pipe."""
    if output.is_file():
        return output.stat().st_size
    numbered = "%" in output.name and output.parent.is_dir()
    return sum(p.stat().st_size for p in output.parent.iterdir()) if numbered else 0


def _part(job: Job) -> Job:
    """The part that ``--range`` asks for, on a clock of its own, without sound."""
    span = span_of(job.request.range)
    if span is None:
        return job
    start = job.plan.times[0]
    inside = [time for time in job.plan.times if span[0] <= time - start <= span[1]]
    if not inside:
        raise ConfigError(
            f"range {job.request.range}",
            needed=f"seconds from 0 to {float(job.plan.times[-1] - start):.3f}",
            do="choose a part of the clip",
        )
    after = [*(t for t in job.plan.times if t > inside[-1]), job.end][0]
    return replace(
        job,
        plan=job.plan.part(inside[0], inside[-1]).moved(-inside[0]),
        end=after - inside[0],
        info=replace(job.info, is_film=False),
    )


def _looking(job: Job) -> Iterator[Event]:
    from mardini_cli.pipeline import looking

    if job.request.preview:
        sheet = preview_of(job.output)
        looking.preview(sheet, job.output, job.plan)
        yield Drawn(output=sheet, what="preview")
    if job.request.compare is not None:
        film = comparison_of(job.output)
        looking.compare(film, job.output, job.plan, job.request.compare)
        yield Drawn(output=film, what=f"{job.request.compare} on the left, ours on the right")


def _make(job: Job, models: Sequence[MarDini]) -> Iterator[Event]:
    from mardini_cli import pipeline
    from mardini_cli.media.containers import kind_of

    model, *others = models
    settings = pipeline.MakeSettings(
        sampler=job.request.sampler,
        dtype=job.tools.dtype,
        resolution=job.request.resolution,
        tile=tile_of(job.request.tile),
        batch=job.request.batch,
        match=job.match,
    )
    with _writer(job) as writer:
        for notice in writer.notices:
            yield Warned(code="output", message=notice)
        yield from pipeline.run(job.plan, job.source, model, settings, writer, others)
        if job.proved and not kind_of(job.output).animation:
            from mardini_cli.api.proof import prove_job

            yield from prove_job(job, writer)


def _writer(job: Job) -> Writer:
    from mardini_cli.media.timing import common_time_base
    from mardini_cli.media.writer import Writer

    times = job.plan.times
    base = common_time_base([*times, job.end])
    return Writer(job.output, job.info, base, job.end, job.tools.encode, times)
