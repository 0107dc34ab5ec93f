"""Records and what is made again from them: bit for bit, or told why not."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mardini_cli import api
from mardini_cli.api.settings import request_of, run
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import ConfigError, DiffersError, MardiniError, OutputExistsError
from mardini_cli.events import Event, Recorded, Reproduced, Warned
from tests.pipeline.clips import even_times, picture, write_clip

Change = Callable[[Path], object]


@pytest.fixture
def wish(nano: str, tmp_path: Path) -> api.InterpolateRequest:
    clip = write_clip(tmp_path / "walk.mkv", even_times(4))
    return api.InterpolateRequest(
        clip=clip,
        model=nano,
        device="cpu",
        sampler=SamplerConfig(steps=1, seed=7),
        sidecar=True,
    )


def recorded(request: api.MakeRequest) -> Path:
    return next(event.output for event in run(request) if isinstance(event, Recorded))


def again(record: Path, **how: Any) -> list[Event]:
    return list(api.rerun(api.RerunRequest(record=record, **how)))


@pytest.mark.parametrize("ending", ["mkv", "mp4", "webm", "gif"])
def test_a_result_is_made_again_bit_for_bit(
    ending: str, wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    first = tmp_path / f"walk.x2.{ending}"

    events = again(recorded(replace(wish, output=first)))

    second = tmp_path / f"walk.x2.rerun.{ending}"
    assert first.read_bytes() == second.read_bytes()
    assert isinstance(events[-1], Reproduced)
    assert events[-1].same
    assert not [event for event in events if isinstance(event, Warned) and event.code == "differs"]


@pytest.mark.parametrize("task", ["animate", "extend", "fill", "keyframes", "timed", "sequence"])
def test_every_task_can_be_made_again(task: str, nano: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "walk.mkv", even_times(6))
    (tmp_path / "shots").mkdir()
    for name, number in (("a.png", 0), ("shots/1.png", 0), ("shots/2.png", 4), ("b.png", 4)):
        Image.fromarray(picture(number, (48, 64))).save(tmp_path / name)
    pair = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    tasks: dict[str, tuple[str, Any, dict[str, Any]]] = {
        "animate": ("animate", pair[0], {"frames": 3, "variations": 2, "steps": 1}),
        "extend": ("extend", tmp_path / "walk.mkv", {"frames": 2}),
        "fill": ("fill", tmp_path / "walk.mkv", {"missing": "2"}),
        "keyframes": ("keyframes", pair, {"between": 2}),
        "timed": ("keyframes", [], {"frame": {"0": pair[0], "0.25": pair[1]}}),
        "sequence": ("interpolate", tmp_path / "shots", {"input_fps": 12}),
    }
    name, source, settings = tasks[task]
    wish = {**settings, "model": nano, "device": "cpu", "sidecar": True}
    records = [
        event.output
        for event in run(request_of(name, source, wish, "here"))
        if isinstance(event, Recorded)
    ]

    for record in records:
        again_at = tmp_path / f"again{record.with_suffix('').suffix}"
        events = again(record, output=again_at, overwrite=True)

        assert isinstance(events[-1], Reproduced)
        assert events[-1].same
    assert len(records) == (2 if task == "animate" else 1)


def test_the_record_tells_what_went_in_and_came_out(wish: api.InterpolateRequest) -> None:
    told = json.loads(recorded(wish).read_text(encoding="utf-8"))

    assert (told["task"], told["settings"]["seed"], told["settings"]["steps"]) == (
        "interpolate",
        7,
        1,
    )
    assert [one["beside"] for one in told["inputs"]] == ["walk.mkv"]
    assert told["result"]["beside"] == "walk.x2.mkv"
    assert told["result"]["size"] == wish.clip.with_name("walk.x2.mkv").stat().st_size
    assert told["verified"]["passed"]
    assert len(told["weights"]["sha256"]) == 64
    assert told["machine"]["device"] == "cpu"


def test_a_record_moves_with_its_clip_and_result(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    record = recorded(wish)
    (tmp_path / "moved").mkdir()
    for path in (wish.clip, record):
        shutil.move(path, tmp_path / "moved")

    events = again(tmp_path / "moved" / record.name)

    assert isinstance(events[-1], Reproduced)
    assert (tmp_path / "moved" / "walk.x2.rerun.mkv").is_file()


def test_another_input_ends_the_work_unless_it_is_allowed(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    record = recorded(wish)
    write_clip(wish.clip, even_times(5))
    output = tmp_path / "again.mkv"

    with pytest.raises(DiffersError, match=r"not as it was: .*walk\.mkv has SHA-256"):
        again(record, output=output)
    assert not output.exists()

    with pytest.raises(DiffersError, match=r"again\.mkv has SHA-256"):
        again(record, output=output, anyway=True)
    assert output.exists()


def test_other_weights_end_the_work(
    wish: api.InterpolateRequest, nano: str, tmp_path: Path
) -> None:
    mine = shutil.copytree(nano, tmp_path / "mine")
    record = recorded(replace(wish, model=str(mine)))
    card = mine / "config.json"
    card.write_text(card.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    with pytest.raises(DiffersError, match=r"weights .*mine have digest"):
        again(record)


def test_another_version_is_told_before_the_work(wish: api.InterpolateRequest) -> None:
    record = recorded(wish)
    told = json.loads(record.read_text(encoding="utf-8"))
    told["machine"]["torch"] = "1.0.0"
    record.write_text(json.dumps(told), encoding="utf-8")

    events = again(record)

    assert isinstance(events[0], Warned)
    assert events[0].message.startswith("torch was 1.0.0, is ")


def test_nothing_is_overwritten_unasked(wish: api.InterpolateRequest) -> None:
    record = recorded(wish)
    again(record)

    with pytest.raises(OutputExistsError, match=r"walk\.x2\.rerun\.mkv"):
        again(record)
    wish.clip.with_name("walk.x2.mkv").unlink()
    with pytest.raises(OutputExistsError, match=r"walk\.x2\.mkv\.json"):
        list(run(wish))


def test_another_container_is_refused(wish: api.InterpolateRequest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.mkv"):
        again(recorded(wish), output=tmp_path / "again.mp4")


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_place_without_a_name_is_refused_with_one(
    name: str, wish: api.InterpolateRequest
) -> None:
    record = recorded(wish)

    with pytest.raises(ConfigError, match=r"try -o again\.mkv"):
        again(record, output=Path(name))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("{}", "it has no form 1"),
        ('{"record": 2}', "it has no form 1"),
        ('{"record": 1}', "it lacks 'settings'"),
        ('{"record": 1, "settings": [], "verified": null}', "it lacks"),
    ],
)
def test_what_is_no_record_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=words) as told:
        again(path)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["task", "settings", "inputs", "sources", "weights", "machine"])
def test_a_record_that_was_tampered_with_is_one_line(
    name: str, wish: api.InterpolateRequest
) -> None:
    record = recorded(wish)
    told = json.loads(record.read_text(encoding="utf-8"))

    odds: list[Any] = [None, 7, "x", [], {}, [{}], {"a": 1}]
    for odd in odds:
        record.write_text(json.dumps({**told, name: odd}), encoding="utf-8")
        with pytest.raises(MardiniError):
            again(record)


def test_a_record_of_a_name_that_no_file_can_have_is_one_line(
    wish: api.InterpolateRequest,
) -> None:
    record = recorded(wish)
    told = json.loads(record.read_text(encoding="utf-8"))
    told["result"]["path"] = "a\0b.mkv"
    record.write_text(json.dumps(told), encoding="utf-8")

    with pytest.raises(ConfigError, match="holds a NUL"):
        again(record)


def test_a_pipe_has_no_record(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        api.InterpolateRequest(clip=Path("-"), output=tmp_path / "a.mp4", sidecar=True)
    with pytest.raises(ConfigError):
        api.InterpolateRequest(clip=tmp_path / "a.mp4", output=Path("-"), sidecar=True)
