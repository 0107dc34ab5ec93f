"""Settings as plain values: what goes out comes back, and what means nothing is refused."""

import json
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli import api
from mardini_cli.api.settings import (
    TASKS,
    request_of,
    settings_names,
    settings_of,
    sources_of,
    task_of,
)
from mardini_cli.errors import ConfigError, UsageError

numbers = st.fractions(min_value=Fraction(1, 50), max_value=50, max_denominator=2000)
seconds = st.fractions(min_value=0, max_value=50, max_denominator=2000)
making = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**31),
        "steps": st.integers(0, 25),
        "guidance": st.floats(1, 9, allow_nan=False),
        "crf": st.none() | st.integers(0, 40),
        "codec": st.none() | st.sampled_from(["h264", "ffv1"]),
        "output": st.none() | st.just("out/a b.mkv"),
        "overwrite": st.booleans(),
        "tile": st.sampled_from(["auto", "off", "512"]),
        "batch": st.none() | st.integers(1, 8),
        "memory_limit": st.none() | st.sampled_from(["8G", "900M"]),
        "threads": st.none() | st.integers(1, 8),
        "compile": st.booleans(),
        "compare": st.none() | st.sampled_from(["repeat", "blend"]),
    },
)
own: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "interpolate": st.one_of(
        st.fixed_dictionaries({"fps": numbers, "cuts": st.just("list.txt")}),
        st.fixed_dictionaries({"slow_motion": numbers, "cut_threshold": st.just(0.25)}),
        st.fixed_dictionaries({"factor": st.integers(2, 64), "verify": st.booleans()}),
    ),
    "animate": st.fixed_dictionaries({"fps": numbers, "seconds": numbers}),
    "extend": st.fixed_dictionaries({"frames": st.integers(1, 99), "loop": st.booleans()}),
    "fill": st.fixed_dictionaries({"missing": st.just("3-5"), "damaged": st.none()}),
    "keyframes": st.fixed_dictionaries(
        {"frame": st.dictionaries(seconds.map(str), st.just("a.png"), min_size=2, max_size=5)}
    ),
}


@pytest.mark.parametrize("task", TASKS)
@given(data=st.data())
def test_settings_go_out_as_json_and_come_back_as_the_same_request(
    task: str, data: st.DataObject
) -> None:
    source: Any = [] if task == "keyframes" else "walk.mp4"
    told = {**data.draw(making), **data.draw(own[task])}
    request = request_of(task, source, told, "here")

    plain = json.loads(json.dumps(settings_of(request)))

    assert request_of(task, source, plain, "there") == request
    assert task_of(request) == task


@pytest.mark.parametrize("task", TASKS)
def test_every_field_of_a_request_can_be_set_by_its_name(task: str) -> None:
    request = TASKS[task].request
    sampler = {"steps", "guidance", "seed"}
    away = {"sampler", "at", TASKS[task].source}

    told = set(settings_names(task))

    more = {"frame"} if task == "keyframes" else set()
    assert told == {field.name for field in fields(request)} - away | sampler | more


def test_paths_start_from_a_folder_and_are_told_from_one(tmp_path: Path) -> None:
    (tmp_path / "cuts.txt").touch()
    (tmp_path / "mine").mkdir()
    told = {"output": "out/a.mkv", "cuts": "cuts.txt", "model": "./mine"}

    request = request_of("interpolate", "walk.mp4", told, "here", tmp_path)
    back = settings_of(request, tmp_path)

    assert request.output == tmp_path / "out" / "a.mkv"
    assert (back["output"], back["cuts"], back["model"]) == ("out/a.mkv", "cuts.txt", "mine")
    assert request_of("extend", "a.mp4", {}, "", tmp_path).model == "mardini-tiny"


def test_pictures_of_keyframes_are_its_sources() -> None:
    row = request_of("keyframes", ["a.png", "b.png"], {"between": 3}, "")
    timed = request_of("keyframes", [], {"frame": {"0": "a.png", "2.5": "b.png"}}, "")

    assert sources_of(row) == sources_of(timed) == (Path("a.png"), Path("b.png"))
    assert timed.at[1][0] == Fraction(5, 2)  # type: ignore[attr-defined]  # keyframes have it


@pytest.mark.parametrize(
    ("task", "told", "words"),
    [
        ("interpolat", {}, "jobs: task 'interpolat'; .* did you mean interpolate"),
        ("interpolate", {"facto": 3}, "jobs: unknown flag 'facto'.*did you mean factor"),
        ("interpolate", {"factor": "3"}, "jobs: factor = '3'; needs a whole number"),
        ("interpolate", {"factor": True}, "needs a whole number"),
        ("interpolate", {"factor": 1}, "jobs: factor 1"),
        ("interpolate", {"fps": "fast"}, "jobs: fps 'fast'"),
        ("interpolate", {"verify": 1}, "needs true or false"),
        ("interpolate", {"output": 7}, "needs a path"),
        ("extend", {"seconds": [1]}, "jobs: seconds"),
        ("keyframes", {"frame": "a.png"}, "jobs: frame is no table"),
        ("keyframes", {"frame": {"0": 7}}, "path 7"),
        ("animate", {"steps": -1}, "jobs: steps = -1"),
        ("animate", {"sampler": {}}, "unknown flag 'sampler'"),
    ],
)
def test_what_means_nothing_is_one_line_that_names_its_place(
    task: str, told: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        request_of(task, [] if task == "keyframes" else "a.mp4", told, "jobs")


def test_an_output_and_a_folder_for_it_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match="leave --output or --output-dir out"):
        api.MakeRequest(output=Path("a.mp4"), output_dir=Path("out"))
