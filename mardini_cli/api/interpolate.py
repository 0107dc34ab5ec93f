"""``interpolate``: a clip in, the same clip with more frames out.

Room: api.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from mardini_cli.api.arrival import PIPE, Arrival, arrived
from mardini_cli.api.carrying import carry_out
from mardini_cli.api.clock import ClipAudio, Timing, timed
from mardini_cli.api.fetching import with_weights
from mardini_cli.api.jobs import Job, check_ticks, output_for, preflight
from mardini_cli.api.making import MakeRequest, check_making
from mardini_cli.api.shots import (
    AtCuts,
    Duplicates,
    ShotSettings,
    check_lists,
    shots_of,
    write_list,
)
from mardini_cli.errors import ConfigError, TooFewFramesError
from mardini_cli.events import Drawn, Event
from mardini_cli.tasks.interpolate import check_factor


@dataclass(frozen=True, kw_only=True, slots=True)
class InterpolateRequest(MakeRequest):
    """Make the frames between a clip's frames. One field a flag."""

    clip: Path
    """A film, an animation, a folder of pictures, or a pattern such as ``shots/%04d.png``."""
    input_fps: Fraction = Fraction(25)
    """Frames a second of pictures and of raw video, which have no times of their own."""
    input_format: str | None = None
    """rawvideo: the clip is ``-``, bytes that do not tell what they are."""
    input_size: str | None = None
    """WIDTHxHEIGHT of raw video."""
    input_pix_fmt: str | None = None
    """FFmpeg's pixel format of raw video; None is yuv420p."""
    factor: int | None = None
    """How many times as many frames, 2 to 64: n become (n - 1) * factor + 1. 2 if nothing else
    says how many."""
    fps: Fraction | None = None
    """A constant rate instead: frames a second."""
    slow_motion: Fraction | None = None
    """Seconds of the result for one of the clip."""
    speed: str | None = None
    """A ramp instead: ``TIME:SPEED,TIME:SPEED``, seconds of the clip."""
    start: str | None = None
    """Where to begin: seconds, minutes:seconds, or a frame such as 300f."""
    end: str | None = None
    """Where to end, that frame included."""
    audio: ClipAudio = "auto"
    """auto copies sound that keeps its time; drop leaves it out; stretch slows it down."""

    cuts: str = "auto"
    """auto finds cuts, off takes the clip for one shot, anything else is a file that lists them."""
    cut_threshold: float | None = None
    """Share of the picture that must be new at a cut, above 0 to 1; higher finds fewer."""
    write_cuts: Path | None = None
    """Where to write the list of cuts, to be edited and read back."""
    at_cuts: AtCuts = "predict"
    """What stands between the last frame of a shot and the cut: predict or hold."""
    duplicates: Duplicates = "keep"
    """Frames that only repeat the one before: keep them, or smooth the motion that they stop."""
    verify: bool = True
    """Prove the result before it gets its name: times, given frames, sound, tags, made frames."""

    def __post_init__(self) -> None:
        if self.factor is not None:
            check_factor(self.factor)
        if self.input_fps <= 0:
            raise ConfigError(
                f"input fps {self.input_fps}", needed="above 0", do="try --input-fps 25"
            )
        _ = self.timing, self.shots
        self.arrival.check(self.clip)
        if self.input_size is not None:
            self.limits.check_size(self.clip, *self.arrival.columns_and_rows)
        if self.sidecar and self.clip == PIPE:
            raise ConfigError(
                "a record of a clip from a pipe", needed="a file", do="leave --sidecar out"
            )
        check_making(self)

    @property
    def arrival(self) -> Arrival:
        """What was said of standard input."""
        return Arrival(
            form=self.input_format,
            size=self.input_size,
            pix_fmt=self.input_pix_fmt,
            fps=self.input_fps,
        )

    @property
    def timing(self) -> Timing:
        """What was asked of times."""
        return Timing(
            factor=self.factor,
            fps=self.fps,
            slow_motion=self.slow_motion,
            speed=self.speed,
            start=self.start,
            end=self.end,
            audio=self.audio,
        )

    @property
    def shots(self) -> ShotSettings:
        """What was asked of cuts and repeated frames."""
        return ShotSettings(
            cuts=self.cuts,
            cut_threshold=self.cut_threshold,
            write_cuts=self.write_cuts,
            at_cuts=self.at_cuts,
            duplicates=self.duplicates,
        )


@with_weights
def interpolate(request: InterpolateRequest) -> Generator[Event, None, None]:
    """Check, plan, make and write; closing the iterator stops the work and leaves no file.

    Yields:
        As ``carry_out``.

    Raises:
        MardiniError: anything that the user can act on, before or during the work.
    """
    with arrived(request.clip, request.output, request.arrival) as clip:
        known = replace(  # what was raw tells its own by now
            request, clip=clip, input_format=None, input_size=None, input_pix_fmt=None
        )
        job = _preflight(known)
        if request.write_cuts is not None:
            yield Drawn(output=request.write_cuts, what="list of cuts")
        yield from carry_out(job)


def place(request: InterpolateRequest) -> Path:
    """Where the result will stand; pictures give it the name of their folder."""
    named = request.clip
    if named.is_dir():
        named = named.absolute()  # its own name, even if it was named as "."
    elif not named.exists() and any(sign in named.name for sign in "%*?["):
        named = named.absolute().parent
    return output_for(request, named, request.timing.mark)


def _preflight(request: InterpolateRequest) -> Job:
    """Every check that needs no network; decoding the clip for its times comes last."""
    from mardini_cli.media.probe import check_decodes
    from mardini_cli.media.sequences import open_clip, pictures_of
    from mardini_cli.media.shots import Watch
    from mardini_cli.media.stills import size_of

    output = place(request)
    pictures = pictures_of(request.clip)
    sources = pictures or [request.clip]
    opens = partial(size_of if pictures else check_decodes, sources[0], request.limits)
    lists = partial(check_lists, request.shots, _may_replace(request, output), sources)
    tools = preflight(request, [output], sources, opens, [lists])
    watch = Watch()
    source = open_clip(
        request.clip, request.input_fps, lambda _time, frame: watch(frame), request.limits
    )
    info = source.info
    _check_frames(request.clip, len(info.times))
    shots = shots_of(request.shots, info.times, watch.steps)
    times = timed(request.timing, info, tools.config.window, shots)
    check_ticks(output, times.plan.times)
    if request.write_cuts is not None:
        write_list(request.write_cuts, shots, info.times)
    return Job(
        request=request,
        source=source,
        output=output,
        plan=times.plan,
        end=times.end,
        tools=tools,
        info=replace(info, passage=times.passage),
        cuts=len(shots.cuts),
        held=len(shots.held),
        proved=request.verify,
    )


def _may_replace(request: InterpolateRequest, output: Path) -> bool:
    """Whether a list of cuts that is there may be written anew: also by work that goes on."""
    from mardini_cli.media.workplace import hidden_folder

    return request.overwrite or hidden_folder(output, request.work_dir).exists()


def _check_frames(clip: Path, count: int) -> None:
    if count < 2:
        raise TooFewFramesError(
            f"{clip} holds {count} frame{'' if count == 1 else 's'}",
            needed="at least 2",
            do="give a longer clip, or begin with one picture: mardini animate",
        )
