"""The pages of flags say what ``--help`` says."""

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MAKER = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))


@pytest.mark.parametrize(
    ("page", "maker"), sorted({"reference.md": "reference", "mardini.1": "man_page"}.items())
)
def test_the_page_is_what_help_says(page: str, maker: str) -> None:
    made: Any = MAKER[maker]()

    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == made, (
        f"docs/{page} is behind --help: run {MAKER['AGAIN']}"
    )


def test_every_command_teaches_with_an_example() -> None:
    lacking = [
        " ".join(words)
        for words, text in MAKER["helps"]()
        if words and "Commands:" not in text and "Example: mardini " not in " ".join(text.split())
    ]

    assert lacking == []


def test_every_line_of_the_man_page_is_text_or_a_request_that_man_knows() -> None:
    lines = (ROOT / "docs" / "mardini.1").read_text(encoding="utf-8").splitlines()

    requests = {line.split()[0] for line in lines if line.startswith(".")}
    assert requests == {'.\\"', ".TH", ".SH", ".SS", ".TP", ".PP", ".B"}
    assert not [line for line in lines if line.startswith("'")]
    assert [line for line in lines if line.startswith(".B \\-f, \\-\\-factor")]
