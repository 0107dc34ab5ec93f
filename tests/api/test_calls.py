"""The tasks as functions: names and defaults of the flags, and the same files."""

import dataclasses
import inspect
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from typer.testing import CliRunner

import mardini_cli
from mardini_cli import MarDini
from mardini_cli.api import calls
from mardini_cli.cli import animate, extend, fill, interpolate
from mardini_cli.cli.app import app
from mardini_cli.cli.several import Several
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import ShapeError, UsageError
from mardini_cli.events import Event, Planned
from mardini_cli.tasks.interpolate import interpolate as plan_of
from tests.pipeline.clips import even_times, picture, read_back, write_clip

SCREEN = {"json", "quiet", "log_file", "dry_run", "show_plan"}
"""Flags that are about telling, which functions do by ``on_event``."""


@pytest.mark.parametrize(
    ("command", "flags", "others"),
    [
        (interpolate.interpolate, calls.Interpolating, {"clips"}),
        (animate.animate, calls.Animating, {"images", "variations"}),
        (extend.extend, calls.Extending, {"clips"}),
        (fill.fill, calls.Filling, {"clips"}),
    ],
)
def test_functions_take_the_flags_of_their_command(
    command: Callable[..., None], flags: Any, others: set[str]
) -> None:
    several = {field.name for field in dataclasses.fields(Several)} - {"output_dir"}
    wanted = set(inspect.signature(command).parameters) - SCREEN - others - several

    assert set(get_type_hints(flags)) == wanted


def test_a_function_and_its_command_write_the_same_frames(nano: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk.mkv", even_times(4))
    words = ["--factor", "3", "--codec", "ffv1", "--steps", "1", "--seed", "5", "--model", nano]

    CliRunner().invoke(
        app,
        ["interpolate", str(clip), "-o", str(tmp_path / "a.mkv"), *words],
        catch_exceptions=False,
    )
    told: list[Event] = []
    result = mardini_cli.interpolate(
        clip,
        output=tmp_path / "b.mkv",
        factor=3,
        codec="ffv1",
        steps=1,
        seed=5,
        model=nano,
        on_event=told.append,
    )

    assert read_back(tmp_path / "a.mkv") == read_back(result.output)
    assert isinstance(told[0], Planned)


def test_every_task_is_a_function(nano: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk.mkv", even_times(6))
    for number, name in enumerate("ab"):
        Image.fromarray(picture(number * 4, (48, 64))).save(tmp_path / f"{name}.png")
    still = tmp_path / "a.png"

    counts = [
        mardini_cli.animate(still, seconds=0.5, steps=1, model=nano).frames,
        mardini_cli.extend(clip, frames=2, model=nano).frames,
        mardini_cli.fill(str(clip), missing="2", model=nano).frames,
        mardini_cli.interpolate(still, tmp_path / "b.png", between=2, model=nano).frames,
        mardini_cli.interpolate(
            frame={0: still, 0.5: tmp_path / "b.png"}, fps=8, model=nano, overwrite=True
        ).frames,
    ]

    assert counts == [4, 8, 6, 4, 5]


def test_wrong_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown flag 'speed'"):
        mardini_cli.extend(tmp_path / "a.mp4", speed=2)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="fps 'fast'"):
        mardini_cli.animate(tmp_path / "a.png", fps="fast")
    with pytest.raises(UsageError, match="no input"):
        mardini_cli.interpolate()


def test_a_notebook_gets_frames_and_gives_frames(nano: str) -> None:
    model = MarDini.from_pretrained(nano)
    given = [picture(4 * n, (36, 50)) for n in range(3)]
    plan = plan_of([Fraction(n, 8) for n in range(3)], factor=12, size=model.config.window)

    single = model.make(given, plan, SamplerConfig(steps=1, seed=2))
    batched = model.make(given, plan, SamplerConfig(steps=1, seed=2), batch=4)

    assert single.shape == (25, 36, 50, 3)
    assert_array_equal(np.rint(single[::12] * 255), given)
    assert np.abs(single - batched).max() < 1e-4


def test_a_notebook_that_passes_too_little_is_told(nano: str) -> None:
    model = MarDini.from_pretrained(nano)
    plan = plan_of([Fraction(0), Fraction(1)], factor=2, size=9)

    with pytest.raises(ShapeError):
        model.make([picture(0, (36, 50))], plan)
    with pytest.raises(ShapeError):
        model.make([picture(0, (36, 50)), picture(0, (36, 51))], plan)
    with pytest.raises(ShapeError):
        model.make([np.zeros((4, 4)), np.zeros((4, 4))], plan)
