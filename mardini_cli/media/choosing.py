"""How a result is written: its codec, planes, tags and options, and what it lacks for that.

Room: media (floor 2). Decides; opens and writes nothing.

Rotation. The stored picture stays as the source has it, and the source's display matrix goes into
the file: given frames stay bit for bit the same, and players turn them as they did before. Files
that cannot tell of a rotation (pictures, y4m) get turned pixels, others if asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from av import VideoFrame

from mardini_cli.device import has_avx512
from mardini_cli.media import planes
from mardini_cli.media.colour import FULL, LIMITED, Colour
from mardini_cli.media.containers import FileKind, kind_of
from mardini_cli.media.encoders import Content, EncodeSettings, codec_for, options_of, there
from mardini_cli.media.layouts import asked_layout, layout_for
from mardini_cli.media.light import options_for
from mardini_cli.media.planes import LAYOUTS, Layout
from mardini_cli.media.probe import ClipInfo
from mardini_cli.media.timing import is_even

REORDERING = ("h264", "hevc", "h264_nvenc", "hevc_nvenc")
"""Codecs whose frames may be stored in another order than they are shown."""
SHAPED = ("h264", "hevc", "h264_nvenc", "hevc_nvenc")
"""Codecs that tell the shape of a pixel in their own stream."""
_FINAL = {
    ("png", "rgb48le"): "rgb48be",
    ("png", "rgba64le"): "rgba64be",
    ("png", "gray16le"): "gray16be",
    ("apng", "rgb48le"): "rgb48be",
    ("apng", "rgba64le"): "rgba64be",
    ("gif", "rgb24"): "pal8",
    ("gif", "rgba"): "pal8",
}
"""Pixel formats that encoders want of layouts that are no layouts here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What was settled before the file is opened."""

    info: ClipInfo
    """The source as it is written: upright where its pixels are turned."""
    turns: int
    """Quarters of a turn that each given frame's pixels take, counter-clockwise."""
    kind: FileKind
    wanted: str
    """The codec that was asked for or suits the file, a word of ``encoders.ENCODERS``."""
    codec: str
    """The one that runs here."""
    source_layout: Layout
    layout: Layout
    colour: Colour
    """Tags of the result, by which its planes are made."""
    options: dict[str, str]
    """Of the encoder."""

    @property
    def final_format(self) -> str | None:
        """The pixel format that the encoder wants, where it is none of the layouts."""
        return _FINAL.get((self.codec, self.layout.name))

    @property
    def changed(self) -> frozenset[str]:
        """What the result cannot keep of the picture, by the names of ``verify``'s checks."""
        found = set()
        aspect = self.info.sample_aspect
        if aspect not in (None, 1) and self.kind.tick and self.codec not in SHAPED:
            found.add("pixel shape")  # a field of the stream that PyAV 18 cannot set
        if self.layout.depth < self.source_layout.depth:
            found.add("bits")
        return frozenset(found)

    @property
    def notices(self) -> tuple[str, ...]:
        """What the result lacks of the picture or changes, one line each."""
        found = []
        if self.codec != self.wanted:
            found.append(f"{self.wanted} does not run here; {self.codec} in software stands in")
        if self.info.transparent and not self.layout.alpha:
            found.append(
                "transparency is left out: .mov with prores, .webm and .mkv with vp9, and .apng"
                " would hold it"
            )
        if self.info.light and options_for(self.codec, self.info.light) is None:
            found.append(
                f"how bright the picture was mastered (HDR10) is left out: {self.codec} cannot"
                " tell it; hevc, h264 and av1 can"
            )
        if self.info.changing_light:
            found.append(
                f"metadata of {' and '.join(self.info.changing_light)} is left out: no encoder"
                " here writes it; the base picture stays as it is"
            )
        if "pixel shape" in self.changed:
            aspect = self.info.sample_aspect
            found.append(f"the pixel shape {aspect} is lost: this file cannot tell it (.mp4 can)")
        if "bits" in self.changed:
            found.append(
                f"{self.source_layout.depth}-bit pictures are written with {self.layout.depth} bits"
            )
        return tuple(found)


def chosen(
    output: Path, info: ClipInfo, settings: EncodeSettings, times: Sequence[Fraction]
) -> Choice:
    """Settle how a result is written.

    Args:
        output: its name tells the container.
        info: the source.
        settings: what was asked for.
        times: of the result's frames.

    Raises:
        EncoderError: a codec or pixel format that the file does not take.
    """
    kind = kind_of(output)
    turns = 0
    if settings.bake_rotation or kind.animation:  # those cannot tell of a rotation
        turns = info.quarter_turns
    info = _upright(info) if turns else info
    source_layout = _source_layout(info)
    content = Content(codec=info.codec, depth=source_layout.depth, transparent=info.transparent)
    wanted = codec_for(output, settings, content)
    codec = there(wanted)
    if codec != wanted:
        settings = replace(settings, crf=None, preset=None)  # another encoder's scales
    layout = _layout(codec, info, source_layout, kind, settings)
    options = options_of(codec, settings, transparent=layout.alpha)
    if codec in REORDERING and not (kind.tick or is_even(times)):
        options["bf"] = "0"
    if codec == "h264" and has_avx512():
        # With AVX-512, x264's macroblock tree gives other bytes for the same frames every time.
        options["x264-params"] = "asm=avx2"
    if codec == "prores":
        options["profile"] = "hq" if layout.halves[1] else "4444"
    for key, value in ((info.light and options_for(codec, info.light)) or {}).items():
        options[key] = f"{options[key]}:{value}" if key in options else value
    return Choice(
        info=info,
        turns=turns,
        kind=kind,
        wanted=wanted,
        codec=codec,
        source_layout=source_layout,
        layout=layout,
        colour=_written_colour(info, source_layout, layout),
        options=options,
    )


def _layout(
    codec: str, info: ClipInfo, source: Layout, kind: FileKind, settings: EncodeSettings
) -> Layout:
    size = (info.width, info.height)
    if settings.pixel_format is not None:
        return asked_layout(codec, settings.pixel_format, size)
    return layout_for(
        codec,
        source,
        size,
        transparent=info.transparent and codec in kind.clear,
        lossless=settings.lossless,
    )


def _upright(info: ClipInfo) -> ClipInfo:
    """The clip as it is once its pixels are turned."""
    width, height = info.upright_size
    aspect = info.sample_aspect
    return replace(
        info,
        width=width,
        height=height,
        rotation=0,
        display_matrix=None,
        sample_aspect=1 / aspect if aspect and info.quarter_turns % 2 else aspect,
        # The usual rule goes by the stored height, and both ways must agree.
        colour=replace(info.colour, matrix=_told_matrix(info)),
    )


def _told_matrix(info: ClipInfo) -> int | None:
    told = info.colour
    if told.matrix is not None or _source_layout(info).family != "yuv":
        return told.matrix
    return told.read_matrix(info.height)


def _source_layout(info: ClipInfo) -> Layout:
    name = info.pixel_format
    if name not in LAYOUTS:
        name = planes.stand_in(VideoFrame(info.width, info.height, name))
    return LAYOUTS[name]


def _written_colour(info: ClipInfo, source: Layout, target: Layout) -> Colour:
    """The source's tags; where it has no matrix or another range, the ones that are used."""
    told = info.colour
    coding = planes.coding_of(source, told, info.height)
    if source.family == "yuv" and target.family == "yuv":
        implied = FULL if source.name.startswith("yuvj") else told.range
        return Colour(
            matrix=told.matrix,
            primaries=told.primaries,
            transfer=told.transfer,
            range=implied,
        )
    if target.family == "rgb":
        return Colour(matrix=0, primaries=told.primaries, transfer=told.transfer, range=FULL)
    full = coding.full if source.family == "gray" else False
    return Colour(
        matrix=told.read_matrix(info.height),
        primaries=told.primaries,
        transfer=told.transfer,
        range=FULL if full else LIMITED,
    )


def tag(target: Any, colour: Colour) -> None:
    """Write tags: most encoders read them from their context, ProRes from the frame."""
    for name, code in (
        ("colorspace", colour.matrix),
        ("color_primaries", colour.primaries),
        ("color_trc", colour.transfer),
        ("color_range", colour.range),
    ):
        if code is not None:
            setattr(target, name, code)
