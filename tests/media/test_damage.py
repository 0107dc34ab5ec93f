"""Bad frames are found, and good ones let be."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from mardini_cli.media.damage import find, unsteady
from mardini_cli.media.probe import probe
from mardini_cli.media.source import ClipSource

Pixels = NDArray[np.uint8]


def moving(count: int = 24) -> list[Pixels]:
    """A texture that runs to the right."""
    texture = np.random.default_rng(5).integers(0, 256, (8, 32), dtype=np.uint8)
    wide = np.kron(texture, np.ones((8, 8), np.uint8))
    return [np.repeat(np.roll(wide, 2 * n, 1)[:, :128, None], 3, 2) for n in range(count)]


def written(path: Path, frames: list[Pixels]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path


def found_in(tmp_path: Path, frames: list[Pixels]) -> dict[str, list[int]]:
    return find(probe(written(tmp_path / "clip.mkv", frames)))


def test_whole_clips_decode_to_the_same_pictures_every_time(tmp_path: Path) -> None:
    """``tests/api/test_proof.py`` has one that does not."""
    assert unsteady(ClipSource(probe(written(tmp_path / "clip.mkv", moving())))) is None


def test_black_frames_between_lit_ones_are_found(tmp_path: Path) -> None:
    frames = moving()
    frames[5] = frames[12] = frames[13] = np.zeros_like(frames[0])

    assert found_in(tmp_path, frames) == {"black frames": [5, 12, 13]}


def test_frames_that_repeat_while_the_clip_moves_are_found(tmp_path: Path) -> None:
    frames = moving()
    frames[9] = frames[8]
    frames[16] = frames[17] = frames[15]

    assert found_in(tmp_path, frames) == {"frozen frames": [9, 16, 17]}


@pytest.mark.parametrize("case", ["still", "fade", "starts and ends at rest", "dark"])
def test_what_is_meant_so_is_let_be(case: str, tmp_path: Path) -> None:
    frames = moving()
    if case == "still":
        frames = [frames[0]] * 24
    elif case == "fade":
        frames = [(f * (1 - n / 23)).astype(np.uint8) for n, f in enumerate(frames)]
    elif case == "starts and ends at rest":
        frames = [frames[0]] * 6 + frames[1:] + [frames[-1]] * 6
    else:
        frames = [f // 32 for f in frames]

    assert found_in(tmp_path, frames) == {}


def test_times_do_not_matter(tmp_path: Path) -> None:
    info = probe(written(tmp_path / "clip.mkv", moving(6)))

    assert info.times[1] > Fraction(0)
    assert find(info) == {}
