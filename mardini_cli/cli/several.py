"""Several inputs, one after the other.

Room: cli.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import typer

from mardini_cli import api
from mardini_cli.cli.screen import Screen
from mardini_cli.errors import ExitCode, MardiniError, StoppedError, UsageError
from mardini_cli.events import Event

Request = TypeVar("Request", bound=api.MakeRequest)


def follow_all(
    command: Callable[[Request], Iterator[Event]], requests: Sequence[Request], screen: Screen
) -> None:
    """One input after the other; of several, a failure is told and does not stop the rest."""
    if len(requests) == 1:
        screen.follow(command(requests[0]), dry_run=requests[0].dry_run)
        return
    _check_folder(requests[0].output)
    failed = 0
    for request in requests:
        try:
            screen.follow(command(request), dry_run=request.dry_run)
        except (UsageError, StoppedError):
            raise  # wrong words are wrong for every input, and the end is the end of all
        except MardiniError as error:
            screen.fail(error)
            failed += 1
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _check_folder(output: Path | None) -> None:
    if output is not None and not output.is_dir():
        raise UsageError(
            f"one output, {output}, for several clips",
            needed="a folder that is there",
            do="make it first, or leave --output out",
        )
