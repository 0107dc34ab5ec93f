"""One function per command: a request in, events out.

Room: api (floor 7). Prints nothing and exits nowhere. Light to import: torch and the media
libraries come in with the first event, so that the command line may read defaults from here.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, cast

from mardini_cli.config import ModelConfig, SamplerConfig
from mardini_cli.errors import ConfigError, EncoderError, TooFewFramesError
from mardini_cli.events import Event, Finished, Planned, Warned
from mardini_cli.tasks.interpolate import check_factor
from mardini_cli.tasks.interpolate import interpolate as plan_interpolation

if TYPE_CHECKING:
    import torch

    from mardini_cli.media.encoders import EncodeSettings
    from mardini_cli.media.probe import ClipInfo
    from mardini_cli.media.writer import Writer
    from mardini_cli.model.attention import Backend
    from mardini_cli.tasks.plan import Plan

__all__ = ["InterpolateRequest", "interpolate", "train"]

WRITTEN_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".m4v")
"""Containers that an output is given without being asked for: the input's own, or else mp4."""
SMALLEST_RESOLUTION = 32
ATTENTION = ("auto", "xformers", "sdpa")


@dataclass(frozen=True, kw_only=True, slots=True)
class InterpolateRequest:
    """Make the frames between a clip's frames. One field a flag."""

    clip: Path
    factor: int = 2
    """How many times as many frames, 2 to 64: n become (n - 1) * factor + 1."""
    output: Path | None = None
    """File, or folder for it; None puts it beside the clip, named after clip and factor."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    """``--steps`` and ``--seed``."""
    model: str = "mardini-tiny"
    """Weights: a release name, or a folder."""
    device: str = "auto"
    dtype: str = "auto"
    attention: str = "auto"
    """Attention kernels: auto, xformers or sdpa."""
    resolution: int | None = None
    """Short side at which motion is worked out, pixels; frames keep the clip's size."""
    codec: str | None = None
    """h264, vp9 or ffv1; None takes what suits the container."""
    crf: int | None = None
    """Quality, lower is better; None is the encoder's usual one."""
    overwrite: bool = False
    """Replace an output that stands there already."""
    dry_run: bool = False
    """Check and plan, and make nothing."""

    def __post_init__(self) -> None:
        check_factor(self.factor)
        if self.attention not in ATTENTION:
            raise ConfigError(
                f"unknown attention '{self.attention}'",
                needed=f"one of {', '.join(ATTENTION)}",
                do="choose one",
            )
        if self.resolution is not None and self.resolution < SMALLEST_RESOLUTION:
            raise ConfigError(
                f"resolution {self.resolution}",
                needed=f"a short side of at least {SMALLEST_RESOLUTION} pixels",
                do="leave it out to let the model choose",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """A request that passed every check."""

    request: InterpolateRequest
    info: ClipInfo
    output: Path
    plan: Plan
    device: torch.device
    dtype: torch.dtype
    encode: EncodeSettings


def interpolate(request: InterpolateRequest) -> Generator[Event, None, None]:
    """Check, plan, make and write; closing the iterator stops the work and leaves no file.

    Yields:
        ``Planned``, then ``Warned`` and ``Progress`` as they come, then ``Finished``; only
        ``Planned`` in a dry run.

    Raises:
        MardiniError: anything that the user can act on, before or during the work.
    """
    began = monotonic()
    job = _preflight(request)
    yield _planned(job)
    for notice in job.info.notices:
        yield Warned(code="input", message=notice)
    if request.dry_run:
        return
    yield from _make(job)
    yield Finished(
        output=job.output,
        frames=len(job.plan.slots),
        made=job.plan.made_count,
        duration=job.info.end - job.info.start,
        elapsed=monotonic() - began,
        size=job.output.stat().st_size,
    )


def _preflight(request: InterpolateRequest) -> _Job:
    """Every check that needs no network; decoding the clip for its times comes last."""
    from mardini_cli.media.door import open_source
    from mardini_cli.media.encoders import EncodeSettings, codec_for
    from mardini_cli.media.output import check_output
    from mardini_cli.media.probe import probe

    encode = EncodeSettings(codec=request.codec, crf=request.crf)
    open_source(request.clip).close()
    output = _output(request)
    check_output(output, request.clip, request.overwrite)
    codec_for(output, encode)

    from mardini_cli import weights  # from here on torch is needed
    from mardini_cli.device import choose_device, choose_dtype

    config = weights.read_card(weights.find(request.model)).config
    device = choose_device(request.device)
    dtype = choose_dtype(request.dtype, device)
    _check_attention(request.attention, device, config)
    info = probe(request.clip)
    _check_frames(request.clip, len(info.times))
    plan = plan_interpolation(info.times, request.factor, config.window)
    _check_ticks(output, plan.times)
    return _Job(
        request=request,
        info=info,
        output=output,
        plan=plan,
        device=device,
        dtype=dtype,
        encode=encode,
    )


def _check_attention(attention: str, device: torch.device, config: ModelConfig) -> None:
    if attention == "xformers":
        import torch

        from mardini_cli.model.attention import require_xformers

        require_xformers(device, torch.float32, config.planner.width // config.planner.heads)


def _check_frames(clip: Path, count: int) -> None:
    if count < 2:
        raise TooFewFramesError(
            f"{clip} holds {count} frame{'' if count == 1 else 's'}",
            needed="at least 2",
            do="give a clip with something to make frames between",
        )


def _check_ticks(output: Path, times: Sequence[Fraction]) -> None:
    """Refuse a container whose clock cannot tell the frames apart."""
    from mardini_cli.media.containers import kind_of
    from mardini_cli.media.timing import ticks

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


def _output(request: InterpolateRequest) -> Path:
    """Where the result goes: as asked, or named after the clip in the folder asked for."""
    if request.output is not None and not request.output.is_dir():
        return request.output
    suffix = request.clip.suffix.lower()
    suffix = suffix if suffix in WRITTEN_SUFFIXES else ".mp4"
    folder = request.output or request.clip.parent
    return folder / f"{request.clip.stem}.x{request.factor}{suffix}"


def _planned(job: _Job) -> Planned:
    width, height = job.info.upright_size
    return Planned(
        source=job.request.clip,
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
        weights=job.request.model,
        device=str(job.device),
    )


def _make(job: _Job) -> Iterator[Event]:
    import torch

    from mardini_cli import pipeline, weights
    from mardini_cli.media.source import ClipSource
    from mardini_cli.model.attention import use_backend

    # Weights stay float32: autocast takes what may be shorter, and leaves flow and grids alone.
    model = weights.load(job.request.model, job.device, torch.float32)
    use_backend(model, cast("Backend", job.request.attention))
    settings = pipeline.MakeSettings(
        sampler=job.request.sampler, dtype=job.dtype, resolution=job.request.resolution
    )
    with _writer(job) as writer:
        for notice in writer.notices:
            yield Warned(code="output", message=notice)
        yield from pipeline.run(job.plan, ClipSource(job.info), model, settings, writer)


def _writer(job: _Job) -> Writer:
    from mardini_cli.media.timing import common_time_base
    from mardini_cli.media.writer import Writer

    times, end = job.plan.times, job.info.end
    base = common_time_base([*times, end])
    return Writer(job.output, job.info, base, end, job.encode, times)


def train(config: Path, changes: Sequence[str] = ()) -> Generator[Event, None, None]:
    """Train as a TOML file says; a run that was stopped goes on where its checkpoint stands.

    Args:
        config: settings, see ``docs/training.md``.
        changes: ``key=value`` settings on top of the file's.

    Yields:
        ``Warned`` and ``Progress`` as they come, then ``Trained``.

    Raises:
        MardiniError: anything that the user can act on.
    """
    from mardini_cli.training.stages import read_config

    settings = read_config(config, changes)

    from mardini_cli.training.loop import Run  # from here on torch is needed

    yield from Run(settings).events()
