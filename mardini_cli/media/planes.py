"""Frames of FFmpeg as arrays: where the numbers lie in each pixel format, in and out.

Room: media (floor 2). Knows layouts; colour arithmetic is ``colour``'s.

A layout says for each channel (Y, U, V or R, G, B) its plane, its first sample and the step to
the next. Formats without a layout here (palettes, bits packed across bytes, big-endian, float,
4:1:1) go through swscale to the close format of ``stand_in`` first.

Dimension key
    h, w  rows and columns of a frame
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from av import VideoFrame
from av.video.format import VideoFormat

from mardini_cli.media import colour as colours
from mardini_cli.media.colour import FULL, LIMITED, Codes, Coding, Colour, Floats

Place = tuple[int, int, int]  # plane, first sample, step to the next sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where the numbers of a pixel format lie."""

    name: str
    family: Literal["yuv", "rgb", "gray"]
    depth: int
    places: tuple[Place, ...]
    spare: Place | None = None
    """Alpha, or padding beside packed RGB."""
    alpha: bool = False
    shift: int = 0
    """Unused low bits of each sample."""
    halves: tuple[bool, bool] = (False, False)
    """Whether colour difference has half the rows, half the columns."""

    @property
    def dtype(self) -> npt.DTypeLike:
        """Number type of one sample."""
        return np.uint8 if self.depth + self.shift <= 8 else np.dtype("<u2")

    def size(self, channel: int, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of a channel."""
        if channel == 0 or self.family != "yuv":
            return rows, columns
        return -(-rows // (1 + self.halves[0])), -(-columns // (1 + self.halves[1]))


_PLANAR: tuple[Place, ...] = ((0, 0, 1), (1, 0, 1), (2, 0, 1))
_GBR: tuple[Place, ...] = ((2, 0, 1), (0, 0, 1), (1, 0, 1))
_HALVES = {"420": (True, True), "422": (False, True), "444": (False, False), "440": (True, False)}


def _planar_layouts() -> list[Layout]:
    found = []
    for depth in (8, 9, 10, 12, 14, 16):
        ending = "" if depth == 8 else f"{depth}le"
        for share, halves in _HALVES.items():
            for mark in ("", "j", "a"):
                found.append(
                    Layout(
                        name=f"yuv{mark}{share}p{ending}",
                        family="yuv",
                        depth=depth,
                        places=_PLANAR,
                        spare=(3, 0, 1) if mark == "a" else None,
                        alpha=mark == "a",
                        halves=halves,
                    )
                )
        found += [
            Layout(name=f"gbrp{ending}", family="rgb", depth=depth, places=_GBR),
            Layout(
                name=f"gbrap{ending}",
                family="rgb",
                depth=depth,
                places=_GBR,
                spare=(3, 0, 1),
                alpha=True,
            ),
            Layout(name=f"gray{ending}", family="gray", depth=depth, places=((0, 0, 1),)),
        ]
    return found


def _half_planar_layouts() -> list[Layout]:
    table = {
        "nv12": ("420", 8, 0),
        "nv16": ("422", 8, 0),
        "nv24": ("444", 8, 0),
        "nv20le": ("422", 10, 0),
        "p010le": ("420", 10, 6),
        "p012le": ("420", 12, 4),
        "p016le": ("420", 16, 0),
        "p210le": ("422", 10, 6),
        "p212le": ("422", 12, 4),
        "p216le": ("422", 16, 0),
        "p410le": ("444", 10, 6),
        "p416le": ("444", 16, 0),
    }
    pair: tuple[Place, ...] = ((0, 0, 1), (1, 0, 2), (1, 1, 2))
    found = [
        Layout(
            name=name, family="yuv", depth=depth, shift=shift, places=pair, halves=_HALVES[share]
        )
        for name, (share, depth, shift) in table.items()
    ]
    swapped: tuple[Place, ...] = ((0, 0, 1), (1, 1, 2), (1, 0, 2))
    for name, share in (("nv21", "420"), ("nv42", "444")):
        found.append(
            Layout(name=name, family="yuv", depth=8, places=swapped, halves=_HALVES[share])
        )
    return found


def _packed_layouts() -> list[Layout]:
    found = []
    for order in ("rgb", "bgr", "rgba", "bgra", "argb", "abgr", "rgb0", "bgr0", "0rgb", "0bgr"):
        step = len(order)
        places = tuple((0, order.index(letter), step) for letter in "rgb")
        spare = next(((0, order.index(letter), step) for letter in "a0" if letter in order), None)
        alpha = "a" in order
        if step == 3 or not alpha or order in ("rgba", "bgra", "argb", "abgr"):
            name = f"{order}24" if step == 3 else order
            found.append(
                Layout(name=name, family="rgb", depth=8, places=places, spare=spare, alpha=alpha)
            )
        if order in ("rgb", "bgr", "rgba", "bgra"):
            found.append(
                Layout(
                    name=f"{order}{16 * step}le",
                    family="rgb",
                    depth=16,
                    places=places,
                    spare=spare,
                    alpha=alpha,
                )
            )
    for name, places in (
        ("yuyv422", ((0, 0, 2), (0, 1, 4), (0, 3, 4))),
        ("uyvy422", ((0, 1, 2), (0, 0, 4), (0, 2, 4))),
    ):
        found.append(Layout(name=name, family="yuv", depth=8, places=places, halves=_HALVES["422"]))
    for name, depth in (("ya8", 8), ("ya16le", 16)):
        found.append(
            Layout(
                name=name,
                family="gray",
                depth=depth,
                places=((0, 0, 2),),
                spare=(0, 1, 2),
                alpha=True,
            )
        )
    return found


def _exists(name: str) -> bool:
    try:
        VideoFormat(name)
    except ValueError:
        return False
    return True


LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (*_planar_layouts(), *_half_planar_layouts(), *_packed_layouts())
    if _exists(layout.name)  # not every mark goes with every depth
}


def stand_in(frame: VideoFrame) -> str:
    """Name the known format that is closest to a frame's: the same one if it is known."""
    name = frame.format.name
    if name in LAYOUTS:
        return name
    if name.endswith("be") and f"{name[:-2]}le" in LAYOUTS:
        return f"{name[:-2]}le"  # the same bits in the other order
    deep = max(component.bits for component in frame.format.components) > 8
    if frame.format.is_rgb or frame.format.has_palette:
        return "rgba64le" if deep else "rgba"
    if len(frame.format.components) < 3:
        return "gray16le" if deep else "gray"
    return "yuv444p16le" if deep else "yuv444p"


def readable(frame: VideoFrame) -> VideoFrame:
    """Give the frame itself, or its closest known stand-in made by swscale."""
    name = stand_in(frame)
    return frame if name == frame.format.name else frame.reformat(format=name)


def coding_of(layout: Layout, colour: Colour, lines: int) -> Coding:
    """How a layout's numbers stand for levels, given the file's tags.

    RGB is full range whatever the tags say; gray is full range unless tagged as limited; ``yuvj``
    names full range itself.
    """
    full = (
        layout.family == "rgb"
        or layout.name.startswith("yuvj")
        or colour.range == FULL
        or (layout.family == "gray" and colour.range != LIMITED)
    )
    return Coding(layout.depth, full, colour.read_matrix(lines))


def _samples(frame: VideoFrame, place: Place, size: tuple[int, int], dtype: npt.DTypeLike) -> Codes:
    """A writable view of one channel."""
    plane, first, step = place
    rows, columns = size
    samples: Codes = np.frombuffer(memoryview(frame.planes[plane]), dtype=dtype)
    line = frame.planes[plane].line_size // samples.itemsize
    lines = samples[: (samples.size // line) * line].reshape(-1, line)
    return lines[:rows, first : first + step * (columns - 1) + 1 : step]


def channels(frame: VideoFrame, layout: Layout) -> list[Codes]:
    """The frame's numbers, one array a channel: Y, U, V or R, G, B or gray. Views where it can."""
    found = [
        _samples(frame, place, layout.size(index, frame.height, frame.width), layout.dtype)
        for index, place in enumerate(layout.places)
    ]
    if layout.shift:
        return [np.right_shift(codes, layout.shift, dtype=codes.dtype) for codes in found]
    return found


def codes_of(frame: VideoFrame, layout: Layout) -> list[Codes]:
    """All that a frame of a layout says: its channels, then alpha where the layout holds it.

    ``frame_of`` makes the same frame of them.
    """
    found = channels(frame, layout)
    if layout.alpha and layout.spare is not None:
        found.append(_samples(frame, layout.spare, (frame.height, frame.width), layout.dtype))
    return found


def frame_of(codes: list[Codes], layout: Layout, alpha: Codes | None = None) -> VideoFrame:
    """A new frame that holds these numbers; padding, and alpha unless told, are opaque."""
    rows, columns = codes[0].shape
    frame = VideoFrame(columns, rows, layout.name)
    for index, place in enumerate(layout.places):
        size = layout.size(index, rows, columns)
        _samples(frame, place, size, layout.dtype)[:] = codes[index] << layout.shift
    if layout.spare is not None:
        _samples(frame, layout.spare, (rows, columns), layout.dtype)[:] = (
            2**layout.depth - 1 if alpha is None or not layout.alpha else alpha
        )
    return frame


def alpha_of(frame: VideoFrame) -> Floats | None:
    """How opaque each pixel is, in [0, 1], ``h w``; nothing where the format cannot tell."""
    layout = LAYOUTS[stand_in(frame)]
    if not layout.alpha or layout.spare is None:
        return None
    frame = readable(frame)
    codes = _samples(frame, layout.spare, (frame.height, frame.width), layout.dtype)
    return codes.astype(np.float32) * np.float32(1 / (2**layout.depth - 1))


def is_transparent(frame: VideoFrame) -> bool:
    """Whether any pixel of a frame is less than opaque."""
    alpha = alpha_of(frame)
    return alpha is not None and bool(alpha.min() < 1)


def turned(frame: VideoFrame, quarters: int, colour: Colour) -> VideoFrame:
    """Turn a frame counter-clockwise by quarters: luma is moved, not computed.

    Halved colour becomes whole first, since its samples do not sit in the middle of their pixels:
    turned as they are, they would sit elsewhere than those of made frames.
    """
    frame = readable(frame)
    layout = LAYOUTS[frame.format.name]
    if layout.family == "yuv" and any(layout.halves):
        ending = "" if layout.depth == 8 else f"{layout.depth}le"
        mark = "a" if layout.alpha else "j" if layout.name.startswith("yuvj") else ""
        layout = LAYOUTS[f"yuv{mark}444p{ending}"]
    frame = converted(frame, colour, layout, colour)
    alpha = alpha_of(frame)
    codes = [np.rot90(channel, quarters) for channel in channels(frame, layout)]
    whole = None if alpha is None else _alpha_codes(np.rot90(alpha, quarters), layout)
    return frame_of(codes, layout, whole)


def rgb_of(frame: VideoFrame, colour: Colour) -> Floats:
    """Convert a frame to RGB in [0, 1], float32, as it is stored (not turned).

    Returns:
        ``h w 3``, a view of planes: in memory it lies ``3 h w``, as networks take it.
    """
    frame = readable(frame)
    layout = LAYOUTS[frame.format.name]
    coding = coding_of(layout, colour, frame.height)
    codes = channels(frame, layout)
    planes = np.empty((3, frame.height, frame.width), np.float32)
    if layout.family == "yuv":
        planes[0] = codes[0]
        for index in (1, 2):
            colours.upsample(codes[index], frame.height, frame.width, planes[index])
        return np.moveaxis(colours.rgb_from_yuv(planes, coding), 0, -1)
    for index in range(3):
        planes[index] = colours.luma_level(codes[min(index, len(codes) - 1)], coding)
    return np.moveaxis(np.clip(planes, 0, 1, out=planes), 0, -1)


def frame_from_rgb(rgb: Floats, layout: Layout, colour: Colour) -> VideoFrame:
    """Convert RGB in [0, 1], float32, ``h w 3`` in any order of memory, to a frame of a layout.

    A fourth channel is alpha; it goes along where the layout holds it.
    """
    coding = coding_of(layout, colour, rgb.shape[0])
    alpha = _alpha_codes(rgb[..., 3], layout) if rgb.shape[2] == 4 else None
    planes = np.ascontiguousarray(np.moveaxis(rgb[..., :3], -1, 0))  # h w 3 -> 3 h w
    if layout.family == "rgb":
        codes = [colours.luma_codes(plane.copy(), coding) for plane in planes]
        return frame_of(codes, layout, alpha)
    yuv = colours.yuv_from_rgb(planes, coding)
    codes = [colours.rounded(yuv[0], coding.depth)]
    if layout.family == "yuv":
        for plane in yuv[1:]:
            small = colours.downsample(
                plane, halve_rows=layout.halves[0], halve_columns=layout.halves[1]
            )
            codes.append(colours.rounded(small, coding.depth))
    return frame_of(codes, layout, alpha)


def _alpha_codes(alpha: Floats, layout: Layout) -> Codes:
    return colours.rounded(alpha * np.float32(2**layout.depth - 1), layout.depth)


def converted(frame: VideoFrame, colour: Colour, layout: Layout, out_colour: Colour) -> VideoFrame:
    """Convert a decoded frame to another layout, changing as little as can be.

    The same layout gives the frame itself; the same numbers in another order are moved, not
    computed; luma and colour difference stay so, and only depth or subsampling change; RGB is
    passed through only between the families.
    """
    if frame.format.name == layout.name:
        return frame
    frame = readable(frame)
    mine = LAYOUTS[frame.format.name]
    coding = coding_of(mine, colour, frame.height)
    wanted = coding_of(layout, out_colour, frame.height)
    alpha = alpha_of(frame) if layout.alpha else None
    if "rgb" in (mine.family, layout.family) and mine.family != layout.family:
        rgb = rgb_of(frame, colour)
        whole = rgb if alpha is None else np.dstack([rgb, alpha])
        return frame_from_rgb(whole, layout, out_colour)
    codes = channels(frame, mine)
    exact = coding == wanted or (
        mine.family == layout.family == "rgb" and mine.depth == layout.depth
    )
    moved = [codes[0] if exact else _requantised(codes[0], coding, wanted, luma=True)]
    if layout.family == "rgb":
        moved += [c if exact else _requantised(c, coding, wanted, luma=True) for c in codes[1:]]
    elif layout.family == "yuv":
        moved += _moved_chroma(codes, (mine, coding), (layout, wanted))
    return frame_of(moved, layout, None if alpha is None else _alpha_codes(alpha, layout))


def _moved_chroma(
    codes: list[Codes], source: tuple[Layout, Coding], target: tuple[Layout, Coding]
) -> list[Codes]:
    (mine, coding), (layout, wanted) = source, target
    rows, columns = codes[0].shape
    if mine.family == "gray":
        size = layout.size(1, rows, columns)
        return [np.full(size, int(wanted.middle), np.uint16).astype(layout.dtype)] * 2
    if mine.halves == layout.halves:
        if coding == wanted:
            return codes[1:]
        return [_requantised(c, coding, wanted, luma=False) for c in codes[1:]]
    moved = []
    for plane in codes[1:]:
        whole = np.empty((rows, columns), np.float32)
        colours.upsample(colours.chroma_level(plane, coding), rows, columns, whole)
        small = colours.downsample(
            whole, halve_rows=layout.halves[0], halve_columns=layout.halves[1]
        )
        moved.append(colours.chroma_codes(small, wanted))
    return moved


def _requantised(codes: Codes, coding: Coding, wanted: Coding, *, luma: bool) -> Codes:
    if luma:
        return colours.luma_codes(colours.luma_level(codes, coding), wanted)
    return colours.chroma_codes(colours.chroma_level(codes, coding), wanted)
