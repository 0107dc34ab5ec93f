"""What stands in the way is told at once, before any work; an input is never written over."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mardini_cli import api
from mardini_cli.errors import (
    ConfigError,
    EncoderError,
    MardiniError,
    MissingFileError,
    MissingWeightsError,
    OutputExistsError,
    OutputIsInputError,
    PreflightError,
    UnwritableError,
    WordsError,
)
from mardini_cli.events import Event, Finished, Skipped
from tests.pipeline.clips import even_times, nano_weights, picture, write_clip


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(nano_weights(tmp_path_factory.mktemp("weights") / "nano"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "walk.mkv", even_times(3))


def request(clip: Path, nano: str, **told: Any) -> api.InterpolateRequest:
    return api.InterpolateRequest(**{"clip": clip, "model": nano, "device": "cpu", **told})


def refused(request: api.InterpolateRequest) -> MardiniError:
    with pytest.raises(MardiniError) as error:
        list(api.interpolate(request))
    return error.value


def test_all_that_stands_in_the_way_is_told_at_once(tmp_path: Path) -> None:
    error = refused(
        request(
            tmp_path / "gone.mkv",
            "colossal",
            output=tmp_path / "nowhere" / "out.mkv",
            cuts=str(tmp_path / "gone.txt"),
        )
    )

    assert isinstance(error, PreflightError)
    assert [type(part) for part in error.parts] == [
        MissingFileError,
        MissingFileError,
        UnwritableError,
        MissingWeightsError,
    ]
    assert error.exit_code == 1
    assert error.found.startswith("4 problems: ")


def test_place_and_encoder_are_told_beside_each_other(clip: Path, nano: str) -> None:
    clip.with_name("out.mp4").touch()

    error = refused(request(clip, nano, output=clip.with_name("out.mp4"), codec="ffv1"))

    assert [type(part) for part in error.parts] == [OutputExistsError, EncoderError]


def test_wrong_words_alone_are_wrong_words(clip: Path, nano: str) -> None:
    error = refused(request(clip, nano, codec="mpeg9", device="abacus", dtype="int3"))

    assert isinstance(error, WordsError)
    assert len(error.parts) == 2  # an unknown device has no number types
    assert error.exit_code == 2


def test_one_problem_is_told_as_itself(clip: Path, nano: str) -> None:
    assert type(refused(request(clip, nano, codec="mpeg9"))) is ConfigError


def test_pictures_that_are_missing_are_all_told(tmp_path: Path, nano: str) -> None:
    paths = tuple(tmp_path / f"{n}.png" for n in range(3))
    Image.fromarray(picture(0, (48, 64))).save(paths[1])

    with pytest.raises(PreflightError) as error:
        list(api.keyframes(api.KeyframesRequest(images=paths, model=nano, device="cpu")))

    assert [str(paths[0]) in str(p) or str(paths[2]) in str(p) for p in error.value.parts] == [
        True,
        True,
    ]


# An input is never written over


def linked(clip: Path, way: str) -> Path:
    """Another name of the clip. A hard link is what another case is on some file systems."""
    other = clip.with_name("WALK.mkv")
    if way == "hard":
        os.link(clip, other)
    else:
        other.symlink_to(clip if way == "soft" else clip.name)
    return other


@pytest.mark.parametrize("way", ["hard", "soft", "relative"])
def test_a_result_over_the_input_is_refused_whatever_it_is_called(
    way: str, clip: Path, nano: str
) -> None:
    before = clip.read_bytes()

    error = refused(request(clip, nano, output=linked(clip, way), overwrite=True))

    assert isinstance(error, OutputIsInputError)
    assert clip.read_bytes() == before


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ({"preview": True}, "out.preview.png"),
        ({"compare": "blend"}, "out.compare.mkv"),
        ({"write_cuts": Path("cuts.txt")}, "cuts.txt"),
    ],
)
def test_what_is_written_beside_a_result_is_never_the_input(
    told: dict[str, Any],
    taken: str,
    clip: Path,
    nano: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(clip.parent)
    source = clip.rename(taken)

    error = refused(
        request(Path(source.name), nano, output=Path("out.mkv"), overwrite=True, **told)
    )

    assert isinstance(error, OutputIsInputError)


def test_numbered_pictures_are_not_written_over_the_pictures_that_are_read(
    tmp_path: Path, nano: str
) -> None:
    for number in range(3):
        Image.fromarray(picture(number, (48, 64))).save(tmp_path / f"A{number:03d}.PNG")

    error = refused(request(tmp_path, nano, output=tmp_path / "a%03d.png", overwrite=True))

    assert isinstance(error, OutputIsInputError)


# A result that stands already


def test_a_result_that_is_there_is_left_alone_where_that_is_asked_for(
    clip: Path, nano: str
) -> None:
    output = clip.with_name("out.mkv")
    output.write_bytes(b"mine")
    clip.unlink()  # not even the input is looked at

    events: list[Event] = list(
        api.interpolate(request(clip, nano, output=output, skip_existing=True))
    )

    assert events == [Skipped(output=output)]
    assert output.read_bytes() == b"mine"


def test_a_result_that_is_not_there_is_made(clip: Path, nano: str) -> None:
    events = list(api.interpolate(request(clip, nano, skip_existing=True)))

    assert any(isinstance(event, Finished) for event in events)


def test_only_the_variations_that_lack_are_made(tmp_path: Path, nano: str) -> None:
    boat = tmp_path / "boat.png"
    Image.fromarray(picture(0, (48, 64))).save(boat)
    (tmp_path / "boat.animate.seed1.mp4").write_bytes(b"mine")
    asked = api.AnimateRequest(
        image=boat, variations=3, model=nano, device="cpu", frames=3, skip_existing=True
    )

    list(api.animate(replace(asked, sampler=replace(asked.sampler, steps=0))))

    assert (tmp_path / "boat.animate.seed1.mp4").read_bytes() == b"mine"
    assert (tmp_path / "boat.animate.seed2.mp4").exists()


def test_leaving_and_replacing_do_not_go_together(clip: Path, nano: str) -> None:
    with pytest.raises(ConfigError, match="skip-existing"):
        request(clip, nano, skip_existing=True, overwrite=True)
