"""The clock of an interpolation: which part of a clip, at which pace, at which rate.

Room: api. Arithmetic on times; light to import.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, cast

from mardini_cli.errors import ConfigError, TooFewFramesError
from mardini_cli.tasks.grid import at_rate
from mardini_cli.tasks.interpolate import interpolate
from mardini_cli.tasks.pace import Pace, ramp, slow_motion
from mardini_cli.tasks.plan import Plan
from mardini_cli.tasks.shots import Shots

if TYPE_CHECKING:
    from mardini_cli.media.passage import Passage, Sound
    from mardini_cli.media.probe import ClipInfo

ClipAudio = Literal["auto", "drop", "stretch"]
FACTOR = 2
"""Where nothing else is said."""
_MOMENT = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """What a person asked of the times of the result."""

    factor: int | None = None
    fps: Fraction | None = None
    slow_motion: Fraction | None = None
    speed: str | None = None
    start: str | None = None
    end: str | None = None
    audio: ClipAudio = "auto"

    def __post_init__(self) -> None:
        if self.factor is not None and self.fps is not None:
            raise ConfigError(
                "both a factor and a rate", needed="one of them", do="leave --factor or --fps out"
            )
        if self.speed is not None and (self.slow_motion or self.factor) is not None:
            raise ConfigError(
                "a speed ramp beside slow motion or a factor",
                needed="the ramp alone, or with --fps",
                do="leave the others out",
            )
        if self.audio == "stretch" and self.speed is not None:
            raise ConfigError(
                "sound stretched along a speed ramp",
                needed="one speed all through",
                do="use --slow-motion, or leave --audio out",
            )
        if self.audio not in ("auto", "drop", "stretch"):
            raise ConfigError(
                f"audio '{self.audio}'", needed="auto, drop or stretch", do="leave --audio out"
            )
        _ = self.pace
        for word in (self.start, self.end):
            _read_moment(word)

    @property
    def pace(self) -> Pace:
        """How quickly the clip passes."""
        if self.speed is not None:
            return ramp(self.speed)
        return Pace() if self.slow_motion is None else slow_motion(self.slow_motion)

    @property
    def mark(self) -> str:
        """What the name of the result tells."""
        slow = f"slow{_number(self.slow_motion)}" if self.slow_motion is not None else ""
        if self.speed is not None:
            slow = "ramp"
        rate = f"{_number(self.fps)}fps" if self.fps is not None else ""
        if self.factor is not None or not (slow or rate):
            rate = f"x{self.factor or FACTOR}"
        return ".".join(part for part in (slow, rate) if part)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """A plan on the result's clock, and what goes along beside its pictures."""

    plan: Plan
    end: Fraction
    passage: Passage


def timed(timing: Timing, info: ClipInfo, size: int, shots: Shots | None = None) -> Timed:
    """Plan what was asked for.

    Args:
        timing: what was asked for.
        info: the clip.
        size: the most slots of a window.
        shots: where the clip's shots begin, and which frames repeat.

    Raises:
        ConfigError: a part outside the clip.
        TooFewFramesError: fewer than two frames in it.
    """
    first, last = _part(timing, info)
    pace, is_part = timing.pace, timing.start is not None or timing.end is not None
    start = info.times[first]
    stop = info.times[last + 1] if last + 1 < len(info.times) else info.end
    at = Fraction(0) if is_part else start
    begin = pace.shown(start - info.start)

    def shown(time: Fraction) -> Fraction:
        return at + pace.shown(time - info.start) - begin

    times = [shown(time) for time in info.times[first : last + 1]]
    slowness = 1 / pace.knots[0][1]
    rate = timing.fps
    if (
        rate is None
        and timing.factor is None
        and not (pace.is_steady and slowness.denominator == 1)
    ):
        rate = info.rate
    whole = int(slowness) if slowness > 1 and slowness.denominator == 1 else FACTOR
    factor = timing.factor or whole
    count = (len(times) - 1) * factor if rate is None else int((times[-1] - times[0]) * rate)
    info.limits.check_frames("the result", count + 1)
    if rate is not None:
        plan = at_rate(times, rate, size, tolerance=info.time_base / 2, first=first, shots=shots)
    else:
        plan = interpolate(times, factor, size, shots, first)
    return Timed(
        plan=plan, end=shown(stop), passage=_passage(timing, pace, (start, stop), at, is_part)
    )


def _passage(
    timing: Timing, pace: Pace, span: tuple[Fraction, Fraction], at: Fraction, is_part: bool
) -> Passage:
    from mardini_cli.media.passage import Passage

    usual: Sound = "copy" if pace.is_own else "drop"
    sound = usual if timing.audio == "auto" else cast("Sound", timing.audio)
    if sound == "stretch" and pace.is_own:
        sound = "copy"
    if pace.is_own and not is_part:
        return Passage(sound=sound)
    return Passage(
        start=span[0] if is_part else None,
        end=span[1] if is_part else None,
        anchor=span[0],
        at=at,
        slowness=1 / pace.knots[0][1],
        is_steady=pace.is_steady,
        sound=sound,
    )


def _part(timing: Timing, info: ClipInfo) -> tuple[int, int]:
    """Numbers of the first and the last frame that are wanted."""
    first = _number_of(timing.start, info, 0)
    last = _number_of(timing.end, info, len(info.times) - 1)
    if timing.end is not None and info.times[last] > _moment(timing.end, info):
        last -= 1
    if last - first < 1:
        raise TooFewFramesError(
            f"{max(last - first + 1, 0)} frames from {timing.start or 'the start'}"
            f" to {timing.end or 'the end'}",
            needed="at least 2",
            do=f"choose a longer part of the {float(info.end - info.start):.3f} s",
        )
    return first, last


def _number_of(word: str | None, info: ClipInfo, usual: int) -> int:
    """The first frame at a moment or after it."""
    if word is None:
        return usual
    moment = _moment(word, info)
    later = [number for number, time in enumerate(info.times) if time >= moment]
    return later[0] if later else len(info.times) - 1


def _moment(word: str, info: ClipInfo) -> Fraction:
    """Seconds on the file's clock."""
    frame, seconds = _read_moment(word)
    if frame is not None:
        if frame >= len(info.times):
            raise ConfigError(
                f"frame {frame}",
                needed=f"0 to {len(info.times) - 1} in {info.path.name}",
                do="choose one of them",
            )
        return info.times[frame]
    return info.start + seconds


def _read_moment(word: str | None) -> tuple[int | None, Fraction]:
    """A frame's number, or seconds."""
    if word is None:
        return None, Fraction(0)
    if re.fullmatch(r"\d+f", word):
        return int(word[:-1]), Fraction(0)
    match = _MOMENT.fullmatch(word)
    if match is None:
        raise ConfigError(
            f"moment '{word}'",
            needed="seconds, minutes:seconds, or a frame's number with an f",
            do="try 12.5, 1:02.5 or 300f",
        )
    hours, minutes, seconds = (Fraction(part or 0) for part in match.groups())
    return None, hours * 3600 + minutes * 60 + seconds


def _number(value: Fraction | None) -> str:
    """A number for a name: digits and a point."""
    return f"{float(value or 0):.6g}"
