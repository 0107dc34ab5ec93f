"""Every command line that the pages show is one that the program takes; those of the tasks run."""

import re
import shlex
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from mardini_cli.cli.app import app
from tests.pipeline.clips import even_times, nano_weights, picture, write_clip

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
COMMAND = re.compile(
    r"(?:^|`|Example: )(mardini (?:interpolate|animate|extend|fill) [^`#|\n]+)", re.MULTILINE
)
SECTION = re.compile(r"## One grammar for every task\n(.*?)\n## ", re.DOTALL)


def told(text: str) -> Iterator[str]:
    """Commands of a page that name inputs: no usage lines, no pipes."""
    for found in COMMAND.finditer(text):
        words = found[1].split()
        if len(words) > 2 and not any(word.startswith("[") or word == "FILE" for word in words):
            yield " ".join(words)


def documented() -> list[str]:
    """Those of all pages; one that writes a list of cuts comes before the one that reads it."""
    pages = [README, *sorted((ROOT / "docs").glob("*.md"))]
    commands = {command for page in pages for command in told(page.read_text(encoding="utf-8"))}
    return sorted(commands, key=lambda command: ("--write-cuts" not in command, command))


def of_the_tasks() -> list[str]:
    section = SECTION.search(README.read_text(encoding="utf-8"))
    assert section
    return list(told(section[1]))


def furnished(folder: Path, seconds: int) -> Path:
    """A folder with every file that the pages name; clips have one frame a second."""
    for name in ("clips", "shots", "photos", "examples"):
        (folder / name).mkdir()
    shutil.copy(ROOT / "examples" / "cat.mp4", folder / "examples")
    for name in ("my-weights", "runs/mine/weights", "runs/my_clips/weights"):
        nano_weights(folder / name)
    for name in ("walk.mp4", "clip.mp4", "film.mp4", "drawn.mp4", "night.mp4", "clips/one.mp4"):
        write_clip(folder / name, even_times(seconds, Fraction(1)))
    for number, name in enumerate(
        ("a.png", "b.png", "c.png", "boat.jpg", "shots/1.png", "shots/2.png", "photos/one.png")
    ):
        Image.fromarray(picture(number, (48, 64))).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return furnished(tmp_path_factory.mktemp("pages"), 80)


def run(words: list[str]) -> None:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_the_pages_show_commands() -> None:
    assert len(documented()) > 20
    assert {command.split()[1] for command in of_the_tasks()} == {
        "interpolate",
        "fill",
        "extend",
        "animate",
    }


@pytest.mark.parametrize("command", documented())
def test_a_documented_command_is_taken(
    command: str, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stage)

    run([*shlex.split(command)[1:], "--dry-run"])


@pytest.mark.parametrize("command", of_the_tasks())
def test_the_command_of_each_task_makes_a_file(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = furnished(tmp_path, 10)
    monkeypatch.chdir(folder)

    run([*shlex.split(command)[1:], "--model", "my-weights", "-o", "out.mkv"])

    assert (folder / "out.mkv").stat().st_size > 1000
