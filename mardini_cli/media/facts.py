"""Whether size, turning, colour tags, words and chapters of a result are those of its source.

Room: media (floor 2). Compares what ``probe`` and the container's header say; decodes nothing.
"""

from av.container import InputContainer
from av.video.format import VideoFormat

from mardini_cli.events import Check
from mardini_cli.media.colour import Colour
from mardini_cli.media.copying import holds_in
from mardini_cli.media.door import open_source
from mardini_cli.media.probe import ClipInfo

TAGS = ("matrix", "primaries", "transfer", "range")


def compare_facts(source: ClipInfo, found: ClipInfo, muxer: str) -> list[Check]:
    """Compare what the two files say of themselves; ``muxer`` as for sound."""
    checks = [
        _equal("size", _size(found), _size(source)),
        _equal("turned by", f"{found.rotation % 360} degrees", f"{source.rotation % 360} degrees"),
        _colour(source, found),
        Check(
            name="bits",
            passed=_depth(found) >= _depth(source),
            found=str(_depth(found)),
            needed=f"{_depth(source)} or more",
        ),
    ]
    with open_source(source.path) as one, open_source(found.path) as other:
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


def _size(info: ClipInfo) -> str:
    aspect = info.sample_aspect or 1
    shape = "" if aspect == 1 else f", pixels {aspect.numerator}:{aspect.denominator}"
    return f"{info.width} x {info.height}{shape}"


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
        colour = Colour(
            matrix=colour.matrix, primaries=colour.primaries, transfer=colour.transfer, range=2
        )
    told = [f"{name} {getattr(colour, name)}" for name in names if getattr(colour, name)]
    return ", ".join(told) or "none"


def _depth(info: ClipInfo) -> int:
    return max(component.bits for component in VideoFormat(info.pixel_format).components)


def _title(container: InputContainer) -> str:
    return container.metadata.get("title", "none")


def _chapters(container: InputContainer) -> str:
    names = [str(chapter["metadata"].get("title", "")) for chapter in container.chapters()]
    return f"{len(names)}: {', '.join(names)}"
