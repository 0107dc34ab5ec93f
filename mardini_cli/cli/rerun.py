"""``mardini rerun``: words to a request.

Room: cli. Knows the api's request and nothing below it.
"""

from pathlib import Path
from typing import Annotated

import typer

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen

DEFAULTS = api.RerunRequest(record=Path())

RecordArg = Annotated[
    Path, typer.Argument(metavar="RECORD", help="What --sidecar wrote, such as walk.x2.mp4.json.")
]
OutputOpt = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Where the result goes. Without it: NAME.rerun, beside."),
]
AnywayOpt = Annotated[
    bool, typer.Option("--anyway", help="Go on although inputs or weights are not as they were.")
]


def rerun(
    record: RecordArg,
    output: OutputOpt = DEFAULTS.output,
    anyway: AnywayOpt = DEFAULTS.anyway,
    overwrite: options.OverwriteOpt = DEFAULTS.overwrite,
    log_file: options.LogFileOpt = None,
    json: options.JsonOpt = False,
    quiet: options.QuietOpt = False,
) -> None:
    """Make a result once more, from the record that --sidecar wrote beside it.

    Inputs and weights are compared with the record first; what differs is told, and ends the work
    unless --anyway allows it. On the same machine with the same versions the new file is the old
    one, bit for bit; whether it is decides the exit code.

    Example: mardini rerun walk.x2.mp4.json -o again.mp4
    """
    request = api.RerunRequest(record=record, output=output, anyway=anyway, overwrite=overwrite)
    Screen.here(json=json, quiet=quiet, log_file=log_file).follow(api.rerun(request))
