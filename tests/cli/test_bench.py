"""``mardini bench``: a table, a report, and an estimate in the plan of other commands."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mardini_cli.cli.app import app
from mardini_cli.cli.wording import duration
from mardini_cli.errors import MardiniError
from tests.pipeline.clips import even_times, nano_weights, write_clip

SMALL = ["bench", "--preset", "nano", "--size", "64x48", "--steps", "0,1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mardini" / "speed.json"


def test_the_bench_tells_a_table_and_later_plans_tell_their_time(
    tmp_path: Path, cache: Path
) -> None:
    clip = write_clip(tmp_path / "in.mkv", even_times(5))
    model = str(nano_weights(tmp_path / "nano"))
    plan = ["interpolate", str(clip), "--model", model, "--device", "cpu", "--dry-run"]
    runner = CliRunner()
    before = runner.invoke(app, plan)

    told = runner.invoke(app, [*SMALL, "-o", str(tmp_path / "report.json")])
    after = runner.invoke(app, plan)
    machine = runner.invoke(app, [*plan, "--json"])

    assert told.exit_code == 0
    assert "| nano interpolate 64x48, 1 steps |" in told.stdout
    assert str(tmp_path / "report.json") in told.stdout.replace("\n", "")
    report = json.loads((tmp_path / "report.json").read_text())
    assert [cell["steps"] for cell in report["cells"]] == [0, 1, 2, 0]
    assert report["ceiling"] > 0
    assert "takes about" not in before.stdout
    assert "; takes about " in after.stdout
    assert json.loads(machine.stdout.splitlines()[0])["estimate"] > 0
    assert cache.exists()


def test_nothing_is_kept_unasked_and_no_report_is_replaced(tmp_path: Path, cache: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("mine")

    refused = CliRunner().invoke(app, [*SMALL, "-o", str(report)])
    CliRunner().invoke(app, [*SMALL[:-2], "--device", "cpu", "--steps", "0", "--no-keep"])

    assert isinstance(refused.exception, MardiniError)
    assert report.read_text() == "mine"
    assert not cache.exists()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--size", "wide"], "size 'wide'"),
        (["--size", "8x8"], "size 8x8"),
        (["--suite", "all"], "suite 'all'"),
        (["--steps", ""], "nothing to measure"),
        (["--preset", "huge"], "unknown preset 'huge'"),
        (["--task", "paint"], "unknown task 'paint'"),
        (["--threads", "0"], "threads 0"),
    ],
)
def test_words_that_mean_nothing_are_refused(words: list[str], found: str) -> None:
    told = CliRunner().invoke(app, ["bench", *words, "--device", "cpu"])

    assert isinstance(told.exception, MardiniError)
    assert found in str(told.exception)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "a second"),
        (12.4, "12 s"),
        (75, "1 min 15 s"),
        (3599.6, "1 h 0 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
