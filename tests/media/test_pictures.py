from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mardini_cli.errors import (
    DamagedMediaError,
    MardiniError,
    MissingFileError,
    NotMediaError,
    ShapeError,
)
from mardini_cli.media.pictures import read_picture, write_png


def gradient() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    y, x = np.mgrid[0:11, 0:17].astype(np.float32)
    return np.stack([x / 16, y / 10, (x + y) / 26], axis=-1)


@pytest.mark.parametrize("depth", [8, 16])
def test_png_comes_back_to_half_a_step(depth: int, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", gradient(), depth)

    again = read_picture(tmp_path / "a.png")

    np.testing.assert_allclose(again, gradient(), atol=0.51 / (2**depth - 1))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_upright(orientation: int, tmp_path: Path) -> None:
    stored = Image.fromarray(np.rint(gradient() * 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", quality=98, subsampling=0, exif=exif)
    back = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }[orientation]
    upright = stored if back is None else stored.transpose(back)

    again = read_picture(tmp_path / "a.jpg")

    np.testing.assert_allclose(again, np.asarray(upright) / 255, atol=0.05)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("L", "a.png"),
        ("P", "a.png"),
        ("RGBA", "a.png"),
        ("CMYK", "a.jpg"),
        ("L", "a.jpg"),
        ("RGB", "a.webp"),
    ],
)
def test_other_kinds_of_pictures_become_rgb(mode: str, name: str, tmp_path: Path) -> None:
    Image.new("RGB", (9, 7), (200, 100, 50)).convert(mode).save(tmp_path / name)

    again = read_picture(tmp_path / name)

    wanted = (200, 100, 50) if mode not in ("L",) else (124, 124, 124)
    np.testing.assert_allclose(again[3, 4] * 255, wanted, atol=6)


def test_what_is_no_picture_ends_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "a.jpg"
    text.write_text("no picture")
    cut = tmp_path / "cut.jpg"
    Image.fromarray(np.rint(gradient() * 255).astype(np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:200])
    bad: list[tuple[Path, type[MardiniError]]] = [
        (tmp_path / "none.png", MissingFileError),
        (tmp_path, NotMediaError),
        (text, DamagedMediaError),
        (cut, DamagedMediaError),
    ]

    for path, kind in bad:
        with pytest.raises(kind):
            read_picture(path)


def test_only_rgb_is_written(tmp_path: Path) -> None:
    with pytest.raises(ShapeError):
        write_png(tmp_path / "a.png", np.zeros((4, 4), np.float32))
