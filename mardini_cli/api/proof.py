"""``verify``: two files in, a table of what holds between them out; so for our own results too.

Room: api. Light to import.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from math import inf, isinf
from pathlib import Path
from threading import Event as Flag
from time import monotonic
from typing import TYPE_CHECKING

from mardini_cli.errors import DamagedMediaError, FactorError, ProofError
from mardini_cli.events import Event, Progress, Verified
from mardini_cli.media.limits import MAX_FRAMES, MAX_PIXELS, Limits

if TYPE_CHECKING:
    from mardini_cli.api.jobs import Job
    from mardini_cli.media.probe import ClipInfo
    from mardini_cli.media.reader import Frame
    from mardini_cli.media.source import Source
    from mardini_cli.media.verify import Promise, Report
    from mardini_cli.media.writer import Writer

PROGRESS_SECONDS = 0.5
"""How often progress is told."""
FINE_CRF = 23
"""Up to this ``--crf`` given frames are held to look the same in the result."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyRequest:
    """Compare a result with the clip that it was made from. One field a flag."""

    source: Path
    output: Path
    factor: int | None = None
    """How many times as many frames it should have; None: what its number of frames comes to."""
    max_pixels: int = MAX_PIXELS
    """Most pixels of a frame of either."""
    max_frames: int = MAX_FRAMES
    """Most frames of either."""

    @property
    def limits(self) -> Limits:
        """How much the files may ask for."""
        return Limits(pixels=self.max_pixels, frames=self.max_frames)

    def __post_init__(self) -> None:
        if self.factor is not None and self.factor < 1:
            raise FactorError(
                f"factor {self.factor}",
                needed="1 or more",
                do="leave --factor out to let the number of frames tell",
            )


def verify(request: VerifyRequest) -> Generator[Event, None, None]:
    """Read both files once, after the source's times.

    Yields:
        ``Progress`` as frames are compared, then ``Verified``; whether it passed stands there.

    Raises:
        MardiniError: one of the files cannot be read.
    """
    from mardini_cli.media.containers import KINDS
    from mardini_cli.media.probe import count_packets, probe
    from mardini_cli.media.source import ClipSource
    from mardini_cli.media.verify import inferred

    source = probe(request.source, limits=request.limits)
    count = (
        count_packets(request.output, request.limits)
        if request.factor is None
        else (len(source.times) - 1) * request.factor + 1
    )
    kind = KINDS.get(request.output.suffix.lower())
    promise = inferred(source, count, muxer=kind.muxer if kind else None)
    yield from prove(ClipSource(source), request.output, request.output, promise)


def prove_job(job: Job, writer: Writer) -> Generator[Event, None, Verified]:
    """Prove a result that is whole but has no name yet.

    Raises:
        DamagedMediaError: it is not what the plan promised, since the input is damaged.
        ProofError: it is not, for another reason.
    """
    source = _Compared(job.source, replace(job.source.info, streams=job.info.streams))
    found = yield from prove(source, writer.finish(), job.output, _promise(job, writer.changed))
    require(found, source)
    return found


@dataclass(frozen=True, slots=True)
class _Compared:
    """A source of whose other streams only those that go along count."""

    source: Source
    info: ClipInfo

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those of the source."""
        return self.source.paths

    def frames(self) -> Generator[Frame, None, None]:
        """Those of the source."""
        return self.source.frames()


def _promise(job: Job, excused: frozenset[str]) -> Promise:
    """What the plan says of the result; a part or another speed changes what goes along."""
    from mardini_cli.media.containers import kind_of
    from mardini_cli.media.verify import FAITHFUL, SHIFTED, Promise

    turns: set[int] = set()
    given = []
    for slot in job.plan.shown:
        first = slot.given is not None and slot.given not in turns
        given.append(slot.given if first else None)
        turns |= {slot.given} if slot.given is not None else set()
    encode, passage = job.tools.encode, job.info.passage
    exact = encode.lossless or encode.codec == "ffv1"
    fine = encode.bitrate is None and (encode.crf is None or encode.crf <= FINE_CRF)
    return Promise(
        times=job.plan.times,
        given=tuple(given),
        end=job.end,
        muxer=kind_of(job.output).muxer,
        companions=job.info.is_film and passage.is_whole and passage.sound == "copy",
        # Who asks for a coarse picture gets one; the figures are told all the same.
        faithful=inf if exact else FAITHFUL if fine else 0.0,
        shifted=SHIFTED if fine else inf,
        excused=excused,  # the writer's notices tell of it
    )


def prove(
    source: Source, path: Path, output: Path, promise: Promise
) -> Generator[Event, None, Verified]:
    """Compare in a thread, and tell how far it is; closing the generator stops it.

    Args:
        source: the clip.
        path: where the result is now.
        output: its name.
        promise: what it should hold.
    """
    from mardini_cli.media.verify import verify as compare

    began = monotonic()
    stop, seen = Flag(), [0]

    def told(count: int) -> None:
        seen[0] = count
        if stop.is_set():
            raise _Stopped

    with ThreadPoolExecutor(1, thread_name_prefix="mardini-verify") as thread:
        work = thread.submit(compare, source, path, promise, told)
        try:
            while not wait([work], timeout=PROGRESS_SECONDS).done:
                yield Progress(
                    done=min(seen[0], len(promise.times)),
                    total=len(promise.times),
                    elapsed=monotonic() - began,
                    unit="frames verified",
                )
        finally:
            stop.set()
        report = work.result()
    event = _event(report, source.info.path, output, monotonic() - began)
    yield event
    return event


class _Stopped(Exception):
    """Nobody listens any more."""


def _event(report: Report, source: Path, output: Path, elapsed: float) -> Verified:
    return Verified(
        source=source,
        output=output,
        passed=report.passed,
        checks=report.checks,
        frames=report.frames,
        psnr=tuple(None if isinf(value) else value for value in report.psnr),
        elapsed=elapsed,
    )


def require(found: Verified, source: Source) -> None:
    """Refuse a result that is not what was promised, and say whose fault it is.

    Raises:
        DamagedMediaError: the input's: it is damaged.
        ProofError: ours; with the checks that failed.
    """
    if found.passed:
        return
    failed = [check for check in found.checks if not check.passed]
    told = "; ".join(f"{c.name}: {c.found}, not {c.needed}" for c in failed)
    damage = _damage(source)
    if damage:
        raise DamagedMediaError(
            f"{source.info.path} is damaged ({damage}); {found.output} would not hold what was"
            f" promised ({told})",
            needed="a clip that decodes to the same pictures every time",
            do="re-encode it, or leave the damaged part out (--start, --end); with --no-verify the"
            " file is kept as it is",
        )
    raise ProofError(
        f"{found.output} would not hold what was promised ({told})",
        needed="a result that proves right",
        do="re-encode the clip, which may be damaged where nobody tells, and try again; if that"
        " fails too, report it; with --no-verify the file is kept as it is",
    )


def _damage(source: Source) -> str:
    """What is known to be wrong with an input; nothing where it is whole."""
    from mardini_cli.media.damage import unsteady

    known = list(source.info.damage)
    loose = unsteady(source)
    if loose is not None:
        number, time = loose
        known.append(
            f"frame {number} at {float(time):.3f} s is another picture each time it is decoded"
        )
    return "; ".join(known)
