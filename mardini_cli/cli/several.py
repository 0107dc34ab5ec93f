"""Several inputs of one command: what was named becomes items, and all are followed to the end.

Room: cli.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from mardini_cli import api
from mardini_cli.cli.screen import Screen
from mardini_cli.errors import ExitCode, UsageError
from mardini_cli.events import Batched, Event, OfItem, Warned


@dataclass(frozen=True, kw_only=True, slots=True)
class Several:
    """What was said of many inputs. One field a flag."""

    recursive: bool = False
    from_file: str | None = None
    output_dir: str | None = None
    workers: int | None = 1
    fail_fast: bool = False
    shard: str | None = None

    @property
    def settings(self) -> api.BatchSettings:
        """The part that says how they are carried out."""
        return api.BatchSettings(workers=self.workers, fail_fast=self.fail_fast, shard=self.shard)


def first_of(words: Sequence[str] | None) -> Path:
    """The input that a request is checked with before all are found."""
    return Path(words[0]) if words else Path()


def check_stream(output: Path | None, screen: Screen) -> None:
    """Refuse two things on one standard output.

    Raises:
        UsageError: JSON lines and the film itself.
    """
    if screen.json and output == Path("-"):
        raise UsageError(
            "JSON and a film, both on standard output",
            needed="one of them",
            do="leave --json or -o - out",
        )


def follow_all(
    words: Sequence[str], request: api.MakeRequest, several: Several, screen: Screen
) -> None:
    """Find the inputs and work on them; of several, a failure is told and does not stop the rest.

    Args:
        words: files, patterns and folders, as they were typed.
        request: for each input, but for the input itself.
        several: what was said of many.
        screen: shows it.
    """
    check_stream(request.output, screen)
    task = api.task_of(request)
    names = list(words)
    if several.from_file is not None:
        names += api.listed(several.from_file)
    if not names:
        raise UsageError("no input", needed="a file, a pattern or a folder", do="name one")
    found = api.gathered(
        names,
        api.PICTURES if task == "animate" else api.FILMS,
        recursive=several.recursive,
        sequences=task == "interpolate",
    )
    if found.left_out:
        screen.follow(iter([_left_out(found.left_out)]))
    items = [
        api.item_of(number, request, one, several.output_dir)
        for number, one in enumerate(found.inputs, start=1)
    ]
    if len(items) == 1 and several.shard is None:
        screen.follow(api.errand(items[0]), dry_run=request.dry_run)
        return
    _check_folder(request.output)
    follow_batch(items, several.settings, screen, dry_run=request.dry_run)


def follow_batch(
    items: Sequence[api.Item], settings: api.BatchSettings, screen: Screen, *, dry_run: bool
) -> None:
    """Follow a batch to its end; one failure makes the exit code 1."""
    failed = [0]

    def noted() -> Iterator[Event | OfItem]:
        for event in api.batch(items, settings):
            if isinstance(event, Batched):
                failed[0] = event.failed
            yield event

    screen.follow(noted(), dry_run=dry_run)
    if failed[0]:
        raise typer.Exit(ExitCode.FAILED)


def _left_out(paths: Sequence[Path]) -> Warned:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return Warned(
        code="left-out",
        message=f"left out {paths[0]}{more}: made from others there; name a file to take it",
    )


def _check_folder(output: Path | None) -> None:
    if output is not None and not output.is_dir():
        raise UsageError(
            f"one output, {output}, for several clips",
            needed="a folder that is there",
            do="make it first, or use --output-dir",
        )
