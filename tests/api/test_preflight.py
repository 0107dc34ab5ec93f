"""What stands in the way is told at once, before any work; an input is never written over."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mardini_cli import api, weights
from mardini_cli.api import disk
from mardini_cli.config import sampler_of
from mardini_cli.errors import (
    ConfigError,
    DiskSpaceError,
    EncoderError,
    MardiniError,
    MemoryLimitError,
    MissingFileError,
    MissingWeightsError,
    OutputExistsError,
    OutputIsInputError,
    PreflightError,
    UnwritableError,
    WordsError,
)
from mardini_cli.events import Event, Failed, Finished, OfItem, Skipped
from mardini_cli.pipeline import MakeSettings, memory
from mardini_cli.pipeline.memory import Fit
from tests.pipeline.clips import even_times, picture, write_clip


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


# Memory and disk


def making(task: str, folder: Path, clip: Path, **told: Any) -> Iterator[Event]:
    """Any command that makes frames, of a clip or of a picture."""
    boat = folder / "boat.png"
    Image.fromarray(picture(0, (48, 64))).save(boat)
    common: dict[str, Any] = {"device": "cpu", **told}
    return {
        "interpolate": lambda: api.interpolate(api.InterpolateRequest(clip=clip, **common)),
        "extend": lambda: api.extend(api.ExtendRequest(clip=clip, frames=2, **common)),
        "fill": lambda: api.fill(api.FillRequest(clip=clip, missing="1", **common)),
        "animate": lambda: api.animate(api.AnimateRequest(image=boat, frames=3, **common)),
        "keyframes": lambda: api.keyframes(api.KeyframesRequest(images=(boat, boat), **common)),
    }[task]()


@pytest.mark.parametrize("task", ["interpolate", "extend", "fill", "animate", "keyframes"])
def test_memory_is_among_what_every_command_tells_at_once(
    task: str, clip: Path, nano: str, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"mine")

    wrong = {"output": output, "codec": "ffv1", "memory_limit": "1M"}

    with pytest.raises(PreflightError) as told:
        list(making(task, tmp_path, clip, model=nano, **wrong))

    assert [type(part) for part in told.value.parts] == [
        OutputExistsError,
        EncoderError,
        MemoryLimitError,
    ]
    assert "the weights take" in str(told.value.parts[-1])
    assert output.read_bytes() == b"mine"
    assert {path.name for path in tmp_path.iterdir()} == {"boat.png", "out.mp4", "walk.mkv"}


def test_every_item_of_a_batch_is_told_all_at_once(clip: Path, nano: str, tmp_path: Path) -> None:
    output = clip.with_name("walk.x2.mkv")
    output.write_bytes(b"mine")
    items = [
        api.Item(number=1, request=request(clip, nano, memory_limit="1M")),
        api.Item(number=2, request=request(tmp_path / "gone.mkv", nano, memory_limit="1M")),
    ]

    told = [
        event.event
        for event in api.batch(items, api.BatchSettings(workers=0))
        if isinstance(event, OfItem) and isinstance(event.event, Failed)
    ]

    assert [event.code for event in told] == ["preflight", "missing-file"]
    assert told[0].found.startswith("2 problems: ")
    assert output.read_bytes() == b"mine"


@pytest.mark.parametrize("task", ["interpolate", "extend", "fill", "animate", "keyframes"])
def test_a_window_that_does_not_fit_is_told_before_weights_are_loaded(
    task: str, clip: Path, nano: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the weights with the smallest of windows, and those of this job."""
    monkeypatch.setattr(weights, "load", no_loading)
    config = weights.read_card(Path(nano)).config
    model = memory.sketch(config, torch.float32)
    job = memory.job_of((1, 1), model, (48, 64), MakeSettings(sampler=sampler_of(task)))
    least = memory.weight_bytes(model) + memory.needed(job, Fit(batch=1))

    with pytest.raises(MemoryLimitError, match=r"a window of [3-9] frames of 64x48 takes about"):
        list(making(task, tmp_path, clip, model=nano, memory_limit=f"{least + 1000}"))

    assert {path.name for path in tmp_path.iterdir()} == {"boat.png", "walk.mkv"}


def no_loading(*_: object) -> None:
    raise AssertionError("weights are loaded")


def test_disk_and_memory_of_a_plan_are_told_together(
    clip: Path, nano: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "free_at", lambda _: 50)
    monkeypatch.setattr(memory, "largest_of", lambda _: (4000, 4000))

    error = refused(request(clip, nano, memory_limit="300M"))

    assert [type(part) for part in error.parts] == [DiskSpaceError, MemoryLimitError]


def test_a_full_disk_is_told_beside_what_else_is_wrong(
    clip: Path, nano: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "free_at", lambda _: 0)

    error = refused(request(clip, nano, output=clip.with_name("out.mp4"), codec="ffv1"))

    assert [type(part) for part in error.parts] == [EncoderError, DiskSpaceError]


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
