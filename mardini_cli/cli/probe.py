"""``mardini probe``: words to requests, one a clip.

Room: cli. Knows the api's request and nothing below it.
"""

from pathlib import Path
from typing import Annotated

import typer

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen

DEFAULTS = api.ProbeRequest(clip=Path())

ClipArg = Annotated[Path, typer.Argument(metavar="FILE", help="A clip.")]
TimesOpt = Annotated[bool, typer.Option("--times", help="Tell the exact time of every frame.")]


def probe(
    clip: ClipArg,
    times: TimesOpt = False,
    max_pixels: options.MaxPixelsOpt = DEFAULTS.max_pixels,
    max_frames: options.MaxFramesOpt = DEFAULTS.max_frames,
    allow_network: options.AllowNetworkOpt = DEFAULTS.allow_network,
    json: options.JsonOpt = False,
) -> None:
    """Tell what the program sees in a file.

    Its frames and their times, rate and clock, size, turning, pixels and colour, cuts and repeated
    frames, sound and other streams, and what is odd about it. The whole file is decoded: only that
    tells which frames will come.

    Example: mardini probe walk.mp4 --json
    """
    request = api.ProbeRequest(
        clip=clip,
        times=times,
        max_pixels=max_pixels,
        max_frames=max_frames,
        allow_network=allow_network,
    )
    Screen.here(json=json).follow(api.probe(request))
