"""Colour: from luma and colour difference to red, green and blue, and back.

Room: media (floor 2). Arrays only: no files, no frames of FFmpeg. The only module that converts
colour. Float32 arithmetic; rounded, never truncated.
Source: ITU-R BT.601, BT.709, BT.2020 (non-constant luminance); ISO/IEC 23001-8 for the codes.

A file without tags is read by the usual rule, BT.709 at 720 lines and up and BT.601 below, in
both directions, and stays without tags. Matrices that are not in the table (YCgCo, ICtCp) are
read by the same rule: wrong in hue for the model, but the same way back.

Dimension key
    h, w  rows and columns of a frame
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.unsignedinteger]

BT709, BT601, BT2020, RGB = 1, 6, 9, 0
LIMITED, FULL = 1, 2

HD_LINES = 720
"""Untagged pictures of so many lines and more are taken for BT.709."""

_RED_BLUE = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 BG, as BT.601
    6: (0.299, 0.114),  # BT.601
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020 non-constant luminance
    10: (0.2627, 0.0593),  # BT.2020 constant luminance, read as non-constant
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Colour:
    """What the file says about its colour; ``None`` where it says nothing."""

    matrix: int | None = None
    """Code of the matrix (ISO/IEC 23001-8): 1 BT.709, 5 and 6 BT.601, 9 BT.2020, 0 RGB."""
    primaries: int | None = None
    transfer: int | None = None
    range: int | None = None
    """1 limited (16 to 235 of 255), 2 full."""

    def read_matrix(self, lines: int) -> int:
        """The matrix to convert with: the tagged one, or the usual rule for ``lines`` rows."""
        if self.matrix in _RED_BLUE:
            assert self.matrix is not None
            return self.matrix
        return BT709 if lines >= HD_LINES else BT601


@dataclass(frozen=True, slots=True)
class Coding:
    """How a number in a plane stands for a level: bits, range and matrix."""

    depth: int
    full: bool
    matrix: int

    @property
    def top(self) -> int:
        """Largest code."""
        return int(2**self.depth - 1)

    @property
    def black(self) -> float:
        """Code of black in luma."""
        return 0.0 if self.full else 16.0 * 2 ** (self.depth - 8)

    @property
    def luma_span(self) -> float:
        """Codes from black to white."""
        return float(self.top) if self.full else 219.0 * 2 ** (self.depth - 8)

    @property
    def middle(self) -> float:
        """Code of no colour in the colour-difference planes."""
        return float(2 ** (self.depth - 1))

    @property
    def chroma_span(self) -> float:
        """Codes from the lowest to the highest colour difference."""
        return float(self.top) if self.full else 224.0 * 2 ** (self.depth - 8)


@cache
def _decoding(coding: Coding) -> tuple[Floats, Floats]:
    """Matrix and offsets that take codes of Y, U, V to RGB in [0, 1]."""
    spans = np.array([coding.luma_span, coding.chroma_span, coding.chroma_span])
    zeros = np.array([[coding.black], [coding.middle], [coding.middle]])
    matrix = np.linalg.inv(_to_yuv64(coding.matrix)) / spans
    return matrix.astype(np.float32), (-matrix @ zeros).astype(np.float32)


@cache
def _encoding(coding: Coding) -> tuple[Floats, Floats]:
    """Matrix and offsets that take RGB in [0, 1] to codes of Y, U, V."""
    spans = np.array([[coding.luma_span], [coding.chroma_span], [coding.chroma_span]])
    zeros = np.array([[coding.black], [coding.middle], [coding.middle]])
    return (_to_yuv64(coding.matrix) * spans).astype(np.float32), zeros.astype(np.float32)


def _to_yuv64(matrix: int) -> npt.NDArray[np.float64]:
    red, blue = _RED_BLUE[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    blue_difference = (np.array([0.0, 0.0, 1.0]) - luma) / (2 * (1 - blue))
    red_difference = (np.array([1.0, 0.0, 0.0]) - luma) / (2 * (1 - red))
    return np.stack([luma, blue_difference, red_difference])


def luma_level(codes: Codes, coding: Coding) -> Floats:
    """Codes to levels: black 0, white 1."""
    return _level(codes, coding.black, coding.luma_span)


def chroma_level(codes: Codes, coding: Coding) -> Floats:
    """Codes to colour differences in [-0.5, 0.5], no colour 0."""
    return _level(codes, coding.middle, coding.chroma_span)


def _level(codes: Codes, zero: float, span: float) -> Floats:
    levels = codes.astype(np.float32)
    if zero:
        levels -= np.float32(zero)
    levels *= np.float32(1 / span)
    return levels


def luma_codes(levels: Floats, coding: Coding) -> Codes:
    """Levels to the nearest codes; overwrites ``levels``."""
    return _codes(levels, coding.black, coding.luma_span, coding.depth)


def chroma_codes(levels: Floats, coding: Coding) -> Codes:
    """Colour differences to the nearest codes; overwrites ``levels``."""
    return _codes(levels, coding.middle, coding.chroma_span, coding.depth)


def _codes(levels: Floats, zero: float, span: float, depth: int) -> Codes:
    levels *= np.float32(span)
    if zero:
        levels += np.float32(zero)
    return rounded(levels, depth)


def rounded(levels: Floats, depth: int) -> Codes:
    """Numbers on the scale of codes to the nearest codes; overwrites them."""
    np.rint(levels, out=levels)
    np.clip(levels, 0, 2**depth - 1, out=levels)
    return levels.astype(np.uint8 if depth <= 8 else np.uint16)


def rgb_from_yuv(planes: Floats, coding: Coding) -> Floats:
    """Three planes of codes, not yet rounded, ``3 h w``, to RGB in [0, 1], ``3 h w``.

    Range and matrix are one product and one sum: on a picture of full HD, each pass over the
    memory costs as much as the arithmetic in it.
    """
    matrix, offsets = _decoding(coding)
    rgb: Floats = matrix @ planes.reshape(3, -1)
    rgb += offsets
    np.clip(rgb, 0, 1, out=rgb)
    return rgb.reshape(planes.shape)


def yuv_from_rgb(rgb: Floats, coding: Coding) -> Floats:
    """RGB in [0, 1], ``3 h w``, to three planes on the scale of codes, not yet rounded."""
    matrix, offsets = _encoding(coding)
    yuv: Floats = matrix @ rgb.reshape(3, -1)
    yuv += offsets
    return yuv.reshape(rgb.shape)


def upsample(plane: Codes | Floats, rows: int, columns: int, out: Floats) -> None:
    """Spread a colour-difference plane over the whole picture, bilinearly.

    Columns are sited left (on every even column), rows between two lines, as H.264 and MPEG-2
    have it by default. Steps of one or two only.

    Args:
        plane: levels or codes at the small size.
        rows: rows of the whole picture.
        columns: columns of the whole picture.
        out: where to write, ``rows`` by ``columns``.
    """
    tall = plane if plane.shape[0] == rows else _double_rows(plane, rows)
    if plane.shape[1] == columns:
        out[:] = tall
        return
    out[:, 0::2] = tall
    odd = columns // 2
    if not odd:
        return
    half = tall * np.float32(0.5)
    between = out[:, 1::2]
    np.add(half[:, : odd - 1], half[:, 1:odd], out=between[:, : odd - 1])
    # The last odd column has a right neighbour only where the width is odd.
    np.add(half[:, odd - 1], half[:, min(odd, half.shape[1] - 1)], out=between[:, odd - 1])


def _double_rows(plane: Codes | Floats, rows: int) -> Floats:
    near = plane * np.float32(0.75)
    far = plane * np.float32(0.25)
    tall = np.empty((plane.shape[0] * 2, plane.shape[1]), np.float32)
    np.add(near[1:], far[:-1], out=tall[2::2])
    np.add(near[0], far[0], out=tall[0])
    np.add(near[:-1], far[1:], out=tall[1:-1:2])
    np.add(near[-1], far[-1], out=tall[-1])
    return tall[:rows]


def downsample(plane: Floats, *, halve_rows: bool, halve_columns: bool) -> Floats:
    """Shrink a colour-difference plane with the siting that ``upsample`` reads."""
    if halve_rows:
        plane = _halve_rows(plane)
    return _halve_columns(plane) if halve_columns else plane


def _halve_rows(plane: Floats) -> Floats:
    pairs = plane.shape[0] // 2
    half = np.empty((plane.shape[0] - pairs, plane.shape[1]), np.float32)
    np.add(plane[0 : 2 * pairs : 2], plane[1::2], out=half[:pairs])
    half[:pairs] *= np.float32(0.5)
    half[pairs:] = plane[2 * pairs :]  # an odd last row stands alone
    return half


def _halve_columns(plane: Floats) -> Floats:
    even, odd = plane[:, 0::2], plane[:, 1::2]
    half = even * np.float32(0.5)
    quarter = odd * np.float32(0.25)
    half[:, : odd.shape[1]] += quarter  # right neighbours
    half[:, 1:] += quarter[:, : half.shape[1] - 1]  # left neighbours
    half[:, 0] += even[:, 0] * np.float32(0.25)  # beyond the edge: the edge again
    if even.shape[1] > odd.shape[1]:
        half[:, -1] += even[:, -1] * np.float32(0.25)
    return half
