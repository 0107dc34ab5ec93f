"""The drawing of the house holds: imports, start-up, and what the pages promise."""

import dataclasses
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from mardini_cli import errors, events
from mardini_cli.errors import ExitCode, MardiniError

ROOT = Path(__file__).parents[2]


def test_imports_go_down_only() -> None:
    """The contracts of pyproject.toml; import-linter counts imports inside functions too."""
    told = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert told.returncode == 0, told.stdout
    assert "5 kept, 0 broken" in told.stdout


@pytest.mark.parametrize(
    "module",
    ["mardini_cli", "mardini_cli.cli.app", "mardini_cli.api", "mardini_cli.tasks.interpolate"],
)
def test_what_the_command_line_loads_first_brings_nothing_slow(module: str) -> None:
    slow = ("torch", "numpy", "av", "cv2", "xformers", "imageio", "PIL", "huggingface_hub")
    code = f"import sys, {module}; sys.exit(' '.join(n for n in {slow} if n in sys.modules))"

    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )

    assert told.stderr.strip() == ""


def test_the_page_lists_every_error_and_its_exit_code() -> None:
    listed = dict(_rows("## Error codes"))

    assert listed == {f"`{kind.code}`": str(int(kind.exit_code)) for kind in _kinds(MardiniError)}


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in _kinds(MardiniError)]

    assert len(codes) == len(set(codes))
    assert "error" not in codes


def test_the_page_lists_every_exit_code() -> None:
    assert [code for code, _ in _rows("## Exit codes")] == [str(int(code)) for code in ExitCode]


def test_the_page_lists_every_event_with_its_fields() -> None:
    listed = dict(_rows("## Events"))

    assert listed == {
        f"`{kind.__name__.lower()}`": " ".join(f"`{field.name}`" for field in _fields(kind))
        for kind in get_args(events.Event)
    }


def test_rooms_that_are_strangers_agree_on_the_length_of_the_schedule() -> None:
    from mardini_cli.config import SCHEDULE_LENGTH
    from mardini_cli.diffusion.schedule import Schedule

    assert Schedule().length == SCHEDULE_LENGTH


def test_an_error_survives_the_way_from_a_worker_process() -> None:
    import pickle

    for kind in _kinds(MardiniError):
        error = kind("found", needed="needed", do="do")

        assert str(pickle.loads(pickle.dumps(error))) == "found; needs needed; do"


def test_the_pins_lie_within_the_declared_ranges() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {
        canonicalize_name(name): version
        for name, version in (line.split("==") for line in lines if line and line[0] != "#")
    }
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]

    for wanted in map(Requirement, declared):
        assert pins[canonicalize_name(wanted.name)] in wanted.specifier, wanted


def _kinds(root: type[MardiniError]) -> Iterator[type[MardiniError]]:
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from _kinds(kind)


def _fields(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _rows(heading: str) -> Iterator[tuple[str, str]]:
    """First two columns of the table under a heading of docs/errors.md."""
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    section = page.split(heading + "\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    for row in rows[2:]:
        yield row[0].strip(), row[1].strip()
