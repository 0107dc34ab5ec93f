"""Which file ending stands for which container, and what the container can hold.

Room: media (floor 2). Tables; opens nothing.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from mardini_cli.errors import EncoderError

MILLISECOND, CENTISECOND = Fraction(1, 1000), Fraction(1, 100)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileKind:
    """A file ending: its muxer, the codecs that it takes, and how it keeps time."""

    muxer: str
    codecs: tuple[str, ...]
    """Words of ``encoders.ENCODERS``, the default one first."""
    clear: tuple[str, ...] = ()
    """Those of its codecs with which it keeps transparency, the preferred one first."""
    options: tuple[tuple[str, str], ...] = ()
    tick: Fraction | None = None
    """What the container rounds all times to; nothing if it keeps any time base."""
    animation: bool = False
    """Whether it holds a moving picture and nothing else: no sound, no tags."""
    even: bool = False
    """Whether it knows a rate alone, and no times."""

    @property
    def whole_milliseconds(self) -> bool:
        """Whether the container rounds all times to whole milliseconds."""
        return self.tick == MILLISECOND


_FAST_START = (("movflags", "+faststart"),)  # the index stands first: plays while it loads
# Sound that starts before 0, as AAC's priming does, would otherwise move all pictures.
_NO_SHIFT = (("avoid_negative_ts", "disabled"),)
# Without it Matroska gets numbers drawn by lot: the same job would write other bytes each time.
_MATROSKA = (*_NO_SHIFT, ("fflags", "+bitexact"))
_FILMS = ("h264", "hevc", "av1", "vp9", "h264_nvenc", "hevc_nvenc", "av1_nvenc")
_FOR_EVER = (("loop", "0"),)

KINDS = MappingProxyType(
    {
        ".mp4": FileKind(muxer="mp4", codecs=_FILMS, options=_FAST_START),
        ".m4v": FileKind(muxer="mp4", codecs=_FILMS, options=_FAST_START),
        ".mov": FileKind(
            muxer="mov",
            codecs=("h264", "hevc", "prores", "h264_nvenc", "hevc_nvenc"),
            clear=("prores",),
            options=_FAST_START,
        ),
        ".mkv": FileKind(
            muxer="matroska",
            codecs=(*_FILMS, "prores", "ffv1"),
            clear=("vp9", "prores", "ffv1"),
            options=_MATROSKA,
            tick=MILLISECOND,
        ),
        ".webm": FileKind(
            muxer="webm",
            codecs=("vp9", "av1", "av1_nvenc"),
            clear=("vp9",),
            options=_MATROSKA,
            tick=MILLISECOND,
        ),
        ".gif": FileKind(
            muxer="gif",
            codecs=("gif",),
            clear=("gif",),
            options=_FOR_EVER,
            tick=CENTISECOND,
            animation=True,
        ),
        ".webp": FileKind(
            muxer="webp",
            codecs=("webp",),
            clear=("webp",),
            options=_FOR_EVER,
            tick=MILLISECOND,
            animation=True,
        ),
        ".apng": FileKind(
            muxer="apng",
            codecs=("apng",),
            clear=("apng",),
            options=(("plays", "0"),),
            animation=True,
        ),
        ".y4m": FileKind(
            muxer="yuv4mpegpipe",
            codecs=("y4m",),
            options=(("strict", "-1"),),  # more than 8 bits is no official part of the format
            animation=True,
            even=True,
        ),
    }
)
PICTURES = FileKind(muxer="image2", codecs=("png",), clear=("png",), animation=True)
"""A file for each frame."""
STREAM = Path("-")
"""Standard input or output."""
_NUMBERED = re.compile(r"%(0\d+)?d")


def is_numbered(output: Path) -> bool:
    """Whether a name stands for many pictures, such as ``out/%06d.png``."""
    return bool(_NUMBERED.search(output.name)) and output.suffix.lower() == ".png"


def numbers_of(output: Path) -> re.Pattern[str]:
    """The names that such a name stands for, on file systems of any case."""
    start, _, end = _NUMBERED.sub("\0", output.name).partition("\0")
    return re.compile(re.escape(start) + r"\d+" + re.escape(end), re.IGNORECASE)


def kind_of(output: Path) -> FileKind:
    """Look up what a file ending stands for.

    Raises:
        EncoderError: it stands for nothing that holds moving pictures here.
    """
    if output == STREAM:
        return KINDS[".y4m"]
    if is_numbered(output):
        return PICTURES
    kind = KINDS.get(output.suffix.lower())
    if kind is None:
        raise EncoderError(
            f"{output}: no film can be written as '{output.suffix}'",
            needed=f"a name that ends in {', '.join(KINDS)}, or out/%06d.png",
            do=f"try -o {output.with_suffix('.mp4').name}",
        )
    return kind
