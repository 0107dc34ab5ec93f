"""Pictures that follow one another: folders, patterns and animated WebP, as a source of frames.

Room: media (floor 2). Knows no film. Pictures of a folder are taken in natural order (2 before 10)
at a rate that the user names; all must have the size and the pixel format of the first.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
from av import VideoFrame
from PIL import Image

from mardini_cli.errors import DamagedMediaError, MissingFileError
from mardini_cli.media.colour import FULL, RGB, Colour
from mardini_cli.media.limits import USUAL, Limits
from mardini_cli.media.pillow import opened
from mardini_cli.media.planes import is_transparent
from mardini_cli.media.probe import ClipInfo, Watch, probe
from mardini_cli.media.reader import Frame, read
from mardini_cli.media.source import ClipSource, Source

ENDINGS = frozenset(
    f".{name}"
    for name in (
        *("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "exr", "jp2", "tga", "ppm", "pgm"),
        *("dpx", "avif", "heic"),
    )
)
_NUMBERED = re.compile(r"%(0\d+)?d")
_MILLISECOND = Fraction(1, 1000)


def open_clip(
    path: Path, rate: Fraction, watch: Watch | None = None, limits: Limits = USUAL
) -> Source:
    """Open whatever holds frames in time: a film, a folder, a pattern, an animation.

    Args:
        path: a file; a folder of pictures; ``shots/*.png``; ``shots/%04d.png``.
        rate: frames a second of pictures without times.
        watch: is shown every frame, in order.
        limits: what a file may ask for.

    Raises:
        MardiniError: as ``probe``, or no pictures there, or pictures that differ.
    """
    pictures = pictures_of(path)
    if pictures is not None:
        limits.check_frames(str(path), len(pictures))
        return _sequence(pictures, rate, watch, limits)
    if path.suffix.lower() == ".webp" and path.is_file():
        animation = _animation(path, watch, limits)
        if animation is not None:
            return animation
    return ClipSource(probe(path, watch, limits))


def pictures_of(path: Path) -> list[Path] | None:
    """The pictures that a folder or a pattern stands for, in natural order; None for a file.

    Raises:
        MissingFileError: it stands for none.
    """
    if path.is_dir():
        found = [p for p in path.iterdir() if p.suffix.lower() in ENDINGS and p.is_file()]
    elif path.exists():
        return None
    elif _NUMBERED.search(path.name):
        start, _, end = _NUMBERED.sub("\0", path.name).partition("\0")
        shape = re.compile(re.escape(start) + r"\d+" + re.escape(end))
        found = [p for p in _beside(path) if shape.fullmatch(p.name)]
    elif any(sign in path.name for sign in "*?["):
        found = [p for p in path.parent.glob(path.name) if p.is_file()]
    else:
        return None
    if not found:
        raise MissingFileError(
            f"{path}: no pictures there",
            needed="files such as 0001.png, 0002.png",
            do="check the folder or the pattern",
        )
    return sorted(found, key=_natural)


def _beside(path: Path) -> list[Path]:
    return list(path.parent.iterdir()) if path.parent.is_dir() else []


def _natural(path: Path) -> list[tuple[int, str]]:
    """Numbers in a name count as numbers."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures in files of their own."""

    info: ClipInfo
    paths: tuple[Path, ...]

    def frames(self) -> Generator[Frame, None, None]:
        """Decode one picture after the other.

        Raises:
            DamagedMediaError: one is of another size or format, or does not decode.
        """
        for time, path in zip(self.info.times, self.paths, strict=True):
            own = probe(path, limits=self.info.limits)
            _check_alike(own, self.info, path)
            yield Frame(time, next(read(own)).picture)


def _check_alike(own: ClipInfo, first: ClipInfo, path: Path) -> None:
    if (own.width, own.height, own.pixel_format) != (first.width, first.height, first.pixel_format):
        raise DamagedMediaError(
            f"{path} is {own.width}x{own.height} {own.pixel_format}, {first.path.name} is"
            f" {first.width}x{first.height} {first.pixel_format}",
            needed="pictures of one size and pixel format",
            do="convert them to one kind first",
        )


def _sequence(paths: list[Path], rate: Fraction, watch: Watch | None, limits: Limits) -> Source:
    first = probe(paths[0], limits=limits)
    transparent = False
    for path in paths:
        own = probe(path, watch, limits)
        _check_alike(own, first, path)
        transparent = transparent or own.transparent
    times = tuple(Fraction(number) / rate for number in range(len(paths)))
    return Pictures(_info_of(first, times, 1 / rate, transparent), tuple(paths))


def _info_of(
    first: ClipInfo, times: tuple[Fraction, ...], last: Fraction, transparent: bool
) -> ClipInfo:
    return replace(
        first,
        times=times,
        start=times[0],
        rate=None if len(times) < 2 else (len(times) - 1) / (times[-1] - times[0]),
        last_duration=last,
        time_base=Fraction(1, 1_000_000),
        streams=(),
        transparent=transparent,
        is_film=False,
        notices=(),
    )


@dataclass(frozen=True, slots=True)
class Animation:
    """An animated WebP, by Pillow: FFmpeg 8 reads none."""

    info: ClipInfo

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file."""
        return (self.info.path,)

    def frames(self) -> Generator[Frame, None, None]:
        """Decode one picture after the other."""
        with opened(self.info.path, ("WEBP",), self.info.limits) as animation:
            assert animation is not None  # it was one when it was probed
            for number, time in enumerate(self.info.times):
                yield Frame(time, _picture(animation, number))


def _picture(animation: Image.Image, number: int) -> VideoFrame:
    animation.seek(number)
    pixels = np.ascontiguousarray(np.asarray(animation.convert("RGBA")))
    return VideoFrame.from_ndarray(pixels, format="rgba")


def _animation(path: Path, watch: Watch | None, limits: Limits) -> Animation | None:
    """Read an animation's times; None where the file is no animation."""
    lasting: list[int] = []
    shown, transparent = 0, False
    with opened(path, ("WEBP",), limits) as animation:
        count = int(getattr(animation, "n_frames", 1))
        if animation is None or count < 2:
            return None
        limits.check_frames(str(path), count)
        for number in range(count):
            picture = _picture(animation, number)
            transparent = transparent or is_transparent(picture)
            if watch is not None:
                watch(shown * _MILLISECOND, picture)
            lasting.append(max(int(animation.info.get("duration", 0)), 1))
            shown += lasting[-1]
        width, height = animation.size
    times = tuple(time * _MILLISECOND for time in accumulate(lasting[:-1], initial=0))
    still = ClipInfo(
        path=path,
        container="webp",
        codec="webp",
        width=width,
        height=height,
        rotation=0,
        display_matrix=None,
        sample_aspect=None,
        pixel_format="rgba",
        colour=Colour(matrix=RGB, range=FULL),
        interlaced=False,
        time_base=_MILLISECOND,
        start=Fraction(0),
        rate=None,
        times=(Fraction(0),),
        last_duration=Fraction(1),
        limits=limits,
    )
    return Animation(
        replace(
            _info_of(still, times, lasting[-1] * _MILLISECOND, transparent),
            time_base=_MILLISECOND,
        )
    )
