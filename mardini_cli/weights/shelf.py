"""What is here: every name of weights, where it leads, and whether it is whole.

Room: weights (floor 4). What ``mardini weights list | where | verify | remove`` do.
"""

from collections.abc import Iterator
from pathlib import Path

from mardini_cli.errors import DamagedWeightsError, UsageError
from mardini_cli.events import Intact, Located, Removed
from mardini_cli.weights import layout
from mardini_cli.weights.sources import RELEASES, Source, find, locate, releases, ways


def shelf() -> Iterator[Located]:
    """Every release, then everything of our form in the Hub's cache."""
    from mardini_cli.weights import keeping  # late: 0.2 s

    for name in releases():
        yield where(name)
    for place, path in keeping.listed():
        source = Source(name=str(place), kind="hub", path=path, hub=place, revision=place.revision)
        yield _located(source)


def where(name: str) -> Located:
    """Where a name leads, without fetching anything.

    Raises:
        WeightsError: nowhere.
    """
    return _located(locate(name), ways(name))


def _located(source: Source, ways: tuple[str, ...] = ()) -> Located:
    card = layout.read_card(source.path) if source.path else None
    return Located(
        name=source.name,
        kind=source.kind,
        path=source.path,
        revision=source.revision,
        preset=card.config.preset if card else None,
        size=sum(file.stat().st_size for file in _tensors(source.path)),
        ways=ways,
    )


def _tensors(path: Path | None) -> tuple[Path, ...]:
    return layout.tensor_files(path) if path else ()


def verify(name: str) -> Intact:
    """Compare every byte with the digests that are known, and every tensor with the config.

    Raises:
        DamagedWeightsError: a file was changed or cut short.
        WeightsError: no such weights, or tensors that do not fit.
    """
    source = locate(name)
    path = source.path or find(name)
    compared = layout.check_files(path)
    digest = layout.digest(path)
    if source.kind == "release" and name in RELEASES:
        if digest != RELEASES[name].digest:
            raise DamagedWeightsError(
                f"{path} has digest {digest}",
                needed=f"the release's, {RELEASES[name].digest}",
                do="install mardini again",
            )
        compared = sum(file.stat().st_size for file in layout.ours(path))
    from mardini_cli.weights import reading  # late: it imports torch

    tensors = reading.check(path)
    return Intact(name=name, path=path, size=compared, digest=digest, tensors=tensors)


def remove(name: str) -> Removed:
    """Take weights out of the Hub's cache; without a revision, all of the repository.

    Raises:
        UsageError: they are not in the cache but elsewhere: those are never removed.
        WeightsError: they are not there.
    """
    source = locate(name)
    if source.hub is None:
        raise UsageError(
            f"{name} is a {source.kind}, not in the Hub's cache",
            needed="a name such as hub:ORG/NAME",
            do="remove files of your own yourself",
        )
    from mardini_cli.weights import keeping  # late: 0.2 s

    return keeping.remove(source.hub, whole="@" not in name)
