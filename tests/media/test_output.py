from pathlib import Path

import pytest

from mardini_cli.errors import (
    ConfigError,
    EncoderError,
    MardiniError,
    OutputExistsError,
    OutputIsInputError,
    UnwritableError,
)
from mardini_cli.media.containers import KINDS, PICTURES
from mardini_cli.media.encoders import ENCODERS, Content, EncodeSettings, codec_for, options_of
from mardini_cli.media.layouts import asked_layout, layout_for
from mardini_cli.media.output import check_output
from mardini_cli.media.planes import LAYOUTS


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.mp4"
    path.write_bytes(b"pictures")
    return path


def refused(output: Path, source: Path, kind: type[MardiniError]) -> str:
    before = sorted(output.parent.glob("**/*")) if output.parent.is_dir() else []
    with pytest.raises(kind) as caught:
        check_output(output, source, overwrite=False)
    after = sorted(output.parent.glob("**/*")) if output.parent.is_dir() else []
    assert before == after
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("ending", sorted(KINDS))
def test_a_free_name_in_a_folder_is_fine_and_leaves_nothing(
    ending: str, source: Path, tmp_path: Path
) -> None:
    check_output(tmp_path / f"result{ending}", source, overwrite=False)

    assert list(tmp_path.iterdir()) == [source]


def test_endings_are_read_in_any_case(source: Path, tmp_path: Path) -> None:
    check_output(tmp_path / "result.MP4", source, overwrite=False)


def test_an_existing_file_is_kept_unless_told(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "result.mp4"
    output.write_bytes(b"old")

    assert "exists already" in refused(output, source, OutputExistsError)
    check_output(output, source, overwrite=True)
    assert output.read_bytes() == b"old"


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_input_is_never_overwritten(overwrite: bool, source: Path, tmp_path: Path) -> None:
    linked, hard = tmp_path / "linked.mp4", tmp_path / "hard.mp4"
    linked.symlink_to(source)
    hard.hardlink_to(source)
    (tmp_path / "folder").symlink_to(tmp_path)

    for output in (source, linked, hard, tmp_path / "folder" / "source.mp4"):
        with pytest.raises(OutputIsInputError):
            check_output(output, source, overwrite)


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.wav", "a.m4a", "a.png", "a.mp3"])
def test_endings_that_hold_no_film_are_refused(name: str, source: Path, tmp_path: Path) -> None:
    assert "no film" in refused(tmp_path / name, source, EncoderError)


def test_places_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    refused(tmp_path / "missing" / "a.mp4", source, UnwritableError)
    refused(source / "a.mp4", source, UnwritableError)
    (tmp_path / "folder.mp4").mkdir()
    refused(tmp_path / "folder.mp4", source, UnwritableError)
    if Path("/proc/self").is_dir():  # where not even root may write
        with pytest.raises(UnwritableError):
            check_output(Path("/proc/a.mp4"), source, overwrite=False)


@pytest.mark.parametrize(
    ("name", "codec", "wanted"),
    [
        ("a.mp4", None, "h264"),
        ("a.mov", None, "h264"),
        ("a.mkv", None, "h264"),
        ("a.webm", None, "vp9"),
        ("a.gif", None, "gif"),
        ("a.mkv", "ffv1", "ffv1"),
        ("a.mp4", "vp9", "vp9"),
        ("a.mp4", "h265", "hevc"),
    ],
)
def test_the_codec_follows_the_ending_or_the_wish(
    name: str, codec: str | None, wanted: str
) -> None:
    assert codec_for(Path(name), EncodeSettings(codec=codec)) == wanted


DEEP, CLEAR = Content(depth=10), Content(transparent=True)


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.mp4", DEEP, "hevc"),
        ("a.webm", DEEP, "av1"),
        ("a.mov", Content(codec="prores", depth=10), "prores"),
        ("a.mp4", Content(codec="prores", depth=10), "hevc"),
        ("a.mov", CLEAR, "prores"),
        ("a.mkv", CLEAR, "vp9"),
        ("a.webm", CLEAR, "vp9"),
        ("a.mp4", CLEAR, "h264"),
        ("a.mkv", Content(depth=12, transparent=True), "prores"),
    ],
)
def test_the_codec_keeps_what_the_source_has_if_the_container_can(
    name: str, content: Content, wanted: str
) -> None:
    assert codec_for(Path(name), EncodeSettings(), content) == wanted


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [("a.mkv", DEEP, "ffv1"), ("a.mp4", Content(), "h264"), ("a.mp4", DEEP, "hevc")],
)
def test_lossless_takes_a_codec_that_can(name: str, content: Content, wanted: str) -> None:
    assert codec_for(Path(name), EncodeSettings(lossless=True), content) == wanted


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "h264"), ("a.mp4", "ffv1")])
def test_a_codec_that_the_container_does_not_take_is_refused(name: str, codec: str) -> None:
    with pytest.raises(EncoderError, match=f"does not take {codec}"):
        codec_for(Path(name), EncodeSettings(codec=codec))


def test_settings_out_of_range_are_refused() -> None:
    for wrong in (
        {"codec": "h266"},
        {"crf": -1},
        {"crf": 64},
        {"preset": "placebic"},
        {"bitrate": "fast"},
        {"bitrate": "8M", "crf": 20},
    ):
        with pytest.raises(ConfigError):
            EncodeSettings(**wrong)


@pytest.mark.parametrize(
    ("codec", "settings"),
    [
        ("h264", EncodeSettings(crf=60)),
        ("ffv1", EncodeSettings(crf=10)),
        ("av1", EncodeSettings(preset="slow")),
        ("prores", EncodeSettings(bitrate="8M")),
        ("av1", EncodeSettings(lossless=True)),
    ],
)
def test_what_a_codec_cannot_do_is_refused(codec: str, settings: EncodeSettings) -> None:
    with pytest.raises(ConfigError):
        options_of(codec, settings)


def test_a_bit_rate_takes_the_place_of_a_quality() -> None:
    options = options_of("h264", EncodeSettings(bitrate="1.5M"))

    assert options["b"] == "1500000"
    assert "crf" not in options


@pytest.mark.parametrize(
    ("codec", "source", "size", "wanted"),
    [
        ("h264", "yuv420p", (64, 48), "yuv420p"),
        ("h264", "yuv422p", (64, 47), "yuv422p"),
        ("h264", "yuv444p", (63, 47), "yuv444p"),
        ("h264", "yuv420p10le", (64, 48), "yuv420p10le"),
        ("h264", "yuv420p", (63, 48), "yuv444p"),
        ("h264", "yuv420p10le", (64, 47), "yuv422p10le"),
        ("h264", "yuv444p12le", (64, 48), "yuv444p10le"),
        ("h264", "yuva420p", (64, 48), "yuv420p"),
        ("h264", "yuvj420p", (64, 48), "yuvj420p"),
        ("h264", "yuv440p", (64, 48), "yuv444p"),
        ("h264", "nv12", (64, 48), "yuv420p"),
        ("h264", "rgb24", (64, 48), "yuv420p"),
        ("h264", "gray", (64, 48), "yuv420p"),
        ("hevc", "yuv422p10le", (64, 48), "yuv422p10le"),
        ("hevc", "rgb48le", (64, 48), "yuv420p12le"),
        ("hevc", "yuv420p", (427, 239), "yuv444p"),
        ("av1", "yuv422p10le", (63, 47), "yuv420p10le"),
        ("vp9", "yuv420p10le", (63, 47), "yuv420p"),
        ("vp9", "yuv420p", (63, 47), "yuv420p"),
        ("prores", "yuv420p", (64, 48), "yuv422p10le"),
        ("prores", "yuv444p12le", (64, 48), "yuv444p10le"),
        ("ffv1", "yuv422p10le", (63, 47), "yuv422p10le"),
        ("ffv1", "yuvj420p", (64, 48), "yuv420p"),
        ("ffv1", "nv12", (64, 48), "yuv420p"),
        ("ffv1", "rgb24", (64, 48), "bgr0"),
        ("ffv1", "gbrp10le", (64, 48), "gbrp10le"),
        ("ffv1", "gray", (64, 48), "gray"),
        ("gif", "yuv420p", (64, 48), "rgb24"),
        ("apng", "yuv420p10le", (64, 48), "rgb48le"),
        ("h264_nvenc", "yuv420p10le", (64, 48), "p010le"),
    ],
)
def test_the_pixel_format_is_the_sources_or_the_nearest(
    codec: str, source: str, size: tuple[int, int], wanted: str
) -> None:
    assert layout_for(codec, LAYOUTS[source], size, transparent=False).name == wanted


@pytest.mark.parametrize(
    ("codec", "source", "wanted"),
    [
        ("vp9", "yuva420p", "yuva420p"),
        ("vp9", "rgba", "yuva420p"),
        ("prores", "yuva444p12le", "yuva444p10le"),
        ("ffv1", "rgba", "bgra"),
        ("ffv1", "yuva422p10le", "yuva422p10le"),
        ("webp", "bgra", "yuva420p"),
        ("apng", "yuva420p", "rgba"),
        ("h264", "yuva420p", "yuv420p"),
    ],
)
def test_transparency_goes_where_the_encoder_takes_it(codec: str, source: str, wanted: str) -> None:
    assert layout_for(codec, LAYOUTS[source], (64, 48), transparent=True).name == wanted


def test_lossless_rgb_stays_rgb_or_whole_in_colour() -> None:
    for codec, wanted in (("h264", "yuv444p"), ("webp", "bgra"), ("ffv1", "bgr0")):
        found = layout_for(codec, LAYOUTS["rgb24"], (64, 48), transparent=False, lossless=True)
        assert found.name == wanted


def test_a_pixel_format_can_be_asked_for_and_refused() -> None:
    assert asked_layout("h264", "yuv444p10le", (64, 48)).name == "yuv444p10le"
    for name, size in (("yuva420p", (64, 48)), ("yuv420p", (63, 48))):
        with pytest.raises(EncoderError, match="leave --pix-fmt out"):
            asked_layout("h264", name, size)


def test_every_codec_has_a_file_to_go_into() -> None:
    homes = {codec for kind in (*KINDS.values(), PICTURES) for codec in kind.codecs}

    assert homes == set(ENCODERS)
