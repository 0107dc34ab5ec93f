"""Weights on the Hugging Face Hub: fetch them, keep them, let them go, share them.

Room: weights (floor 4). The one door to huggingface-hub, which does the transfer: cache, tokens,
mirrors (``HF_ENDPOINT``), offline mode (``HF_HUB_OFFLINE``), retries. Two things are added. A file
that was cut off goes on where it stopped, also in another process (the library throws such a file
away when a process ends, huggingface_hub#4228): it is gathered beside its place in the cache and
takes its name when its SHA-256 is right. And only our files are fetched: no pickles, no code.
"""

import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from filelock import FileLock
from huggingface_hub import (
    CommitOperationAdd,
    HfApi,
    constants,
    get_token,
    hf_hub_download,
    hf_hub_url,
    is_offline_mode,
    scan_cache_dir,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    CacheNotFound,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented

from mardini_cli.errors import (
    DamagedWeightsError,
    HubError,
    HubGatedError,
    HubOfflineError,
    HubTokenError,
    HubUnreachableError,
    IncompleteWeightsError,
    MissingWeightsError,
    NoSpaceError,
    UsageError,
    WeightsError,
    WeightsLayoutError,
)
from mardini_cli.events import Fetched, Progress, Pushed, Removed
from mardini_cli.weights import cards, layout
from mardini_cli.weights.sources import HubName
from mardini_cli.weights.transfer import watched

BESIDE = (layout.MODEL_CARD, "LICENSE", "NOTICE")
"""Files that travel with the tensors and decide nothing."""
SPARE_BYTES = 64 * 2**20
"""What a download leaves free on the disk at least."""
ANSWER_SECONDS = 15.0
_TRANSPORT: type[Exception] = HfHubHTTPError.__bases__[0]
"""httpx's ``HTTPError`` under huggingface-hub 1, httpx2's under 2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """One file of a repository, as the Hub tells of it."""

    name: str
    size: int
    blob: str
    """Git's SHA-1 of the blob."""
    sha256: str | None
    """For large files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """How this machine stands to the Hub."""

    cache: Path
    size: int
    """Bytes of weights in our form that the cache holds."""
    endpoint: str
    offline: bool
    token: bool
    """Whether there is one; never which."""


def state() -> State:
    """Look at the cache and the settings; no network."""
    folders = [folder for _, folder in listed()]
    return State(
        cache=Path(constants.HF_HUB_CACHE),
        size=sum(_size(file) for folder in folders for file in layout.tensor_files(folder)),
        endpoint=constants.ENDPOINT,
        offline=is_offline_mode(),
        token=bool(get_token()),
    )


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
    with _translated(place):
        info = HfApi().model_info(
            place.repo, revision=place.revision, files_metadata=True, timeout=ANSWER_SECONDS
        )
        commit = str(info.sha)
        files = {
            s.rfilename: _File(
                name=s.rfilename,
                size=s.size or 0,
                blob=s.blob_id or "",
                sha256=s.lfs.sha256 if s.lfs else None,
            )
            for s in info.siblings or ()
        }
        small, large = _needed(place, files, commit)
    _check_space(place, large)
    total = sum(file.size for file in large)
    done = 0
    for file in large:
        with _translated(place), closing(_gather(place, file, commit)) as steps:
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
    revision = place.revision if file.name == layout.CONFIG else commit
    with _translated(place):
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


def listed() -> list[tuple[HubName, Path]]:
    """Every revision in the cache that is in our form."""
    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    found = []
    for repo in sorted(repos, key=lambda one: one.repo_id):
        for revision in sorted(repo.revisions, key=lambda one: one.commit_hash):
            if repo.repo_type == "model" and _is_ours(revision.snapshot_path):
                place = HubName(repo=repo.repo_id, revision=revision.commit_hash)
                found.append((place, revision.snapshot_path))
    return found


def _is_ours(folder: Path) -> bool:
    try:
        layout.read_card(folder)
        return bool(layout.tensor_files(folder))
    except WeightsError:
        return False


def remove(place: HubName, *, whole: bool) -> Removed:
    """Take weights out of the cache: one revision, or with ``whole`` all of the repository.

    Raises:
        MissingWeightsError: they are not there.
    """
    try:
        info = scan_cache_dir()
        (repo,) = (r for r in info.repos if (r.repo_id, r.repo_type) == (place.repo, "model"))
    except (CacheNotFound, ValueError) as error:
        raise _not_cached(place) from error
    chosen = [
        one.commit_hash
        for one in repo.revisions
        if whole or place.revision == one.commit_hash or place.revision in one.refs
    ]
    parts = list((repo.repo_path / "blobs").glob("*.mardini.incomplete"))
    if not chosen and not (whole and parts):
        raise _not_cached(place)
    freed = 0
    if whole:
        for part in parts:
            freed += _size(part)
            part.unlink()
    if chosen:
        strategy = info.delete_revisions(*chosen)
        freed += strategy.expected_freed_size
        strategy.execute()
    return Removed(name=str(place), path=repo.repo_path, size=freed)


def _not_cached(place: HubName) -> WeightsError:
    return MissingWeightsError(
        f"{place} is not in the cache",
        needed="weights that were fetched",
        do="see 'mardini weights list'",
    )


def push(folder: Path, repo: str, *, public: bool = False, dry_run: bool = False) -> Pushed:
    """Share a weights folder, with its model card; a new repository is private unless told.

    Raises:
        WeightsError: the folder is not whole, or the Hub refuses.
    """
    if not folder.is_dir():
        raise MissingWeightsError(
            f"{folder} is no folder", needed="a weights folder", do=layout.HINT
        )
    layout.check_files(folder)
    contents: dict[str, Path | bytes] = {path.name: path for path in layout.ours(folder)}
    contents |= {name: folder / name for name in BESIDE if (folder / name).is_file()}
    contents[layout.MODEL_CARD] = cards.model_card(folder).encode()
    size = sum(_size(c) if isinstance(c, Path) else len(c) for c in contents.values())
    pushed = Pushed(
        name=f"hub:{repo}",
        address=f"{constants.ENDPOINT}/{repo}",
        revision=None,
        files=tuple(sorted(contents)),
        size=size,
        private=not public,
        dry_run=dry_run,
    )
    if dry_run:
        return pushed
    place = HubName(repo=repo)
    if is_offline_mode():
        _refuse_offline(place)
    if not get_token():
        raise HubTokenError(
            "no access token",
            needed="one that may write",
            do="run 'hf auth login', or set HF_TOKEN",
        )
    additions = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
        for name, content in contents.items()
    ]
    with _translated(place):
        api = HfApi()
        api.create_repo(repo, private=not public, exist_ok=True)
        private = api.model_info(repo, timeout=ANSWER_SECONDS).private
        commit = api.create_commit(repo, additions, commit_message="Add weights of mardini")
    return replace(pushed, revision=commit.oid, private=bool(private))


@contextmanager
def _translated(place: HubName) -> Iterator[None]:
    """The library's errors become ours, each with its next step."""
    try:
        yield
    except LocalEntryNotFoundError as error:  # what the library says when it could not look
        raise _as_ours(error.__cause__ or error, place) from error
    except (HfHubHTTPError, HFValidationError, FileMetadataError, _TRANSPORT, OSError) as error:
        raise _as_ours(error, place) from error


def _as_ours(error: BaseException, place: HubName) -> Exception:
    at = constants.ENDPOINT
    match error:
        case GatedRepoError():
            return HubGatedError(
                f"{place.repo} is gated",
                needed="access that its owners granted, and a token",
                do=f"ask for it on {at}/{place.repo}, then run 'hf auth login'",
            )
        case RevisionNotFoundError():
            return MissingWeightsError(
                f"{place.repo} has no revision '{place.revision}'",
                needed="a branch, tag or commit of it",
                do=f"look at {at}/{place.repo}, or leave @{place.revision} out",
            )
        case RepositoryNotFoundError():
            return MissingWeightsError(
                f"no repository {place.repo} on {at}, or a private one",
                needed="a repository that you may read",
                do="check the name; for a private one run 'hf auth login'",
            )
        case RemoteEntryNotFoundError():
            return WeightsLayoutError(
                f"{place} lost a file while it was fetched", needed="all of them", do="try again"
            )
        case HFValidationError():
            return UsageError(
                f"'{place.repo}' is no name on the Hub", needed="ORG/NAME", do="spell it so"
            )
        case HfHubHTTPError():
            return _refused(error, place)
        case OfflineModeIsEnabled():
            return HubOfflineError(
                f"{place}: the network is switched off",
                needed="a connection",
                do="leave --offline out and unset HF_HUB_OFFLINE",
            )
        case FileMetadataError():
            return HubError(
                f"{at} does not answer as a Hub does", needed="a Hub", do="check HF_ENDPOINT"
            )
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return NoSpaceError(
                f"the disk of {constants.HF_HUB_CACHE} is full",
                needed="space for the rest",
                do="free some, or set HF_HOME to another disk; what came is kept",
            )
        case OSError() if error.errno is not None and not isinstance(error, ConnectionError):
            return HubError(
                f"{error.filename or constants.HF_HUB_CACHE}: {error.strerror}",
                needed="a cache that can be written",
                do="set HF_HOME to a folder of yours",
            )
        case _:  # no connection, a stall, a stream that broke or came too short
            return HubUnreachableError(
                f"{at} cannot be reached ({_first_line(error)})",
                needed="a connection",
                do="try again: what came is kept; HF_ENDPOINT names a mirror",
            )


def _refused(error: HfHubHTTPError, place: HubName) -> Exception:
    at, status = constants.ENDPOINT, error.response.status_code
    if status in (401, 403):
        token = "refuses the access token" if get_token() else "asks for an access token"
        return HubTokenError(
            f"{at} {token} for {place.repo} ({status})",
            needed="a valid token with the right to do this",
            do="run 'hf auth login', or set HF_TOKEN",
        )
    if status == 429 or status >= 500:
        trouble = "has too many requests" if status == 429 else "is in trouble"
        return HubUnreachableError(
            f"{at} {trouble} ({status})",
            needed="an answer",
            do="try again later: what came is kept",
        )
    return HubError(
        f"{at} refuses {place.repo}: {_first_line(error)}",
        needed="its consent",
        do="see the reason",
    )


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__


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
