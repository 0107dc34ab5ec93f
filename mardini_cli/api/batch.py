"""Many inputs: every item once, whatever happens to the others, and a table at the end.

Room: api. What carries items out is an engine: processes of this machine (``workers``) or a Ray
cluster (``cluster``). Light to import.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal, get_args

from mardini_cli import stopping
from mardini_cli.api.inputs import Input, is_url
from mardini_cli.api.making import MakeRequest
from mardini_cli.api.settings import TASKS, sources_of, task_of
from mardini_cli.errors import ConfigError, MardiniError, StoppedError, UsageError
from mardini_cli.events import (
    Batched,
    Began,
    Drawn,
    Event,
    Failed,
    Finished,
    OfItem,
    Outcome,
    Planned,
    Skipped,
)
from mardini_cli.stopping import Reason

EngineName = Literal["local", "ray"]
MOST_WORKERS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSettings:
    """How a batch is carried out. One field a flag."""

    workers: int | None = 1
    """Items at a time, each in a process of its own; None is one a GPU; 0 is this process, which
    starts sooner, and dies with a codec library that crashes."""
    fail_fast: bool = False
    """Begin no other item after one has failed."""
    shard: str | None = None
    """``I/N``: every N-th item, from the I-th on, so that N machines together do all."""
    engine: EngineName = "local"
    """local: this machine; ray: a Ray cluster."""
    gpu_share: float | None = None
    """Ray: how much of a GPU an item takes; None is one, where the cluster has any."""
    retries: int = 3
    """Ray: how often an item begins anew that was lost with its machine."""

    def __post_init__(self) -> None:
        if self.workers is not None and not 0 <= self.workers <= MOST_WORKERS:
            raise ConfigError(
                f"{self.workers} workers", needed=f"0 to {MOST_WORKERS}", do="leave --workers out"
            )
        if self.engine not in get_args(EngineName):
            raise ConfigError(
                f"engine '{self.engine}'", needed=" or ".join(get_args(EngineName)), do="choose one"
            )
        if self.gpu_share is not None and self.gpu_share < 0:
            raise ConfigError(
                f"gpu share {self.gpu_share}", needed="0 or more", do="try --gpu-share 0.5"
            )
        if self.retries < 0:
            raise ConfigError(f"{self.retries} retries", needed="0 or more", do="try --retries 3")
        _ = self.part

    @property
    def part(self) -> tuple[int, int]:
        """Which shard of how many.

        Raises:
            ConfigError: other words than I/N with I from 1 to N.
        """
        if self.shard is None:
            return 1, 1
        first, _, count = self.shard.partition("/")
        if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
            raise ConfigError(
                f"shard '{self.shard}'", needed="I/N, with I from 1 to N", do="try --shard 1/8"
            )
        return int(first), int(count)


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One piece of work of a batch."""

    number: int
    """From 1, in the whole batch."""
    request: MakeRequest
    inputs: tuple[str, ...] = ()
    """Addresses that the inputs are fetched from; empty: they are files here."""
    send_to: str | None = None
    """Address of the folder that results are sent to; None leaves them where they are written."""

    @property
    def task(self) -> str:
        """The command that does it."""
        return task_of(self.request)

    @property
    def place(self) -> Path:
        """Where its result will stand, before it is sent anywhere."""
        return TASKS[self.task].place(self.request)

    @property
    def source(self) -> str:
        """What a person knows it by: a path or an address."""
        return self.inputs[0] if self.inputs else str(sources_of(self.request)[0])


Told = Event | MardiniError | None
"""An event of an item; why it failed; None: it is done."""
Engine = Callable[[Sequence[Item], BatchSettings], Generator[tuple[Item, Told], None, None]]


def item_of(number: int, request: MakeRequest, one: Input, output_dir: str | None) -> Item:
    """An item for one input.

    Args:
        number: from 1.
        request: all but the input.
        one: the input.
        output_dir: folder or address below which the result keeps its place in the tree.
    """
    if is_url(one.path) and output_dir is None and request.output is None:
        raise UsageError(
            f"{one.path}, and nowhere to put the result",
            needed="--output-dir or -o",
            do="name a file, a folder or an address",
        )
    if is_url(one.path) and request.sidecar:
        raise UsageError(
            f"a record of {one.path}", needed="a file", do="fetch it first, or leave --sidecar out"
        )
    source: dict[str, Any] = {TASKS[task_of(request)].source: Path(one.path)}
    return Item(
        number=number,
        inputs=(one.path,) if is_url(one.path) else (),
        **placed(replace(request, **source), one.tree, output_dir),
    )


def placed(request: MakeRequest, tree: Path, output_dir: str | None) -> dict[str, Any]:
    """Where an item's result goes, as its ``request`` and ``send_to``.

    Raises:
        UsageError: an output is named too.
    """
    if output_dir is None:
        return {"request": request}
    if is_url(output_dir):
        replace(request, output_dir=Path())  # refuses what does not go together
        send_to = "/".join([output_dir.rstrip("/"), *tree.parts])
        return {"request": request, "send_to": send_to}
    return {"request": replace(request, output_dir=Path(output_dir) / tree)}


def share(items: Sequence[Item], settings: BatchSettings) -> list[Item]:
    """The items of a shard; all shards together hold every item once."""
    first, count = settings.part
    return list(items[first - 1 :: count])


def check_places(items: Sequence[Item]) -> None:
    """Refuse two items that would write the same file.

    Raises:
        UsageError: with both of them.
    """
    places: dict[tuple[str | None, Path], Item] = {}
    for item in items:
        place = item.send_to, item.place.absolute()
        other = places.setdefault(place, item)
        if other is not item:
            raise UsageError(
                f"{other.source} and {item.source} would both be written to {item.place}",
                needed="a place for each",
                do="give them to separate folders, or name one of them anew",
            )


def batch(items: Sequence[Item], settings: BatchSettings) -> Generator[Event | OfItem, None, None]:
    """Carry out the items of this shard; a failure is told and does not stop the rest.

    Closing the iterator stops the items that are at work; they leave nothing half made.

    Yields:
        ``OfItem`` for all that happens to an item, beginning with ``Began``; ``Batched`` at last.

    Raises:
        UsageError: the first item to end was refused for its words: so will be the others.
        MardiniError: the engine cannot start.
    """
    began = monotonic()
    check_places(items)
    mine = share(items, settings)
    book = _Book(mine)
    work = _engine(settings)(mine, settings)
    stopped: StoppedError | None = None
    with closing(work), stopping.patience():
        for item, told in work:
            if isinstance(told, UsageError) and not book.outcomes:
                raise told
            for event in book.noted(item, told, len(items)):
                yield OfItem(item=item.number, event=event)
            if isinstance(told, StoppedError) and not stopping.asked():
                stopped = told
                stopping.ask(Reason.TIME)  # it is up for the others too
            if settings.fail_fast and book.count("failed"):
                break
    yield book.closed(monotonic() - began)
    reason = stopping.asked()
    if reason is not None:
        raise stopped or _stopped(reason, book.count("stopped"))


def _stopped(reason: Reason, count: int) -> StoppedError:
    return reason.error(
        f"stopped by {reason.value} with {count} items to go",
        needed="the rest of the time",
        do="give the same command with --skip-existing to go on",
    )


def _engine(settings: BatchSettings) -> Engine:
    from mardini_cli.api import cluster, workers  # late: they stand on this module

    return cluster.carry_out if settings.engine == "ray" else workers.carry_out


class _Book:
    """What has become of every item so far."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self._open: dict[int, Outcome] = {}
        self._began: dict[int, float] = {}
        self.outcomes: dict[int, Outcome] = {}

    def noted(self, item: Item, told: Told, items: int) -> list[Event]:
        """Take down what was told of an item; gives the events of it."""
        if isinstance(told, Began):
            self._open[item.number] = _outcome(item, "done")
            self._began[item.number] = monotonic()
            return [replace(told, items=items)]
        if isinstance(told, MardiniError):
            return [self._failed(item, told)]
        if told is None:
            self._end(item, self._open[item.number])
            return []
        self._open[item.number] = _with(self._open[item.number], told)
        return [told]

    def _failed(self, item: Item, error: MardiniError) -> Failed:
        state = "stopped" if isinstance(error, StoppedError) else "failed"
        self._end(item, replace(_outcome(item, state), code=error.code, message=str(error)))
        return failed(error)

    def _end(self, item: Item, outcome: Outcome) -> None:
        spent = monotonic() - self._began.get(item.number, monotonic())
        self.outcomes[item.number] = replace(outcome, elapsed=spent)

    def count(self, state: str) -> int:
        """How many items came out so."""
        return sum(outcome.state == state for outcome in self.outcomes.values())

    def closed(self, elapsed: float) -> Batched:
        """The table of all items, in their order."""
        for item in self._items:
            self.outcomes.setdefault(item.number, _outcome(item, "stopped"))
        return Batched(
            items=len(self._items),
            done=self.count("done") + self.count("planned"),
            failed=self.count("failed"),
            skipped=self.count("skipped"),
            stopped=self.count("stopped"),
            outcomes=tuple(self.outcomes[item.number] for item in self._items),
            elapsed=elapsed,
        )


def failed(error: MardiniError) -> Failed:
    """An error as an event."""
    return Failed(code=error.code, found=error.found, needed=error.needed, do=error.do)


def _outcome(item: Item, state: str) -> Outcome:
    return Outcome(item=item.number, task=item.task, source=item.source, state=state)


def _with(outcome: Outcome, event: Event) -> Outcome:
    if isinstance(event, Planned) and outcome.state == "done" and not outcome.outputs:
        return replace(outcome, state="planned")
    if isinstance(event, Skipped):
        return replace(outcome, state="skipped", outputs=(str(event.output),))
    if isinstance(event, Finished | Drawn):
        return replace(
            outcome,
            state="done",
            outputs=(*outcome.outputs, event.address or str(event.output)),
        )
    return outcome
