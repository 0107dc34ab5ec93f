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
from mardini_cli.media.encoders import (
    FFV1,
    KINDS,
    VP9,
    X264,
    EncodeSettings,
    encoder_for,
    layout_for,
    options_of,
)
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
    ("name", "codec", "encoder"),
    [
        ("a.mp4", None, X264),
        ("a.mov", None, X264),
        ("a.mkv", None, X264),
        ("a.webm", None, VP9),
        ("a.mkv", "ffv1", FFV1),
        ("a.mp4", "vp9", VP9),
    ],
)
def test_the_encoder_follows_the_ending_or_the_wish(
    name: str, codec: str | None, encoder: str
) -> None:
    assert encoder_for(Path(name), EncodeSettings(codec=codec)) == encoder


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "h264"), ("a.mp4", "ffv1")])
def test_a_codec_that_the_container_does_not_take_is_refused(name: str, codec: str) -> None:
    with pytest.raises(EncoderError, match=f"does not take {codec}"):
        encoder_for(Path(name), EncodeSettings(codec=codec))


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"codec": "h266"}, {"crf": -1}, {"crf": 64}, {"preset": "placebic"}):
        with pytest.raises(ConfigError):
            EncodeSettings(**wrong)
    with pytest.raises(ConfigError, match="0 to 51"):
        options_of(X264, EncodeSettings(crf=60))


@pytest.mark.parametrize(
    ("encoder", "source", "size", "wanted"),
    [
        (X264, "yuv420p", (64, 48), "yuv420p"),
        (X264, "yuv422p", (64, 47), "yuv422p"),
        (X264, "yuv444p", (63, 47), "yuv444p"),
        (X264, "yuv420p10le", (64, 48), "yuv420p10le"),
        (X264, "yuv420p", (63, 48), "yuv444p"),
        (X264, "yuv420p10le", (64, 47), "yuv444p10le"),
        (X264, "yuv444p12le", (64, 48), "yuv444p10le"),
        (X264, "yuva420p", (64, 48), "yuv420p"),
        (X264, "nv12", (64, 48), "yuv420p"),
        (X264, "rgb24", (64, 48), "yuv420p"),
        (X264, "gray", (64, 48), "yuv420p"),
        (VP9, "yuv420p10le", (63, 47), "yuv420p"),
        (VP9, "yuv420p", (63, 47), "yuv420p"),
        (FFV1, "yuv422p10le", (63, 47), "yuv422p10le"),
        (FFV1, "yuvj420p", (64, 48), "yuv420p"),
        (FFV1, "nv12", (64, 48), "yuv420p"),
        (FFV1, "rgb24", (64, 48), "bgr0"),
        (FFV1, "gbrp10le", (64, 48), "gbrp10le"),
        (FFV1, "gray", (64, 48), "gray"),
    ],
)
def test_the_pixel_format_is_the_sources_or_the_nearest(
    encoder: str, source: str, size: tuple[int, int], wanted: str
) -> None:
    assert layout_for(encoder, LAYOUTS[source], *size).name == wanted
