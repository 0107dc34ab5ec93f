"""The place of the result: may it be written there, and how it gets its name only when whole.

Room: media (floor 2). Files and names only.
"""

import os
import secrets
import tempfile
from pathlib import Path

from mardini_cli.errors import OutputExistsError, OutputIsInputError, UnwritableError
from mardini_cli.media.containers import kind_of
from mardini_cli.media.door import Doing, translated


def check_output(output: Path, source: Path, overwrite: bool) -> None:
    """Refuse a result that cannot be, before any work is done. Leaves nothing behind.

    Raises:
        EncoderError: a file ending that holds no film here.
        OutputIsInputError: it is the source, also by way of a link.
        OutputExistsError: a file is there, and ``overwrite`` is not set.
        UnwritableError: no such folder, or nothing can be written in it.
    """
    kind_of(output)
    if output.exists():
        if source.exists() and output.samefile(source):
            raise OutputIsInputError(
                f"{output} is the input itself",
                needed="another file for the result",
                do="choose another name with -o",
            )
        if not output.is_file():
            raise UnwritableError(
                f"{output} is no regular file",
                needed="a file name",
                do="choose another name with -o",
            )
        if not overwrite:
            raise OutputExistsError(
                f"{output} exists already",
                needed="a free name",
                do="choose another name with -o, or allow --overwrite",
            )
    folder = output.absolute().parent
    if not folder.is_dir():
        raise UnwritableError(
            f"{folder} is no folder", needed="a folder that exists", do="create it first"
        )
    with translated(output, Doing.WRITING), tempfile.TemporaryFile(dir=folder):
        pass


class PartFile:
    """A hidden file beside the result, which takes the result's name once it is whole."""

    def __init__(self, output: Path) -> None:
        self.output = output.absolute()
        self.path = self.output.with_name(f".mardini-{secrets.token_hex(6)}.part")

    def publish(self) -> None:
        """Put the bytes on the disk, then give them their name in one step."""
        _sync(self.path)
        self.path.replace(self.output)
        _sync(self.output.parent)

    def discard(self) -> None:
        """Leave nothing behind."""
        self.path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
