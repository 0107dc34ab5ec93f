"""``mardini verify``: words to a request.

Room: cli. Knows the api's request and nothing below it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen
from mardini_cli.errors import ExitCode
from mardini_cli.events import Event, Verified

DEFAULTS = api.VerifyRequest(source=Path(), output=Path())

SourceArg = Annotated[Path, typer.Argument(metavar="IN", help="The clip.")]
ResultArg = Annotated[Path, typer.Argument(metavar="OUT", help="What was made from it.")]
FactorOpt = Annotated[
    int | None,
    typer.Option(
        "--factor",
        "-f",
        help="How many times as many frames OUT should have. Without it: as their number tells.",
    ),
]


def verify(
    source: SourceArg,
    output: ResultArg,
    factor: FactorOpt = None,
    max_pixels: options.MaxPixelsOpt = DEFAULTS.max_pixels,
    max_frames: options.MaxFramesOpt = DEFAULTS.max_frames,
    json: options.JsonOpt = False,
    quiet: options.QuietOpt = False,
) -> None:
    """Prove that one film is the interpolation of another.

    Whoever made it: every frame of IN stands in OUT at its own time and looks the same (PSNR by
    plane), the frames between are pictures that move, the film ends when it should, sound is the
    same packets at the same times, and size, turning, colour tags, title, chapters and subtitles
    are kept. The exit code is 0 if all of that holds, and 1 if not.

    Example: mardini verify walk.mp4 walk.x2.mp4
    """
    request = api.VerifyRequest(
        source=source,
        output=output,
        factor=factor,
        max_pixels=max_pixels,
        max_frames=max_frames,
    )
    passed = [True]

    def noted() -> Iterator[Event]:
        for event in api.verify(request):
            if isinstance(event, Verified):
                passed[0] = event.passed
            yield event

    # The table is the result, as a plan is in a dry run.
    Screen.here(json=json, quiet=quiet).follow(noted(), dry_run=True)
    if not passed[0]:
        raise typer.Exit(ExitCode.FAILED)
