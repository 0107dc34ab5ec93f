"""``fill``: a clip in, the same clip with its bad frames made anew.

Room: api.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mardini_cli.api.carrying import carry_out
from mardini_cli.api.fetching import with_weights
from mardini_cli.api.jobs import Job, check_ticks, output_for, preflight
from mardini_cli.api.making import MakeRequest, check_making
from mardini_cli.config import SamplerConfig, sampler_of
from mardini_cli.errors import ConfigError, TooFewFramesError
from mardini_cli.events import Event, Warned
from mardini_cli.tasks.extend import step_of
from mardini_cli.tasks.fill import dropped, frame_numbers
from mardini_cli.tasks.fill import fill as plan_filling

if TYPE_CHECKING:
    from fractions import Fraction

    from mardini_cli.media.probe import ClipInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class FillRequest(MakeRequest):
    """Make bad frames anew. One field a flag."""

    clip: Path
    sampler: SamplerConfig = field(default_factory=partial(sampler_of, "fill"))
    missing: str | None = None
    """Frames to make anew: ``12-20,31``, counted from 0."""
    keep: str | None = None
    """Frames to keep; all others are made anew."""
    damaged: str | None = None
    """``auto`` finds dropped, corrupt, black and frozen frames."""

    def __post_init__(self) -> None:
        check_making(self)
        asked = [
            f"--{name}"
            for name in ("missing", "keep", "damaged")
            if getattr(self, name) is not None
        ]
        if (
            not asked
            or {"--missing", "--keep"} <= set(asked)
            or {"--keep", "--damaged"} <= set(asked)
        ):
            raise ConfigError(
                " and ".join(asked) or "no frames named",
                needed="--missing, --keep, or --damaged auto",
                do="try --damaged auto --dry-run to see what it finds",
            )
        if self.damaged not in (None, "auto"):
            raise ConfigError(f"--damaged {self.damaged}", needed="auto", do="write --damaged auto")


@with_weights
def fill(request: FillRequest) -> Generator[Event, None, None]:
    """Check, look for damage, plan, make and write.

    Yields:
        ``Warned`` for each kind of damage that was found, then as ``carry_out``.

    Raises:
        MardiniError: anything that the user can act on, before or during the work.
    """
    from mardini_cli.media.probe import check_decodes, probe
    from mardini_cli.media.source import ClipSource

    output = place(request)
    opens = partial(check_decodes, request.clip, request.limits)
    tools = preflight(request, [output], [request.clip], opens)
    info = probe(request.clip, limits=request.limits)
    missing = _named(request, len(info.times))
    holes: list[Fraction] = []
    if request.damaged:
        found, holes = _damage(info)
        for kind, frames in found.items():
            yield Warned(code="damaged", message=f"{kind}: {_listed(frames)}")
        if holes:
            told = ", ".join(f"{float(time):.3f}" for time in holes)
            yield Warned(code="damaged", message=f"dropped frames at {told} s")
        missing = missing.union(*found.values())
    if not missing and not holes:
        raise TooFewFramesError(
            f"{request.clip}: no damaged frames found",
            needed="frames to make anew",
            do="name them with --missing",
        )
    plan = plan_filling(info.times, missing, tools.config.window, holes)
    check_ticks(output, plan.times)
    yield from carry_out(
        Job(
            request=request,
            source=ClipSource(info),
            output=output,
            plan=plan,
            end=info.end,
            tools=tools,
            info=info,
        )
    )


def place(request: FillRequest) -> Path:
    """Where the result will stand."""
    return output_for(request, request.clip, "filled")


def _named(request: FillRequest, count: int) -> frozenset[int]:
    if request.keep is not None:
        return frozenset(range(count)) - frame_numbers(request.keep, count, "--keep")
    if request.missing is not None:
        return frame_numbers(request.missing, count, "--missing")
    return frozenset()


def _damage(info: ClipInfo) -> tuple[dict[str, list[int]], list[Fraction]]:
    from mardini_cli.media.damage import find

    span, step = info.times[-1] - info.times[0], step_of(info.times, info.last_duration)
    info.limits.check_frames("the result without holes", int(span / step) + 1)
    return find(info), dropped(info.times)


def _listed(frames: list[int]) -> str:
    """Runs of numbers, as ``--missing`` reads them."""
    parts: list[list[int]] = []
    for number in frames:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
