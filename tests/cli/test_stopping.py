"""Signals to the running program: what is kept, what is said, how it ends."""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from mardini_cli.cli.app import _words_still_true
from tests.pipeline.clips import even_times, nano_weights, write_clip

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    nano_weights(tmp_path / "nano")
    write_clip(tmp_path / "walk.mkv", even_times(120))
    return tmp_path


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes, ended with the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def begin(shelf: Path, *words: str) -> subprocess.Popen[str]:
    """Start the program, and wait until it makes frames."""
    command = [sys.executable, "-m", "mardini_cli", "interpolate", "walk.mkv", *words]
    process = subprocess.Popen(
        [*command, "--model", "nano", "--device", "cpu", "--json"],
        cwd=shelf,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    while "progress" not in (line := process.stdout.readline()) and "planned" not in line:
        assert line, "the work did not begin"
    return process


def until(shelf: Path, pattern: str) -> None:
    end = monotonic() + 60
    while not list(shelf.glob(pattern)):
        assert monotonic() < end, f"no {pattern}"
        sleep(0.02)


@pytest.mark.parametrize(
    ("number", "status", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_the_first_signal_keeps_what_is_made_and_says_how_to_go_on(
    number: signal.Signals,
    status: int,
    name: str,
    shelf: Path,
    started: list[subprocess.Popen[str]],
) -> None:
    process = begin(shelf, "--resume", "force")
    started.append(process)
    until(shelf, ".walk.x2.mkv.mardini/segments/segment.part")

    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    said = err.splitlines()
    assert process.returncode == status
    assert '"event": "failed"' in out.splitlines()[-1]
    assert said[0].startswith("mardini: ends after the frames that are being made")
    assert said[1].startswith(f"mardini: stopped by {name}; ")
    assert said[2] == (
        "to go on: mardini interpolate walk.mkv --resume force --model nano --device cpu --json"
    )
    kept = sorted(p.name for p in (shelf / ".walk.x2.mkv.mardini" / "segments").iterdir())
    assert kept == ["000001.made", "manifest.json"]


PAST, DAY = "2026-01-01T06:00", "06:00"
FOREVER = [
    (["interpolate", "a.mp4", "--until", PAST, "--json"], ["interpolate", "a.mp4", "--json"]),
    (["interpolate", f"--until={PAST}", "a.mp4"], ["interpolate", "a.mp4"]),
    (["interpolate", "a.mp4", "--until", DAY], ["interpolate", "a.mp4", "--until", DAY]),
    (["fill", "--", "a.mp4", "--until"], ["fill", "--", "a.mp4", "--until"]),
]


@pytest.mark.parametrize(("said", "again"), FOREVER)
def test_a_date_that_is_over_is_not_part_of_the_command_that_goes_on(
    said: list[str], again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["mardini", *said])

    assert _words_still_true() == again


def test_a_second_signal_ends_at_once_and_leaves_nothing(
    shelf: Path, started: list[subprocess.Popen[str]]
) -> None:
    process = begin(shelf, "--resume", "force", "--steps", "1000")
    started.append(process)
    until(shelf, ".walk.x2.mkv.mardini/*.part")
    sleep(1)  # the first window is under way, and takes long

    process.send_signal(signal.SIGINT)
    sleep(0.3)
    began = monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert monotonic() - began < 10
    assert "Traceback" not in err
    assert sorted(p.name for p in shelf.iterdir()) == ["nano", "walk.mkv"]


def test_a_signal_between_the_hidden_folder_and_its_clean_up_leaves_nothing(shelf: Path) -> None:
    """``tests/media/test_workplace.py`` has all other moments; this is the whole program."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from mardini_cli.cli import app\n"
        "mkdir = Path.mkdir\n"
        "def made(self, *args, **options):\n"
        "    mkdir(self, *args, **options)\n"
        "    if self.suffix == '.mardini':\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "Path.mkdir = made\n"
        "sys.argv = ['mardini', *sys.argv[1:]]\n"
        "app.main()\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code, "interpolate", "walk.mkv", "--model", "nano"],
        cwd=shelf,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert (ended.returncode, ended.stdout) == (130, "")
    assert "Traceback" not in ended.stderr
    assert sorted(p.name for p in shelf.iterdir()) == ["nano", "walk.mkv"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "ends"),
    [
        (("kill", "6"), "6 of 6 results equal"),
        (("kill", "4", "extend"), "4 of 4 results equal"),
        (("together", "2"), "2 of 2 right"),
    ],
    ids=["kill", "kill-extend", "together"],
)
def test_what_the_measuring_script_finds(words: tuple[str, ...], ends: str) -> None:
    found = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "measure_resume.py"), *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert ends in found.stdout


@pytest.mark.slow
def test_a_terminal_is_left_as_it_was_at_every_stage() -> None:
    script = str(ROOT / "docs" / "measure_resume.py")
    found = subprocess.run(
        [sys.executable, script, "terminal"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    lines = found.stdout.splitlines()
    assert len(lines) == len(runpy.run_path(script)["STAGES"]) + 1
    for line in lines:
        assert ": exit 130 after " in line
        assert "cursor shown" in line
        assert line.endswith("; then the same bytes")
