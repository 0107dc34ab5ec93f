"""One item of a batch, from wherever its input lies to wherever its result goes.

Room: api. The one door to fsspec, which opens addresses (``s3://``, ``gs://``, ``file://``...);
the web is read by Python itself. Light to import.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

from mardini_cli.api.making import MakeRequest
from mardini_cli.api.settings import TASKS, run
from mardini_cli.errors import MissingFileError, UnwritableError
from mardini_cli.events import Drawn, Event, Finished, Recorded

if TYPE_CHECKING:
    from mardini_cli.api.batch import Item


PATIENCE: Final = 20.0
"""Seconds that a host may take to answer."""


def errand(item: Item) -> Iterator[Event]:
    """Fetch, work and send. What is sent leaves nothing on this machine.

    Yields:
        As the task; results that are sent are told once they are, with their address.

    Raises:
        MardiniError: anything that the user can act on.
    """
    if not item.inputs and item.send_to is None:
        yield from run(item.request)
        return
    from mardini_cli.media.output import scratch

    with scratch() as folder:
        request = _fetched(item, folder / "in") if item.inputs else item.request
        if item.send_to is None:
            yield from run(request)
            return
        results: list[Finished | Drawn | Recorded] = []
        for event in run(replace(request, output_dir=folder / "out")):
            if isinstance(event, Finished | Drawn | Recorded):
                results.append(event)  # a sheet is drawn from the film, which must be here then
            else:
                yield event
        for result in results:
            yield replace(result, address=_sent(result.output, item.send_to))


@contextmanager
def _translated(address: str) -> Iterator[Any]:
    """Opening an address fails in a hundred ways; each is one line."""
    import fsspec

    try:
        yield fsspec
    except (ImportError, ValueError) as error:  # an unknown protocol, or its package is not here
        raise MissingFileError(
            f"{address}: {error}", needed="an address that fsspec opens", do="install its package"
        ) from error
    except OSError:
        raise  # it depends on what was going on
    except Exception as error:  # the packages for stores have errors of their own
        raise MissingFileError(
            f"{address}: {str(error) or type(error).__name__}",
            needed="an address that fsspec opens",
            do="check the address, and what its package needs",
        ) from error


def _fetched(item: Item, folder: Path) -> MakeRequest:
    """The request with local copies in the places of its inputs."""
    folder.mkdir()
    field = TASKS[item.task].source
    copies = []
    for number, address in enumerate(item.inputs):
        try:
            path = folder / str(number) / _name(address)
            path.parent.mkdir()
            if _is_web(address):
                _fetch_from_web(address, path)
            else:
                with _translated(address) as fsspec:
                    files, where = fsspec.core.url_to_fs(address)
                    files.get_file(where, str(path))
        except (OSError, HTTPException, ValueError) as error:  # a host that is no name: ValueError
            if isinstance(error, HTTPError):
                error.close()  # it holds the connection open
            raise MissingFileError(
                f"{address}: {error}", needed="a file that can be read", do="check the address"
            ) from error
        copies.append(path)
    source: dict[str, Any] = {field: tuple(copies) if field == "images" else copies[0]}
    return replace(item.request, **source)


def _is_web(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def _name(address: str) -> str:
    """The name of the file; of a web address, without what is asked after ``?``."""
    path = unquote(urlsplit(address).path) if _is_web(address) else address
    return PurePosixPath(path).name or "input"


def _fetch_from_web(address: str, path: Path) -> None:
    """Read from the web by Python itself: fsspec needs a package for it.

    Raises:
        OSError, HTTPException: there is none, or it broke off.
    """
    with urlopen(address, timeout=PATIENCE) as answer, path.open("wb") as file:
        shutil.copyfileobj(answer, file)
        promised = answer.headers.get("Content-Length")
    if promised is not None and path.stat().st_size != int(promised):
        raise OSError(f"it broke off after {path.stat().st_size} of {promised} bytes")


def _sent(path: Path, folder: str) -> str:
    """Put a result under its address: beside its name first, so that it appears whole."""
    address = f"{folder.rstrip('/')}/{path.name}"
    with _translated(address) as fsspec:
        try:
            files, where = fsspec.core.url_to_fs(address)
            files.makedirs(where.rpartition("/")[0], exist_ok=True)
            files.put_file(str(path), f"{where}.part")
            files.mv(f"{where}.part", where)
        except OSError as error:
            raise UnwritableError(
                f"{address}: {error}", needed="a place that can be written", do="check the address"
            ) from error
    return address
