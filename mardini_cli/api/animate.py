"""``animate``: one picture in, a clip out.

Room: api.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from mardini_cli.api.carrying import carry_out, load_models
from mardini_cli.api.fetching import with_weights
from mardini_cli.api.jobs import Job, check_free, check_room, check_ticks, output_for, preflight
from mardini_cli.api.looping import closing
from mardini_cli.api.making import MakeRequest, check_making
from mardini_cli.config import SamplerConfig, sampler_of
from mardini_cli.errors import ConfigError
from mardini_cli.events import Drawn, Event
from mardini_cli.tasks.animate import animate as plan_animation
from mardini_cli.tasks.animate import reference_place


@dataclass(frozen=True, kw_only=True, slots=True)
class AnimateRequest(MakeRequest):
    """Make a clip from one picture. One field a flag."""

    image: Path
    sampler: SamplerConfig = field(default_factory=partial(sampler_of, "animate"))
    frames: int | None = None
    """How many, the picture among them; None is one window of the model."""
    seconds: Fraction | None = None
    """How long, instead of ``frames``."""
    fps: Fraction = Fraction(8)
    """Frames a second at which motion is made; 8 is what the model was trained for."""
    smooth: Fraction | None = None
    """Frames a second of the result: a whole multiple of ``fps``, made between in the same run."""
    reference_at: str = "first"
    """Where the picture stands: first, middle, last, or a frame's number."""
    loop: bool = False
    """Give the picture at the end too: the clip runs into its own start."""
    variations: int = 1
    """So many clips, with seeds that count up, and a contact sheet of all."""
    background: str = "black"
    """Under a transparent picture: a colour name or #rrggbb."""

    def __post_init__(self) -> None:
        check_making(self)
        if self.frames is not None and self.seconds is not None:
            raise ConfigError(
                "both --frames and --seconds", needed="one of them", do="leave one out"
            )
        if self.fps <= 0 or self.variations < 1:
            raise ConfigError(
                f"{self.fps} frames a second, {self.variations} variations",
                needed="more than 0",
                do="try --fps 8 --variations 1",
            )
        if self.smooth is not None and (self.smooth / self.fps).denominator != 1:
            raise ConfigError(
                f"smooth to {self.smooth} frames a second from {self.fps}",
                needed="a whole multiple",
                do=f"try --smooth {self.fps * 3}",
            )


@with_weights
def animate(request: AnimateRequest) -> Generator[Event, None, None]:
    """Make one clip, or one for each variation; the contact sheet comes last.

    Yields:
        As ``carry_out``, for each clip.

    Raises:
        MardiniError: anything that the user can act on, before or during the work.
    """
    jobs = _preflight(request)
    check_room(jobs[0])
    models = [] if request.dry_run else load_models(request, jobs[0].tools)
    for job in jobs:
        yield from carry_out(job, models)
        if request.loop and not (request.dry_run or request.range):
            from mardini_cli.pipeline.joins import measure

            yield from closing(measure(job.output, job.plan))
    if len(jobs) > 1 and not request.dry_run:
        from mardini_cli.pipeline.looking import variations

        sheet = _sheet(jobs[0].output)
        variations(sheet, {f"seed {j.request.sampler.seed}": j.output for j in jobs})
        yield Drawn(output=sheet, what="variations")


def _sheet(first: Path) -> Path:
    return first.with_name(f"{first.stem.rpartition('.seed')[0]}.variations.png")


def place(request: AnimateRequest) -> Path:
    """Where the result will stand; of variations, the last one that is made."""
    return _output(request, _marks(request)[-1])


def _seeds(request: AnimateRequest) -> list[int]:
    return [request.sampler.seed + number for number in range(request.variations)]


def _marks(request: AnimateRequest) -> list[str]:
    seeds = _seeds(request)
    return ["animate"] if len(seeds) == 1 else [f"animate.seed{seed}" for seed in seeds]


def _preflight(request: AnimateRequest) -> list[Job]:
    """Every check that needs no network; reading the picture comes last."""
    from mardini_cli.media.stills import background_of, size_of, stills

    named = {
        seed: _output(request, mark)
        for seed, mark in zip(_seeds(request), _marks(request), strict=True)
    }
    seeds = [s for s, o in named.items() if not (request.skip_existing and o.exists())]
    outputs = [named[seed] for seed in seeds] or list(named.values())
    checks: list[Callable[[], object]] = [partial(background_of, request.background)]
    if len(outputs) > 1:
        checks.append(partial(check_free, request, _sheet(outputs[0]), [request.image]))
    opens = partial(size_of, request.image, request.limits)
    tools = preflight(request, outputs, [request.image], opens, checks)
    frames = _frames(request, tools.config.window)
    smooth = int(request.smooth / request.fps) if request.smooth else 1
    request.limits.check_frames("the result", frames * smooth)
    place = reference_place(request.reference_at, frames)
    plan = plan_animation(frames, request.fps, tools.config.window, place, smooth, request.loop)
    step = 1 / (request.fps * smooth)
    check_ticks(outputs[0], plan.times)
    source = stills(
        [request.image],
        [place / request.fps],
        step,
        background=request.background,
        limits=request.limits,
    )
    return [
        Job(
            request=replace(request, sampler=replace(request.sampler, seed=seed)),
            source=source,
            output=output,
            plan=plan,
            end=plan.times[-1] + step,
            tools=tools,
            info=source.info,
        )
        for seed, output in zip(seeds, outputs, strict=True)
    ]


def _output(request: AnimateRequest, mark: str) -> Path:
    named = output_for(request, request.image, mark, ".mp4")
    if request.variations > 1 and named == request.output:
        return named.with_name(f"{named.stem}.{mark.rpartition('.')[2]}{named.suffix}")
    return named


def _frames(request: AnimateRequest, window: int) -> int:
    if request.seconds is not None:
        return max(2, round(request.seconds * request.fps))
    return window if request.frames is None else request.frames
