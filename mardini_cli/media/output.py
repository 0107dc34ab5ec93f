"""The place of the result: may it be written there, and how it gets its name only when whole.

Room: media (floor 2). Files and names only.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mardini_cli.errors import OutputExistsError, OutputIsInputError, UnwritableError
from mardini_cli.media.containers import STREAM, is_numbered, kind_of, numbers_of
from mardini_cli.media.door import Doing, translated
from mardini_cli.stopping import tidied


def check_output(output: Path, source: Path, overwrite: bool) -> None:
    """Refuse a result that cannot be, before any work is done. Leaves nothing behind.

    Raises:
        EncoderError: a file ending that holds no film here.
        OutputIsInputError: it is the source, also by way of a link.
        OutputExistsError: a file is there, and ``overwrite`` is not set.
        UnwritableError: no such folder, or nothing can be written in it.
    """
    kind_of(output)
    if output == STREAM:
        return
    if is_numbered(output):
        _check_folder(output, source, overwrite)
        return
    check_other(output, source)
    if os.path.lexists(output):  # a link that leads nowhere stands there too
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


def check_other(output: Path, source: Path) -> None:
    """Refuse to write over an input, whatever both are called: links, case, another folder's name.

    Raises:
        OutputIsInputError: they are one file.
    """
    if output.exists() and source.exists() and output.samefile(source):
        raise OutputIsInputError(
            f"{output} is the input itself",
            needed="another file for the result",
            do="choose another name with -o",
        )


def check_room(output: Path) -> None:
    """Refuse a result whose folder is still to be made, and cannot be. Leaves nothing behind.

    Raises:
        EncoderError: a file ending that holds no film here.
        UnwritableError: nothing can be written in the nearest folder above it.
    """
    kind_of(output)
    place = next(folder for folder in output.absolute().parents if folder.exists())
    if not place.is_dir():
        raise UnwritableError(f"{place} is no folder", needed="a folder", do="choose another one")
    with translated(output, Doing.WRITING), tempfile.TemporaryFile(dir=place):
        pass


def make_room(output: Path) -> None:
    """Make the folder of a result where there is none.

    Raises:
        UnwritableError: it cannot be made.
    """
    with translated(output, Doing.WRITING):
        output.absolute().parent.mkdir(parents=True, exist_ok=True)


def write_whole(output: Path, text: str) -> None:
    """Write a small file of text: whole, or not at all.

    Raises:
        UnwritableError: the disk refuses.
    """
    with whole(output) as path:
        path.write_text(text, encoding="utf-8", newline="")  # line ends as they are


@contextmanager
def whole(output: Path) -> Iterator[Path]:
    """Give a hidden file to write to, which takes its name at the end of the block, or vanishes.

    Raises:
        UnwritableError: the folder or the disk refuses.
    """
    part = PartFile(output)
    with tidied(part.discard), translated(output, Doing.WRITING):
        yield part.path
        part.publish()


@contextmanager
def scratch() -> Iterator[Path]:
    """Give an empty folder for the time of the block, where the system keeps such."""
    folder = Path(tempfile.gettempdir(), f"mardini-{secrets.token_hex(8)}")
    with tidied(partial(shutil.rmtree, folder, ignore_errors=True)):
        folder.mkdir(mode=0o700)
        yield folder


def _check_folder(output: Path, source: Path, overwrite: bool) -> None:
    folder = output.absolute().parent
    beside = folder.is_dir() and source.exists() and folder.samefile(source.absolute().parent)
    if beside and numbers_of(output).fullmatch(source.name):
        raise OutputIsInputError(
            f"{output} stands for the input {source.name} too",
            needed="another folder, or other names",
            do="choose another name with -o",
        )
    if folder.is_dir() and not overwrite:
        there = [path for path in folder.iterdir() if path.suffix.lower() == output.suffix.lower()]
        if there:
            raise OutputExistsError(
                f"{folder} holds {len(there)} pictures already",
                needed="an empty or a new folder",
                do="choose another folder with -o, or allow --overwrite",
            )
    place = folder if folder.is_dir() else folder.parent
    if not place.is_dir():
        raise UnwritableError(
            f"{place} is no folder", needed="a folder that exists", do="create it first"
        )
    with translated(output, Doing.WRITING), tempfile.TemporaryFile(dir=place):
        pass


class PartFile:
    """A hidden file near the result, which takes the result's name once it is whole."""

    def __init__(self, output: Path, folder: Path | None = None) -> None:
        self.output = output.absolute()
        self.path = (folder or self.output.parent) / f".mardini-{secrets.token_hex(6)}.part"

    def begin(self) -> None:
        """Make what the result is written into, where a file alone will not do."""

    def publish(self) -> None:
        """Put the bytes on the disk, then give them their name in one step."""
        sync(self.path)
        self.path.replace(self.output)
        sync(self.output.parent)

    def discard(self) -> None:
        """Leave nothing behind."""
        self.path.unlink(missing_ok=True)


class PartFolder(PartFile):
    """A hidden folder beside the result's, whose pictures move over once all are there."""

    def __init__(self, output: Path, folder: Path | None = None) -> None:
        self.output = output.absolute()
        beside = folder or self.output.parent.parent
        self._folder = beside / f".mardini-{secrets.token_hex(6)}.part"
        self.path = self._folder / output.name

    def begin(self) -> None:
        """Make the hidden folder."""
        self._folder.mkdir(exist_ok=True)

    def publish(self) -> None:
        """Put the pictures on the disk, then give them their folder; a new one in one step."""
        pictures, folder = sorted(self._folder.iterdir()), self.output.parent
        for path in (*pictures, self._folder):
            sync(path)
        if not folder.exists():
            self._folder.replace(folder)
            sync(folder.parent)
            return
        for path in pictures:
            path.replace(folder / path.name)
        sync(folder)
        self._folder.rmdir()

    def discard(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self._folder, ignore_errors=True)


class Stream(PartFile):
    """Standard output: nothing to name, nothing to take back."""

    def __init__(self, output: Path) -> None:
        self.output, self.path = output, Path("/dev/stdout")

    def publish(self) -> None:
        """What is written is gone."""

    def discard(self) -> None:
        """Nothing is left here."""


def part_for(output: Path, folder: Path | None = None) -> PartFile:
    """Where a result is written until it is whole.

    Args:
        output: its name.
        folder: for the hidden file, on the same file system; by default beside the result.
    """
    if output == STREAM:
        return Stream(output)
    return (PartFolder if is_numbered(output) else PartFile)(output, folder)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk: a power cut does not take them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
