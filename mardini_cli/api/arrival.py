"""A clip that comes down a pipe: kept in a file while it is worked on.

Room: api. The times of a whole clip are found before its first frame is made, so it is read twice;
a pipe can be read once.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mardini_cli.errors import UsageError

PIPE = Path("-")


@contextmanager
def arrived(clip: Path, output: Path | None) -> Iterator[Path]:
    """Give the clip itself, or a temporary file that holds what standard input brought.

    Raises:
        UsageError: nobody said where the result of a pipe goes.
    """
    if clip != PIPE:
        yield clip
        return
    if output is None or output.is_dir():
        raise UsageError(
            "a clip from standard input, and no name for the result",
            needed="--output",
            do="add -o NAME.mp4, or -o - for a stream of y4m",
        )
    with tempfile.TemporaryDirectory(prefix="mardini-") as folder:
        path = Path(folder, "standard-input")
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path
