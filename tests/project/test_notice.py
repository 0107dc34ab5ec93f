"""NOTICE names whose pictures the weights were made with, and nobody else's."""

import csv
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MAKER = runpy.run_path(str(ROOT / "docs" / "make_notice.py"))
COLUMNS = ("file", "repository", "licence", "credit")


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., Path]:
    """Write packs of made-up sources: pack name, then rows of repository, licence, credit."""

    def write(**packs: list[tuple[str, str, str]]) -> Path:
        for pack, rows in packs.items():
            folder = tmp_path / pack.replace("__", "/")
            folder.mkdir(parents=True)
            with (folder / "sources.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([COLUMNS, *(("x", *row) for row in rows)])
        return tmp_path

    return write


def body(folder: Path) -> list[str]:
    """The blocks of repositories, without head and licence texts."""
    text: str = MAKER["notice"](folder)
    return text.split("thanks to:\n")[1].split("\nLicence texts")[0].split("\n")[1:-1]


def test_sources_are_grouped_by_repository_and_licence(data: Callable[..., Path]) -> None:
    folder = data(
        train_clips__a=[("b/two", "MIT", "Ann"), ("a/one", "CC-BY-SA-4.0", "Cid")],
        train_photos=[
            ("a/one", "CC BY-SA 4.0", "Bo"),
            ("a/one", "CC0", "Dee"),
            ("b/two", "MIT", "Ann"),
        ],
    )

    assert body(folder) == [
        "a/one",
        "    CC BY-SA 4.0: Bo; Cid",
        "    CC0 1.0: Dee",
        "b/two",
        "    MIT: Ann",
    ]


def test_what_training_may_not_use_is_not_named(data: Callable[..., Path]) -> None:
    folder = data(
        train_photos=[("a/one", "MIT", "Ann"), ("immich-app/test-assets", "Public domain", "Eve")],
        eval_video=[("lab4d-org/lab4d", "MIT", "Lab4D")],
    )

    assert body(folder) == ["a/one", "    MIT: Ann"]


def test_a_licence_of_creative_commons_comes_with_its_address(data: Callable[..., Path]) -> None:
    text: str = MAKER["notice"](
        data(train_photos=[("a/one", "CC BY 3.0 BR", "Ann"), ("b/b", "CC BY 2.5", "Bo")])
    )

    assert text.endswith("\n\nCC BY 2.5: https://creativecommons.org/licenses/by/2.5/\n")


def test_a_folder_without_packs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"holds no sources\.csv"):
        MAKER["notice"](tmp_path)


def test_the_notice_we_ship_credits_the_examples_and_no_excluded_repository() -> None:
    shipped = (ROOT / "NOTICE").read_text(encoding="utf-8")
    excluded: Any = MAKER["EXCLUDED"]

    assert shipped.startswith(MAKER["HEAD"])
    assert not [name for name in excluded if f"\n{name}\n" in shipped]
    for example in ("cat.mp4", "boat.jpg"):
        assert (ROOT / "examples" / example).is_file()
        assert f"examples/{example}" in shipped
