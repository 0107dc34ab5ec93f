"""Proves of a finished file that it is what was promised: times, given frames, sound, tags.

Room: media (floor 2). Reads both files once, in step; holds a few frames, never the clip. Knows no
plan and no model: a promise says which time each frame should have and which of the source's
frames stands there.

The result is walked frame by frame. A frame that stands at the time of a given one is compared
with it, plane by plane, in the result's own pixel format. The frames between are made ones, and
must be pictures that move (``made``). Sound and tags are compared in ``facts``.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import zip_longest
from math import inf, isinf, log10
from pathlib import Path
from typing import Final

import numpy as np
from av import VideoFrame

from mardini_cli.events import Check
from mardini_cli.media import planes
from mardini_cli.media.colour import Codes
from mardini_cli.media.facts import compare_facts, compare_words
from mardini_cli.media.made import MadeWatch
from mardini_cli.media.planes import LAYOUTS, Layout
from mardini_cli.media.probe import ClipInfo, colour_of, probe
from mardini_cli.media.reader import Frame
from mardini_cli.media.sound import compare_sound
from mardini_cli.media.source import Source

FAITHFUL: Final = 30.0
"""Least PSNR of a plane of a given frame, dB: below, an encoder was told to be coarse, or the
picture is another one."""
SHIFTED: Final = 1.0
"""Most that the mean of a plane may differ, in codes of 8 bits: more is another colour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """What a result should hold."""

    times: tuple[Fraction, ...]
    """When each frame is shown, seconds."""
    given: tuple[int | None, ...]
    """Which of the source's frames stands there, at its own turn; None where one was made."""
    end: Fraction
    """When the last frame ceases to be shown."""
    muxer: str | None = None
    """FFmpeg's name of the result's container; None: by its content, where MP4 looks like MOV."""
    companions: bool = True
    """Whether sound, subtitles, chapters and title go along whole and untouched."""
    faithful: float = FAITHFUL
    """Least PSNR of a plane of a given frame, dB; infinite for a lossless result."""
    excused: frozenset[str] = frozenset()
    """Checks that need not hold, by name: what the container or the codec cannot keep."""
    shifted: float = SHIFTED
    """Most that the mean of a plane may differ, in codes of 8 bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All that was checked."""

    checks: tuple[Check, ...]
    frames: int
    """Frames of the result."""
    psnr: tuple[float, ...]
    """Mean over the given frames, a plane each, dB; infinite where all are equal."""

    @property
    def passed(self) -> bool:
        """Whether every check did."""
        return all(check.passed for check in self.checks)


def inferred(source: ClipInfo, count: int, muxer: str | None = None) -> Promise:
    """What a result of about ``count`` frames promises: every gap divided into equal parts.

    Args:
        source: the clip that the result was made from.
        count: frames of the result; one that is a few short or over still tells the factor.
        muxer: FFmpeg's name of the result's container, where it is known.
    """
    gaps = max(1, len(source.times) - 1)
    factor = max(1, round((count - 1) / gaps))
    times: list[Fraction] = []
    given: list[int | None] = []
    for number, (left, right) in enumerate(zip_longest(source.times, source.times[1:])):
        times.append(left)
        given.append(number)
        if right is not None:
            times += [left + (right - left) * part / factor for part in range(1, factor)]
            given += [None] * (factor - 1)
    return Promise(times=tuple(times), given=tuple(given), end=source.end, muxer=muxer)


def verify(
    source: Source,
    output: Path,
    promise: Promise,
    told: Callable[[int], object] | None = None,
) -> Report:
    """Compare a result with its source and with what was promised.

    Args:
        source: the clip; of its other streams those that ``source.info`` lists should go along.
        output: the result; the name tells nothing, so that it may be a part file.
        promise: what the result should hold.
        told: called with the number of frames compared so far; what it raises stops the work.

    Raises:
        MardiniError: one of the files cannot be read.
    """
    info = source.info
    with closing(source.frames()) as frames:
        walk = _Walk(info, promise, frames, told)
        found = probe(output, walk, info.limits)
    muxer = promise.muxer or found.container.partition(",")[0]
    checks = [
        *_time_checks(info, found, promise),
        *compare_facts(info, found),
        *(compare_sound(info, found, muxer) if promise.companions else ()),
        *(compare_words(info, found, muxer) if promise.companions else ()),
        *walk.checks(),
    ]
    checks = [check for check in checks if check.passed or check.name not in promise.excused]
    return Report(checks=tuple(checks), frames=len(found.times), psnr=walk.psnr)


def _time_checks(source: ClipInfo, found: ClipInfo, promise: Promise) -> list[Check]:
    tick = found.time_base
    off = [abs(a - b) for a, b in zip(found.times, promise.times, strict=False)]
    own = [error for error, number in zip(off, promise.given, strict=False) if number is not None]
    wanted = sum(number is not None for number in promise.given)
    there = sum(error <= tick for error in own)
    end = abs(found.end - promise.end)
    worst = max(off, default=Fraction(0))
    return [
        Check(
            name="frames",
            passed=len(found.times) == len(promise.times),
            found=str(len(found.times)),
            needed=str(len(promise.times)),
        ),
        Check(
            name="given frames' times",
            passed=there == wanted,
            found=f"{there} of {wanted} in place",
            needed=f"all, within {_short(tick)} (one tick)",
        ),
        Check(
            name="all times",
            passed=worst <= tick,
            found=f"{_short(worst)} off at most",
            needed=f"{_short(tick)} at most",
        ),
        Check(
            name="duration",
            # The last frame's time is rounded, and then how long it lasts: Matroska's is cut off.
            passed=end <= max(2 * tick, source.time_base),
            found=f"ends at {float(found.end):.6f} s",
            needed=f"{float(promise.end):.6f} s",
        ),
    ]


def _short(time: Fraction) -> str:
    return f"{float(time * 1000):.3g} ms"


@dataclass(slots=True)
class _Plane:
    """Errors of one plane over all given frames."""

    least: float = inf
    shift: float = 0.0
    """Largest mean difference of a frame, in codes of 8 bits, with no sign."""
    values: list[float] = field(default_factory=list)

    def add(self, one: Codes, other: Codes, depth: int) -> float:
        """Take the plane of a frame; gives its PSNR, dB."""
        difference = one.astype(np.float32)
        difference -= other
        flat = difference.ravel()
        error = float(np.dot(flat, flat)) / flat.size
        psnr = 20 * log10(2**depth - 1) - 10 * log10(error) if error else inf
        self.least = min(self.least, psnr)
        self.shift = max(self.shift, abs(float(flat.mean())) / 2 ** (depth - 8))
        self.values.append(psnr)
        return psnr

    @property
    def mean(self) -> float:
        """Of the frames that differ at all."""
        some = [value for value in self.values if not isinf(value)]
        return sum(some) / len(some) if some else inf


class _Walk:
    """Takes the result's frames one by one, with the source's beside them."""

    def __init__(
        self,
        source: ClipInfo,
        promise: Promise,
        frames: Generator[Frame, None, None],
        told: Callable[[int], object] | None,
    ) -> None:
        self._source, self._promise, self._frames = source, promise, frames
        self._told = told
        self._count = 0
        self._read = 0  # frames of the source so far
        self._planes: list[_Plane] = []
        self._worst = (inf, Fraction(0))  # least PSNR of a plane, and when that frame is shown
        self._letters = ""
        self._compared = 0
        self._made = MadeWatch()

    def __call__(self, _time: Fraction, frame: VideoFrame) -> None:
        """Compare the next frame of the result."""
        given = self._promise.given
        number = given[self._count] if self._count < len(given) else None
        self._made(frame, given=number is not None)
        original = self._original(number) if number is not None else None
        if original is not None:
            self._compare(original, frame)
        self._count += 1
        if self._told is not None:
            self._told(self._count)

    def _original(self, number: int) -> Frame | None:
        frame = None
        while self._read <= number:
            frame = next(self._frames, None)
            self._read += 1
        return frame

    def _compare(self, original: Frame, frame: VideoFrame) -> None:
        mine = planes.readable(frame)
        layout = LAYOUTS[mine.format.name]
        theirs = planes.converted(original.picture, self._source.colour, layout, colour_of(frame))
        if (theirs.width, theirs.height) != (mine.width, mine.height):
            return  # compare_facts tells
        pairs = zip(planes.channels(theirs, layout), planes.channels(mine, layout), strict=True)
        for place, (one, other) in enumerate(pairs):
            if place == len(self._planes):
                self._planes.append(_Plane())
            psnr = self._planes[place].add(one, other, layout.depth)
            self._worst = min(self._worst, (psnr, original.time))
        self._letters = _letters(layout)
        self._compared += 1

    @property
    def psnr(self) -> tuple[float, ...]:
        """Mean PSNR of each plane, dB."""
        return tuple(plane.mean for plane in self._planes)

    def checks(self) -> list[Check]:
        """What the pictures told."""
        wanted = sum(number is not None for number in self._promise.given)
        least = min((plane.least for plane in self._planes), default=0.0)
        shift = max((plane.shift for plane in self._planes), default=inf)
        told = ", ".join(
            f"{letter} {_decibel(plane.least)}"
            for letter, plane in zip(self._letters, self._planes, strict=False)
        )
        good = least >= self._promise.faithful
        worst = "" if good or not told else f" (worst at {float(self._worst[1]):.3f} s)"
        return [
            Check(
                name="given frames' pictures",
                passed=self._compared == wanted and good,
                found=f"{self._compared} compared, at least {told or 'none'}{worst}",
                needed=f"{wanted}, {_decibel(self._promise.faithful)} or more",
            ),
            Check(
                name="given frames' colour",
                passed=shift <= self._promise.shifted,
                found=f"planes' means {shift:.2f} codes off at most",
                needed=f"{self._promise.shifted:g} at most",
            ),
            *self._made.checks(),
        ]


def _letters(layout: Layout) -> str:
    return {"yuv": "YUV", "rgb": "RGB", "gray": "Y"}[layout.family]


def _decibel(value: float) -> str:
    return "equal" if isinf(value) else f"{value:.1f} dB"
