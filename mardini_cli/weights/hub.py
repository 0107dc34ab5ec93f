"""Weights from the Hugging Face Hub into its cache.

Room: weights (floor 4). huggingface-hub does the transfer: cache, tokens,
mirrors (``HF_ENDPOINT``), offline mode (``HF_HUB_OFFLINE``), retries. Two things are added. A file
that was cut off goes on where it stopped, also in another process (the library throws such a file
away when a process ends, huggingface_hub#4228): it is gathered beside its place in the cache and
takes its name when its SHA-256 is right. And only our files are fetched: no pickles, no code.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from filelock import FileLock
from huggingface_hub import (
    HfApi,
    constants,
    hf_hub_download,
    hf_hub_url,
    is_offline_mode,
    try_to_load_from_cache,
)
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented

from mardini_cli.errors import (
    DamagedWeightsError,
    HubOfflineError,
    IncompleteWeightsError,
    NoSpaceError,
    WeightsError,
    WeightsLayoutError,
)
from mardini_cli.events import Fetched, Progress
from mardini_cli.weights import layout
from mardini_cli.weights.refusals import translated
from mardini_cli.weights.sources import HubName
from mardini_cli.weights.transfer import watched

BESIDE = (layout.MODEL_CARD, "LICENSE", "NOTICE")
"""Files that travel with the tensors and decide nothing."""
SPARE_BYTES = 64 * 2**20
"""What a download leaves free on the disk at least."""
ANSWER_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """One file of a repository, as the Hub tells of it."""

    name: str
    size: int
    blob: str
    """Git's SHA-1 of the blob."""
    sha256: str | None
    """For large files."""


def cached(place: HubName) -> Path | None:
    """The folder in the cache, if all that is needed is there; no look at the network."""
    folder = _cached_config(place)
    try:
        return folder if folder and layout.tensor_files(folder) else None
    except WeightsError:
        return None


def fetch(place: HubName) -> Path:
    """Fetch without telling how far it is; see ``fetching``."""
    *_, last = fetching(place)
    assert isinstance(last, Fetched)
    return last.output


def fetching(place: HubName) -> Generator[Progress | Fetched, None, None]:
    """Bring weights into the Hub's cache, and check every byte; closing the iterator stops.

    What is in the cache already is checked and not fetched again; what was cut off goes on.

    Yields:
        ``Progress`` in MiB, then ``Fetched``.

    Raises:
        WeightsError: each trouble with its own code; see docs/errors.md.
    """
    began = monotonic()
    if is_offline_mode():
        _refuse_offline(place)
    with translated(place):
        commit, files = _told(place)
        small, large = _needed(place, files, commit)
    _check_space(place, large)
    total = sum(file.size for file in large)
    done = 0
    for file in large:
        with translated(place), closing(_gather(place, file, commit)) as steps:
            for have in steps:
                yield _progress(done + have, total, began)
        _take(place, file, commit)
        done += file.size
    folder = Path(_take(place, files[layout.CONFIG], commit)).parent
    layout.check_files(folder)
    yield Fetched(
        output=folder,
        name=str(place),
        revision=commit,
        files=len(small) + len(large),
        size=sum(file.size for file in (*small, *large)),
        elapsed=monotonic() - began,
    )


def bring(place: HubName, choose: Callable[[Sequence[str]], Sequence[str]]) -> Path:
    """Bring files that are not in our form, such as another project's weights.

    What the cache holds is used as it is, without a look at the network.

    Args:
        place: the repository.
        choose: of all its files those that are wanted; raises where they are not what is needed.

    Returns:
        The folder in the cache that they lie in.

    Raises:
        WeightsError: each trouble with its own code.
    """
    here = _snapshot(place)
    if here is not None:
        try:
            choose(_names_in(here))
            return here
        except WeightsLayoutError:
            pass  # fetched in part, or of another kind: the Hub knows
    if is_offline_mode():
        _refuse_offline(place)
    with translated(place):
        commit, files = _told(place)
        wanted = [files[name] for name in choose(sorted(files))]
    _check_space(place, [file for file in wanted if file.sha256])
    for file in wanted:
        with translated(place), closing(_gather(place, file, commit)) as steps:
            for _ in steps:
                pass
        path = Path(_take(place, file, commit))
    return path.parents[len(Path(file.name).parts) - 1]


def _told(place: HubName) -> tuple[str, dict[str, _File]]:
    """The commit that a revision stands for, and its files."""
    info = HfApi().model_info(
        place.repo, revision=place.revision, files_metadata=True, timeout=ANSWER_SECONDS
    )
    files = {
        s.rfilename: _File(
            name=s.rfilename,
            size=s.size or 0,
            blob=s.blob_id or "",
            sha256=s.lfs.sha256 if s.lfs else None,
        )
        for s in info.siblings or ()
    }
    return str(info.sha), files


def _snapshot(place: HubName) -> Path | None:
    """The folder in the cache that a revision last stood for."""
    store = Path(constants.HF_HUB_CACHE) / _folder_name(place)
    name = store / "refs" / place.revision
    commit = name.read_text().strip() if name.is_file() else place.revision
    folder = store / "snapshots" / commit
    return folder if folder.is_dir() else None


def _names_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def _progress(done: int, total: int, began: float) -> Progress:
    return Progress(
        done=done >> 20, total=max(total >> 20, 1), elapsed=monotonic() - began, unit="MiB"
    )


def _refuse_offline(place: HubName) -> None:
    begun = _cached_config(place)
    if begun and not cached(place):
        raise IncompleteWeightsError(
            f"{place} was fetched in part, and the network is switched off",
            needed="the rest",
            do=f"switch it on and run 'mardini weights download {place}'",
        )
    raise HubOfflineError(
        f"{place}: the network is switched off",
        needed="a connection to look there" if begun else "a connection, or weights in the cache",
        do="leave --offline out and unset HF_HUB_OFFLINE",
    )


def _needed(
    place: HubName, files: Mapping[str, _File], commit: str
) -> tuple[list[_File], list[_File]]:
    """Small files, which are fetched here, and files of tensors.

    The config is looked at before a tensor is fetched: another model's repository costs nothing.
    """
    if layout.CONFIG not in files:
        _refuse_layout(place, files, layout.CONFIG)
    names = [layout.CONFIG, *(name for name in BESIDE if name in files)]
    if layout.TENSORS in files:
        tensors = [layout.TENSORS]
    elif layout.INDEX in files:
        names.append(layout.INDEX)
        tensors = list(layout.shard_names(Path(_take(place, files[layout.INDEX], commit))))
    else:
        _refuse_layout(place, files, layout.TENSORS)
    for name in tensors:
        if name not in files:
            _refuse_layout(place, files, name)
    small = [files[name] for name in names]
    for file in small:
        path = Path(_take(place, file, commit))
        if file.name == layout.CONFIG:
            layout.read_card(path.parent)
    return small, [files[name] for name in tensors]


def _refuse_layout(place: HubName, files: Mapping[str, _File], lacks: str) -> None:
    pickles = sorted(name for name in files if Path(name).suffix in layout.PICKLES)
    never = f"; {pickles[0]} is a pickle, and those are never opened" if pickles else ""
    raise WeightsLayoutError(
        f"{place} has no {lacks}{never}",
        needed="weights in mardini's form",
        do="choose another repository",
    )


def _take(place: HubName, file: _File, commit: str) -> str:
    """A file's path in the cache, fetched if need be, with the content that the Hub tells.

    Raises:
        DamagedWeightsError: other content; it is removed.
    """
    # The config goes by its branch, so that the cache knows later what the branch stood for.
    revision = place.revision if Path(file.name).name == layout.CONFIG else commit
    with translated(place):
        path = hf_hub_download(place.repo, file.name, revision=revision, tqdm_class=_silent())
    found = Path(path)
    _check(found, file, place, remove=(found.resolve(), found))
    return path


def _check(path: Path, file: _File, place: HubName, remove: Sequence[Path]) -> None:
    size = path.stat().st_size
    if file.sha256:
        found, told = layout.sha256(path), file.sha256
    else:
        found = hashlib.sha1(f"blob {size}\0".encode() + path.read_bytes()).hexdigest()
        told = file.blob
    if size == file.size and found == told:
        return
    for one in remove:
        one.unlink(missing_ok=True)
    raise DamagedWeightsError(
        f"{file.name} of {place} came with other content ({found[:12]}, {size} bytes)",
        needed=f"{told[:12]}, {file.size} bytes",
        do="it was removed: try again, or another HF_ENDPOINT",
    )


def _gather(place: HubName, file: _File, commit: str) -> Generator[int, None, None]:
    """Bring a large file to its place in the cache; yields bytes that are there."""
    store = Path(constants.HF_HUB_CACHE) / _folder_name(place)
    if try_to_load_from_cache(place.repo, file.name, revision=commit) or not file.sha256:
        return  # checked, or fetched by the library, when it is taken
    blob = store / "blobs" / file.sha256
    part = blob.with_name(f"{file.sha256}.mardini.incomplete")
    # The library's own lock for this file: one fetches, the others find it there.
    lock = store.parent / ".locks" / store.name / f"{file.sha256}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if blob.exists():
            return
        url = hf_hub_url(place.repo, file.name, revision=commit)
        with part.open("ab", buffering=0) as out:
            have = min(out.tell(), file.size)
            out.truncate(have)

            def work(meter: type[Any]) -> None:
                # A redirect to another host loses the token: httpx sees to that.
                http_get(
                    url,
                    out,  # unbuffered, so that a kill loses nothing
                    resume_size=have,
                    headers=build_hf_headers(),
                    expected_size=file.size,
                    displayed_filename=file.name,
                    tqdm_class=meter,
                )

            yield have
            with _hushed():
                yield from watched(work, have)
        _check(part, file, place, remove=(part,))
        part.replace(blob)


def _check_space(place: HubName, files: Sequence[_File]) -> None:
    cache = Path(constants.HF_HUB_CACHE)
    store = cache / _folder_name(place) / "blobs"
    needed = sum(
        file.size - _size(store / f"{file.sha256}.mardini.incomplete")
        for file in files
        if not (store / str(file.sha256)).exists()
    )
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if needed and free < needed + SPARE_BYTES:
        raise NoSpaceError(
            f"{place} needs {_mib(needed)}, {there} has {_mib(free)} free",
            needed=f"{_mib(needed + SPARE_BYTES)} free",
            do="free some, or set HF_HOME to another disk",
        )


def _cached_config(place: HubName) -> Path | None:
    path = try_to_load_from_cache(place.repo, layout.CONFIG, revision=place.revision)
    return Path(path).parent if isinstance(path, str) else None


def _folder_name(place: HubName) -> str:
    return repo_folder_name(repo_id=place.repo, repo_type="model")


@contextmanager
def _hushed() -> Iterator[None]:
    """Without the library's own lines about each new try: they would run through the progress."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    if "HF_HUB_VERBOSITY" not in os.environ:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _silent() -> type[Any]:
    from mardini_cli.weights.transfer import meter

    return meter(lambda _: None)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
