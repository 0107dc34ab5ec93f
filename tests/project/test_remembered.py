"""What is kept in the user's cache: side by side, and no worse than nothing."""

from pathlib import Path

import pytest

from mardini_cli.remembered import Remembered


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Remembered:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: tmp_path / "cache")
    return Remembered("facts", format=3)


def test_entries_stand_side_by_side_and_the_last_word_counts(memory: Remembered) -> None:
    assert memory.entries() == {}

    for key, entry in (("a", 1), ("b", [2]), ("a", {"c": 3})):
        assert memory.keep(key, entry) == memory.place

    assert memory.entries() == {"a": {"c": 3}, "b": [2]}
    assert [path.name for path in memory.place.parent.iterdir()] == ["facts.json"]


BROKEN = [
    "",
    "[]",
    "{",
    '{"format": 2, "entries": {"a": 1}}',
    '{"format": 3, "entries": 5}',
    "\x00",
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_is_no_use_is_as_good_as_none(memory: Remembered, text: str) -> None:
    memory.keep("a", 1)
    memory.place.write_text(text)

    assert memory.entries() == {}

    memory.keep("b", 2)
    assert memory.entries() == {"b": 2}
