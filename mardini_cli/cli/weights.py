"""``mardini weights``: where weights come from, and what is here.

Room: cli. Words to the weights room, events to the screen.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen, visible
from mardini_cli.errors import MissingWeightsError
from mardini_cli.events import Event

weights = typer.Typer(
    name="weights",
    help="Find, fetch, check and share weights.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NameArg = Annotated[
    str,
    typer.Argument(metavar="NAME", help="What --model takes: see mardini weights where --help."),
]
HubArg = Annotated[
    str,
    typer.Argument(
        metavar="[NAME]", help="hub:ORG/NAME[@REVISION]. Without it: what MARDINI_HUB_REPO names."
    ),
]
FolderArg = Annotated[Path, typer.Argument(metavar="FOLDER", help="A weights folder.")]
RepoArg = Annotated[
    str | None,
    typer.Argument(metavar="[ORG/NAME]", help="Where to. Without it: what MARDINI_HUB_REPO names."),
]
PublicOpt = Annotated[bool, typer.Option("--public", help="A new repository is for everyone.")]


@weights.command("list")
def list_(json: options.JsonOpt = False) -> None:
    """Show the releases, and what the Hub's cache holds.

    Example: mardini weights list
    """
    from mardini_cli.weights import shelf

    Screen.here(json=json).follow(shelf.shelf())


@weights.command()
def where(name: NameArg, json: options.JsonOpt = False) -> None:
    """Show where a name leads, and fetch nothing.

    First comes what begins with hub: (on the Hub and nowhere else; hub alone is what
    MARDINI_HUB_REPO names), then a release inside the package, then a folder or a .safetensors
    file with its config.json beside it, then ORG/NAME[@REVISION] on the Hub. What the Hub's cache
    holds is used as it is; mardini weights download looks for something newer. The order is told
    as it is walked.

    Example: mardini weights where mardini-tiny
    """
    from mardini_cli.weights import shelf

    Screen.here(json=json).follow(iter([shelf.where(name)]))


@weights.command()
def download(
    name: HubArg = "hub", json: options.JsonOpt = False, quiet: options.QuietOpt = False
) -> None:
    """Fetch weights from the Hub, or what is newer there, and check every byte.

    What was cut off goes on where it stopped. HF_ENDPOINT names a mirror, HF_HOME the cache,
    HF_TOKEN a token. The folder in the cache goes to standard output.

    Example: mardini weights download hub:ORG/NAME@v1
    """
    Screen.here(json=json, quiet=quiet).follow(_download(name))


def _download(name: str) -> Iterator[Event]:
    from mardini_cli.weights import locate, shelf

    source = locate(name)
    if source.hub is None:  # here already: say where
        yield shelf.where(name)
        return
    from mardini_cli.weights import hub

    yield from hub.fetching(source.hub)


@weights.command()
def verify(name: NameArg = "mardini-tiny", json: options.JsonOpt = False) -> None:
    """Compare every byte with the digests that are known, and every tensor with the config.

    Example: mardini weights verify mardini-tiny
    """
    from mardini_cli.weights import shelf

    Screen.here(json=json).follow(iter([shelf.verify(name)]))


@weights.command()
def remove(name: NameArg, json: options.JsonOpt = False) -> None:
    """Take weights out of the Hub's cache; files of your own are never touched.

    Example: mardini weights remove hub:ORG/NAME
    """
    from mardini_cli.weights import shelf

    Screen.here(json=json).follow(iter([shelf.remove(name)]))


@weights.command()
def push(
    folder: FolderArg,
    repo: RepoArg = None,
    public: PublicOpt = False,
    dry_run: options.DryRunOpt = False,
    json: options.JsonOpt = False,
) -> None:
    """Share a weights folder on the Hub, with its model card.

    A new repository is private. Without a README.md in the folder a draft of a model card goes
    along; mardini weights card FOLDER shows it.

    Example: mardini weights push runs/mine/weights ORG/NAME --dry-run
    """
    from mardini_cli.weights import sharing
    from mardini_cli.weights.sources import hub_default

    to = repo.removeprefix("hub:") if repo else hub_default().repo
    pushed = sharing.push(folder, to, public=public, dry_run=dry_run)
    Screen.here(json=json).follow(iter([pushed]))


@weights.command()
def card(name: NameArg = "mardini-tiny") -> None:
    """Show the model card, or a draft where there is none.

    Example: mardini weights card mardini-tiny
    """
    from mardini_cli.weights import locate
    from mardini_cli.weights.cards import model_card

    path = locate(name).path
    if path is None:
        raise MissingWeightsError(
            f"{name} is not here", needed="weights that were fetched", do="download them first"
        )
    # A stranger's words: whatever a terminal would obey is made visible.
    typer.echo("\n".join(visible(line) for line in model_card(path).splitlines()))
