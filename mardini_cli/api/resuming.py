"""Going on with earlier work: what its frames were made from, and whether that is still so.

Room: api. Light to import: torch and the media libraries come in late.

Two kinds of facts. What decides the frames (input, plan, settings of the sampler, weights, planes)
must be the same. What may only round otherwise (version, torch, device, number type, kernels)
must be the same too, unless ``--resume force`` says that it does not matter. The encoder's
settings are no facts: segments hold what the encoder is given, so another ``--crf`` or ``--codec``
goes on with the same frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import mardini_cli
from mardini_cli.api.deadline import deadline_of
from mardini_cli.api.disk import disk_of, free_at, may_keep, told
from mardini_cli.errors import ResumeError
from mardini_cli.events import Event, Resumed, Warned

if TYPE_CHECKING:
    from mardini_cli.api.jobs import Job
    from mardini_cli.media.segments import Segments
    from mardini_cli.media.workplace import Workplace
    from mardini_cli.media.writer import Writer
    from mardini_cli.pipeline import KeepSettings

ROUNDING = ("program", "torch", "device", "number type", "attention", "compile")
"""Facts that may change the last bit of a frame, and nothing that a person sees."""


@dataclass(frozen=True, slots=True)
class Found:
    """What becomes of earlier work."""

    segments: Segments | None = None
    """What to go on from; nothing begins anew."""
    event: Event | None = None
    """What a person should know of it; nothing where there was no earlier work."""


def settled(job: Job, writer: Writer, place: Workplace) -> Generator[Event, None, KeepSettings]:
    """Settle what is gone on with and what is kept.

    Yields:
        ``Resumed``, or ``Warned`` where earlier work does not fit.

    Returns:
        Settings for the walk over the plan.

    Raises:
        ResumeError: earlier work does not fit, and ``--resume force`` does not allow to begin anew.
    """
    from mardini_cli.media import segments
    from mardini_cli.pipeline import KeepSettings

    request, folder = job.request, place.segments
    until = deadline_of(request.until, request.max_minutes)
    if request.resume == "never" or folder is None:
        if folder is not None:
            segments.remove(folder)
        return KeepSettings(until=until)
    found = _look(job, writer, folder)
    if found.event is not None:
        yield found.event
    if found.segments is None:
        segments.remove(folder)
        if request.resume == "auto" and not may_keep(job, folder):
            message = f"made frames are not kept: they may take {told(disk_of(job).kept)}"
            message += f", and {folder.parent} has {told(free_at(folder))} free"
            yield Warned(code="disk", message=message)
            return KeepSettings(until=until)
    return KeepSettings(
        begin=partial(_begin, job, writer, folder),
        found=found.segments,
        always=request.resume == "force" or until is not None,
        until=until,
    )


def _begin(job: Job, writer: Writer, folder: Path) -> Segments:
    from mardini_cli.media import segments

    segments.begin(folder, facts(job, writer))
    return segments.Segments(folder, writer.layout, writer.size)


def _look(job: Job, writer: Writer, folder: Path) -> Found:
    from mardini_cli.media import segments
    from mardini_cli.pipeline import fits

    earlier, forced = segments.facts_of(folder), job.request.resume == "force"
    if earlier is None:
        return Found()
    now = facts(job, writer)
    changed = [name for name in now if now[name] != earlier.get(name)]
    grave = [name for name in changed if not (forced and name in ROUNDING)]
    why = "; ".join(_change(name, earlier.get(name, "not known"), now[name]) for name in grave)
    if not why:
        kept = segments.Segments(folder, writer.layout, writer.size)
        if not kept.mark:  # it ended before the first segment did
            return Found()
        if fits(job.plan, kept):
            return Found(
                kept,
                Resumed(
                    folder=folder,
                    kept=len(kept),
                    made=job.plan.made_count,
                    other=tuple(changed),
                ),
            )
        kept.close()
        why = "its files are damaged"
    elif forced:
        raise ResumeError(
            f"earlier work in {folder} does not fit: {why}",
            needed="what its frames were made from",
            do="take back what was changed, or begin anew with --resume auto",
        )
    message = f"begins anew, since earlier work does not fit: {why}"
    return Found(event=Warned(code="resume", message=message))


def _change(name: str, then: str, now: str) -> str:
    """What changed, in words; digests say nothing to a person."""
    if name in ("input", "weights", "plan", "pixels"):
        return {
            "input": "the input is another one",
            "weights": "the weights are others",
            "plan": "the frames to make, or their times, are others",
            "pixels": "the pixel format or colour of the result is another one",
        }[name]
    return f"{name} was {then}, is {now}"


def facts(job: Job, writer: Writer) -> dict[str, str]:
    """All that made frames depend on, by names that a person knows."""
    import torch

    from mardini_cli import weights
    from mardini_cli.device import name_of

    request, tools = job.request, job.tools
    return {
        "input": _digest(job.source.paths),
        "plan": job.plan.digest(),
        "steps": str(request.sampler.steps),
        "guidance": str(request.sampler.guidance),
        "seed": str(request.sampler.seed),
        "weights": weights.digest(weights.find(request.model, fetch=False)),
        "resolution": str(request.resolution),
        "tile": request.tile,
        "memory limit": str(request.memory_limit),
        "fit": str(getattr(request, "fit", None)),
        "background": str(getattr(request, "background", None)),
        "pixels": writer.pixels,
        "program": mardini_cli.__version__,
        "torch": torch.__version__,
        "device": name_of(tools.device),
        "number type": str(tools.dtype).removeprefix("torch."),
        "attention": request.attention,
        "compile": str(request.compile),
    }


def _digest(paths: tuple[Path, ...]) -> str:
    """SHA-256 of the bytes of all files, in order. Names do not count: a clip may be moved."""
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
