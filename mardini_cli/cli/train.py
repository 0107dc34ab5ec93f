"""``mardini train``: make weights from clips.

Room: cli. Words to a config, events to the screen.
"""

from pathlib import Path
from typing import Annotated

import typer

from mardini_cli.cli.options import JsonOpt, QuietOpt
from mardini_cli.cli.screen import Screen


def train(
    config: Annotated[Path, typer.Argument(help="Settings of the run, a TOML file.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change.")
    ] = None,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Train a model on a folder of clips; a run that was stopped goes on.

    Example: mardini train examples/train.toml data='["my_clips"]' out=runs/mine
    """
    from mardini_cli import api  # late: api imports torch, and --help must stay quick

    Screen.here(json=json, quiet=quiet).follow(api.train(config, changes or []))
