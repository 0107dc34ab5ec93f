"""Folders, patterns and animations as clips: natural order, one kind of picture, exact times."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mardini_cli.errors import DamagedMediaError, MissingFileError
from mardini_cli.media.probe import ClipInfo
from mardini_cli.media.reader import rgba
from mardini_cli.media.sequences import open_clip, pictures_of
from mardini_cli.media.source import ClipSource
from tests.media.clips import make_clip

RATE = Fraction(10)


def shade(level: int, size: tuple[int, int] = (32, 24)) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def levels(path: Path) -> tuple[list[int], ClipInfo]:
    source = open_clip(path, RATE)
    found = [round(float(rgba(f, source.info)[5, 5, 0]) * 255) for f in source.frames()]
    return found, source.info


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Pictures whose order by letters is not the one by numbers, and what is no picture."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for number in (1, 2, 10, 9):
        shade(number * 10).save(folder / f"take{number}.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_a_folder_is_read_in_natural_order(shots: Path) -> None:
    found, info = levels(shots)

    assert found == [10, 20, 90, 100]
    assert info.times == tuple(Fraction(n, 10) for n in range(4))
    assert info.end == Fraction(4, 10)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("take%d.png", [10, 20, 90, 100]), ("take?.png", [10, 20, 90]), ("*1*.png", [10, 100])],
)
def test_patterns_choose_pictures(pattern: str, expected: list[int], shots: Path) -> None:
    assert levels(shots / pattern)[0] == expected


def test_a_name_with_brackets_that_is_there_is_no_pattern(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "walk[1].mkv")

    assert pictures_of(clip) is None
    assert isinstance(open_clip(clip, RATE), ClipSource)


@pytest.mark.parametrize("name", ["empty", "gone/%04d.png", "*.nothing"])
def test_no_pictures_are_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(MissingFileError, match="no pictures there"):
        open_clip(tmp_path / name, RATE)


def test_pictures_of_several_sizes_are_refused_before_any_work(shots: Path) -> None:
    shade(50, (40, 24)).save(shots / "take5.png")

    with pytest.raises(DamagedMediaError, match="take5"):
        open_clip(shots, RATE)


def test_sixteen_bits_stay_sixteen(tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(np.full((8, 8), 1000 + number, np.uint16)).save(tmp_path / f"{number}.png")

    source = open_clip(tmp_path, RATE)

    frames = [rgba(frame, source.info)[0, 0, 0] * 65535 for frame in source.frames()]
    assert [round(float(level)) for level in frames] == [1000, 1001]


def test_an_animated_webp_is_read_with_its_times_and_transparency(tmp_path: Path) -> None:
    pictures = [shade(40 * n).convert("RGBA") for n in range(4)]
    pictures[2].putpixel((0, 0), (0, 0, 0, 0))
    path = tmp_path / "a.webp"
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=[40, 60, 100, 20], lossless=True
    )

    found, info = levels(path)

    assert found == [0, 40, 80, 120]
    assert info.times == tuple(Fraction(n, 1000) for n in (0, 40, 100, 200))
    assert info.end == Fraction(220, 1000)
    assert info.transparent


def test_a_broken_webp_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    pictures = [shade(40 * n) for n in range(4)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    path.write_bytes(path.read_bytes()[:150])

    with pytest.raises(DamagedMediaError):
        open_clip(path, RATE)
