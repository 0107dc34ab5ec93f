"""Completion in the shell: commands, and installation."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = "import sys; sys.argv[0] = 'mardini'; from mardini_cli.cli.app import main; main()"


def run(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PYTHONPATH": str(ROOT), "HOME": str(home), "PATH": os.environ["PATH"], **more},
    )


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("mardini inter", "interpolate"), ("mardini weights down", "download")],
)
def test_bash_is_offered_what_fits(tmp_path: Path, typed: str, offered: str) -> None:
    shown = run(
        tmp_path,
        _MARDINI_COMPLETE="complete_bash",
        COMP_WORDS=typed,
        COMP_CWORD=str(len(typed.split()) - 1),
    )

    assert shown.stdout.split() == [offered]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_the_shell_that_is_named(tmp_path: Path, shell: str) -> None:
    # Without shells to look at, the program takes the name as a word.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    told = run(tmp_path, "--install-completion", shell, **named)

    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert told.returncode == 0, told.stderr
    assert any("_MARDINI_COMPLETE" in path.read_text() for path in written)
