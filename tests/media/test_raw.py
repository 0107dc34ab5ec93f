"""Raw video: the same pictures as with a header, and what does not come in whole pictures."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from mardini_cli.errors import DamagedMediaError, NotMediaError, UsageError
from mardini_cli.media.probe import probe
from mardini_cli.media.raw import RawVideo, keep_raw
from mardini_cli.media.reader import read

RATE = Fraction(24000, 1001)
BYTES = {"yuv420p": 1.5, "nv12": 1.5, "yuv422p10le": 4, "rgb24": 3, "gbrp": 3, "rgba": 4}
"""Bytes a pixel."""


def told(pixel_format: str) -> RawVideo:
    return RawVideo(width=64, height=48, pixel_format=pixel_format, rate=RATE)


def noise(pixel_format: str, count: int = 3) -> bytes:
    size = round(64 * 48 * BYTES[pixel_format])
    random = np.random.default_rng(0)
    return random.integers(0, 4, (count, size), dtype=np.uint8).tobytes()


@pytest.mark.parametrize("pixel_format", BYTES)
def test_raw_pictures_are_kept_bit_for_bit_at_their_rate(pixel_format: str, tmp_path: Path) -> None:
    sent = noise(pixel_format)

    keep_raw(BytesIO(sent), told(pixel_format), tmp_path / "kept")

    info = probe(tmp_path / "kept")
    assert (info.width, info.height, info.pixel_format) == (64, 48, pixel_format)
    assert info.times == (Fraction(0), 1 / RATE, 2 / RATE)
    assert info.end == 3 / RATE
    frames = [frame.picture.reformat(format=pixel_format) for frame in read(info)]
    rows = [bytes(plane) for frame in frames for plane in frame.planes]
    assert b"".join(rows) == sent  # a width of 64 needs no padding


def test_bytes_that_are_no_whole_pictures_are_refused_with_their_count(tmp_path: Path) -> None:
    with pytest.raises(DamagedMediaError, match="4603 bytes after 2 pictures of 64x48 yuv420p"):
        keep_raw(BytesIO(noise("yuv420p")[:-5]), told("yuv420p"), tmp_path / "kept")


def test_no_bytes_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotMediaError, match="empty"):
        keep_raw(BytesIO(), told("yuv420p"), tmp_path / "kept")


@pytest.mark.parametrize("pixel_format", ["nope", "yuvj420p"])
def test_pixel_formats_that_nobody_knows_or_that_cannot_be_kept_are_refused(
    pixel_format: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=pixel_format):
        keep_raw(BytesIO(noise("yuv420p")), told(pixel_format), tmp_path / "kept")
