"""``mardini evaluate`` from outside: its words, its result and its errors."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mardini_cli.cli.evaluate import DEFAULTS, baselines, numbers, words
from mardini_cli.errors import UsageError

CLIP = Path(__file__).parents[2] / "examples"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mardini_cli", "evaluate", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder with the shipped example in it."""
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(next(CLIP.glob("*.mp4")), folder)
    return folder


def test_help_teaches_and_stays_quick() -> None:
    shown = run("--help")

    assert shown.returncode == 0
    assert "Example: mardini evaluate clips/" in shown.stdout
    for word in ("x8", "animate", "dis-blend", "constant-velocity", "--no-sheets"):
        assert word in shown.stdout


def test_the_report_is_the_result_and_tables_are_for_eyes(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    done = run(
        clips, "--model", "none", "--baseline", "repeat,blend", "--protocol", "x4", "--out", out
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}/report.html\n"
    assert "| linear blend |" in done.stderr
    assert {path.name for path in out.iterdir()} == {
        "report.html",
        "results.json",
        "rows.jsonl",
        "clips.csv",
        "table.md",
        "sheets",
    }


def test_json_is_lines_of_events(clips: Path, tmp_path: Path) -> None:
    done = run(
        clips, "--model", "none", "--baseline", "repeat", "--no-sheets", "--json",
        "--out", tmp_path / "out",
    )  # fmt: skip

    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert {event["event"] for event in events} == {"progress", "measured"}
    assert events[-1]["output"] == str(tmp_path / "out/report.html")


@pytest.mark.parametrize(
    ("arguments", "line", "code"),
    [
        (
            ["nowhere"],
            "mardini: nowhere is no folder; needs a folder of clips; check the path",
            1,
        ),
        (
            [".", "--protocol", "x3"],
            "mardini: unknown protocol 'x3'; needs one of x8, x4, x2, fill, extend, animate,"
            " each also NAME-native; drift, davis-7, ucf101-7; choose one",
            2,
        ),
        (
            [".", "--baseline", "rife"],
            "mardini: unknown baseline 'rife'; needs one of repeat, blend, minterpolate, dis,"
            " dis-blend, constant-velocity, or NAME=COMMAND; choose one",
            2,
        ),
        (
            [".", "--steps", "many"],
            "mardini: --steps many; needs whole numbers with commas; try --steps 0,8",
            2,
        ),
        (
            [".", "--model", "none", "--baseline", "none"],
            "mardini: nothing to measure; needs a protocol, and a model or a baseline;"
            " name some, or leave the options out",
            2,
        ),
    ],
)
def test_errors_are_one_line(arguments: list[str], line: str, code: int) -> None:
    failed = run(*arguments)

    assert failed.stdout == ""
    assert failed.stderr == line + "\n"
    assert failed.returncode == code


def test_a_program_s_command_stays_whole_and_joins_the_others() -> None:
    rife = "rife=rife -i {input},x -o {output}"

    assert baselines(["repeat,blend", rife]) == ("repeat", "blend", rife)
    assert baselines([rife]) == (*DEFAULTS.baselines, rife)
    assert baselines([]) == DEFAULTS.baselines
    assert baselines(["none"]) == ()


def test_a_program_that_fails_is_one_warning_and_the_others_are_measured(
    clips: Path, tmp_path: Path
) -> None:
    done = run(
        clips, "--model", "none", "--baseline", "repeat",
        "--baseline", "gone=no-such {input} {output}",
        "--no-sheets", "--protocol", "x4", "--out", tmp_path / "out",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("baseline gone does not run") == 2  # when it fails, and in the end
    assert "| repeat the nearer frame |" in done.stderr
    assert "| gone |" not in done.stderr


def test_words_and_numbers_come_with_commas() -> None:
    assert words("x8, x4,,x8") == ("x8", "x4")
    assert words("none") == ()
    assert numbers("0,8,25", "--steps") == (0, 8, 25)
    with pytest.raises(UsageError, match=r"--steps 1\.5"):
        numbers("1.5", "--steps")
