from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mardini_cli.errors import DamagedMediaError, MissingFileError
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import read, rgb
from tests.media.clips import UNEVEN, Recipe, even_times, make_clip, raw_frames


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "ts"])
def test_reading_yields_the_probed_frames_and_their_planes(ending: str, tmp_path: Path) -> None:
    recipe = Recipe(times=UNEVEN, time_base=Fraction(1, 1000))
    info = probe(make_clip(tmp_path / f"a.{ending}", recipe))

    frames = list(read(info))

    assert [frame.time for frame in frames] == list(info.times)
    lumas = [bytes(frame.picture.planes[0])[: info.width] for frame in frames]
    assert lumas == [planes[0][: info.width] for planes in raw_frames(info.path)]


@pytest.mark.parametrize(("rotation", "corner"), [(0, 0), (90, 1), (180, 2), (-90, 3)])
def test_pixels_come_upright(rotation: int, corner: int, tmp_path: Path) -> None:
    """A clockwise walk from the top left: turning counter-clockwise brings later corners up."""
    clip = make_clip(tmp_path / "a.mp4", Recipe(rotation=rotation))
    flat = make_clip(tmp_path / "b.mp4", Recipe())
    info, plain = probe(clip), probe(flat)

    upright = rgb(next(read(info)), info)

    stored = rgb(next(read(plain)), plain)
    assert upright.shape == (*info.upright_size[::-1], 3)
    assert np.moveaxis(upright, -1, 0).flags.c_contiguous  # networks take planes
    assert upright.dtype == np.float32
    corners = [stored[0, 0], stored[0, -1], stored[-1, -1], stored[-1, 0]]
    np.testing.assert_allclose(upright[0, 0], corners[corner], atol=1e-6)


def test_a_file_that_shrank_since_it_was_probed_is_an_error_not_a_short_film(
    tmp_path: Path,
) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", Recipe(times=even_times(12, 25))))
    make_clip(info.path, Recipe(times=even_times(7, 25)))

    with pytest.raises(DamagedMediaError, match="frame 7 of 12"):
        list(read(info))


def test_a_file_that_grew_since_it_was_probed_is_an_error_too(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", Recipe(times=even_times(7, 25))))
    make_clip(info.path, Recipe(times=even_times(12, 25)))

    with pytest.raises(DamagedMediaError):
        list(read(info))


def test_a_file_that_has_gone_is_missing(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4"))
    info.path.unlink()

    with pytest.raises(MissingFileError):
        next(read(info))


def test_memory_does_not_grow_with_the_length_of_the_clip(tmp_path: Path) -> None:
    recipe = Recipe(times=even_times(200, 25), size=(480, 270))
    info = probe(make_clip(tmp_path / "a.mp4", recipe))
    psutil: Any = import_module("psutil")  # it has no type stubs
    process = psutil.Process()
    frames = read(info)
    for _ in range(50):
        next(frames)
    early = process.memory_info().rss

    for frame in frames:
        rgb(frame, info)

    # The 150 frames that followed would be 29 MB as planes, and eight times that as RGB.
    assert process.memory_info().rss - early < 15e6
