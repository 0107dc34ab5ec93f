"""Which encoder and which pixel format go into which file.

Room: media (floor 2). Chooses; opens nothing.

H.264 plays everywhere, so it is the default of MP4, MOV and Matroska; WebM takes VP9. CRF 16
(24 in VP9) is where a second encoding of a decoded frame stays below what the eye sees: the
given frames pass through the same encoder as the made ones. ``ffv1`` in Matroska keeps every
bit.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import av

from mardini_cli.errors import ConfigError, EncoderError
from mardini_cli.media.planes import LAYOUTS, Layout

X264, VP9, FFV1 = "libx264", "libvpx-vp9", "ffv1"

X264_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeSettings:
    """How pictures are encoded. One field a flag: ``crf`` is ``--crf``."""

    codec: str | None = None
    """h264, vp9 or ffv1; by default whatever the file ending asks for."""
    crf: int | None = None
    """Quality, 0 (best) to 51 for h264 and 63 for vp9; by default 16 and 24."""
    preset: str = "medium"
    """How long h264 looks for small files: ultrafast to veryslow. The others do not use it."""

    def __post_init__(self) -> None:
        if self.codec is not None and self.codec not in NAMES:
            raise ConfigError(
                f"unknown codec '{self.codec}'", needed=" or ".join(NAMES), do="choose one"
            )
        if self.crf is not None and not 0 <= self.crf <= 63:
            raise ConfigError(f"crf = {self.crf}", needed="0 to 63", do="try --crf 16")
        if self.preset not in X264_PRESETS:
            raise ConfigError(
                f"unknown encoder preset '{self.preset}'",
                needed=" or ".join(X264_PRESETS),
                do="choose one",
            )


NAMES = MappingProxyType({"h264": X264, "vp9": VP9, "ffv1": FFV1})
"""What a person says, and FFmpeg's encoder of that name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileKind:
    """A file ending: its muxer and the encoders that it takes, the default one first."""

    muxer: str
    encoders: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    whole_milliseconds: bool = False
    """Whether the container rounds all times to whole milliseconds."""


_FAST_START = (("movflags", "+faststart"),)  # the index stands first: plays while it loads
# Sound that starts before 0, as AAC's priming does, would otherwise move all pictures.
_NO_SHIFT = (("avoid_negative_ts", "disabled"),)

KINDS = MappingProxyType(
    {
        ".mp4": FileKind(muxer="mp4", encoders=(X264, VP9), options=_FAST_START),
        ".m4v": FileKind(muxer="mp4", encoders=(X264, VP9), options=_FAST_START),
        ".mov": FileKind(muxer="mov", encoders=(X264,), options=_FAST_START),
        ".mkv": FileKind(
            muxer="matroska",
            encoders=(X264, VP9, FFV1),
            options=_NO_SHIFT,
            whole_milliseconds=True,
        ),
        ".webm": FileKind(
            muxer="webm", encoders=(VP9,), options=_NO_SHIFT, whole_milliseconds=True
        ),
    }
)


def kind_of(output: Path) -> FileKind:
    """Look up what a file ending stands for.

    Raises:
        EncoderError: it stands for nothing that holds pictures here.
    """
    kind = KINDS.get(output.suffix.lower())
    if kind is None:
        raise EncoderError(
            f"{output}: no film can be written as '{output.suffix}'",
            needed=f"a name that ends in {', '.join(KINDS)}",
            do=f"try -o {output.with_suffix('.mp4').name}",
        )
    return kind


def encoder_for(output: Path, settings: EncodeSettings) -> str:
    """Name the encoder of a file.

    Raises:
        EncoderError: unknown ending, or the container does not take this codec.
    """
    kind = kind_of(output)
    if settings.codec is None:
        return kind.encoders[0]
    encoder = NAMES[settings.codec]
    if encoder not in kind.encoders:
        able = [ending for ending, other in KINDS.items() if encoder in other.encoders]
        raise EncoderError(
            f"{output}: {output.suffix} does not take {settings.codec}",
            needed=f"{settings.codec} in {' or '.join(able)}",
            do=f"try -o {output.with_suffix(able[0]).name}",
        )
    return encoder


def options_of(encoder: str, settings: EncodeSettings) -> dict[str, str]:
    """Options of an encoder, in FFmpeg's words.

    Raises:
        ConfigError: a quality that this encoder does not have.
    """
    if encoder == FFV1:
        return {"level": "3", "slicecrc": "1"}
    if encoder == VP9:
        quality = 24 if settings.crf is None else settings.crf
        # Bit rate 0 lets the quality alone decide; speed 4 is twice as fast as 2 for little loss.
        return {"crf": str(quality), "b": "0", "cpu-used": "4", "row-mt": "1", "g": "240"}
    if settings.crf is not None and settings.crf > 51:
        raise ConfigError(f"crf = {settings.crf}", needed="0 to 51 for h264", do="try --crf 16")
    return {
        "crf": str(16 if settings.crf is None else settings.crf),
        "preset": settings.preset,
    }


def layout_for(encoder: str, source: Layout, columns: int, rows: int) -> Layout:
    """Choose the pixel format to encode: the source's own, or the nearest that the encoder takes.

    Depth above 8 bits is kept where the encoder can. 4:2:0 of an odd size becomes 4:4:4 in H.264,
    which holds odd sizes in no other way. RGB becomes 4:2:0 in the lossy codecs, since 4:4:4
    does not play everywhere; gray gets neutral colour planes for the same reason. Alpha is left
    out.
    """
    if (
        source.name in _formats(encoder)
        and not source.alpha
        and not _is_oddly(encoder, source, columns, rows)
    ):
        return source
    if encoder == FFV1:
        return LAYOUTS[_ffv1_format(source)]
    depth = 8 if source.depth == 8 or encoder == VP9 else 10
    share = {
        (True, True): "420",
        (False, True): "422",
        (False, False): "444",
        (True, False): "444",  # 4:4:0, which few players know
    }[source.halves if source.family == "yuv" else (True, True)]
    if encoder == X264 and ((share != "444" and columns % 2) or (share == "420" and rows % 2)):
        share = "444"
    return LAYOUTS[f"yuv{share}p{'' if depth == 8 else '10le'}"]


def _is_oddly(encoder: str, source: Layout, columns: int, rows: int) -> bool:
    if encoder != X264:
        return False
    # Players and encoders agree best on the plain planar formats; gray H.264 plays in few.
    if source.family != "yuv" or source.places[1][2] != 1:
        return True
    return bool((source.halves[1] and columns % 2) or (source.halves[0] and rows % 2))


def _ffv1_format(source: Layout) -> str:
    depth = source.depth
    ending = "" if depth == 8 else f"{depth}le"
    if source.family == "rgb":
        return "bgr0" if depth == 8 else f"gbrp{ending}"
    if source.family == "gray":
        return f"gray{ending}"
    share = next(
        s
        for s, halves in (
            ("420", (True, True)),
            ("422", (False, True)),
            ("444", (False, False)),
            ("440", (True, False)),
        )
        if halves == source.halves
    )
    return f"yuv{share}p{ending}"


@cache
def _formats(encoder: str) -> frozenset[str]:
    return frozenset(f.name for f in av.Codec(encoder, "w").video_formats or ())
