"""Between the threads: frames are held while they are needed, and leave in time order.

Room: pipeline. Knows plans; knows neither the model nor how files are read and written.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mardini_cli.errors import DamagedMediaError
from mardini_cli.media.reader import Frame
from mardini_cli.media.segments import Planes
from mardini_cli.pipeline.channel import Channel
from mardini_cli.pipeline.shelf import Shelf
from mardini_cli.tasks.plan import Plan, Slot, Window

if TYPE_CHECKING:
    from mardini_cli.pipeline.keeping import Keeper

Key = TypeVar("Key", bound=Hashable)
Picture = NDArray[np.float32]
"""``h w 3``, RGB in [0, 1]; with alpha as the fourth channel where a clip is transparent."""


@dataclass(frozen=True, eq=False, slots=True)
class Decoded:
    """A given frame as it comes out of the source."""

    frame: Frame
    picture: Picture | None
    """Converted for the model; None where no window needs it."""


@dataclass(frozen=True, eq=False, slots=True)
class StoredFrame:
    """A made frame of earlier work, in the planes that the encoder takes."""

    planes: Planes


@dataclass(frozen=True, eq=False, slots=True)
class Page:
    """One frame of the output on its way to the encoder."""

    time: Fraction
    content: Frame | Picture | StoredFrame
    """A given frame as it was decoded, or a made one."""


def given_uses(plan: Plan) -> dict[int, int]:
    """For each frame of the source that a window needs: the number of the last such window."""
    return {
        slot.given: number
        for number, window in enumerate(plan.windows)
        for slot in window.given
        if slot.given is not None
    }


def made_uses(plan: Plan) -> dict[int, int]:
    """For each made slot that a later window sees: the number of the last such window."""
    return {index: number for number, window in enumerate(plan.windows) for index in window.earlier}


class _Held(Generic[Key]):
    """Pictures that windows to come need; each goes after its last one."""

    def __init__(self, uses: Mapping[Key, int]) -> None:
        self._uses, self._pictures = uses, dict[Key, Picture]()

    def put(self, key: Key, picture: Picture) -> None:
        if key in self._uses:
            self._pictures[key] = picture

    def get(self, key: Key) -> Picture:
        return self._pictures[key]

    def forget(self, windows: int) -> None:
        """Let go of what none but the first ``windows`` windows needs."""
        for key in [key for key in self._pictures if self._uses[key] < windows]:
            del self._pictures[key]


class Desk:
    """Gives windows their frames, takes what they make, and hands pages to the encoder."""

    def __init__(
        self,
        plan: Plan,
        decoded: Channel[Decoded],
        reading: Future[None],
        pages: Channel[Page],
        writing: Future[None],
        keeper: Keeper,
    ) -> None:
        self._decoded, self._reading = decoded, reading
        self._pages, self._writing = pages, writing
        self._slots = deque(plan.shown)  # not yet handed to the encoder
        self._turns = Counter(slot.given for slot in self._slots if slot.given is not None)
        self._given, self._kept = _Held(given_uses(plan)), _Held(made_uses(plan))
        self._keeper, self._restored = keeper, keeper.restored
        self._windows = keeper.done  # begun so far
        self._fetched = 0  # given frames so far
        self._frames: dict[int, Frame] = {}  # given, waiting for their turn
        self._made = Shelf()  # by slot, waiting for their turn
        for index, picture in keeper.context():
            self._kept.put(index, picture)

    def catch_up(self) -> Iterator[None]:
        """Hand on what earlier work made, and the given frames beside it, step by step."""
        ready = list(takewhile(lambda s: not s.is_made or s.index in self._restored, self._slots))
        if not any(slot.is_made for slot in ready):
            return
        last = max((slot.given for slot in ready if slot.given is not None), default=-1)
        self._hand_on()
        while self._fetched <= last:
            yield
            self._fetch()

    def give(self, windows: Sequence[Window]) -> list[list[Picture]]:
        """Wait for the given frames of these windows, in slot order; forget what ends here."""
        last = max((s.given for w in windows for s in w.given if s.given is not None), default=-1)
        while self._fetched <= last:
            self._fetch()
        pictures = [[self._picture(slot) for slot in window.given] for window in windows]
        self._windows += len(windows)
        self._given.forget(self._windows)
        self._kept.forget(self._windows)
        return pictures

    def take(self, made: Iterable[tuple[Slot, Picture]]) -> None:
        """Accept made frames, and hand on whatever is next in time."""
        for slot, picture in made:
            self._kept.put(slot.index, picture)
            if slot.shown:
                self._made.put(slot.index, picture)
        self._hand_on()

    def finish(self) -> None:
        """Hand on the given frames after the last window, and tell the encoder that this is all."""
        while self._slots:
            self._fetch()
        self._pages.close()

    def close(self) -> None:
        """Let go of what waits on disk."""
        self._made.close()

    def _picture(self, slot: Slot) -> Picture:
        return self._kept.get(slot.index) if slot.given is None else self._given.get(slot.given)

    def _fetch(self) -> None:
        item = self._decoded.get()
        if item is None:
            self._reading.result()  # raises what stopped the reader
            raise DamagedMediaError(
                f"the clip ends after {self._fetched} frames",
                needed="as many as were counted before the work began",
                do="leave the file alone while it is read, and start again",
            )
        if self._turns[self._fetched]:
            self._frames[self._fetched] = item.frame
        if item.picture is not None:
            self._given.put(self._fetched, item.picture)
        self._fetched += 1
        self._hand_on()

    def _hand_on(self) -> None:
        while self._slots and (content := self._next()) is not None:
            if not self._pages.put(Page(self._slots.popleft().time, content)):
                self._writing.result()  # raises what stopped the writer

    def _next(self) -> Frame | Picture | StoredFrame | None:
        slot = self._slots[0]
        if slot.given is None:
            if slot.index in self._restored:
                return self._keeper.frame(slot.index)
            return self._made.take(slot.index)
        frame = self._frames.get(slot.given)
        if frame is not None:
            self._turns[slot.given] -= 1
            if not self._turns[slot.given]:
                del self._frames[slot.given]
        return frame
