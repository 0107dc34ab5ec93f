"""Items in processes of this machine: one that crashes takes its own item down, and no other.

Room: api. A worker loads the weights once and keeps them from item to item. Light to import: torch
comes in inside the workers.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from mardini_cli import stopping
from mardini_cli.api.batch import BatchSettings, Item, Told
from mardini_cli.api.carrying import keep_models, let_models_go
from mardini_cli.api.errands import errand
from mardini_cli.device import cuda_count, share_threads
from mardini_cli.errors import CrashedError, ExitCode, MardiniError, naming
from mardini_cli.events import Began
from mardini_cli.stopping import Reason

LISTENING_SECONDS = 0.2
"""How often it is looked whether the batch is asked to end."""
PATIENCE = 20.0
"""Seconds that a worker has to tidy up when it is told to stop."""


def carry_out(
    items: Sequence[Item], settings: BatchSettings
) -> Generator[tuple[Item, Told], None, None]:
    """Give items to workers as they are free; closing the iterator stops all of them.

    Yields:
        Each item with what is told of it.
    """
    if settings.workers == 0:
        yield from _here(items)
        return
    waiting = deque(items)
    count = min(settings.workers or max(1, cuda_count()), len(items))
    crew = [_Worker(place, count) for place in range(count)]
    try:
        busy = [worker for worker in crew if waiting and worker.take(waiting.popleft())]
        asked = False
        while busy:
            ready = wait([worker.ears for worker in busy], timeout=LISTENING_SECONDS)
            if stopping.asked() and not asked:
                asked = True
                waiting.clear()
                for worker in crew:
                    worker.dismiss()  # it keeps what it has made, and tells of it
            for worker in [worker for worker in busy if worker.ears in ready]:
                item, told = worker.hear()
                yield item, told
                if told is None or isinstance(told, MardiniError):
                    busy.remove(worker)
                    if waiting and worker.take(waiting.popleft()):
                        busy.append(worker)
    finally:
        for worker in crew:
            worker.dismiss()
            worker.hang_up()
        for worker in crew:
            worker.await_end()


def _here(items: Sequence[Item]) -> Generator[tuple[Item, Told], None, None]:
    """One item after the other in this process, which starts sooner and is not guarded."""
    keep_models()
    try:
        for item in items:
            if stopping.asked():
                return
            with closing(told_of(item)) as events:
                for told in events:
                    yield item, told
    finally:
        let_models_go()


class _Worker:
    """A process with a line to it. One that has died is replaced when the next item comes."""

    def __init__(self, place: int, count: int) -> None:
        self._place, self._count = place, count
        self._process: BaseProcess | None = None
        self._item: Item | None = None
        self.ears: Connection[Any, Any]

    def take(self, item: Item) -> bool:
        """Hand it an item; starts the process if there is none."""
        if self._process is None:
            context = get_context("spawn")  # a fork would carry torch's threads over, broken
            self.ears, theirs = context.Pipe()
            process = context.Process(
                target=_work,
                args=(theirs, self._place, self._count, stopping.began()),
                name="mardini-worker",
            )
            process.start()
            self._process = process  # now: one that is not started cannot be ended
            theirs.close()
        self._item = item
        self.ears.send(item)
        return True

    def hear(self) -> tuple[Item, Told]:
        """The next thing that it tells; a line that breaks is a process that died."""
        assert self._item is not None
        try:
            told: Told = self.ears.recv()
        except (EOFError, OSError):
            told = self._died(self._item)
        return self._item, told

    def _died(self, item: Item) -> MardiniError:
        assert self._process is not None
        self._process.join()
        status, self._process = self._process.exitcode or 0, None
        reason = stopping.asked()
        if reason is not None:
            return reason.error(
                f"{item.source}: stopped by {reason.value}",
                needed="to be begun again",
                do="start the same command again",
            )
        why = f"signal {-status}" if status < 0 else f"exit code {status}"
        return CrashedError(
            f"{item.source}: the process that worked on it died ({why})",
            needed="a file that the codec libraries survive, and memory enough",
            do="try this file alone; if it dies again, report it",
        )

    def dismiss(self) -> None:
        """Tell it to end; what it works on is stopped and leaves nothing."""
        if self._process is not None:
            self._process.terminate()

    def hang_up(self) -> None:
        """Hear no more of it: it must not wait for ears while it tidies up."""
        if self._process is not None:
            self.ears.close()

    def await_end(self) -> None:
        """Wait until it is gone."""
        if self._process is None:
            return
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _work(
    line: Connection[Any, Any], place: int, count: int, began: tuple[float, datetime]
) -> None:
    """Process: carry out items until the line breaks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent decides
    signal.signal(signal.SIGTERM, _end)
    stopping.begin(began)
    keep_models()
    try:
        _serve(line, place, count)
    finally:
        stopping.tidy()  # as in a command of its own


def _serve(line: Connection[Any, Any], place: int, count: int) -> None:
    while True:
        try:
            item: Item = line.recv()
        except (EOFError, OSError):
            return  # the parent is gone, or hears no more
        with closing(told_of(_placed(item, place, count))) as events:
            for told in events:
                if not _sent(line, told):
                    return


def _sent(line: Connection[Any, Any], told: Told) -> bool:
    """Whether the parent is there to hear it."""
    try:
        line.send(told)
    except OSError:
        return False
    return True


def _end(_number: int, _frame: object) -> None:
    if stopping.ask(Reason.TERMINATE) and stopping.is_patient():
        return  # the item ends at its next good moment, and is told as stopped
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the tidying up is not cut short
    stopping.interrupt(partial(sys.exit, ExitCode.TERMINATED))


def _placed(item: Item, place: int, count: int) -> Item:
    """Give each worker a GPU of its own, where the item leaves the choice."""
    share_threads(count)
    gpus = cuda_count()
    request = item.request
    if gpus < 2 or request.device != "auto" or request.devices is not None:
        return item
    return replace(item, request=replace(request, device=f"cuda:{place % gpus}"))


def told_of(item: Item, attempt: int = 1) -> Generator[Told, None, None]:
    """All that happens to an item, to its end; a bug fails the item, and is told whole on stderr.

    Args:
        item: what to do.
        attempt: how often it began, this time included.
    """
    yield Began(task=item.task, source=item.source, items=0, attempt=attempt)
    try:
        with naming():
            yield from errand(item)
    except MardiniError as error:
        yield error
        return
    except Exception as bug:  # noqa: BLE001 - told, and the other items go on
        traceback.print_exc()
        yield CrashedError(
            f"{item.source}: {type(bug).__name__}: {bug}",
            needed="a program without this bug",
            do="report it with the traceback above",
        )
        return
    yield None
