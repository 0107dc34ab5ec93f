"""Words to inputs: what files, patterns, folders and lists mean, and where results go."""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from mardini_cli import api
from mardini_cli.api.inputs import FILMS, PICTURES, Found, Input, gathered
from mardini_cli.errors import MissingFileError, UsageError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with clips in a tree, pictures, and what is neither."""
    monkeypatch.chdir(tmp_path)
    for name in (
        *("clips/b.mp4", "clips/a.MKV", "clips/day/c.mp4", "clips/day/two/d.mov"),
        *("clips/notes.txt", "clips/.hidden.mp4", "clips/.work/e.mp4", "other/f.mp4"),
        *("shots/1.png", "shots/2.png"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def found(words: Sequence[str], **how: bool) -> list[tuple[str, str]]:
    inputs = api.gathered(words, FILMS, **how).inputs
    return [(one.path, one.tree.as_posix()) for one in inputs]


@pytest.mark.usefixtures("tree")
def test_a_folder_is_its_films_and_with_recursive_those_below_it_too() -> None:
    assert found(["clips"]) == [("clips/a.MKV", "."), ("clips/b.mp4", ".")]
    assert found(["clips"], recursive=True) == [
        ("clips/a.MKV", "."),
        ("clips/b.mp4", "."),
        ("clips/day/c.mp4", "day"),
        ("clips/day/two/d.mov", "day/two"),
    ]


@pytest.mark.usefixtures("tree")
def test_a_pattern_is_what_it_fits_and_its_tree_begins_where_the_pattern_does() -> None:
    assert found(["clips/**/*.mp4"]) == [("clips/b.mp4", "."), ("clips/day/c.mp4", "day")]


@pytest.mark.usefixtures("tree")
def test_words_that_share_a_folder_keep_what_lies_below_it() -> None:
    assert found(["clips/day", "other"]) == [
        ("clips/day/c.mp4", "clips/day"),
        ("other/f.mp4", "other"),
    ]
    assert found(["clips/day/c.mp4", "clips/b.mp4"]) == [
        ("clips/day/c.mp4", "day"),
        ("clips/b.mp4", "."),
    ]


@pytest.mark.usefixtures("tree")
def test_what_is_named_is_taken_once_whatever_it_is_called() -> None:
    words = ["clips/notes.txt", "gone.mp4", "clips/b.mp4", "clips/b.mp4", "clips"]

    assert [path for path, _ in found(words)] == [
        "clips/notes.txt",
        "gone.mp4",
        "clips/b.mp4",
        "clips/a.MKV",
    ]


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("word", ["shots", "shots/*.png", "shots/%04d.png"])
def test_pictures_that_follow_one_another_are_one_input_where_a_task_takes_them(word: str) -> None:
    assert found([word], sequences=True) == [(word, ".")]


@pytest.mark.usefixtures("tree")
def test_pictures_of_a_folder_are_inputs_each_where_a_task_takes_single_ones() -> None:
    inputs = api.gathered(["shots"], PICTURES).inputs

    assert [one.path for one in inputs] == ["shots/1.png", "shots/2.png"]


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("word", ["shots", "clips/*.avi"])
def test_a_folder_or_pattern_without_films_is_told(word: str) -> None:
    with pytest.raises(MissingFileError, match="nothing there to work on"):
        found([word])


def test_results_of_earlier_runs_are_left_out_beside_their_input_unless_named(tree: Path) -> None:
    made = ["b.x2.mp4", "b.slow4.x2.mp4", "b.59.94fps.mp4", "b.extended.mp4", "b.x2.compare.mp4"]
    for name in [*made, "z.x2.mp4"]:
        (tree / "clips" / name).touch()

    folder = api.gathered(["clips"], FILMS)
    named = api.gathered(["clips", "clips/b.x2.mp4"], FILMS)

    assert [one.path for one in folder.inputs] == [
        "clips/a.MKV",
        "clips/b.mp4",
        "clips/z.x2.mp4",  # nothing there that it could be made from
    ]
    assert sorted(path.name for path in folder.left_out) == sorted(made)
    assert "clips/b.x2.mp4" in [one.path for one in named.inputs]


def test_links_that_run_in_a_ring_do_not_hold_the_walk_up(tree: Path) -> None:
    (tree / "clips" / "day" / "up").symlink_to(tree / "clips")

    assert len(found(["clips"], recursive=True)) == 4


def test_addresses_stay_as_they_are() -> None:
    word = "s3://bucket/clips/a.mp4"

    assert api.gathered([word], FILMS) == Found((Input(word, Path()),), ())


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"a.mp4\n\n# later\n  \nb c.mp4\r\n", ["a.mp4", "b c.mp4"]),
        (b"a\nb.mp4\0# c.mp4\0", ["a\nb.mp4", "# c.mp4"]),
        (b"\xff.mp4\n", [os.fsdecode(b"\xff.mp4")]),
    ],
)
def test_a_list_is_a_name_a_line_or_between_nul_signs(
    data: bytes, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.txt").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    assert api.listed(str(tmp_path / "list.txt")) == names
    assert api.listed("-") == names


def test_a_list_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"gone\.txt"):
        api.listed(str(tmp_path / "gone.txt"))


@pytest.mark.parametrize("word", ["", "a\0b.mp4"])
def test_a_word_that_names_nothing_is_refused_and_never_the_folder_itself(word: str) -> None:
    with pytest.raises(UsageError, match="an input named"):
        gathered(["a.mp4", word], FILMS)
