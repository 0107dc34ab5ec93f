"""``mardini fill``: words to a request.

Room: cli. Knows the api's request and nothing below it.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from mardini_cli import api
from mardini_cli.cli.several import Several, first_of, follow_all
from mardini_cli.cli.words import request_from, screen_from, settings_from, shares_flags

DEFAULTS = api.FillRequest(clip=Path(), damaged="auto")

ClipsArg = Annotated[
    list[str] | None, typer.Argument(metavar="IN", help="Clips, patterns and folders of them.")
]
MissingOpt = Annotated[
    str | None,
    typer.Option("--missing", metavar="12-20,31", help="Frames to make anew, counted from 0."),
]
KeepOpt = Annotated[
    str | None,
    typer.Option("--keep", metavar="0,8,16", help="Frames to keep; all others are made anew."),
]
DamagedOpt = Annotated[
    str | None,
    typer.Option(
        "--damaged", metavar="auto", help="Find dropped, corrupt, black and frozen frames."
    ),
]


@shares_flags(DEFAULTS)
def fill(
    clips: ClipsArg = None,
    missing: MissingOpt = None,
    keep: KeepOpt = None,
    damaged: DamagedOpt = None,
    **shared: Any,
) -> None:
    """Make bad frames of a clip anew, from the good ones around them.

    All other frames keep their pixels. What --damaged auto finds is told before the work begins.

    Example: mardini fill walk.mp4 --missing 12-20,31
    """
    words = locals() | shared
    follow_all(
        clips or [],
        request_from(words, api.FillRequest, clip=first_of(clips)),
        settings_from(words, Several),
        screen_from(words),
    )
