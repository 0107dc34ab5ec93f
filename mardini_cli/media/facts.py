"""Whether size, turning, colour tags, words and chapters of a result are those of its source.

Room: media (floor 2). Compares what ``probe`` and the container's header say; decodes nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from av.container import InputContainer
from av.video.format import VideoFormat

from mardini_cli.events import Check
from mardini_cli.media.colour import FULL, LIMITED, Colour
from mardini_cli.media.copying import holds_in
from mardini_cli.media.door import open_source
from mardini_cli.media.probe import ClipInfo

TAGS = ("matrix", "primaries", "transfer", "range")
NAMES: Mapping[str, Mapping[int, str]] = {
    "matrix": {
        0: "RGB",
        1: "BT.709",
        4: "FCC",
        5: "BT.601 (625 lines)",
        6: "BT.601 (525 lines)",
        7: "SMPTE 240M",
        8: "YCgCo",
        9: "BT.2020",
        10: "BT.2020 constant",
        14: "ICtCp",
    },
    "primaries": {
        1: "BT.709",
        4: "BT.470 M",
        5: "BT.601 (625 lines)",
        6: "BT.601 (525 lines)",
        7: "SMPTE 240M",
        8: "film",
        9: "BT.2020",
        10: "XYZ",
        11: "DCI-P3",
        12: "Display P3",
    },
    "transfer": {
        1: "BT.709",
        4: "gamma 2.2",
        5: "gamma 2.8",
        6: "BT.601",
        7: "SMPTE 240M",
        8: "linear",
        11: "xvYCC",
        13: "sRGB",
        14: "BT.2020 (10 bits)",
        15: "BT.2020 (12 bits)",
        16: "PQ",
        17: "SMPTE 428",
        18: "HLG",
    },
    "range": {1: "limited", 2: "full"},
}
"""What the codes stand for. Source: ITU-T H.273 (ISO/IEC 23091-2)."""


def compare_facts(source: ClipInfo, found: ClipInfo) -> list[Check]:
    """Compare what the two files say of their pictures."""
    return [
        _equal("size", f"{found.width} x {found.height}", f"{source.width} x {source.height}"),
        _equal("pixel shape", _shape(found), _shape(source)),
        _equal("turned by", f"{found.rotation % 360} degrees", f"{source.rotation % 360} degrees"),
        _colour(source, found),
        Check(
            name="bits",
            passed=depth_of(found) >= depth_of(source),
            found=str(depth_of(found)),
            needed=f"{depth_of(source)} or more",
        ),
    ]


def compare_words(source: ClipInfo, found: ClipInfo, muxer: str) -> list[Check]:
    """Compare title, chapters and subtitles, where the source has any.

    Args:
        source: the clip.
        found: the result.
        muxer: FFmpeg's name of the result's container; what it cannot hold is not missed.
    """
    checks = []
    with (
        open_source(source.path, source.limits) as one,
        open_source(found.path, found.limits) as other,
    ):
        if one.metadata.get("title") is not None:
            checks.append(_equal("title", _title(other), _title(one)))
        if one.chapters():
            checks.append(_equal("chapters", _chapters(other), _chapters(one)))
        words = [s for s in one.streams if s.type == "subtitle" and holds_in(muxer, s)]
        if words:
            kept = sum(s.type == "subtitle" for s in other.streams)
            checks.append(_equal("tracks of subtitles", str(kept), str(len(words))))
    return checks


def _equal(name: str, found: str, needed: str) -> Check:
    return Check(name=name, passed=found == needed, found=found, needed=needed)


def _shape(info: ClipInfo) -> str:
    aspect = info.sample_aspect or Fraction(1)
    return f"{aspect.numerator}:{aspect.denominator}"


def _colour(source: ClipInfo, found: ClipInfo) -> Check:
    """Tags; RGB and gray, which become luma and colour difference, get those of what was done."""
    if VideoFormat(source.pixel_format).is_rgb != VideoFormat(found.pixel_format).is_rgb:
        names: tuple[str, ...] = ("primaries", "transfer")
    elif len(VideoFormat(source.pixel_format).components) < 3:
        names = ("primaries", "transfer")
    else:
        names = TAGS
    return _equal("colour tags", _tags(found, names), _tags(source, names))


def _tags(info: ClipInfo, names: tuple[str, ...]) -> str:
    colour = info.colour
    if info.pixel_format.startswith("yuvj"):
        colour = replace(colour, range=FULL)
    elif colour.range is None and not VideoFormat(info.pixel_format).is_rgb:
        colour = replace(colour, range=LIMITED)  # how silence is read; some codecs write it out
    told = [f"{name} {getattr(colour, name)}" for name in names if getattr(colour, name)]
    return ", ".join(told) or "none"


def chapters_of(info: ClipInfo) -> int:
    """Count the chapters of a file."""
    with open_source(info.path, info.limits) as container:
        return len(container.chapters())


def colour_names(colour: Colour) -> dict[str, str]:
    """Give the tags by name: matrix, primaries, transfer and range."""
    codes = {name: getattr(colour, name) for name in TAGS}
    return {
        name: "untagged" if code is None else NAMES[name].get(code, f"code {code}")
        for name, code in codes.items()
    }


def depth_of(info: ClipInfo) -> int:
    """Bits of the deepest channel of a clip's pixels."""
    return max(component.bits for component in VideoFormat(info.pixel_format).components)


def _title(container: InputContainer) -> str:
    return container.metadata.get("title", "none")


def _chapters(container: InputContainer) -> str:
    names = [str(chapter["metadata"].get("title", "")) for chapter in container.chapters()]
    return f"{len(names)}: {', '.join(names)}"
