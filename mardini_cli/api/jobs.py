"""A request that is about to be carried out: its place, its tools, what is told of it.

Room: api. Light to import: torch and the media libraries come in late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from mardini_cli.api.disk import check_disk, check_least
from mardini_cli.api.making import MakeRequest
from mardini_cli.api.memory import check_memory, is_judged, settings_of
from mardini_cli.config import ModelConfig
from mardini_cli.errors import ConfigError, EncoderError, OutputExistsError, Problems
from mardini_cli.events import Planned
from mardini_cli.tasks.drawing import draw
from mardini_cli.weights.sources import AbsentWeightsError

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


class StandsAlreadyError(Exception):
    """The result is there, and was to be left alone: no error for a person, an end for a job."""

    def __init__(self, output: Path) -> None:
        super().__init__(output)
        self.output = output


def preflight(
    request: MakeRequest,
    outputs: Sequence[Path],
    sources: Sequence[Path],
    first: Callable[[], tuple[int, int] | None],
    checks: Sequence[Callable[[], object]] = (),
) -> Tools:
    """Do every check that is quick and needs no network; all problems are told at once.

    Disk and memory are held against the least that frames of such a size take: what the whole job
    takes is known when there is a plan, and is checked then (``check_room``).

    Args:
        request: what is asked for.
        outputs: results; all but those of variations are one.
        sources: files that are read, each to be told from the results.
        first: decodes the first given frame; tells its rows and columns, where that is possible.
        checks: of the task's own.

    Raises:
        StandsAlreadyError: the results are there, and are to be skipped.
        MardiniError: what stands in the way; ``PreflightError`` or ``WordsError`` if it is more
            than one thing.
        AbsentWeightsError: nothing but that weights are to be fetched.
    """
    if request.skip_existing and all(map(_is_there, outputs)):
        raise StandsAlreadyError(outputs[-1])
    problems, absent = Problems(), list[AbsentWeightsError]()
    size = problems.attempt(first)
    for check in checks:
        problems.attempt(check)
    encodes = [
        problems.attempt(partial(check_place, request, output, sources)) for output in outputs
    ]
    if size is not None:
        problems.attempt(partial(check_least, outputs[-1], size))
    tools = _tools(request, encodes[-1], size, problems)
    absent = [error for error in problems.found if isinstance(error, AbsentWeightsError)]
    if len(problems.found) > len(absent):  # they would be fetched: no problem beside another
        problems.found = [error for error in problems.found if error not in absent]
    problems.settle()
    assert tools is not None
    return tools


def _is_there(output: Path) -> bool:
    """Whether a result stands; of numbered pictures, any."""
    if "%" not in output.name or output.exists():
        return output.exists()
    folder, ending = output.parent, output.suffix.lower()
    return folder.is_dir() and any(path.suffix.lower() == ending for path in folder.iterdir())


def check_place(request: MakeRequest, output: Path, sources: Sequence[Path]) -> EncodeSettings:
    """Check the place of the result and the encoder, before any work.

    Raises:
        OutputError, ConfigError: it cannot be written as asked.
    """
    from mardini_cli.media.encoders import EncodeSettings, codec_for

    problems = Problems()
    encode = problems.attempt(
        lambda: EncodeSettings(
            codec=request.codec,
            crf=request.crf,
            preset=request.preset,
            bitrate=request.bitrate,
            lossless=request.lossless,
            bake_rotation=request.bake_rotation,
            pixel_format=request.pix_fmt,
        )
    )
    problems.attempt(partial(_check_names, request, output, sources))
    if encode is not None:
        problems.attempt(lambda: codec_for(output, encode))
    problems.settle()
    assert encode is not None
    return encode


def _check_names(request: MakeRequest, output: Path, sources: Sequence[Path]) -> None:
    from mardini_cli.api.records import record_of  # late: it stands on the tasks
    from mardini_cli.media.output import check_output, check_room
    from mardini_cli.media.workplace import tidy

    if request.output_dir is not None and not request.output_dir.is_dir():
        check_room(output)
        return
    for source in sources:
        try:
            check_output(output, source, request.overwrite)
        except OutputExistsError:
            tidy(output, request.work_dir)
            raise
    if request.preview:
        check_free(request, preview_of(output), sources)
    if request.compare is not None:
        check_free(request, comparison_of(output), sources)
    if request.sidecar:
        check_free(request, record_of(output), sources)


def preview_of(output: Path) -> Path:
    """Where the contact sheet of a result goes."""
    return output.with_suffix(".preview.png")


def comparison_of(output: Path) -> Path:
    """Where the film beside a plain one goes."""
    return output.with_suffix(f".compare{output.suffix}")


def check_free(request: MakeRequest, path: Path, sources: Sequence[Path]) -> None:
    """Refuse to replace what stands beside the result, unless it is allowed; an input never is.

    Raises:
        OutputIsInputError: one of the sources is there.
        OutputExistsError: another file is there.
    """
    from mardini_cli.media.output import check_other

    for source in sources:
        check_other(path, source)
    if path.exists() and not request.overwrite:
        raise OutputExistsError(
            f"{path} exists already",
            needed="a free name",
            do="choose another name with -o, or allow --overwrite",
        )


def _tools(
    request: MakeRequest,
    encode: EncodeSettings | None,
    size: tuple[int, int] | None,
    problems: Problems,
) -> Tools | None:
    """Find the weights' sizes and the device, and judge memory; loads torch, but no weights."""
    from mardini_cli import weights
    from mardini_cli.device import choose_device, choose_dtype, prepare_compiler, use_threads

    config = problems.attempt(
        lambda: weights.read_card(weights.find(request.model, fetch=False)).config
    )
    judged = size is not None and config is not None and is_judged(request)
    if problems.found and _fits_any_machine(request) and not judged:
        return None  # sooner told: torch takes seconds to load
    if request.threads is not None:
        problems.attempt(partial(use_threads, request.threads))
    if request.compile:
        problems.attempt(prepare_compiler)
    devices = problems.attempt(lambda: [choose_device(name) for name in _device_names(request)])
    if devices is None:
        return None
    dtype = problems.attempt(lambda: choose_dtype(request.dtype, devices[0]))
    if request.attention == "xformers" and config is not None:
        import torch

        from mardini_cli.model.kernels import require_xformers

        width = config.planner.width // config.planner.heads
        problems.attempt(lambda: require_xformers(devices[0], torch.float32, width))
    if config is not None and dtype is not None and size is not None:
        settings = settings_of(request, dtype)
        problems.attempt(partial(check_memory, settings, config, devices, size))
    if config is None or encode is None or dtype is None:
        return None
    return Tools(
        weights=weights.identity(request.model),
        config=config,
        device=devices[0],
        others=tuple(devices[1:]),
        dtype=dtype,
        encode=encode,
    )


def _fits_any_machine(request: MakeRequest) -> bool:
    return (
        request.device in ("auto", "cpu")
        and request.devices is None
        and request.dtype in ("auto", "fp32", "bf16")
        and request.attention != "xformers"
    )


def _device_names(request: MakeRequest) -> list[str]:
    """Names for ``choose_device``; a bare number is a CUDA device.

    Raises:
        ConfigError: an empty name, or a card twice.
    """
    if request.devices is None:
        return [request.device]
    names = [name.strip() for name in request.devices.split(",")]
    if not all(names):
        raise ConfigError(
            f"devices '{request.devices}'", needed="names with commas between", do="try 0,1"
        )
    found = [f"cuda:{name}" if name.isdecimal() else name for name in names]
    cards = [name for name in found if name.startswith("cuda")]
    if len(set(cards)) < len(cards):  # the weights would lie there twice, and nothing be quicker
        raise ConfigError(
            f"devices '{request.devices}'", needed="each card once", do="leave one out"
        )
    return found


def check_room(job: Job) -> None:
    """Hold what a planned job takes against disk and memory; both problems are told at once.

    Raises:
        DiskSpaceError, MemoryLimitError: one of them is certainly too small.
    """
    from mardini_cli.pipeline.memory import largest_of

    problems, tools = Problems(), job.tools
    problems.attempt(partial(check_disk, job))
    if job.plan.windows:
        wide, high = job.info.upright_size
        settings, largest = settings_of(job.request, tools.dtype), largest_of(job.plan)
        devices = [tools.device, *tools.others]
        problems.attempt(
            partial(check_memory, settings, tools.config, devices, (high, wide), largest)
        )
    problems.settle()


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
        estimate=_estimate(job),
    )


def _estimate(job: Job) -> float:
    """Seconds that a job will take, where the machine has been measured; 0 elsewhere."""
    from mardini_cli.pipeline import estimate

    tools, request = job.tools, job.request
    speed = estimate.known(estimate.key_of(tools.config, tools.device, tools.dtype))
    if speed is None:
        return 0.0
    wide, high = job.info.upright_size
    shape = estimate.Shape(
        config=tools.config,
        size=(high, wide),
        sampler=request.sampler,
        resolution=request.resolution,
    )
    loads = {
        stage: tuple(count / (1 + len(tools.others)) for count in counts)
        for stage, counts in estimate.job_loads(shape, job.plan).items()
    }
    pixels = (job.plan.given_count * wide * high, job.plan.made_count * wide * high)
    return estimate.seconds(speed, loads, pixels, overlapping=tools.device.type != "cpu")
