"""Keeping made frames while the work goes on, so that it can be stopped and gone on with.

Room: pipeline. One thread turns what batches bring into segments; the model does not wait for it.
A segment ends when it is old enough, and whenever the work ends early, whatever ends it: what
makes frames does not know where (``media.segments`` says why). Work that will be over soon is not
kept, since making it anew costs no more than keeping it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Self

from mardini_cli import stopping
from mardini_cli.errors import MardiniError
from mardini_cli.media.segments import Segments
from mardini_cli.media.writer import Writer
from mardini_cli.pipeline.channel import Channel
from mardini_cli.pipeline.desk import Picture, StoredFrame, made_uses
from mardini_cli.stopping import Reason
from mardini_cli.tasks.plan import Plan, Slot

SEGMENT_SECONDS = 10.0
"""How much work a segment holds at least: what a power cut can take."""
LONG_SECONDS = 20.0
"""Work that takes less is not kept, unless it is asked for."""
WAITING = 2
"""Batches that may wait to be kept."""

Made = list[tuple[Slot, Picture]]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeepSettings:
    """What is kept, and how long the work may go on."""

    begin: Callable[[], Segments] | None = None
    """Makes an empty place for segments; None keeps nothing."""
    found: Segments | None = None
    """What earlier work left, to go on from."""
    always: bool = False
    """Keep frames however soon the work will be over."""
    until: float | None = None
    """When to stop, by the monotonic clock."""


class Keeper:
    """Keeps what a walk over a plan makes, and tells it when to stop.

    Use as a context manager around the walk: however that ends, what was put is a whole segment.
    """

    def __init__(self, plan: Plan, writer: Writer, settings: KeepSettings) -> None:
        self._plan, self._writer, self._settings = plan, writer, settings
        self._segments = settings.found
        self.done = self._segments.mark if self._segments else 0
        """Windows whose frames earlier work made."""
        self.batch = self._segments.batch if self._segments else None
        """Windows at once, as in earlier work: on a GPU other batches may round otherwise."""
        self._uses, self._makers = made_uses(plan), makers_of(plan)
        made = (slot.index for slot in plan.shown if slot.is_made)
        self.restored = frozenset(slot for slot in made if self._makers[slot] < self.done)
        """Slots of the output whose frames earlier work made."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mardini-keep")
        self._waiting = Channel[tuple[int, Made]](WAITING)
        self._storing: Future[None] | None = None
        self._off = settings.begin is None
        self._mark = self.done  # windows whose frames were put
        self._fresh: dict[int, Picture] = {}  # that windows to come see, as they were made
        self._began, self._size, self._devices = monotonic(), 1, 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._end()
        except (MardiniError, OSError):
            if kind is None:
                raise  # otherwise the first error is the one to tell
        finally:
            if self._segments is not None:
                self._segments.close()

    # What earlier work left

    def frame(self, slot: int) -> StoredFrame:
        """Read one of them back."""
        assert self._segments is not None
        return StoredFrame(self._segments.frame(slot))

    def context(self) -> Iterator[tuple[int, Picture]]:
        """Frames of earlier work that windows to come see, as they were made."""
        for slot in sorted(self._needed(self.done)):
            assert self._segments is not None
            picture = self._segments.kept(slot)
            assert picture is not None  # fits() has looked
            yield slot, picture

    # The work

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether the batches that are being made are the last ones."""
        until = self._settings.until
        if until is not None and monotonic() >= until:
            stopping.ask(Reason.TIME)
        return stopping.asked() is not None

    def begin(self, batch: int, devices: int) -> None:
        """The first windows are about to be made."""
        self._began, self._size, self._devices = monotonic(), batch, devices

    def patience(self) -> AbstractContextManager[None]:
        """Signals wait for the end of a batch, where it can be kept."""
        return nullcontext() if self._off else stopping.patience()

    def take(self, made: Made) -> None:
        """Keep what a batch brought.

        Raises:
            UnwritableError: the disk refuses; what was kept before stands.
        """
        end = 1 + max(self._makers[slot.index] for slot, _ in made)
        if self._storing is None and not self._off:
            self._off = not self._is_worth_it(end)
            if not self._off:
                self._storing = self._thread.submit(self._store)
        if self._storing is not None and not self._waiting.put((end, made)):
            self._storing.result()  # raises what stopped it

    def finish(self) -> None:
        """All that is made is kept, and on the disk.

        Raises:
            UnwritableError: the disk refuses.
        """
        self._end()

    def check(self) -> None:
        """End here, if that was asked for.

        Raises:
            StoppedError: it was.
        """
        reason = stopping.asked()
        if reason is None:
            return
        kept, total = len(self._segments or ()), self._plan.made_count
        if not kept:
            raise reason.error(
                f"stopped by {reason.value}; nothing is kept",
                needed="to be made from the beginning",
                do="start the same command again",
            )
        raise reason.error(
            f"stopped by {reason.value}; {kept} of {total} made frames are kept",
            needed="the rest to be made",
            do="start the same command again to go on",
        )

    def _is_worth_it(self, made: int) -> bool:
        """Whether the whole takes long, by what the first batch took."""
        total = len(self._plan.windows)
        seconds = (monotonic() - self._began) / (made - self.done) * total / self._devices
        return self._settings.always or self._segments is not None or seconds >= LONG_SECONDS

    def _needed(self, mark: int) -> set[int]:
        """Made frames that windows from ``mark`` on see as given."""
        return {
            slot for slot, last in self._uses.items() if self._makers[slot] < mark and last >= mark
        }

    def _store(self) -> None:
        """Thread: put every frame into the segment under way, and end it when it is old."""
        try:
            if self._segments is None:
                assert self._settings.begin is not None
                self._segments = self._settings.begin()
            ended = monotonic()
            while (item := self._waiting.get()) is not None:
                end, made = item
                for slot, picture in made:
                    if slot.shown:
                        self._segments.put(slot.index, self._writer.stored(picture))
                    self._fresh[slot.index] = picture
                self._mark = end
                needed = self._needed(end)
                self._fresh = {s: p for s, p in self._fresh.items() if s in needed}
                if monotonic() - ended >= SEGMENT_SECONDS:
                    self._commit()
                    ended = monotonic()
        finally:
            self._waiting.close(drop=True)

    def _end(self) -> None:
        self._waiting.close()  # what waits is still kept
        self._thread.shutdown()
        if self._storing is not None:
            self._storing.result()
            self._commit()

    def _commit(self) -> None:
        assert self._segments is not None
        self._segments.commit(self._mark, self._size, self._fresh, self._needed(self._mark))
        self._fresh = {}


def makers_of(plan: Plan) -> dict[int, int]:
    """For each made slot: the number of the window that makes it."""
    return {slot.index: n for n, window in enumerate(plan.windows) for slot in window.made}


def fits(plan: Plan, segments: Segments) -> bool:
    """Whether segments hold all that the rest of a plan needs."""
    makers, mark = makers_of(plan), segments.mark
    needed = {s for s, last in made_uses(plan).items() if makers[s] < mark and last >= mark}
    shown = {s.index for s in plan.shown if s.is_made and makers[s.index] < mark}
    return (
        mark <= len(plan.windows)
        and all(slot in segments for slot in shown)
        and all(segments.is_kept(slot) for slot in needed)
    )
