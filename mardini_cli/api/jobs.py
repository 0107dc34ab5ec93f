"""A request that is about to be carried out: its place, its tools, what is told of it.

Room: api. Light to import: torch and the media libraries come in late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from mardini_cli.api.making import MakeRequest
from mardini_cli.config import ModelConfig
from mardini_cli.errors import ConfigError, EncoderError, OutputExistsError
from mardini_cli.events import Planned
from mardini_cli.tasks.drawing import draw

if TYPE_CHECKING:
    import torch

    from mardini_cli.media.encoders import EncodeSettings
    from mardini_cli.media.probe import ClipInfo
    from mardini_cli.media.source import Source
    from mardini_cli.tasks.plan import Plan

WRITTEN_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".m4v")
"""Containers that an output is given without being asked for: the input's own, or else mp4."""


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
    folder = request.output_dir or request.output or source.parent
    return folder / f"{source.stem}.{mark}{ending}"


def check_place(request: MakeRequest, output: Path, sources: Sequence[Path]) -> EncodeSettings:
    """Check the place of the result and the encoder, before any work.

    Raises:
        OutputError, ConfigError: it cannot be written as asked.
    """
    from mardini_cli.media.encoders import EncodeSettings, codec_for
    from mardini_cli.media.output import check_output, check_room
    from mardini_cli.media.workplace import tidy

    encode = EncodeSettings(
        codec=request.codec,
        crf=request.crf,
        preset=request.preset,
        bitrate=request.bitrate,
        lossless=request.lossless,
        bake_rotation=request.bake_rotation,
        pixel_format=request.pix_fmt,
    )
    room = request.output_dir is None or request.output_dir.is_dir()
    for source in sources if room else ():
        try:
            check_output(output, source, request.overwrite)
        except OutputExistsError:
            tidy(output, request.work_dir)
            raise
    codec_for(output, encode)
    if not room:
        check_room(output)
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
    from mardini_cli.device import choose_device, choose_dtype, prepare_compiler, use_threads

    if request.threads is not None:
        use_threads(request.threads)
    if request.compile:
        prepare_compiler()
    config = weights.read_card(weights.find(request.model, fetch=False)).config
    device, *others = [choose_device(name) for name in _device_names(request)]
    dtype = choose_dtype(request.dtype, device)
    if request.attention == "xformers":
        import torch

        from mardini_cli.model.kernels import require_xformers

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
