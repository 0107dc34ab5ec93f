"""Where weights come from, and what is checked before they are used.

Room: weights (floor 4). The one door to safetensors and to the Hub.

    layout     the form of a folder, ``config.json``, digests
    sources    names and where they lead; the release table
    hub        fetching through huggingface-hub; refusals, keeping (the cache), sharing (push)
    reading    files to a model          writing    a model to files
    cards      model cards               pretrained ``from_pretrained`` and its fellows

``load`` and ``save`` bring torch with them, so they come in when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

from mardini_cli.weights.layout import Card, check_files, digest, read_card
from mardini_cli.weights.sources import RELEASES, HubName, Source, find, identity, locate, releases

if TYPE_CHECKING:
    from mardini_cli.weights.reading import load
    from mardini_cli.weights.writing import save

__all__ = [
    "RELEASES",
    "Card",
    "HubName",
    "Source",
    "check_files",
    "digest",
    "find",
    "identity",
    "load",
    "locate",
    "read_card",
    "releases",
    "save",
]


def __getattr__(name: str) -> Any:
    if name == "load":
        from mardini_cli.weights.reading import load

        return load
    if name == "save":
        from mardini_cli.weights.writing import save

        return save
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
