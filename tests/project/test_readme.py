"""The README's two commands are the ones that run, and its map has no holes."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def command(name: str) -> str:
    """The one line between a pair of marks."""
    found = re.search(rf"<!-- {name} -->\n```\n(.+)\n```\n<!-- /{name} -->", README)
    assert found, f"no single line between the {name} marks"
    return found[1]


@pytest.mark.parametrize("name", ["run-command", "test-command"])
def test_a_set_up_command_starts_from_nothing_and_pins_torch(name: str) -> None:
    assert command(name).startswith(
        "python3 -m venv --clear .venv && .venv/bin/pip install -q torch==2.13.0 && "
    )
    assert "-c constraints.txt" in command(name)
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()


def test_the_run_command_does_the_main_job_on_a_clip_that_is_shipped() -> None:
    job = command("run-command").rsplit(" && ", 1)[1]

    assert job == ".venv/bin/mardini interpolate examples/cat.mp4 --factor 4"
    assert (ROOT / "examples" / "cat.mp4").is_file()


def test_ci_takes_the_test_command_from_here() -> None:
    """Its own extraction, run on this README, finds the same line."""
    script = (ROOT / ".ci" / "run").read_text()
    extraction = next(line for line in script.splitlines() if line.startswith("command="))

    found = subprocess.run(
        ["bash", "-c", f'{extraction}\necho "$command"'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert found.stdout == command("test-command") + "\n"


def test_every_room_stands_on_the_map() -> None:
    rooms = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "mardini_cli").iterdir()
        if path.name[0] != "_" and path.name != "py.typed"
    }

    assert not [room for room in rooms if not re.search(rf"[`/]{re.escape(room)}`", README)]


def test_every_place_that_the_readme_links_to_is_there() -> None:
    places = re.findall(r"\]\((?!http)([^)]+)\)", README)

    assert len(places) >= 4
    assert not [place for place in places if not (ROOT / place).exists()]
