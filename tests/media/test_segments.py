"""Segments on disk: what comes back, what is there after a fault, what a folder may hold."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from av import VideoFrame
from numpy.testing import assert_array_equal

from mardini_cli.errors import UnwritableError
from mardini_cli.media import segments
from mardini_cli.media.colour import Colour
from mardini_cli.media.planes import LAYOUTS, Layout, codes_of, frame_from_rgb
from mardini_cli.media.segments import Segments

SIZE = (31, 46)  # odd and even: halved planes round up


def frame_for(layout: Layout, seed: int = 0) -> VideoFrame:
    pixels = np.random.default_rng(seed).random((*SIZE, 4 if layout.alpha else 3), np.float32)
    return frame_from_rgb(pixels, layout, Colour())


def begun(folder: Path, layout: Layout) -> Segments:
    segments.begin(folder, {"seed": "0"})
    return Segments(folder, layout, SIZE)


def kept_alone(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((*SIZE, 3), np.float32)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_every_pixel_format_comes_back_bit_equal(layout: Layout, tmp_path: Path) -> None:
    frames = {number: frame_for(layout, number) for number in (3, 1)}
    writing = begun(tmp_path / "work", layout)
    for number, frame in frames.items():
        writing.put(number, frame)
    writing.commit(5, 1, {}, ())
    writing.close()

    reading = Segments(tmp_path / "work", layout, SIZE)

    assert (reading.mark, reading.batch, len(reading)) == (5, 1, 2)
    for number, frame in frames.items():
        back = reading.frame(number)
        assert back.format.name == layout.name
        for codes, expected in zip(codes_of(back, layout), codes_of(frame, layout), strict=True):
            assert_array_equal(codes, expected)
    reading.close()


GRAY = LAYOUTS["yuv420p"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three whole segments, of frames 0 to 2."""
    writing = begun(tmp_path / "work", GRAY)
    for number in range(3):
        writing.put(number, frame_for(GRAY, number))
        writing.commit(number + 1, 1, {}, ())
    writing.close()
    return tmp_path / "work"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_put_and_not_ended_is_not_there(folder: Path) -> None:
    writing = Segments(folder, GRAY, SIZE)
    writing.put(3, frame_for(GRAY))
    assert "segment.part" in names(folder)

    again = Segments(folder, GRAY, SIZE)  # as after a crash: nobody has closed the first

    assert (again.mark, 3 in again) == (3, False)
    assert "segment.part" not in names(folder)
    writing.close()


@pytest.mark.parametrize("at", [0.1, 0.5, 0.8])
def test_a_changed_byte_takes_the_segment_and_all_after_it(folder: Path, at: float) -> None:
    path = folder / "000002.made"
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)

    again = Segments(folder, GRAY, SIZE)

    assert (again.mark, 0 in again, 1 in again, 2 in again) == (1, True, False, False)
    assert names(folder) == ["000001.made", "manifest.json"]


def test_a_segment_cut_short_is_none(folder: Path) -> None:
    path = folder / "000003.made"
    path.write_bytes(path.read_bytes()[:-30])

    assert Segments(folder, GRAY, SIZE).mark == 2


def test_frames_that_windows_to_come_see_are_kept_to_the_bit_while_they_are_needed(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "work"
    writing = begun(folder, GRAY)
    first, second = kept_alone(1), kept_alone(2)

    writing.commit(1, 2, {7: first}, {7})
    writing.commit(2, 2, {8: second}, {7, 8})
    writing.commit(3, 2, {}, {8})
    writing.close()

    again = Segments(folder, GRAY, SIZE)
    assert not again.is_kept(7)
    assert again.is_kept(8)
    assert again.kept(7) is None
    assert_array_equal(again.kept(8), second)
    assert names(folder)[:4] == ["000001.made", "000002.kept", "000002.made", "000003.made"]


def test_a_segment_ends_once_for_each_mark(folder: Path) -> None:
    writing = Segments(folder, GRAY, SIZE)

    writing.commit(3, 1, {}, ())

    assert len(names(folder)) == 4


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_a_kept_frame_lies_in_memory_as_it_did(order: tuple[int, ...], tmp_path: Path) -> None:
    """Sums of float32 numbers depend on it."""
    picture = kept_alone(1).transpose(order).copy().transpose(np.argsort(order))
    writing = begun(tmp_path / "work", GRAY)

    writing.commit(1, 1, {0: picture}, {0})

    back = writing.kept(0)
    assert back is not None
    assert back.strides == picture.strides
    assert_array_equal(back, picture)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes: the system's own refusal, as of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 700, 2000])
def test_a_disk_that_refuses_leaves_what_was_there(folder: Path, room: int) -> None:
    writing = Segments(folder, GRAY, SIZE)

    def write() -> None:
        for number in range(3, 9):
            writing.put(number, frame_for(GRAY, number))
        writing.commit(9, 1, {}, ())

    with largest_file(room), pytest.raises(UnwritableError, match="made frames cannot be kept"):
        write()
    writing.close()

    again = Segments(folder, GRAY, SIZE)
    assert (again.mark, len(again)) == (3, 3)
    again.put(3, frame_for(GRAY, 3))
    again.commit(4, 1, {}, ())
    assert len(Segments(folder, GRAY, SIZE)) == 4


def test_the_facts_come_back_and_another_form_is_not_ours(folder: Path) -> None:
    assert segments.facts_of(folder) == {"seed": "0"}
    for text in ("", "{}", json.dumps({"format": 99, "facts": {}}), json.dumps({"format": 1})):
        (folder / "manifest.json").write_text(text, encoding="utf-8")
        assert segments.facts_of(folder) is None


def test_a_folder_without_our_manifest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()

    segments.remove(tmp_path / "mine")

    assert names(tmp_path / "mine") == ["thesis.txt"]
