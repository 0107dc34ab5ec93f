"""Settings files from anywhere: endless ones, towers, and what is no text."""

from pathlib import Path

import pytest

from mardini_cli.errors import ConfigError, MissingFileError
from mardini_cli.tables import LARGEST, parse_toml, read_toml

BOMBS = {
    "brackets": "x = " + "[" * 200_000,
    "braces": "x = " + "{a=" * 100_000,
    "a dotted key": ".".join(["a"] * 100_000) + " = 1",
    "a dotted key of quoted parts": ".".join(['"a b"'] * 50_000) + " = 1",
    "a dotted table": "[" + " . ".join(["a"] * 100_000) + "]",
    "a dotted key in braces": "x = {" + ".".join(["a"] * 100_000) + " = 1}",
    "a number": "x = " + "9" * 100_000,
    "no table": "just words",
    "the same key twice": "a = 1\na = 2",
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.timeout(20)
def test_bombs_are_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^here is not TOML \(.*needs key = value lines") as told:
        parse_toml(BOMBS[name], "here")

    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        'x = "' + "one.two." * 40 + '"',
        "\n".join(f"a.b.c.d{n} = {n}" for n in range(500)),
        "x = " + "[" * 50 + "]" * 50,
    ],
    ids=["dots in a text", "many short keys", "a few brackets"],
)
def test_honest_settings_pass(text: str) -> None:
    assert parse_toml(text, "here")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe\x00", "cannot be read"),
        (b"#" * (LARGEST + 1), "is larger than"),
        (b"a = \x00", "is not TOML"),
    ],
)
def test_files_that_are_no_settings_are_named(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=f"a.toml {told}"):
        read_toml(path)


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        read_toml(tmp_path / "a.toml")


def test_a_file_as_large_as_allowed_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"a = 1\n".ljust(LARGEST, b"#"))

    assert read_toml(path) == {"a": 1}
