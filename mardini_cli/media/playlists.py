"""Lists of films: HLS playlists, which name other files and hosts.

Room: media (floor 2). Reads text; opens no film.

A list of pieces is harmless: FFmpeg takes no list for a piece. A list of lists (a master playlist)
is not. FFmpeg 8.1 reads every list that it names, and adds what these name in turn: one that names
itself took 140 s and gigabytes of memory where 20 s were allowed. The standard (RFC 8216, section
4.3.4) lets a list of lists name lists of pieces alone, and so that is asked of every list on this
machine. Those of hosts are left to FFmpeg: a list there that names itself ends when time is up.
"""

import re
from pathlib import Path
from typing import Final

from mardini_cli.errors import NotMediaError

LARGEST: Final = 2**24
"""Bytes of a list; 16 MiB name a hundred thousand pieces."""
_LISTS: Final = (b"#EXT-X-STREAM-INF", b"#EXT-X-MEDIA:")
"""What a list of lists has, and a list of pieces has not."""
_ADDRESS: Final = re.compile(rb'URI="?([^",]+)')


def is_playlist(path: Path) -> bool:
    """Whether a file begins as an HLS playlist does."""
    with path.open("rb") as file:
        return file.read(16).removeprefix(b"\xef\xbb\xbf").startswith(b"#EXTM3U")


def check_playlist(path: Path) -> None:
    """Refuse a list of lists that names others than lists of pieces.

    Raises:
        NotMediaError: it does, or names what is not here, or is too long.
    """
    whole = _read(path)
    if not _is_of_lists(whole):
        return
    for name in _names(whole):
        if name.startswith((b"http://", b"https://")):
            continue
        here = path.parent / name.removeprefix(b"file://").removeprefix(b"file:").decode(
            errors="surrogateescape"
        )
        if not here.is_file():  # a named pipe would block for ever
            raise NotMediaError(
                f"{path} names {name.decode(errors='replace')}, which is no file here",
                needed="lists that are there",
                do="copy them too",
            )
        if _is_of_lists(_read(here)):
            raise NotMediaError(
                f"{path} is a list of lists, and names {here.name}, which is one too",
                needed="lists of a film's pieces",
                do="name one of those itself",
            )


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        whole = file.read(LARGEST + 1)
    if len(whole) > LARGEST:
        raise NotMediaError(
            f"{path} is a list of more than {LARGEST >> 20} MiB",
            needed="a shorter one",
            do="name the films themselves",
        )
    return whole


def _is_of_lists(whole: bytes) -> bool:
    return any(sign in whole for sign in _LISTS)


def _names(whole: bytes) -> list[bytes]:
    """All that a list of lists names, as FFmpeg reads its lines."""
    lines = [line.strip() for line in re.split(rb"[\r\n\0]", whole)]
    named = [line for line in lines if line and not line.startswith(b"#")]
    return named + [address for line in lines for address in _ADDRESS.findall(line)]
