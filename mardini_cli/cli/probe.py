"""``mardini probe``: words to requests, one a clip.

Room: cli. Knows the api's request and nothing below it.
"""

from pathlib import Path
from typing import Annotated

import typer

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen

ClipArg = Annotated[Path, typer.Argument(metavar="FILE", help="A clip.")]
TimesOpt = Annotated[bool, typer.Option("--times", help="Tell the exact time of every frame.")]


def probe(clip: ClipArg, times: TimesOpt = False, json: options.JsonOpt = False) -> None:
    """Tell what the program sees in a file.

    Its frames and their times, rate and clock, size, turning, pixels and colour, cuts and repeated
    frames, sound and other streams, and what is odd about it. The whole file is decoded: only that
    tells which frames will come.

    Example: mardini probe walk.mp4 --json
    """
    request = api.ProbeRequest(clip=clip, times=times)
    Screen.here(json=json).follow(api.probe(request))
