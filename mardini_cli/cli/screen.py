"""The outer world of a command: two streams, and how events are drawn on them.

Room: cli. The only place that writes to the terminal. Standard output carries results (a path, or
JSON lines), standard error all that is meant for eyes. Tests replace the streams.
"""

import dataclasses
import json
import os
import shlex
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self, TextIO

from mardini_cli.cli.tables import priced_lines, probed_lines, verified_line, verified_lines
from mardini_cli.errors import MardiniError
from mardini_cli.events import (
    Cached,
    Drawn,
    Event,
    Examined,
    Fetched,
    Finished,
    Intact,
    Joined,
    Located,
    Measured,
    Paused,
    Planned,
    Priced,
    Probed,
    Progress,
    Pushed,
    Removed,
    Resumed,
    Skipped,
    Trained,
    Verified,
    Warned,
)

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

    @classmethod
    def here(cls, *, json: bool = False, quiet: bool = False) -> Self:
        """The streams of this process."""
        return cls(out=sys.stdout, err=sys.stderr, json=json, quiet=quiet)

    def follow(self, events: Iterator[Event], *, dry_run: bool = False) -> None:
        """Draw a job's events to their end; the result goes to standard output.

        Args:
            events: what ``api`` yields; its errors and interrupts pass through.
            dry_run: the plan itself is the result; or the table of what was verified.
        """
        with self._bar() as bar:
            for event in events:
                if self.json:
                    self._write(self.out, as_json(event))
                elif isinstance(event, Progress):
                    bar.draw(event)
                else:
                    bar.pause()
                    self._tell(event, self.out if dry_run else self.err)

    def fail(self, error: MardiniError) -> None:
        """Say in one line why the job ends."""
        if self.json:
            self._write(self.out, json.dumps(_error_fields(error)))
        self._write(self.err, f"mardini: {visible(str(error))}")

    def tell_how_to_go_on(self, words: Sequence[str]) -> None:
        """Say which command goes on with work that was stopped."""
        self._write(self.err, f"to go on: {visible(shlex.join(['mardini', *words]))}")

    def _bar(self) -> "AbstractContextManager[_Bar]":
        if self.json or self.quiet:
            return nullcontext(_Bar())
        return _RichBar(self.err) if _draws(self.err) else nullcontext(_LineBar(self.err))

    def _tell(self, event: Event, plan_stream: TextIO) -> None:
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
                self._write_path(event.output)
            case Measured():
                if not self.quiet:
                    self._write(self.err, f"{event.table}\n{measured_line(event)}")
                self._write_path(event.output)
            case Joined():
                if not self.quiet:
                    self._write(self.err, joined_line(event))
            case Drawn():
                if not self.quiet:
                    self._write(self.err, f"to look at: {event.what}")
                self._write_path(event.output)
            case Trained():
                if not self.quiet:
                    self._write(self.err, trained_line(event))
                self._write_path(event.output)
            case Paused():
                if not self.quiet:
                    self._write(self.err, paused_line(event))
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
            case Verified():
                if plan_stream is self.out:
                    self._write_lines(verified_lines(event))
                elif not self.quiet:
                    self._write(self.err, verified_line(event))

    def _write_lines(self, lines: Iterable[str]) -> None:
        self._write(self.out, "\n".join(visible(line) for line in lines))

    def _write_path(self, path: Path) -> None:
        if path == Path("-"):
            return  # the result itself went there
        self._write(self.out, visible(str(path)) if self.out.isatty() else str(path))

    def _write(self, stream: TextIO, line: str) -> None:
        stream.write(line + "\n")
        stream.flush()


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


def as_json(event: Event) -> str:
    """One line: the event's name under ``event``, then its fields.

    Fractions are strings ``"n/d"`` of seconds, paths are strings.
    """
    fields = {field.name: _plain(getattr(event, field.name)) for field in dataclasses.fields(event)}
    return json.dumps({"event": type(event).__name__.lower(), **fields})


def _error_fields(error: MardiniError) -> dict[str, str]:
    told = {"found": error.found, "needed": error.needed, "do": error.do}
    return {"event": "failed", "code": error.code, **told}


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return str(value) if isinstance(value, Path) else value


def plan_line(plan: Planned) -> str:
    """What will be done, for eyes."""
    shots = f", {plan.cuts} cut{'' if plan.cuts == 1 else 's'}" if plan.cuts else ""
    shots += f", {plan.held} repeated" if plan.held else ""
    return (
        f"{plan.task}: {plan.source.name}, {plan.width}x{plan.height}, "
        f"{plan.given} given + {plan.made} made = {plan.given + plan.made} frames{shots} "
        f"in {plan.windows} window{'' if plan.windows == 1 else 's'}; "
        f"{plan.weights} on {plan.device}, steps {plan.steps}, seed {plan.seed}; to {plan.output}"
    )


def resumed_line(resumed: Resumed) -> str:
    """What earlier work left, for eyes."""
    other = f"; they were made with another {', '.join(resumed.other)}" if resumed.other else ""
    return (
        f"goes on from earlier work: {resumed.kept} of {resumed.made} made frames are there{other}"
    )


def finished_line(result: Finished) -> str:
    """What was done, for eyes."""
    return (
        f"made {result.made} of {result.frames} frames, {float(result.duration):.2f} s of video, "
        f"{result.size / 1024:.0f} KiB, in {result.elapsed:.1f} s"
    )


def joined_line(join: Joined) -> str:
    """How a border between windows came out, for eyes."""
    return (
        f"join at {float(join.time):.2f} s: step {join.step:.4f} (usual up to {join.usual:.4f}),"
        f" colour {join.colour:.4f}, sharpness {join.sharpness:.2f}"
    )


def measured_line(result: Measured) -> str:
    """What was measured, for eyes."""
    return f"measured {result.windows} windows of {result.clips} clips in {result.elapsed:.1f} s"


def trained_line(result: Trained) -> str:
    """What was trained, for eyes."""
    return f"trained {result.steps} steps in {result.elapsed:.1f} s"


def paused_line(result: Paused) -> str:
    """Where a run stands that was asked to end."""
    return (
        f"asked to end: saved step {result.step} of stage {result.stage} after "
        f"{result.elapsed:.1f} s; the same command goes on from there"
    )


def cached_line(result: Cached) -> str:
    """What was kept for a stage."""
    return (
        f"kept {result.steps} batches for stage {result.stage}, {_mib(result.size)}, "
        f"in {result.elapsed:.1f} s"
    )


def fetched_line(result: Fetched) -> str:
    """What was fetched, for eyes."""
    return (
        f"{result.name} at {result.revision[:12]}: {result.files} files, {_mib(result.size)}, "
        f"every byte checked, in {result.elapsed:.1f} s"
    )


def result_line(result: Located | Intact | Removed | Pushed | Examined) -> str:
    """What a command was asked for, one line."""
    match result:
        case Located(path=None):
            return f"{result.name}  on the Hub, not here: mardini weights download {result.name}"
        case Located():
            at = f"  {result.revision[:12]}" if result.revision else ""
            size = _mib(result.size)
            return f"{result.name}  {result.kind}  {result.preset}  {size}{at}  {result.path}"
        case Intact(size=0):
            told = "no digests to compare with (format 1)"
            return f"{result.name}  whole: {result.tensors} tensors fit, {told}  {result.path}"
        case Intact():
            compared = f"{_mib(result.size)} compared"
            return f"{result.name}  whole: {result.tensors} tensors fit, {compared}  {result.path}"
        case Removed():
            return f"{result.name}  removed, {_mib(result.size)} free again"
        case Pushed():
            door = "private" if result.private else "public"
            verb = "would send" if result.dry_run else f"{result.revision}: sent"
            names = ", ".join(result.files)
            return f"{result.address}  {door}  {verb} {names} ({_mib(result.size)})"
        case Examined():
            do = f"; {result.do}" if result.do else ""
            return f"{result.state:<8} {result.name:<10} {result.found}{do}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _draws(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}


class _Bar:
    """Progress that nobody sees."""

    def draw(self, progress: Progress) -> None:
        """Show how far the work is."""

    def pause(self) -> None:
        """Make room for a line of text; the next ``draw`` goes on."""


class _LineBar(_Bar):
    """Progress as a few plain lines, for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._told = stream, 0

    def draw(self, progress: Progress) -> None:
        tenth = progress.done * LINES_A_JOB // max(progress.total, 1)
        if tenth == self._told:
            return
        self._told = tenth
        fresh = max(progress.done - progress.restored, 1)
        left = progress.elapsed * (progress.total - progress.done) / fresh
        self._stream.write(
            f"{progress.done} of {progress.total} {progress.unit}, "
            f"{progress.elapsed:.0f} s, about {left:.0f} s left\n"
        )
        self._stream.flush()


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
        self._task = self._progress.add_task("frames", total=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.pause()

    def draw(self, progress: Progress) -> None:
        self._progress.start()  # does nothing while it runs
        self._progress.update(
            self._task,
            completed=progress.done,
            total=progress.total,
            description=progress.unit,
        )

    def pause(self) -> None:
        self._progress.stop()
