"""Pictures at times, as a source: what ``animate`` and keyframes are given.

Room: media (floor 2). Holds one picture at a time; makes no choices about times.

A picture is upright, opaque and RGB when it leaves here: EXIF is followed, transparency is laid
on a background, CMYK, gray and palettes are converted, 16 bits stay 16 bits.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageColor, ImageOps

from mardini_cli.errors import ConfigError, MissingFileError
from mardini_cli.media import planes
from mardini_cli.media.colour import Colour, Floats
from mardini_cli.media.limits import USUAL, Limits
from mardini_cli.media.pillow import opened
from mardini_cli.media.planes import LAYOUTS
from mardini_cli.media.probe import ClipInfo, probe
from mardini_cli.media.reader import Frame, read, rgb

Fit = Literal["pad", "crop"]
_PILLOW_READS = ("JPEG", "WEBP", "GIF")
_RGB = {8: "rgb24", 16: "rgb48le"}


@dataclass(frozen=True, eq=False, slots=True)
class Still:
    """One picture."""

    pixels: Floats
    """RGB in [0, 1], ``h w 3``, upright."""
    depth: int
    """Bits a channel that the file tells: 8 or 16."""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.pixels.shape[1], self.pixels.shape[0]


def background_of(name: str) -> tuple[float, float, float]:
    """Read a colour: a CSS name, ``#rrggbb`` and the like; RGB in [0, 1].

    Raises:
        ConfigError: no such colour.
    """
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise ConfigError(
            f"background '{name}'", needed="a colour name or #rrggbb", do="try --background white"
        ) from error
    return red / 255, green / 255, blue / 255


def check_there(path: Path) -> None:
    """Refuse a picture that is not there.

    Raises:
        MissingFileError: it is not.
    """
    if not path.exists():
        raise MissingFileError(
            f"{path}: no such file", needed="a file that can be read", do="check the path"
        )


def size_of(path: Path, limits: Limits = USUAL) -> tuple[int, int]:
    """Decode a picture, to refuse in a moment what ``stills`` would refuse later: rows, columns.

    Raises:
        As ``load``.
    """
    wide, high = load(path, limits=limits).size
    return high, wide


def load(path: Path, background: str = "black", limits: Limits = USUAL) -> Still:
    """Read one picture.

    Args:
        path: of a picture; of an animation or a film, its first frame.
        background: what shows where the picture is transparent.
        limits: what the file may ask for.

    Raises:
        MissingFileError: nothing there.
        NotMediaError: no picture that Pillow or FFmpeg knows.
        DamagedMediaError: it cannot be decoded.
        ConfigError: no such colour.
    """
    colour = np.array(background_of(background), np.float32)
    check_there(path)
    found = _by_pillow(path, limits) if path.is_file() else None
    pixels, alpha, depth = found or _by_ffmpeg(path, limits)
    if alpha is not None:
        share = alpha[..., None]
        pixels = pixels * share + colour * (1 - share)
    return Still(np.ascontiguousarray(pixels, np.float32), depth)


def fitted(still: Still, size: tuple[int, int], fit: Fit | None, background: str) -> Still:
    """Bring a picture to columns and rows: the same where it has them already.

    Args:
        still: the picture.
        size: columns and rows.
        fit: ``pad`` keeps all of it, with background beside; ``crop`` fills all, and cuts off.
        background: beside a padded picture.

    Raises:
        ConfigError: another size, and ``fit`` is None.
    """
    if still.size == size:
        return still
    if fit is None:
        raise ConfigError(
            f"pictures of {size[0]}x{size[1]} and {still.size[0]}x{still.size[1]}",
            needed="one size, or a way to fit them",
            do="add --fit crop or --fit pad",
        )
    scales = [wanted / own for wanted, own in zip(size, still.size, strict=True)]
    scale = max(scales) if fit == "crop" else min(scales)
    shape = [max(1, round(own * scale)) for own in still.size]
    resized = np.stack(
        [
            np.asarray(
                Image.fromarray(still.pixels[..., channel]).resize(
                    (shape[0], shape[1]), Image.Resampling.LANCZOS
                )
            )
            for channel in range(3)
        ],
        -1,
    )
    canvas = np.empty((size[1], size[0], 3), np.float32)
    canvas[:] = background_of(background)
    (into_x, from_x), (into_y, from_y) = (
        _middle(wanted, own) for wanted, own in zip(size, shape, strict=True)
    )
    canvas[into_y, into_x] = resized[from_y, from_x].clip(0, 1)
    return Still(canvas, still.depth)


def _middle(wanted: int, own: int) -> tuple[slice, slice]:
    """Where the middle of a side goes, and where it comes from."""
    length = min(wanted, own)
    into, start = (wanted - length) // 2, (own - length) // 2
    return slice(into, into + length), slice(start, start + length)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stills:
    """Pictures at times. The first one gives size and depth to all."""

    paths: tuple[Path, ...]
    info: ClipInfo
    fit: Fit | None
    background: str

    def frames(self) -> Generator[Frame, None, None]:
        """Yield the pictures, each read when its turn comes."""
        layout = LAYOUTS[self.info.pixel_format]
        for path, time in zip(self.paths, self.info.times, strict=True):
            still = fitted(
                load(path, self.background, self.info.limits),
                self.info.upright_size,
                self.fit,
                self.background,
            )
            yield Frame(time, planes.frame_from_rgb(still.pixels, layout, self.info.colour))


def stills(
    paths: Sequence[Path],
    times: Sequence[Fraction],
    step: Fraction,
    fit: Fit | None = None,
    background: str = "black",
    limits: Limits = USUAL,
) -> Stills:
    """Check pictures, and take them as a source.

    Args:
        paths: one or more pictures.
        times: when each is shown, seconds, growing.
        step: how long the last one is shown, seconds.
        fit: how pictures of other sizes are brought to the first one's.
        background: under transparent pictures and beside padded ones.
        limits: what each file may ask for.

    Raises:
        As ``load`` and ``fitted``, of any of the pictures.
    """
    first = load(paths[0], background, limits)
    for path in paths[1:]:
        fitted(load(path, background, limits), first.size, fit, background)
    info = ClipInfo(
        path=paths[0],
        container="pictures",
        codec="picture",
        width=first.size[0],
        height=first.size[1],
        rotation=0,
        display_matrix=None,
        sample_aspect=None,
        pixel_format=_RGB[first.depth],
        colour=Colour(),
        interlaced=False,
        time_base=step,
        start=times[0],
        rate=1 / step,
        times=tuple(times),
        last_duration=step,
        limits=limits,
        is_film=False,
    )
    return Stills(paths=tuple(paths), info=info, fit=fit, background=background)


def _by_pillow(path: Path, limits: Limits) -> tuple[Floats, Floats | None, int] | None:
    """Formats of 8 bits that Pillow reads better: CMYK, every EXIF orientation."""
    with opened(path, _PILLOW_READS, limits) as picture:
        if picture is None:
            return None
        upright = ImageOps.exif_transpose(picture)
        clear = upright.has_transparency_data
        codes = np.asarray(upright.convert("RGBA" if clear else "RGB"), np.float32)
    levels = codes / np.float32(255)
    return levels[..., :3], levels[..., 3] if clear else None, 8


def _by_ffmpeg(path: Path, limits: Limits) -> tuple[Floats, Floats | None, int]:
    info = probe(path, limits=limits)
    with closing(read(info)) as frames:
        frame = next(frames)
    alpha = planes.alpha_of(frame.picture)
    if alpha is not None:
        alpha = np.rot90(alpha, info.quarter_turns)
    depth = 8 if LAYOUTS[planes.stand_in(frame.picture)].depth == 8 else 16
    return rgb(frame, info), alpha, depth
