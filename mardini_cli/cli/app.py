"""The program: which commands there are, and how it ends.

Room: cli. ``main`` alone catches ``MardiniError``; anything else is a bug and keeps its traceback.
Signals become exceptions, so that whatever is open closes: no half-made file stays behind.
"""

import os
import re
import sys
from typing import Annotated

import typer

from mardini_cli import stopping
from mardini_cli.api.deadline import is_over
from mardini_cli.cli import signals, streams
from mardini_cli.cli.animate import animate
from mardini_cli.cli.batch import batch
from mardini_cli.cli.bench import bench
from mardini_cli.cli.doctor import doctor
from mardini_cli.cli.evaluate import evaluate
from mardini_cli.cli.extend import extend
from mardini_cli.cli.fill import fill
from mardini_cli.cli.interpolate import interpolate
from mardini_cli.cli.probe import probe
from mardini_cli.cli.rerun import rerun
from mardini_cli.cli.screen import Screen
from mardini_cli.cli.train import train
from mardini_cli.cli.verify import verify
from mardini_cli.cli.weights import weights
from mardini_cli.errors import ExitCode, MardiniError, StoppedError, naming

app = typer.Typer(
    name="mardini",
    help="Make the video frames that are missing.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks are not for users
    rich_markup_mode=None,  # boxes vary with the width of the terminal
)

app.command()(interpolate)
app.command()(animate)
app.command()(extend)
app.command()(fill)
app.command()(batch)
app.command()(rerun)
app.command()(verify)
app.command()(probe)
app.command()(evaluate)
app.command()(bench)
app.add_typer(train)
app.command()(doctor)
app.add_typer(weights)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    from mardini_cli.cli import versions  # late: it imports torch and av

    typer.echo("\n".join(versions.lines()))
    raise typer.Exit


@app.callback()
def _program(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the versions of mardini and of what it stands on, and exit.",
        ),
    ] = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Use no network, whatever a command is told to fetch."),
    ] = False,
) -> None:
    if offline:
        # huggingface-hub reads it as it is imported, which no command has done yet.
        os.environ["HF_HUB_OFFLINE"] = "1"


def main() -> None:
    """Run the command line, and end the process with an exit code of ``errors.ExitCode``."""
    streams.settle()
    stopping.begin()
    signals.catch()
    try:
        with naming():
            app(prog_name="mardini")
    except MardiniError as error:
        screen = Screen.here(json=_asks_for_json(sys.argv[1:]))
        screen.fail(error)
        if isinstance(error, StoppedError):
            screen.tell_how_to_go_on([*_words_still_true(), *_missing_words(error)])
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # where signals cannot be caught
        sys.exit(ExitCode.INTERRUPTED)
    finally:
        stopping.tidy()  # a signal may have come between making something and its clean-up


def _words_still_true() -> list[str]:
    """This command's words, but for a date until which it was to work: that one is over."""
    words, past = list(sys.argv[1:]), re.compile(r"--until(=|$)")
    for place, word in enumerate(words):
        if found := past.match(word):
            text = word[found.end() :] if found[1] else "".join(words[place + 1 : place + 2])
            if is_over(text):
                del words[place : place + (1 if found[1] else 2)]
            break
    return words


def _missing_words(error: StoppedError) -> list[str]:
    """What the same command needs to go on: a batch must not meet its own results."""
    word = "--skip-existing"
    return [word] if word in error.do and word not in sys.argv else []


def _asks_for_json(words: list[str]) -> bool:
    return "--json" in words[: words.index("--")] if "--" in words else "--json" in words
