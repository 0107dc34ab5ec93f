"""From a job to the file: models are loaded, frames made, written, proved and looked at.

Room: api. Light to import: torch and the media libraries come in late.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, cast

from mardini_cli.api.disk import room_for
from mardini_cli.api.jobs import Job, Tools, check_room, comparison_of, planned, preview_of
from mardini_cli.api.making import MakeRequest, span_of
from mardini_cli.api.memory import settings_of
from mardini_cli.api.resuming import settled
from mardini_cli.errors import ConfigError, MardiniError, StoppedError
from mardini_cli.events import Drawn, Event, Finished, Recorded, Verified, Warned

if TYPE_CHECKING:
    from mardini_cli.media.workplace import Workplace
    from mardini_cli.media.writer import Writer
    from mardini_cli.model.kernels import Backend
    from mardini_cli.model.mardini import MarDini


_kept: dict[tuple[object, ...], list[MarDini]] | None = None


def keep_models() -> None:
    """Keep what a job loads for the next one of this process; other models are let go first."""
    global _kept
    _kept = _kept or {}


def let_models_go() -> None:
    """Keep nothing from job to job any more."""
    global _kept
    _kept = None


def load_models(request: MakeRequest, tools: Tools) -> list[MarDini]:
    """Load the weights on every device, settled for the number type of the job."""
    if _kept is None:
        return _loaded(request, tools)
    key = (
        tools.weights,
        tools.device,
        tools.others,
        tools.dtype,
        request.attention,
        request.compile,
    )
    if key not in _kept:
        _kept.clear()
        _kept[key] = _loaded(request, tools)
    return _kept[key]


def _loaded(request: MakeRequest, tools: Tools) -> list[MarDini]:
    import torch

    from mardini_cli import weights
    from mardini_cli.model.attention import use_backend
    from mardini_cli.pipeline.settling import compile_blocks, record_steps, settle

    models = []
    for device in (tools.device, *tools.others):
        model = weights.load(request.model, device, torch.float32)
        use_backend(model, cast("Backend", request.attention))
        settle(model, tools.dtype)
        models.append(record_steps(compile_blocks(model)) if request.compile else model)
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
    check_room(job)
    yield from room_for(job)
    if job.request.dry_run:
        return
    from mardini_cli.media.output import make_room
    from mardini_cli.media.workplace import Workplace

    if job.request.output_dir is not None:
        make_room(job.output)
    with Workplace.taken(job.output, job.request.work_dir) as place:
        try:
            verified = yield from _make(job, models, place)
        except (MardiniError, SystemExit) as error:  # the exit is what a signal raises
            if place.holds_frames and not isinstance(error, StoppedError):
                yield Warned(
                    code="kept",
                    message=f"made frames are kept in {place.segments}; the same command goes on",
                )
            raise
    finished = Finished(
        output=job.output,
        frames=len(job.plan.times),
        made=job.plan.made_count,
        duration=job.end - job.plan.times[0],
        elapsed=monotonic() - began,
        size=_size(job.output),
    )
    yield finished
    if job.request.sidecar:
        from mardini_cli.api.records import write_record

        yield Recorded(output=write_record(job, finished, verified))
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


def _make(
    job: Job, models: Sequence[MarDini], place: Workplace
) -> Generator[Event, None, Verified | None]:
    from mardini_cli import pipeline
    from mardini_cli.media.containers import kind_of

    settings = settings_of(job.request, job.tools.dtype, match=job.match)
    verified: Verified | None = None
    with _writer(job, place) as writer:
        for notice in writer.notices:
            yield Warned(code="output", message=notice)
        keeping = yield from settled(job, writer, place)
        models = models or load_models(job.request, job.tools)
        yield from pipeline.run(job.plan, job.source, models, settings, writer, keeping)
        if job.proved and not kind_of(job.output).animation:
            from mardini_cli.api.proof import prove_job

            verified = yield from prove_job(job, writer)
        writer.finish()
        place.will_publish()
    place.is_done = True
    return verified


def _writer(job: Job, place: Workplace) -> Writer:
    from mardini_cli.media.timing import common_time_base
    from mardini_cli.media.writer import Writer

    times = job.plan.times
    base = common_time_base([*times, job.end])
    return Writer(place.part, job.info, base, job.end, job.tools.encode, times)
