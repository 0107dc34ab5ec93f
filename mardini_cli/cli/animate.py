"""``mardini animate``: words to requests, one a picture.

Room: cli. Knows the api's request and nothing below it.
"""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.several import Several, first_of, follow_all
from mardini_cli.cli.words import request_from, screen_from, settings_from, shares_flags

DEFAULTS = api.AnimateRequest(image=Path())

ImagesArg = Annotated[
    list[str] | None,
    typer.Argument(metavar="PICTURE", help="Pictures, patterns and folders; a clip for each."),
]
FpsOpt = Annotated[
    Fraction,
    typer.Option(
        "--fps",
        parser=options.rational,
        metavar="R",
        help="Frames a second at which motion is made; the model knows 8.",
    ),
]
SmoothOpt = Annotated[
    Fraction | None,
    typer.Option(
        "--smooth",
        parser=options.rational,
        metavar="R",
        help="Frames a second of the result, a whole multiple of --fps: made between.",
    ),
]
ReferenceOpt = Annotated[
    str,
    typer.Option("--reference-at", help="Where the picture stands: first, middle, last or N."),
]
LoopOpt = Annotated[bool, typer.Option("--loop", help="Let the clip run into its own start.")]
VariationsOpt = Annotated[
    int, typer.Option("--variations", help="So many clips, seeds counting up, and a sheet of all.")
]


@shares_flags(DEFAULTS)
def animate(
    images: ImagesArg = None,
    frames: options.FramesOpt = DEFAULTS.frames,
    seconds: options.SecondsOpt = DEFAULTS.seconds,
    fps: FpsOpt = DEFAULTS.fps,
    smooth: SmoothOpt = DEFAULTS.smooth,
    reference_at: ReferenceOpt = DEFAULTS.reference_at,
    loop: LoopOpt = DEFAULTS.loop,
    variations: VariationsOpt = DEFAULTS.variations,
    background: options.BackgroundOpt = DEFAULTS.background,
    **shared: Any,
) -> None:
    """Make a clip from one picture.

    The picture stands in the clip as it is; all other frames are made. Without --frames or
    --seconds: as many as the model sees at once.

    Example: mardini animate boat.jpg --seconds 2 --smooth 24
    """
    words = locals() | shared
    follow_all(
        images or [],
        request_from(words, api.AnimateRequest, image=first_of(images)),
        settings_from(words, Several),
        screen_from(words),
    )
