"""TOML that people hand to the program: read with limits, and refused in one line.

Room: tables (floor 1). Text to plain tables; what they mean is said where they are used. A settings
file may come from anywhere: it may be endless, a tower of brackets, or no text at all.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from mardini_cli.errors import ConfigError, MissingFileError

LARGEST = 2**20
"""Bytes of a file of settings; a job file of ten thousand lines has a tenth of it."""
DEEPEST = 100
"""Parts of a dotted key at most: Python's parser needs gigabytes for 200 KB of them."""
_TOWER = re.compile(
    rf"""(?<![\w-])(?:(?>[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*+\.[ \t]*+){{{DEEPEST}}}"""
)


def read_toml(path: Path, largest: int = LARGEST) -> dict[str, Any]:
    """Read a file of settings.

    Args:
        path: of the file.
        largest: bytes that it may have.

    Raises:
        MissingFileError: no such file.
        ConfigError: not to be read, too large, or not TOML.
    """
    if not path.is_file():
        raise MissingFileError(
            f"{path} is no file", needed="a TOML file of settings", do="check the path"
        )
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error})", needed="a TOML file of settings", do="check it"
        ) from error
    if len(data) > largest:
        raise ConfigError(
            f"{path} is larger than {largest} bytes", needed="a file of settings", do="check it"
        )
    return parse_toml(text, str(path))


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Read settings.

    Args:
        text: TOML.
        where: what it is called in an error.

    Raises:
        ConfigError: not TOML.
    """
    try:
        if _TOWER.search(text):
            raise ValueError(f"a key of more than {DEEPEST} parts")
        return tomllib.loads(text)
    # The parser calls itself for every bracket, and Python refuses whole numbers without end.
    except (ValueError, RecursionError) as error:
        said = str(error).partition("; use sys.")[0]
        raise ConfigError(
            f"{where} is not TOML ({said})", needed="key = value lines", do="mend it"
        ) from error
