"""The commands of the tasks: flags and defaults, and one run of each as a person types it."""

import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from mardini_cli import api
from mardini_cli.cli import animate, extend, fill, interpolate
from mardini_cli.cli.app import app
from mardini_cli.cli.options import auto_or_number, rational
from mardini_cli.cli.several import Several
from mardini_cli.errors import UsageError
from tests.pipeline.clips import even_times, picture, write_clip

ANSWERS = {"json", "quiet", "log_file"}


def ran(*words: object) -> list[Any]:
    """Run a command line, and read its JSON lines."""
    result = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("words", ["interpolate", "animate", "extend", "fill --missing 1"])
def test_json_and_a_film_do_not_share_standard_output(words: str) -> None:
    result = CliRunner().invoke(app, [*words.split(), "in.mkv", "--json", "-o", "-"])

    assert isinstance(result.exception, UsageError)
    assert "JSON and a film" in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("command", "requests", "inputs"),
    [
        (interpolate.interpolate, [interpolate.DEFAULTS, interpolate.KEYFRAMES], {"clips"}),
        (animate.animate, [animate.DEFAULTS], {"images"}),
        (extend.extend, [extend.DEFAULTS], {"clips"}),
        (fill.fill, [fill.DEFAULTS], {"clips"}),
    ],
)
def test_flags_have_the_names_and_defaults_of_the_api(
    command: Callable[..., None], requests: list[api.MakeRequest], inputs: set[str]
) -> None:
    """A flag bears its field's name; the sampler's fields are flags of their own."""
    flags = {n: p.default for n, p in inspect.signature(command).parameters.items()}
    wanted = {f.name: getattr(r, f.name) for r in requests for f in fields(r)}
    wanted |= {f.name: getattr(Several(), f.name) for f in fields(Several)}
    sampler = wanted.pop("sampler")
    wanted |= {name: getattr(sampler, name) for name in ("steps", "guidance", "seed")}
    for name in ("clip", "image", "images", "at", *inputs, *ANSWERS):
        wanted.pop(name, None)
        flags.pop(name, None)
    flags.pop("frame", None)
    if command is interpolate.interpolate:  # a clip keeps its own rate, pictures have none
        wanted["fps"] = None
    if command is fill.fill:  # one of three must be named: none is a default
        flags["damaged"] = wanted["damaged"]

    assert flags == wanted


def test_interpolate_and_keyframes_are_sampled_alike() -> None:
    """They share flags, so they cannot differ in defaults."""
    assert interpolate.DEFAULTS.sampler == interpolate.KEYFRAMES.sampler


def test_a_picture_becomes_a_clip(nano: str, tmp_path: Path) -> None:
    Image.fromarray(picture(0, (48, 64))).save(tmp_path / "boat.png")

    told = ran("animate", tmp_path / "boat.png", "--frames", 3, "--steps", 1, "--model", nano)

    assert told[0]["task"] == "animate"
    assert (told[-1]["frames"], told[-1]["made"]) == (3, 2)
    assert (tmp_path / "boat.animate.mp4").is_file()


def test_pictures_are_keyframes_and_times_can_be_told(nano: str, tmp_path: Path) -> None:
    names = [tmp_path / "a.png", tmp_path / "b.png"]
    for number, name in enumerate(names):
        Image.fromarray(picture(number * 4, (48, 64))).save(name)

    row = ran("interpolate", *names, "--between", 2, "--model", nano)
    timed = [f"--frame={time}={name}" for time, name in zip(("0", "0.5"), names, strict=True)]
    at = ran("interpolate", *timed, "--fps", 8, "--model", nano, "--overwrite")

    assert (row[0]["task"], row[-1]["frames"]) == ("keyframes", 4)
    assert (at[0]["task"], at[-1]["frames"]) == ("keyframes", 5)


def test_a_clip_is_extended_and_filled(nano: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk.mkv", even_times(6))

    longer = ran("extend", clip, "--frames", 3, "--direction", "both", "--model", nano)
    filled = ran("fill", clip, "--missing", "2-3", "--model", nano)

    assert next(e for e in longer if e["event"] == "finished")["frames"] == 12
    assert [e["event"] for e in longer].count("joined") == 2
    assert (filled[-1]["frames"], filled[-1]["made"]) == (6, 2)


@pytest.mark.parametrize("command", ["animate", "extend", "fill", "interpolate"])
def test_help_teaches_with_an_example(command: str) -> None:
    answer = CliRunner().invoke(app, [command, "--help"])

    assert f"Example: mardini {command}" in answer.output


def test_numbers_are_read_as_people_write_them() -> None:
    assert rational("24000/1001") == Fraction(24000, 1001)
    assert auto_or_number("auto") is None
    assert auto_or_number("4") == 4
    for wrong in ("x", "1/0", ""):
        with pytest.raises(UsageError):
            rational(wrong)
    with pytest.raises(UsageError):
        auto_or_number("many")


@pytest.mark.parametrize("words", [["--frame", "a.png"], ["--frame", "x=a.png"], []])
def test_wrong_words_for_keyframes_end_in_one_line(words: list[str]) -> None:
    with pytest.raises(UsageError):
        CliRunner().invoke(app, ["interpolate", *words], catch_exceptions=False)
