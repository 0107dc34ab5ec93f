"""Which encoder goes into which file, and how it is asked for quality.

Room: media (floor 2). Chooses; the only thing opened is a trial of a hardware encoder.

H.264 plays everywhere, so it is the default of MP4, MOV and Matroska for 8-bit sources; deeper
ones take HEVC, since players that know 10-bit H.264 are few. WebM takes VP9, or AV1 where that
would lose bits. Where the source is transparent or ProRes, the default follows it if the container
can. The default qualities are where a second encoding of a decoded frame stays below what the eye
sees: the given frames pass through the same encoder as the made ones. ``ffv1`` keeps every bit.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import cast

import av
import av.error
from av import CodecContext
from av.video.codeccontext import VideoCodecContext

from mardini_cli.errors import ConfigError, EncoderError
from mardini_cli.media.containers import KINDS, kind_of

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
_NUMBERS = tuple(str(number) for number in range(14))
_STEPS = tuple(f"p{number}" for number in range(1, 8))


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """One of FFmpeg's encoders, and what can be asked of it."""

    name: str
    """FFmpeg's."""
    crf: int | None = None
    """Usual quality, lower is better; nothing where there is no such scale."""
    worst: int = 0
    """Largest crf."""
    presets: tuple[str, ...] = ()
    """Words for how long it looks for small files."""
    preset: str | None = None
    rated: bool = True
    """Whether it can be held to a bit rate."""
    lossless: tuple[tuple[str, str], ...] | None = None
    """Options that make it keep every bit; nothing where it cannot."""
    software: str | None = None
    """For an encoder in hardware: the codec to take where the hardware is not there."""


ENCODERS = MappingProxyType(
    {
        "h264": Encoder(
            name="libx264",
            crf=16,
            worst=51,
            presets=X264_PRESETS,
            preset="medium",
            lossless=(("qp", "0"),),
        ),
        "hevc": Encoder(
            name="libx265",
            crf=18,
            worst=51,
            presets=X264_PRESETS,
            preset="fast",
            lossless=(("x265-params", "lossless=1"),),
        ),
        "av1": Encoder(name="libsvtav1", crf=24, worst=63, presets=_NUMBERS, preset="8"),
        "vp9": Encoder(name="libvpx-vp9", crf=24, worst=63, lossless=(("lossless", "1"),)),
        "prores": Encoder(name="prores_ks", rated=False),
        "ffv1": Encoder(name="ffv1", rated=False, lossless=()),
        "gif": Encoder(name="gif", rated=False),
        "webp": Encoder(name="libwebp_anim", rated=False, lossless=(("lossless", "1"),)),
        "apng": Encoder(name="apng", rated=False, lossless=()),
        "png": Encoder(name="png", rated=False, lossless=()),
        "y4m": Encoder(name="rawvideo", rated=False, lossless=()),
        **{
            f"{codec}_nvenc": Encoder(
                name=f"{codec}_nvenc",
                crf=19,
                worst=51,
                presets=_STEPS,
                preset="p5",
                lossless=(("tune", "lossless"),),
                software=codec,
            )
            for codec in ("h264", "hevc", "av1")
        },
    }
)
"""What a person says, and the encoder behind it."""

_SAME = MappingProxyType({"h265": "hevc", "x264": "h264", "x265": "hevc", "avc": "h264"})
_BITRATE = re.compile(r"(\d+(?:\.\d+)?)([kM]?)")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeSettings:
    """How pictures are encoded. One field a flag: ``crf`` is ``--crf``."""

    codec: str | None = None
    """One of ``ENCODERS``; by default whatever the file ending and the source ask for."""
    crf: int | None = None
    """Quality, 0 (best) to 51 or 63; by default what the codec usually takes."""
    preset: str | None = None
    """How long the encoder looks for small files, in its own words."""
    bitrate: str | None = None
    """Bits a second such as 800k or 8M, in place of a quality."""
    lossless: bool = False
    """Keep every bit of what is encoded."""
    bake_rotation: bool = False
    """Turn the pixels upright, instead of telling players to."""
    pixel_format: str | None = None
    """FFmpeg's name; by default the source's, or the nearest that the encoder takes."""

    def __post_init__(self) -> None:
        if self.codec is not None and self.codec not in (*ENCODERS, *_SAME):
            raise ConfigError(
                f"unknown codec '{self.codec}'",
                needed="one of h264, hevc, av1, vp9, prores, ffv1",
                do="choose one",
            )
        if self.crf is not None and not 0 <= self.crf <= 63:
            raise ConfigError(f"crf = {self.crf}", needed="0 to 63", do="try --crf 16")
        presets = (*X264_PRESETS, *_NUMBERS, *_STEPS)
        if self.preset is not None and self.preset not in presets:
            raise ConfigError(
                f"unknown encoder preset '{self.preset}'",
                needed=" or ".join(X264_PRESETS),
                do="choose one",
            )
        if self.bitrate is not None and not _BITRATE.fullmatch(self.bitrate):
            raise ConfigError(
                f"bitrate '{self.bitrate}'", needed="bits a second", do="try --bitrate 8M"
            )
        if sum((self.crf is not None, self.bitrate is not None, self.lossless)) > 1:
            raise ConfigError(
                "more than one of crf, bitrate and lossless",
                needed="one way to say the quality",
                do="leave the others out",
            )

    @property
    def bits_a_second(self) -> int | None:
        """The bit rate as a number."""
        match = _BITRATE.fullmatch(self.bitrate or "")
        return (
            round(Fraction(match[1]) * {"": 1, "k": 1000, "M": 1_000_000}[match[2]])
            if match
            else None
        )

    @property
    def word(self) -> str | None:
        """The codec asked for, by its one name."""
        return _SAME.get(self.codec, self.codec) if self.codec else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What of a source decides over its codec."""

    codec: str = ""
    """The source's, FFmpeg's name."""
    depth: int = 8
    transparent: bool = False


def codec_for(output: Path, settings: EncodeSettings, content: Content | None = None) -> str:
    """Choose the codec of a file, one of ``ENCODERS``.

    Raises:
        EncoderError: unknown ending, or the container does not take this codec.
        ConfigError: the codec cannot do what is asked.
    """
    kind, content = kind_of(output), content or Content()
    wanted = settings.word
    if wanted is None:
        choices = _likely(settings, content, kind.clear)
        wanted = next((word for word in choices if word in kind.codecs), kind.codecs[0])
    elif wanted not in kind.codecs:
        able = [ending for ending, other in KINDS.items() if wanted in other.codecs]
        raise EncoderError(
            f"{output}: {output.suffix} does not take {settings.codec}",
            needed=f"{settings.codec} in {' or '.join(able)}",
            do=f"try -o {output.with_suffix(able[0]).name}",
        )
    _check(wanted, settings)
    return wanted


def _likely(settings: EncodeSettings, content: Content, clear: tuple[str, ...]) -> tuple[str, ...]:
    """Codecs in the order in which they suit a source; the container's own one ends the list."""
    deep = content.depth > 8
    if settings.lossless:
        return ("ffv1", "hevc") if deep else ("ffv1", "h264", "vp9")
    if content.transparent and clear:
        deep_ones = tuple(codec for codec in clear if codec != "vp9")  # which has 8 bits here
        return deep_ones or clear if deep else clear
    if content.codec == "prores":
        return ("prores", "hevc", "av1")
    return ("hevc", "av1") if deep else ()


def _check(codec: str, settings: EncodeSettings) -> None:
    encoder = ENCODERS[codec]
    if settings.crf is not None and settings.crf > encoder.worst:
        scale = f"0 to {encoder.worst} for {codec}" if encoder.crf else f"no crf for {codec}"
        raise ConfigError(f"crf = {settings.crf}", needed=scale, do="try --crf 16, or leave it out")
    if settings.preset is not None and settings.preset not in encoder.presets:
        raise ConfigError(
            f"unknown preset '{settings.preset}' of {codec}",
            needed=" or ".join(encoder.presets) or "none at all",
            do="choose one, or leave it out",
        )
    if settings.bitrate is not None and not encoder.rated:
        raise ConfigError(
            f"a bit rate for {codec}", needed="a codec that can be held to one", do="leave it out"
        )
    if settings.lossless and encoder.lossless is None:
        raise ConfigError(
            f"lossless {codec}",
            needed="ffv1, h264, hevc, vp9, apng or webp",
            do="try --codec ffv1 -o NAME.mkv",
        )


def options_of(codec: str, settings: EncodeSettings, transparent: bool = False) -> dict[str, str]:
    """Options of a codec's encoder, in FFmpeg's words.

    Raises:
        ConfigError: something that this encoder does not have.
    """
    _check(codec, settings)
    encoder = ENCODERS[codec]
    options = dict(_ALWAYS.get(codec, ()))
    preset = settings.preset or encoder.preset
    if preset is not None:
        options["preset"] = preset
    if settings.lossless:
        for key, value in encoder.lossless or ():
            options[key] = f"{options[key]}:{value}" if key in options else value
    elif settings.bitrate is None and encoder.crf is not None:
        quality = str(encoder.crf if settings.crf is None else settings.crf)
        options["cq" if encoder.software else "crf"] = quality
    if settings.bitrate is not None:
        options["b"] = str(settings.bits_a_second)
    elif codec == "vp9" or encoder.software:
        options["b"] = "0"  # lets the quality alone decide
    if codec == "vp9" and transparent:
        options["auto-alt-ref"] = "0"  # the encoder refuses hidden frames beside transparency
    return options


_ALWAYS = MappingProxyType(
    {
        # Without forced-idr the last frame would be shown last, but not stored last (see writer).
        "hevc": (("forced-idr", "1"), ("x265-params", "log-level=error")),
        # Speed 4 is twice as fast as 2 for little loss.
        "vp9": (("cpu-used", "4"), ("row-mt", "1"), ("g", "240")),
        "ffv1": (("level", "3"), ("slicecrc", "1")),
        "prores": (("vendor", "apl0"),),
        "webp": (("quality", "90"),),
        **{
            f"{codec}_nvenc": (("forced-idr", "1"), ("rc", "vbr"), ("tune", "hq"))
            for codec in ("h264", "hevc", "av1")
        },
    }
)


@cache
def opens(codec: str) -> bool:
    """Whether an encoder in hardware is there: tried out, since FFmpeg lists it in any case."""
    try:
        trial = cast("VideoCodecContext", CodecContext.create(ENCODERS[codec].name, "w"))
        trial.width, trial.height, trial.pix_fmt = 256, 256, "yuv420p"
        trial.time_base, trial.framerate = Fraction(1, 25), Fraction(25)
        trial.open()
    except (av.error.FFmpegError, ValueError, OSError):
        return False
    return True


def there(codec: str) -> str:
    """The codec itself, or the one in software where its hardware is not there."""
    software = ENCODERS[codec].software
    return codec if software is None or opens(codec) else software
