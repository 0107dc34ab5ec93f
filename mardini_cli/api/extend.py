"""``extend``: a clip in, the same clip with frames after it, before it, or round to its start.

Room: api.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mardini_cli.api.carrying import carry_out
from mardini_cli.api.fetching import with_weights
from mardini_cli.api.jobs import Job, check_ticks, output_for, preflight
from mardini_cli.api.looping import closing
from mardini_cli.api.making import MakeRequest, check_making
from mardini_cli.config import SamplerConfig, sampler_of
from mardini_cli.errors import ConfigError
from mardini_cli.events import Event, Joined, Warned
from mardini_cli.tasks import extend as tasks

if TYPE_CHECKING:
    from mardini_cli.media.passage import Passage
    from mardini_cli.media.probe import ClipInfo
    from mardini_cli.tasks.plan import Plan

Direction = Literal["forward", "backward", "both"]
Audio = Literal["keep", "loop", "none"]
SECONDS = Fraction(1)
"""How much is made where nothing is said."""
SHARP = 0.7
"""Share of the given frames' fine detail below which a person is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtendRequest(MakeRequest):
    """Make a clip longer. One field a flag."""

    clip: Path
    sampler: SamplerConfig = field(default_factory=partial(sampler_of, "extend"))
    frames: int | None = None
    """How many to make, on each side that is asked for."""
    seconds: Fraction | None = None
    """How much to make, instead of ``frames``; without both, one second."""
    direction: Direction = "forward"
    context: int | None = None
    """Frames that each window keeps of what is before it; None is up to 5 of 17 slots."""
    loop: bool = False
    """Make the bridge from the last frame to the first: the clip runs into its own start."""
    audio: Audio = "keep"
    """``keep``: sound of the original part, silence for the rest; ``loop``: repeated there;
    ``none``: no sound."""

    def __post_init__(self) -> None:
        check_making(self)
        for name, value, words in (
            ("direction", self.direction, get_args(Direction)),
            ("audio", self.audio, get_args(Audio)),
        ):
            if value not in words:
                raise ConfigError(f"{name} '{value}'", needed=" or ".join(words), do="choose one")
        if self.frames is not None and self.seconds is not None:
            raise ConfigError(
                "both --frames and --seconds", needed="one of them", do="leave one out"
            )
        if self.loop and self.direction != "forward":
            raise ConfigError(
                f"a loop with --direction {self.direction}",
                needed="no direction: a bridge goes from the end to the start",
                do="leave --direction out",
            )


@with_weights
def extend(request: ExtendRequest) -> Generator[Event, None, None]:
    """Check, plan, make and write; then measure every join.

    Yields:
        As ``carry_out``; before its end, ``Joined`` for each window's border, and ``Warned``
        where a join shows.

    Raises:
        MardiniError: anything that the user can act on, before or during the work.
    """
    job = _preflight(request)
    yield from carry_out(job)
    if not (request.dry_run or request.range):
        yield from _joins(job, request)


def _joins(job: Job, request: ExtendRequest) -> Iterator[Event]:
    from mardini_cli.pipeline.joins import measure

    found = measure(job.output, job.plan)
    for join in found.joins:
        yield Joined(
            time=join.time,
            step=join.step,
            usual=found.usual,
            colour=join.colour,
            sharpness=join.sharpness,
        )
    soft = [join for join in found.joins if join.sharpness < SHARP]
    if soft:
        first = max(soft, key=lambda join: join.sharpness)
        yield Warned(
            code="soft",
            message=f"at the join at {float(first.time):.2f} s made frames keep"
            f" {first.sharpness:.2f} of the clip's fine detail; shorter extensions stay sharper",
        )
    if request.loop:
        yield from closing(found)
    loud = [join for join in found.joins if join.step > found.usual]
    if loud:
        worst = max(loud, key=lambda join: join.step)
        yield Warned(
            code="join",
            message=f"{len(loud)} of {len(found.joins)} joins show: at {float(worst.time):.2f} s"
            f" the picture steps by {worst.step:.4f}, 19 of 20 steps of the clip are below"
            f" {found.usual:.4f}",
        )


def place(request: ExtendRequest) -> Path:
    """Where the result will stand."""
    return output_for(request, request.clip, "loop" if request.loop else "extended")


def _preflight(request: ExtendRequest) -> Job:
    """Every check that needs no network; decoding the clip for its times comes last."""
    from mardini_cli.media.probe import check_decodes, probe
    from mardini_cli.media.source import ClipSource

    output = place(request)
    opens = partial(check_decodes, request.clip, request.limits)
    tools = preflight(request, [output], [request.clip], opens)
    info = probe(request.clip, limits=request.limits)
    plan = _plan(request, info, tools.config.window)
    moved = info.times[0] - min(plan.times[0], info.times[0])  # the clip moves to make room
    plan = plan.moved(moved)
    check_ticks(output, plan.times)
    end = _end(plan, info, moved)
    return Job(
        request=request,
        source=ClipSource(info),
        output=output,
        plan=plan,
        end=end,
        tools=tools,
        match=True,
        info=replace(info, passage=_passage(request, info, moved, end)),
    )


def _plan(request: ExtendRequest, info: ClipInfo, window: int) -> Plan:
    step = tasks.step_of(info.times, info.last_duration)
    frames = request.frames
    if frames is None:
        frames = max(1, round((request.seconds or SECONDS) / step))
    sides = 2 if request.direction == "both" else 1
    info.limits.check_frames("the result", len(info.times) + frames * sides)
    if request.loop:
        return tasks.loop(info.times, info.end, window, frames, request.context)
    before = frames if request.direction in ("backward", "both") else 0
    after = frames if request.direction in ("forward", "both") else 0
    return tasks.extend(info.times, info.end, window, before, after, request.context)


def _end(plan: Plan, info: ClipInfo, moved: Fraction) -> Fraction:
    if not plan.shown[-1].is_made:
        return info.end + moved
    return plan.times[-1] + tasks.step_of(info.times, info.last_duration)


def _passage(request: ExtendRequest, info: ClipInfo, moved: Fraction, end: Fraction) -> Passage:
    """Sound, subtitles and chapters move with the clip; repeated sound fills the rest."""
    from mardini_cli.media.passage import Passage

    if request.audio != "loop":
        return Passage(at=moved, sound="drop" if request.audio == "none" else "copy")
    start = info.times[0]
    return Passage(
        anchor=start,
        at=start + moved,
        sound="loop",
        period=info.end - start,
        until=end,
    )
