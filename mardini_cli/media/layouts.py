"""Which pixel format goes to an encoder: the source's own, or the nearest that loses least.

Room: media (floor 2). Chooses; converts nothing.
"""

from functools import cache

import av

from mardini_cli.errors import EncoderError
from mardini_cli.media.encoders import ENCODERS
from mardini_cli.media.planes import LAYOUTS, Layout

_SHARES = ((True, True), (False, True), (False, False))  # 4:2:0, 4:2:2, 4:4:4

# FFmpeg offers these, but few players or none show what comes of them.
_SHUNNED = {
    "hevc": ("yuva420p", "yuva420p10le"),
    "vp9": ("yuva422p", "yuva444p"),  # libvpx names them, and opens none of them
}

_ONLY = {
    "gif": ("rgb24", "rgba"),  # the palette is made from them
    "apng": ("rgb24", "rgba", "rgb48le", "rgba64le"),  # deep ones change byte order on the way
    "png": ("gray", "rgb24", "rgba", "gray16le", "rgb48le", "rgba64le"),
    "webp": ("yuv420p", "yuva420p"),
    "y4m": tuple(
        f"yuv{share}p{depth}"
        for share in ("420", "422", "444")
        for depth in ("", "10le", "12le", "14le", "16le")
    ),
    **{  # of the rest that FFmpeg lists, only some hardware takes some
        f"{codec}_nvenc": ("yuv420p", "p010le", "yuv444p") for codec in ("h264", "hevc", "av1")
    },
}


def layout_for(
    codec: str, source: Layout, size: tuple[int, int], *, transparent: bool, lossless: bool = False
) -> Layout:
    """Choose the pixel format to encode: the source's own, or the nearest that the encoder takes.

    Depth above 8 bits is kept where the encoder can. 4:2:0 of an odd size becomes 4:4:4 in H.264
    and HEVC, which hold odd sizes in no other way. RGB becomes 4:2:0 in the lossy codecs, since
    4:4:4 does not play everywhere; gray gets neutral colour planes for the same reason.

    Args:
        codec: one of ``ENCODERS``.
        source: of the source's frames.
        size: columns and rows.
        transparent: whether the source's alpha says anything.
        lossless: whether every bit is to be kept: RGB stays RGB, or becomes 4:4:4.
    """
    if codec == "webp" and lossless:
        return LAYOUTS["bgra"]
    able = [layout for layout in _taken(codec) if not _is_odd(codec, layout, size)]
    if source in able and source.alpha == transparent:
        return source
    able = [layout for layout in able if layout.family != "yuv" or layout.halves in _SHARES]
    if transparent and any(layout.alpha for layout in able):
        able = [layout for layout in able if layout.alpha]
    else:
        able = [layout for layout in able if not layout.alpha]
    family = _family(codec, source, lossless, able)
    halves = _wanted_halves(source, lossless)
    return min(able, key=lambda layout: _distance(layout, source, family, halves))


def asked_layout(codec: str, name: str, size: tuple[int, int]) -> Layout:
    """The pixel format that a person asked for.

    Raises:
        EncoderError: the encoder does not take it, or not at this size.
    """
    able = {layout.name: layout for layout in _taken(codec) if not _is_odd(codec, layout, size)}
    if name not in able:
        raise EncoderError(
            f"pixel format '{name}' for {codec} at {size[0]}x{size[1]}",
            needed=f"one of {', '.join(able)}",
            do="leave --pix-fmt out",
        )
    return able[name]


def _family(codec: str, source: Layout, lossless: bool, able: list[Layout]) -> str:
    families = {layout.family for layout in able}
    if codec in ("ffv1", "apng", "png", "gif") or (lossless and source.family == "rgb"):
        if source.family in families:
            return source.family
        return "rgb" if "rgb" in families and source.family != "gray" else "yuv"
    return "yuv" if "yuv" in families else "rgb"


def _distance(
    layout: Layout, source: Layout, family: str, halves: tuple[bool, bool]
) -> tuple[int, ...]:
    """How far a layout is from what is wanted, the gravest difference first."""
    lost = source.depth - layout.depth
    finer = _SHARES.index(layout.halves) - _SHARES.index(halves) if layout.family == "yuv" else 0
    return (
        layout.family != family,
        max(lost, 0),
        max(-finer, 0),
        max(-lost, 0),
        max(finer, 0),
        layout.name.startswith("yuvj"),
        len({place[0] for place in layout.places}) != len(layout.places),
        layout.shift,
    )


def _wanted_halves(source: Layout, lossless: bool) -> tuple[bool, bool]:
    if source.family == "yuv":
        return source.halves if source.halves in _SHARES else (False, False)  # 4:4:0 is rare
    return (False, False) if lossless and source.family == "rgb" else (True, True)


@cache
def _taken(codec: str) -> tuple[Layout, ...]:
    """Formats of an encoder that are known here, without those that play nowhere."""
    if codec in _ONLY:
        return tuple(LAYOUTS[name] for name in _ONLY[codec])
    names = [f.name for f in av.Codec(ENCODERS[codec].name, "w").video_formats or ()]
    found = [LAYOUTS[name] for name in names if name in LAYOUTS]
    if codec in ("h264", "hevc", "vp9", "av1"):
        # Players and encoders agree best on the plain planar formats; gray plays in few.
        found = [x for x in found if x.family == "yuv" and x.places[1][2] == 1]
    return tuple(
        x
        for x in found
        if x.name not in _SHUNNED.get(codec, ()) and (codec == "ffv1" or x.halves in _SHARES)
    )


def _is_odd(codec: str, layout: Layout, size: tuple[int, int]) -> bool:
    """Whether a picture of this size cannot be stored so."""
    if codec not in ("h264", "hevc", "h264_nvenc", "hevc_nvenc") or layout.family != "yuv":
        return False
    return bool((layout.halves[1] and size[0] % 2) or (layout.halves[0] and size[1] % 2))
