"""What the Hub's cache holds of ours, and how it is let go.

Room: weights (floor 4). No network.
"""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, get_token, is_offline_mode, scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from mardini_cli.errors import MissingWeightsError, WeightsError
from mardini_cli.events import Removed
from mardini_cli.weights import layout
from mardini_cli.weights.sources import HubName


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
        size=sum(file.stat().st_size for folder in folders for file in layout.tensor_files(folder)),
        endpoint=constants.ENDPOINT,
        offline=is_offline_mode(),
        token=bool(get_token()),
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
            freed += part.stat().st_size
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
