"""Pictures as a source: every kind comes in upright, opaque and at its own depth."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from mardini_cli.errors import ConfigError, InputError, MissingFileError
from mardini_cli.media import planes
from mardini_cli.media.colour import Colour
from mardini_cli.media.pictures import write_png
from mardini_cli.media.reader import rgb
from mardini_cli.media.stills import background_of, fitted, load, stills

STEP = Fraction(1, 8)


def codes(rows: int = 6, columns: int = 9) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def saved(path: Path, picture: Image.Image, **settings: object) -> Path:
    picture.save(path, **settings)  # type: ignore[arg-type]  # Pillow's settings vary by format
    return path


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm"])
def test_a_picture_of_eight_bits_comes_in_as_it_is(ending: str, tmp_path: Path) -> None:
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(codes()))

    still = load(path)

    assert still.depth == 8
    assert_array_equal(np.rint(still.pixels * 255), codes())


def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).random((5, 4, 3), dtype=np.float32)
    write_png(tmp_path / "deep.png", picture, depth=16)

    source = stills([tmp_path / "deep.png"], [Fraction(0)], STEP)
    (frame,) = source.frames()

    assert source.info.pixel_format == "rgb48le"
    assert np.abs(rgb(frame, source.info) - picture).max() < 1e-5


def test_exif_orientation_is_followed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    picture = Image.fromarray(np.repeat(codes()[:1], 16, 0).repeat(16, 1))
    path = saved(tmp_path / "turned.jpg", picture, exif=exif, quality=95)

    assert load(path).size == (16, 144)


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_transparency_is_laid_on_the_background(ending: str, tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:8] = (255, 0, 0, 255)
    path = saved(tmp_path / f"clear.{ending}", Image.fromarray(pixels), lossless=True)

    still = load(path, "#0000ff")

    assert_array_equal(np.rint(still.pixels[0, 0] * 255), [255, 0, 0])
    assert_array_equal(np.rint(still.pixels[-1, 0] * 255), [0, 0, 255])


def test_palette_gray_and_cmyk_become_rgb(tmp_path: Path) -> None:
    whole = Image.fromarray(codes(32, 32))
    palette = load(saved(tmp_path / "p.png", whole.quantize(16)))
    gray = load(saved(tmp_path / "g.png", whole.convert("L")))
    cmyk = load(saved(tmp_path / "c.jpg", whole.convert("CMYK"), quality=95))

    assert {still.pixels.shape for still in (palette, gray, cmyk)} == {(32, 32, 3)}
    assert_array_equal(gray.pixels[..., 0], gray.pixels[..., 2])
    assert abs(float(cmyk.pixels.mean()) - codes(32, 32).mean() / 255) < 0.05


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_pictures_of_other_sizes_are_fitted_to_the_first(fit: str, tmp_path: Path) -> None:
    first = saved(tmp_path / "a.png", Image.new("RGB", (40, 20), "white"))
    second = saved(tmp_path / "b.png", Image.new("RGB", (10, 10), "white"))

    source = stills([first, second], [Fraction(0), Fraction(1)], STEP, fit, "black")  # type: ignore[arg-type]  # parametrized
    _, frame = source.frames()

    picture = rgb(frame, source.info)
    assert picture.shape == (20, 40, 3)
    assert picture[10, 20].min() > 0.99
    assert picture[10, 0].max() < 0.01 if fit == "pad" else picture.min() > 0.99


def test_other_sizes_without_a_way_to_fit_are_refused() -> None:
    still = planes.rgb_of(
        planes.frame_from_rgb(np.ones((4, 4, 3), np.float32), planes.LAYOUTS["rgb24"], Colour()),
        Colour(),
    )
    from mardini_cli.media.stills import Still

    with pytest.raises(ConfigError, match="--fit"):
        fitted(Still(still, 8), (5, 4), None, "black")


def test_one_pixel_is_a_picture(tmp_path: Path) -> None:
    assert load(saved(tmp_path / "dot.png", Image.new("RGB", (1, 1), "red"))).size == (1, 1)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("not a picture")
    whole = saved(tmp_path / "whole.jpg", Image.fromarray(codes(64, 64)))
    (tmp_path / "half.jpg").write_bytes(whole.read_bytes()[:700])

    with pytest.raises(MissingFileError):
        load(tmp_path / "none.png")
    for name in ("words.png", "half.jpg"):
        with pytest.raises(InputError):
            load(tmp_path / name)
    with pytest.raises(ConfigError):
        background_of("no such colour")
