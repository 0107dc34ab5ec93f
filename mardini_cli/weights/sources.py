"""Names of weights, and where they lead.

Room: weights (floor 4). Resolution order of ``--model``, shown by ``mardini weights where NAME``:

    1. ``hub:ORG/NAME[@REVISION]``, and ``hub`` alone, are on the Hub and nowhere else
    2. a release name: the weights inside the package
    3. a folder, or a ``.safetensors`` file with its ``config.json`` beside it
    4. ``ORG/NAME[@REVISION]`` is on the Hub

What is in the Hub's cache is used as it is, without a look at the network;
``mardini weights download`` looks for something newer. The package's own weights need no network,
ever.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from mardini_cli.errors import MissingWeightsError, UsageError
from mardini_cli.weights.layout import CONFIG, HINT, SUFFIX

Kind = Literal["release", "folder", "file", "hub"]
HUB_VARIABLE = "MARDINI_HUB_REPO"
"""Environment: the repository that the word ``hub`` stands for. There is no default."""
PACKAGE = Path(__file__).parents[1]
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_REVISION = re.compile(r"[\w./-]+")


class AbsentWeightsError(MissingWeightsError):
    """On the Hub, and not in its cache; whoever asked did not want to fetch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One line of the release table."""

    about: str
    digest: str
    """``layout.digest`` of its files: the revision that is meant, whatever stands there."""


RELEASES: Mapping[str, Release] = MappingProxyType(
    {
        "mardini-tiny": Release(
            about="the default: motion latents, windows of 9 frames",
            digest="75a36132b8861293169e553e87dfeb28c6c8312c4d0683d6f4e65c2c78c9b8f4",
        ),
    }
)
"""What exists, by name. ``weights/README.md`` has the same table; a test compares them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubName:
    """A place on the Hub."""

    repo: str
    """``ORG/NAME``."""
    revision: str = "main"
    """Branch, tag or commit."""

    def __str__(self) -> str:
        return f"hub:{self.repo}@{self.revision}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a name leads."""

    name: str
    kind: Kind
    path: Path | None
    """None: on the Hub, and not in the cache."""
    hub: HubName | None = None
    """For kind ``hub``."""
    revision: str | None = None
    """The commit in the cache, or the digest of a release."""


def releases() -> dict[str, Path]:
    """Embedded weights by name: those in the package, or the checkout's own."""
    embedded = PACKAGE / "_weights"
    root = embedded if embedded.is_dir() else PACKAGE.parent / "weights"
    return {config.parent.name: config.parent for config in sorted(root.glob(f"*/{CONFIG}"))}


def locate(name: str) -> Source:
    """Say where a name leads, without fetching anything.

    Raises:
        MissingWeightsError: nowhere.
        UsageError: a place on the Hub that is misspelt.
    """
    if name == "hub" or name.startswith("hub:"):
        return _on_the_hub(name, hub_name(name))
    known = releases()
    if name in known:
        told = RELEASES.get(name)
        return Source(
            name=name, kind="release", path=known[name], revision=told.digest if told else None
        )
    path = Path(name)
    if path.is_dir():
        return Source(name=name, kind="folder", path=path)
    if path.is_file() and path.suffix == SUFFIX:
        return Source(name=name, kind="file", path=path)
    if not path.exists() and _REPOSITORY.fullmatch(name.partition("@")[0]):
        return _on_the_hub(name, hub_name(f"hub:{name}"))
    names = ", ".join(known) or "none is embedded"
    raise MissingWeightsError(
        f"{name} is no {SUFFIX} file" if path.exists() else f"no weights '{name}'",
        needed=f"a release ({names}), a path or a place on the Hub",
        do=HINT,
    )


def find(name: str, *, fetch: bool = True) -> Path:
    """Turn ``--model`` into a folder, or into a single file of tensors.

    Args:
        name: what ``--model`` takes.
        fetch: bring what is on the Hub and not in its cache.

    Raises:
        AbsentWeightsError: they would have to be fetched.
        WeightsError: no such weights, or the Hub does not hand them over.
    """
    source = locate(name)
    if source.path is not None:
        return source.path
    if not fetch or source.hub is None:
        raise AbsentWeightsError(
            f"{name} is not here",
            needed="weights in the cache",
            do="run 'mardini weights download'",
        )
    from mardini_cli.weights import hub  # late: 0.2 s

    return hub.fetch(source.hub)


def ways(name: str) -> tuple[str, ...]:
    """What ``locate`` asks of a name, in its order, with the answers up to the one that counts.

    Raises:
        WeightsError: as ``locate``.
    """
    kind = locate(name).kind
    told_hub = name == "hub" or name.startswith("hub:")
    questions = (
        ("does it begin with the word hub", told_hub),
        (f"is it a release ({', '.join(releases()) or 'none is embedded'})", kind == "release"),
        ("is it a folder here", kind == "folder"),
        (f"is it a {SUFFIX} file here", kind == "file"),
        ("has it the form ORG/NAME[@REVISION]", kind == "hub"),
    )
    until = next(place for place, (_, answer) in enumerate(questions) if answer)
    return tuple(f"{ask}: {'yes' if answer else 'no'}" for ask, answer in questions[: until + 1])


def identity(name: str) -> str:
    """The name, with the commit that it stands for where it leads to the Hub's cache."""
    source = locate(name)
    at = source.revision
    return f"hub:{source.hub.repo}@{at}" if source.hub and at else name


def _on_the_hub(name: str, place: HubName) -> Source:
    from mardini_cli.weights import hub  # late: 0.2 s

    cached = hub.cached(place)
    return Source(
        name=name,
        kind="hub",
        path=cached,
        hub=place,
        revision=cached.name if cached else None,
    )


def hub_name(name: str) -> HubName:
    """Read ``hub`` and ``hub:ORG/NAME[@REVISION]``."""
    if name == "hub":
        return hub_default()
    repo, at, revision = name.removeprefix("hub:").partition("@")
    if not _REPOSITORY.fullmatch(repo) or (at and not _REVISION.fullmatch(revision)):
        raise UsageError(
            f"'{name}' is no place on the Hub", needed="hub:ORG/NAME[@REVISION]", do="spell it so"
        )
    return HubName(repo=repo, revision=revision) if at else HubName(repo=repo)


def hub_default() -> HubName:
    """The place that the word ``hub`` stands for.

    Raises:
        WeightsError: none is configured.
    """
    told = os.environ.get(HUB_VARIABLE, "")
    if not told:
        raise MissingWeightsError(
            f"'hub' without {HUB_VARIABLE}",
            needed="a repository",
            do=f"set {HUB_VARIABLE}=ORG/NAME, or write hub:ORG/NAME",
        )
    return hub_name(f"hub:{told.removeprefix('hub:')}")
