import json
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mardini_cli.cli.app import app
from tests.media.clips import Recipe, make_clip
from tests.media.forging import Forgery, forge


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", Recipe(audio=("aac",), chapters=True, title="A walk"))


def test_a_good_result_is_proved_in_a_table_and_exits_0(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "plain.mp4", Recipe(audio=("aac",)))
    output = forge(source, tmp_path / "out.mp4")

    told = CliRunner().invoke(app, ["verify", str(source), str(output)])

    assert told.exit_code == 0, told.stdout
    assert told.stdout.splitlines()[0] == "ok    frames                  15"


def test_a_lost_title_and_lost_chapters_are_told(source: Path, tmp_path: Path) -> None:
    output = forge(source, tmp_path / "out.mp4")  # the forger copies neither

    told = CliRunner().invoke(app, ["verify", str(source), str(output)])

    failed = [line for line in told.stdout.splitlines() if line.startswith("FAIL")]
    assert [line.split()[1] for line in failed] == ["title", "chapters"]
    assert told.exit_code == 1


def test_a_clip_is_proved_to_be_itself(source: Path) -> None:
    told = CliRunner().invoke(app, ["verify", str(source), str(source)])

    assert told.exit_code == 0, told.stdout
    assert "all 18 checks hold" in told.stdout


def test_shifted_sound_exits_1_and_stands_in_the_json(source: Path, tmp_path: Path) -> None:
    output = forge(source, tmp_path / "out.mp4", Forgery(sound_late=Fraction(1, 10)))

    told = CliRunner().invoke(app, ["verify", str(source), str(output), "--json"])

    event = json.loads(told.stdout.splitlines()[-1])
    assert told.exit_code == 1
    assert event["event"] == "verified"
    assert not event["passed"]
    assert "sound (stream 1)" in [c["name"] for c in event["checks"] if not c["passed"]]


def test_a_factor_that_is_asked_for_is_held_to(source: Path, tmp_path: Path) -> None:
    output = forge(source, tmp_path / "out.mp4")

    told = CliRunner().invoke(app, ["verify", str(source), str(output), "--factor", "4"])

    assert "FAIL  frames" in told.stdout
    assert "15; needs 29" in told.stdout


def test_what_a_clip_holds_is_told_with_every_time(source: Path) -> None:
    told = CliRunner().invoke(app, ["probe", str(source), "--times"])

    assert told.exit_code == 0
    assert "frames    8, from 0.000 to 0.320 s (0.320 s)" in told.stdout
    assert "rate      25 frames a second, even" in told.stdout
    assert "frame 7 at 7/25 s" in told.stdout


def test_what_a_clip_holds_is_one_object_of_json(source: Path) -> None:
    told = CliRunner().invoke(app, ["probe", str(source), "--json"])

    event = json.loads(told.stdout)
    assert event["frames"] == 8
    assert event["rate"] == "25/1"
    assert event["streams"][0] == "audio: aac, fra, stream 1"
    assert event["chapters"] == 2
    assert event["times"] == []
