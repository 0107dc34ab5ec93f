"""``mardini extend``: words to requests, one a clip.

Room: cli. Knows the api's request and nothing below it.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.several import Several, first_of, follow_all
from mardini_cli.cli.words import request_from, screen_from, settings_from, shares_flags

DEFAULTS = api.ExtendRequest(clip=Path())

ClipsArg = Annotated[
    list[str] | None, typer.Argument(metavar="IN", help="Clips, patterns and folders of them.")
]
DirectionOpt = Annotated[
    str, typer.Option("--direction", help="Where frames are made: forward, backward or both.")
]
ContextOpt = Annotated[
    int | None,
    typer.Option("--context", help="Frames that each window keeps of what is before it."),
]
LoopOpt = Annotated[
    bool, typer.Option("--loop", help="Make the bridge from the last frame to the first.")
]
AudioOpt = Annotated[
    str,
    typer.Option("--audio", help="keep: sound of the original part, then silence; loop; none."),
]


@shares_flags(DEFAULTS)
def extend(
    clips: ClipsArg = None,
    frames: options.FramesOpt = DEFAULTS.frames,
    seconds: options.SecondsOpt = DEFAULTS.seconds,
    direction: DirectionOpt = DEFAULTS.direction,
    context: ContextOpt = DEFAULTS.context,
    loop: LoopOpt = DEFAULTS.loop,
    audio: AudioOpt = DEFAULTS.audio,
    **shared: Any,
) -> None:
    """Make a clip longer: after its end, before its start, or round to its start.

    The clip's own frames keep their pixels, its sound moves with them. Windows roll on: each sees
    the last frames of the one before. Every join is measured, and told where it shows.

    Example: mardini extend walk.mp4 --seconds 2 --direction both
    """
    words = locals() | shared
    follow_all(
        clips or [],
        request_from(words, api.ExtendRequest, clip=first_of(clips)),
        settings_from(words, Several),
        screen_from(words),
    )
