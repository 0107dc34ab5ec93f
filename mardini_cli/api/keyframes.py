"""Keyframes: pictures in, a clip out that goes through all of them.

Room: api. On the command line this is ``interpolate`` with pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from mardini_cli.api.carrying import carry_out
from mardini_cli.api.fetching import with_weights
from mardini_cli.api.jobs import Job, check_ticks, output_for, preflight
from mardini_cli.api.making import MakeRequest, check_making
from mardini_cli.config import SamplerConfig, sampler_of
from mardini_cli.errors import ConfigError
from mardini_cli.events import Event
from mardini_cli.tasks import keyframes as tasks

Fit = Literal["pad", "crop"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyframesRequest(MakeRequest):
    """Make the clip between pictures. One field a flag."""

    images: tuple[Path, ...] = ()
    """Pictures with ``between`` made frames from each to the next."""
    at: tuple[tuple[Fraction, Path], ...] = ()
    """Pictures at times, seconds, instead of ``images``."""
    sampler: SamplerConfig = field(default_factory=partial(sampler_of, "keyframes"))
    between: int = 15
    """Made frames between two of ``images``."""
    fps: Fraction = Fraction(24)
    """Frames a second of the result."""
    seconds: Fraction | None = None
    """Length of the result, where it goes on after the last picture of ``at``."""
    fit: Fit | None = None
    """How pictures of other sizes are brought to the first one's: pad or crop."""
    background: str = "black"
    """Under transparent pictures and beside padded ones: a colour name or #rrggbb."""

    def __post_init__(self) -> None:
        check_making(self)
        if bool(self.images) == bool(self.at):
            raise ConfigError(
                "pictures with and without times" if self.at else "no pictures",
                needed="pictures in a row, or each with --frame TIME=PICTURE",
                do="try: mardini interpolate a.png b.png --between 15",
            )
        if self.fit is not None and self.fit not in get_args(Fit):
            raise ConfigError(f"fit '{self.fit}'", needed="pad or crop", do="choose one")


@with_weights
def keyframes(request: KeyframesRequest) -> Generator[Event, None, None]:
    """Check, plan, make and write.

    Yields:
        As ``carry_out``.

    Raises:
        MardiniError: anything that the user can act on, before or during the work.
    """
    yield from carry_out(_preflight(request))


def place(request: KeyframesRequest) -> Path:
    """Where the result will stand: it is named after the first picture."""
    first = request.images[0] if request.images else min(request.at)[1]
    return output_for(request, first, "keyframes", ".mp4")


def _preflight(request: KeyframesRequest) -> Job:
    """Every check that needs no network; reading the pictures comes last."""
    from mardini_cli.media.stills import background_of, check_there, size_of, stills

    timed = sorted(request.at)
    paths = [path for _, path in timed] or list(request.images)
    output = place(request)
    opens = partial(size_of, paths[0], request.limits)
    checks: list[Callable[[], object]] = [
        partial(background_of, request.background),
        *(partial(check_there, path) for path in paths[1:]),
    ]
    tools = preflight(request, [output], paths, opens, checks)
    window = tools.config.window
    if timed:
        times = [time for time, _ in timed]
        end = None if request.seconds is None else request.seconds - 1 / request.fps
        span = max(times[-1], end or 0) - min(times[0], Fraction(0))
        request.limits.check_frames("the result", int(span * request.fps) + 1)
        plan = tasks.keyframes(times, request.fps, window, end)
    else:
        count = (len(paths) - 1) * (request.between + 1) + 1
        request.limits.check_frames("the result", count)
        plan = tasks.between(len(paths), request.between, request.fps, window)
    plan = plan.moved(-min(plan.times[0], Fraction(0)))
    check_ticks(output, plan.times)
    given = {slot.given: slot.time for slot in plan.slots if slot.given is not None}
    source = stills(
        paths,
        [given[number] for number in range(len(paths))],
        1 / request.fps,
        request.fit,
        request.background,
        request.limits,
    )
    return Job(
        request=request,
        source=source,
        output=output,
        plan=plan,
        end=plan.times[-1] + 1 / request.fps,
        tools=tools,
        info=source.info,
    )
