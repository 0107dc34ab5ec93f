"""Numbered pictures and y4m: every bit, in order, whole or not at all."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mardini_cli.errors import OutputExistsError, UnwritableError
from mardini_cli.media.encoders import EncodeSettings
from mardini_cli.media.output import check_output
from mardini_cli.media.probe import ClipInfo, probe
from mardini_cli.media.reader import read, rgb
from mardini_cli.media.sequences import open_clip
from mardini_cli.media.writer import Writer
from tests.media.clips import Recipe, make_clip, raw_frames


def written(info: ClipInfo, output: Path) -> None:
    with Writer(output, info, Fraction(1, 25), info.end) as writer:
        for frame in read(info):
            writer.original(frame)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p10le"])
def test_y4m_keeps_every_bit_and_the_rate(pixel_format: str, tmp_path: Path) -> None:
    recipe = Recipe(codec="ffv1", pixel_format=pixel_format, options={})
    info = probe(make_clip(tmp_path / "a.mkv", recipe))

    written(info, tmp_path / "b.y4m")

    assert raw_frames(tmp_path / "a.mkv") == raw_frames(tmp_path / "b.y4m")
    assert probe(tmp_path / "b.y4m").times == info.times


@pytest.mark.parametrize(("pixel_format", "deep"), [("yuv420p", False), ("yuv444p10le", True)])
def test_numbered_pictures_appear_together_and_keep_depth(
    pixel_format: str, deep: bool, tmp_path: Path
) -> None:
    recipe = Recipe(codec="ffv1", pixel_format=pixel_format, options={})
    info = probe(make_clip(tmp_path / "a.mkv", recipe))

    with Writer(tmp_path / "out" / "%04d.png", info, Fraction(1, 25), info.end) as writer:
        for frame in read(info):
            writer.original(frame)
        assert not (tmp_path / "out").exists()

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{number:04d}.png" for number in range(1, 9)
    ]
    source = open_clip(tmp_path / "out", Fraction(25))
    assert source.info.pixel_format == ("rgb48be" if deep else "rgb24")
    step = 1 / (65_535 if deep else 255)
    for before, after in zip(read(info), source.frames(), strict=True):
        assert np.abs(rgb(before, info) - rgb(after, source.info)).max() <= step


def test_a_picture_folder_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mkv"))

    def stopped() -> None:
        with Writer(tmp_path / "out" / "%04d.png", info, Fraction(1, 25), info.end) as writer:
            writer.original(next(read(info)))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()

    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_pictures_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0001.png").write_bytes(b"mine")

    with pytest.raises(OutputExistsError):
        check_output(tmp_path / "out" / "%04d.png", tmp_path / "a.mkv", overwrite=False)
    with pytest.raises(UnwritableError):
        check_output(tmp_path / "no" / "no" / "%04d.png", tmp_path / "a.mkv", overwrite=False)

    check_output(tmp_path / "new" / "%04d.png", tmp_path / "a.mkv", overwrite=False)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("rotation", [90, -90, 180])
@pytest.mark.parametrize(
    ("name", "bake"), [("b.y4m", False), ("b.apng", False), ("b.mkv", True), ("b.mp4", True)]
)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p"])
def test_turned_pixels_are_those_that_a_player_shows(
    name: str, bake: bool, rotation: int, pixel_format: str, tmp_path: Path
) -> None:
    recipe = Recipe(rotation=rotation, pixel_format=pixel_format, aspect=Fraction(2))
    info = probe(make_clip(tmp_path / "a.mp4", recipe))
    settings = EncodeSettings(bake_rotation=bake, lossless=name != "b.apng")

    with Writer(tmp_path / name, info, Fraction(1, 50), info.end, settings) as writer:
        for frame in read(info):
            writer.original(frame)
            writer.made(rgb(frame, info), frame.time + Fraction(1, 50))

    out = probe(tmp_path / name)
    assert out.rotation == 0
    assert (out.width, out.height) == info.upright_size
    if name == "b.mp4":
        assert out.sample_aspect == (Fraction(2) if rotation == 180 else Fraction(1, 2))
    frames = list(read(out))
    for before, after, made in zip(read(info), frames[::2], frames[1::2], strict=True):
        assert np.abs(rgb(before, info) - rgb(after, out)).mean() < 0.004
        assert np.abs(rgb(before, info) - rgb(made, out)).mean() < 0.006
