"""The outer world of a command: two streams, and how events are drawn on them.

Room: cli. The only place that writes to the terminal. Standard output carries results (a path, or
JSON lines), standard error all that is meant for eyes. Tests replace the streams.
"""

import dataclasses
import json
import os
import shlex
import sys
import traceback
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO, cast

from mardini_cli.api.batch import failed
from mardini_cli.cli.log import LogStream
from mardini_cli.cli.streams import put, tell
from mardini_cli.cli.tables import (
    batched_lines,
    priced_lines,
    probed_lines,
    verified_line,
    verified_lines,
)
from mardini_cli.cli.wording import (
    began_line,
    cached_line,
    exported_line,
    failed_line,
    fetched_line,
    finished_line,
    joined_line,
    measured_line,
    paused_line,
    plan_line,
    progress_line,
    result_line,
    resumed_line,
    trained_line,
)
from mardini_cli.errors import MardiniError, UnwritableError
from mardini_cli.events import (
    SCHEMA,
    Batched,
    Began,
    Benched,
    Cached,
    Drawn,
    Event,
    Examined,
    Exported,
    Failed,
    Fetched,
    Finished,
    Intact,
    Joined,
    Located,
    Measured,
    OfItem,
    Paused,
    Planned,
    Priced,
    Probed,
    Progress,
    Pushed,
    Recorded,
    Removed,
    Reproduced,
    Resumed,
    Skipped,
    Trained,
    Verified,
    Warned,
)

if TYPE_CHECKING:
    from rich.progress import TaskID

LINES_A_JOB = 10
"""Progress lines where there is no terminal: one about every tenth of the frames."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Screen:
    """Streams, and what may be said on them."""

    out: TextIO
    """Results."""
    err: TextIO
    """All that is meant for eyes."""
    json: bool = False
    """Events as JSON lines on ``out``; nothing but errors on ``err``."""
    quiet: bool = False
    """The result, warnings and errors alone."""
    log: LogStream | None = None
    """Gets all of it, whatever the others get."""

    @classmethod
    def here(cls, *, json: bool = False, quiet: bool = False, log_file: Path | None = None) -> Self:
        """The streams of this process."""
        log = None if log_file is None else LogStream(log_file)
        return cls(out=sys.stdout, err=sys.stderr, json=json, quiet=quiet, log=log)

    def follow(self, events: Iterator[Event | OfItem], *, dry_run: bool = False) -> None:
        """Draw a job's events to their end; the result goes to standard output.

        Args:
            events: what ``api`` yields; its errors and interrupts pass through.
            dry_run: the plan itself is the result; or the table of what was verified.
        """
        if self.log is not None:
            events = self._logged(events, self.log)
        with self._bar() as bar:
            for event in events:
                item, plain = (event.item, event.event) if isinstance(event, OfItem) else (0, event)
                if self.json:
                    self._write(self.out, as_json(event))
                elif isinstance(plain, Progress):
                    bar.draw(plain, item)
                else:
                    bar.pause(item)
                    self._tell(plain, self.out if dry_run else self.err, item)

    def _logged(self, events: Iterator[Event | OfItem], log: LogStream) -> Iterator[Event | OfItem]:
        """Draw on the log what passes by, and why it ends."""
        pages = cast("TextIO", log)
        page, bar = Screen(out=pages, err=pages), _LineBar(pages)
        try:
            for event in events:
                log.item, plain = (
                    (event.item, event.event) if isinstance(event, OfItem) else (0, event)
                )
                if isinstance(plain, Progress):
                    bar.draw(plain, log.item)
                else:
                    page._tell(plain, pages, log.item)
                yield event
        except MardiniError as error:
            log.item = 0
            with suppress(UnwritableError):  # the first error is what counts
                page.fail(error)
            raise
        except Exception:
            log.item = 0
            with suppress(UnwritableError):
                log.write(traceback.format_exc())
            raise
        finally:
            log.rest()

    def fail(self, error: MardiniError) -> None:
        """Say in one line why the job ends; in a line each, if several things stand in the way."""
        for part in error.parts:
            self.fail(part)
        if error.parts:
            return
        event = failed(error)
        if self.json:
            tell(self.out, f"{as_json(event)}\n")
        tell(self.err, f"{visible(failed_line(event))}\n")

    def tell_how_to_go_on(self, words: Sequence[str]) -> None:
        """Say which command goes on with work that was stopped."""
        tell(self.err, f"to go on: {visible(shlex.join(['mardini', *words]))}\n")

    def _bar(self) -> "AbstractContextManager[_Bar]":
        if self.json or self.quiet:
            return nullcontext(_Bar())
        return _RichBar(self.err) if _draws(self.err) else nullcontext(_LineBar(self.err))

    def _tell(self, event: Event, plan_stream: TextIO, item: int) -> None:
        match event:
            case Planned():
                if plan_stream is self.out or not self.quiet:
                    self._write(plan_stream, visible(plan_line(event)))
                    if event.drawing:
                        self._write(plan_stream, event.drawing)
            case Resumed():
                if not self.quiet:
                    self._write(self.err, visible(resumed_line(event)))
            case Skipped():
                if not self.quiet:
                    self._write(self.err, visible(f"{event.output} is there already: skipped"))
                self._write_path(event.output)
            case Warned():
                self._write(self.err, f"mardini: warning: {visible(event.message)}")
            case Finished():
                if not self.quiet:
                    self._write(self.err, finished_line(event))
                self._write_result(event)
            case Measured():
                if not self.quiet:
                    self._write(self.err, f"{event.table}\n{measured_line(event)}")
                self._write_path(event.output)
            case Benched():
                self._write_lines(event.table.splitlines())
                if event.calibration and not self.quiet:
                    self._write(self.err, f"kept for estimates: {visible(str(event.calibration))}")
                if event.written:
                    self._write_path(event.written)
            case Joined():
                if not self.quiet:
                    self._write(self.err, joined_line(event))
            case Drawn():
                if not self.quiet:
                    self._write(self.err, f"to look at: {event.what}")
                self._write_result(event)
            case Trained():
                if not self.quiet:
                    self._write(self.err, trained_line(event))
                self._write_path(event.output)
            case Paused():
                if not self.quiet:
                    self._write(self.err, paused_line(event))
                self._write_path(event.output)
            case Exported():
                if not self.quiet:
                    self._write(self.err, visible(exported_line(event)))
                self._write_path(event.output)
            case Cached():
                if not self.quiet:
                    self._write(self.err, cached_line(event))
                self._write_path(event.output)
            case Fetched():
                if not self.quiet:
                    self._write(self.err, fetched_line(event))
                self._write_path(event.output)
            case Located():
                if not self.quiet:
                    for way in event.ways:
                        self._write(self.err, visible(way))
                self._write(self.out, visible(result_line(event)))
            case Intact() | Removed() | Pushed() | Examined():
                self._write(self.out, visible(result_line(event)))
            case Priced():
                self._write_lines(priced_lines(event))
            case Probed():
                self._write_lines(probed_lines(event))
            case Failed():
                self._write(self.err, visible(failed_line(event)))
            case Recorded():
                if not self.quiet:
                    where = event.address or event.output
                    self._write(self.err, visible(f"record for 'mardini rerun': {where}"))
            case Reproduced():
                if not self.quiet:
                    same = "every byte is the same" if event.same else "the bytes differ"
                    self._write(self.err, f"compared with the record: {same}")
            case Began():
                if not self.quiet:
                    self._write(self.err, visible(began_line(event, item)))
            case Batched():
                if not self.quiet:
                    self._write(self.err, "\n".join(map(visible, batched_lines(event))))
            case Verified():
                if plan_stream is self.out:
                    self._write_lines(verified_lines(event))
                elif not self.quiet:
                    self._write(self.err, verified_line(event))

    def _write_lines(self, lines: Iterable[str]) -> None:
        self._write(self.out, "\n".join(visible(line) for line in lines))

    def _write_result(self, event: Finished | Drawn) -> None:
        if event.address:
            self._write(self.out, visible(event.address))
        else:
            self._write_path(event.output)

    def _write_path(self, path: Path) -> None:
        if path == Path("-"):
            return  # the result itself went there
        self._write(self.out, visible(str(path)) if self.out.isatty() else str(path))

    def _write(self, stream: TextIO, line: str) -> None:
        put(stream, line + "\n", needed=stream is self.out)


def visible(text: str) -> str:
    """Show what a terminal would obey: control signs of any kind become escapes.

    A file may be named like a terminal command, or over several lines.
    """
    return "".join(
        sign.encode("unicode_escape").decode()
        if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else sign
        for sign in text
    )


def as_json(event: Event | OfItem) -> str:
    """One line: the event's name under ``event``, then its fields.

    Fractions are strings ``"n/d"`` of seconds, paths are strings. ``item`` is there in a batch.
    """
    if isinstance(event, OfItem):
        return json.dumps({**_fields(event.event), "item": event.item})
    return json.dumps(_fields(event))


def _fields(event: Event) -> dict[str, Any]:
    fields = {field.name: _plain(getattr(event, field.name)) for field in dataclasses.fields(event)}
    return {"event": type(event).__name__.lower(), "schema": SCHEMA, **fields}


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return str(value) if isinstance(value, Path) else value


def _draws(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}


class _Bar:
    """Progress that nobody sees."""

    def draw(self, progress: Progress, item: int = 0) -> None:
        """Show how far the work is; of an item, where there are several."""

    def pause(self, item: int = 0) -> None:
        """Make room for a line of text; the next ``draw`` goes on."""


class _LineBar(_Bar):
    """Progress as a few plain lines, for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._told = stream, dict[int, int]()

    def draw(self, progress: Progress, item: int = 0) -> None:
        tenth = progress.done * LINES_A_JOB // max(progress.total, 1)
        if tenth == self._told.get(item, 0):
            return
        self._told[item] = tenth
        put(self._stream, f"{progress_line(progress, item)}\n", needed=False)


class _RichBar(_Bar):
    """Progress as a bar with the time left, for a terminal. rich honours NO_COLOR."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._progress = RichProgress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}, time left", markup=False),
            TimeRemainingColumn(),
            console=Console(file=stream),
            transient=True,  # the line that says what was done stays, the bar goes
        )
        self._bars: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._progress.stop()

    def draw(self, progress: Progress, item: int = 0) -> None:
        if item not in self._bars:
            self._bars[item] = self._progress.add_task("frames", total=None)
        self._progress.start()  # does nothing while it runs
        self._progress.update(
            self._bars[item],
            completed=progress.done,
            total=progress.total,
            description=f"{progress.unit} of item {item}" if item else progress.unit,
        )

    def pause(self, item: int = 0) -> None:
        self._progress.stop()
        if item in self._bars:
            self._progress.remove_task(self._bars.pop(item))
