"""Clips in WebDataset shards: tar files, on disk or behind a URL, in which any clip is at hand.

Room: training. A tar file is indexed once by its headers; a clip is then a place in it, so that
which clip a window comes from may be a function of seed and step alone, and a run goes on at the
very sample where it stopped. (The ``webdataset`` package reads shards as streams with a shuffling
buffer: quick, but where a stream stands cannot be told from a step.)
"""

import glob
import hashlib
import itertools
import re
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader, BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from filelock import FileLock

from mardini_cli.errors import ConfigError, MissingFileError, WeightsError
from mardini_cli.training.clips import CLIPS, Entry

KEPT = 16
"""Fetched shards that stay on disk; the one that was used longest ago goes first."""
_PATIENCE = 60.0  # seconds that a host may be silent
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Packed(Entry):
    """A clip inside a shard; its path is the shard's."""

    name: str
    start: int
    """First byte."""
    size: int

    def read(self) -> BytesIO:
        """Its bytes."""
        with self.path.open("rb") as shard:
            shard.seek(self.start)
            return BytesIO(shard.read(self.size))


def is_shard(word: str) -> bool:
    """Whether a word of ``data`` names shards."""
    return word.lower().endswith(".tar")


def expanded(word: str) -> list[str]:
    """Shards that a word names: ``{000..015}`` counts, ``{a,b}`` lists, ``*`` looks on disk.

    Raises:
        MissingFileError: a pattern that matches nothing.
    """
    found = _BRACES.search(word)
    if found:
        before, after = word[: found.start()], word[found.end() :]
        return [one for part in _parts(found[1]) for one in expanded(f"{before}{part}{after}")]
    if is_remote(word) or not glob.has_magic(word):
        return [word]
    names = sorted(glob.glob(word))  # noqa: PTH207  # a pattern may be absolute, Path's may not
    if not names:
        raise MissingFileError(
            f"{word} matches nothing", needed="shards that end in .tar", do="check the pattern"
        )
    return names


def _parts(inside: str) -> Iterator[str]:
    counted = re.fullmatch(r"(\d+)\.\.(\d+)", inside)
    if not counted:
        yield from inside.split(",")
        return
    first, last = counted.groups()
    for number in range(int(first), int(last) + 1):
        yield str(number).zfill(len(first))


def is_remote(word: str) -> bool:
    """Whether a word is a URL."""
    return "://" in word


def here(word: str) -> Path:
    """The shard on this disk; fetched first, if it is behind a URL, once for all processes.

    Raises:
        MissingFileError: nothing there, or nothing that can be reached.
    """
    if not is_remote(word):
        if not Path(word).is_file():
            raise MissingFileError(
                f"{word} is no file", needed="a shard that ends in .tar", do="check data"
            )
        return Path(word)
    from platformdirs import user_cache_path  # late: nothing else in training needs it

    folder = user_cache_path("mardini") / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(word.encode()).hexdigest()[:24]}.tar"
    with FileLock(f"{path}.lock"):
        if path.exists():
            path.touch()  # it was used just now
            return path
        _drop_oldest(folder)
        part = path.with_suffix(".part")
        with _opened(word) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, 2**20)
        part.rename(path)
    return path


def _drop_oldest(folder: Path) -> None:
    shards = sorted(folder.glob("*.tar"), key=lambda path: path.stat().st_mtime)
    for path in shards[: max(0, len(shards) - KEPT + 1)]:
        path.unlink(missing_ok=True)  # who reads it still has it open


@contextmanager
def _opened(url: str) -> Iterator[BinaryIO]:
    """Open a URL: http by Python itself, all others by fsspec and what it finds installed."""
    try:
        if url.startswith(("http://", "https://")):
            with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:
                yield answer
        else:
            import fsspec  # late: only for those who need it

            with fsspec.open(url, "rb") as opened:
                yield cast("BufferedReader", opened)
    except (OSError, ValueError, ImportError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection open
        reason = getattr(error, "reason", error)
        raise MissingFileError(
            f"{url} cannot be read ({reason})", needed="a shard that can be reached", do="check it"
        ) from error


@lru_cache(maxsize=64)
def index(path: Path) -> tuple[Packed, ...]:
    """Clips of a shard on disk, in its order; a clip's group is its folder inside.

    Raises:
        WeightsError: no tar file.
    """
    found = []
    try:
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                inside = PurePosixPath(member.name)
                if member.isfile() and inside.suffix.lower() in CLIPS:
                    group = str(inside.parent) if len(inside.parts) > 1 else path.stem
                    found.append(Packed(path, group, inside.name, member.offset_data, member.size))
    except (tarfile.TarError, OSError) as error:
        raise WeightsError(
            f"{path} is no tar file ({error})", needed="an uncompressed shard", do="make it anew"
        ) from error
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Visits:
    """Which shard a window comes from, by the window's number: a function of the seed alone.

    A few shards are open side by side, each for so many windows; then each lane goes on to the next
    shard of a shuffled order, which is another one every time all shards have been seen.
    """

    shards: tuple[str, ...]
    seed: int
    lanes: int = 4
    windows: int = 512
    """Windows of one visit."""

    def at(self, number: int) -> str:
        """The shard of a window."""
        lanes = min(self.lanes, len(self.shards))
        lane, turn = number % lanes, number // lanes
        visit = turn // self.windows * lanes + lane
        lap, place = divmod(visit, len(self.shards))
        return self.shards[_order(len(self.shards), self.seed, lap)[place]]


@lru_cache(maxsize=8)
def _order(count: int, seed: int, lap: int) -> tuple[int, ...]:
    """A shuffled order: by a hash, which no library's generator can change."""
    keyed = ((hashlib.sha256(f"{seed} {lap} {n}".encode()).digest(), n) for n in range(count))
    return tuple(number for _, number in sorted(keyed))


def named(data: Sequence[str]) -> tuple[str, ...]:
    """All shards of ``data``.

    Raises:
        ConfigError: shards and other clips together.
    """
    shards = [is_shard(word) for word in data]
    if not any(shards):
        return ()
    if not all(shards):
        raise ConfigError(
            "data names shards and folders",
            needed="one or the other",
            do="pack the folders into shards, or name folders alone",
        )
    return tuple(itertools.chain.from_iterable(expanded(word) for word in data))
