"""Words to inputs: files, patterns, folders and lists of them, each with its place in the tree.

Room: api. Names only: no file is opened. Light to import.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mardini_cli.errors import MissingFileError, UsageError

FILMS = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "vob"),
        *("wmv", "asf", "flv", "f4v", "ogv", "3gp", "3g2", "mxf", "y4m", "dv", "gif", "apng"),
    )
)
"""What is taken for a film in a folder, by its ending; a file that is named is always taken."""
PICTURES = frozenset(
    f".{name}"
    for name in (
        *("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "heic", "exr", "jp2", "tga", "ppm"),
    )
)
"""What is taken for a picture, likewise."""
COMMON = (".mp4", ".mov", ".mkv", ".jpg", ".png")
WILD = "*?["
_RESULT = re.compile(
    r"\.((slow[\d.]+|ramp)(\.(x\d+|[\d.]+fps))?|x\d+|[\d.]+fps|extended|loop|filled|keyframes"
    r"|animate(\.seed-?\d+)?)(\.sample)?(\.compare)?(\.rerun)?$"
)
"""What names of results end in, see ``jobs.output_for``."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a batch."""

    path: str
    """As it will be opened; a URL stays one."""
    tree: Path
    """Folder below the output folder that its result goes to."""


def listed(source: str) -> list[str]:
    """Read a list of inputs, a line each; ``-`` is standard input.

    Empty lines and lines that begin with # are left out. A list with NUL signs (``find -print0``)
    is parted at those alone, so that names may hold anything.

    Raises:
        MissingFileError: no such list.
    """
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise MissingFileError(
            f"{source}: {error.strerror}",
            needed="a list of inputs, a line each",
            do="check the path",
        ) from error
    text = os.fsdecode(data)
    if "\0" in text:
        return [name for name in text.split("\0") if name]
    lines = (line.rstrip("\r") for line in text.split("\n"))
    return [line for line in lines if line.strip() and not line.startswith("#")]


@dataclass(frozen=True, slots=True)
class Found:
    """What words mean."""

    inputs: tuple[Input, ...]
    left_out: tuple[Path, ...]
    """Results of earlier runs beside their inputs: nobody means them by naming the folder."""


def gathered(
    words: Sequence[str],
    endings: Iterable[str],
    *,
    recursive: bool = False,
    sequences: bool = False,
) -> Found:
    """Find what the words mean, in an order that is the same on every machine.

    A file is itself, also where nothing stands there: that is told when its turn comes. A pattern
    (``"clips/**/*.mp4"``) and a folder are the files with such endings in them. The tree is what
    lies below the deepest folder that all words share; a folder counts as itself, a file as its
    folder, a pattern as its beginning.

    Args:
        words: as they were typed.
        endings: of the files that folders and patterns stand for, with the dot.
        recursive: look into folders of folders too.
        sequences: a folder or a pattern of pictures is one input, not many.

    Raises:
        UsageError: a word that names nothing, such as a variable of a script that was never set.
        MissingFileError: a folder or a pattern without such files.
    """
    for word in words:
        if not word or "\0" in word:
            raise UsageError(
                f"an input named {word!r}", needed="a file, a pattern or a folder", do="name one"
            )
    wanted = frozenset(endings)
    found = [(word, list(_meant(word, wanted, recursive, sequences))) for word in words]
    base = _shared([_root(word) for word in words if not is_url(word)])
    inputs: dict[str, Input] = {}
    left_out: dict[str, Path] = {}
    for word, names in found:
        there = set(names)
        for name in names:
            if name != word and _is_result(Path(name), there):
                left_out[name] = Path(name)
                continue
            tree = Path() if is_url(word) else _below(name, base)
            inputs.setdefault(name, Input(name, tree))
    kept = tuple(path for name, path in left_out.items() if name not in inputs)
    return Found(tuple(inputs.values()), kept)


def _is_result(path: Path, there: set[str]) -> bool:
    """Whether a name is one that we give to what is made from a file beside it."""
    mark = _RESULT.search(path.stem)
    if mark is None:
        return False
    source = path.stem[: mark.start()]
    return any(str(path.with_name(f"{source}{ending}")) in there for ending in FILMS | PICTURES)


def is_url(word: str) -> bool:
    """Whether a word is an address that fsspec opens, such as ``s3://bucket/a.mp4``."""
    return "://" in word and not Path(word).exists()


def _meant(word: str, endings: frozenset[str], recursive: bool, sequences: bool) -> Iterator[str]:
    path = Path(word)
    if is_url(word) or word == "-" or path.is_file():
        yield word
        return
    if path.is_dir():
        files = sorted(_walk(path, recursive))
    elif any(sign in word for sign in WILD):
        names = sorted(glob.glob(word, recursive=True))  # noqa: PTH207 - names as they were typed
        files = [Path(name) for name in names]
        files = [file for file in files if file.is_file()]
    else:
        yield word  # nothing there, or a numbered pattern
        return
    films = [str(file) for file in files if file.suffix.lower() in endings]
    if sequences and not recursive and not films and any(_is_picture(file) for file in files):
        yield word
        return
    if not films:
        raise MissingFileError(
            f"{word}: nothing there to work on",
            needed=f"files such as {', '.join(one for one in COMMON if one in endings)}",
            do="check the folder or the pattern" + ("" if recursive else ", or add --recursive"),
        )
    yield from films


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    """Files of a folder; hidden ones are nobody's input, and links to folders may run in rings."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_file():
            yield entry
        elif recursive and entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry, recursive)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


def _root(word: str) -> Path:
    path = Path(word)
    if path.is_dir():
        return path.absolute()
    parts = path.absolute().parts[:-1]
    still = [part for part in parts if not any(sign in part for sign in WILD)]
    known = (
        len(parts)
        if path.exists()
        else next((n for n, part in enumerate(parts) if part not in still), len(parts))
    )
    return Path(*parts[:known])


def _shared(roots: Sequence[Path]) -> Path | None:
    try:
        return Path(os.path.commonpath(roots)) if roots else None
    except ValueError:  # several drives share nothing
        return None


def _below(name: str, base: Path | None) -> Path:
    folder = Path(name).absolute().parent
    return folder.relative_to(base) if base is not None and folder.is_relative_to(base) else Path()
