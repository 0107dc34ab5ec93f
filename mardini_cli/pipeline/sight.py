"""What was seen of given frames, kept while the windows that follow may share them.

Room: pipeline. Neighbouring windows share the frame at their border, and context besides; each is
encoded once, and the prior flow of each gap is found once. A sight is of one job: frames are known
by their places in it. It serves all threads that work on one device.

Dimension key
    b  windows in the batch    g  given frames of a window    h, w  pixels
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from threading import Lock
from typing import TypeVar

import torch
from torch import Tensor

from mardini_cli.model.autoencoder import Given
from mardini_cli.model.mardini import MarDini
from mardini_cli.tasks.plan import Slot, Window

KEPT_BATCHES = 2
"""Batches of windows whose frames are kept: the one at work, and the one before it."""
Key = tuple[str, int]
"""A given frame: where it comes from, and its number there."""
K = TypeVar("K", bound=Hashable)
Parts = tuple[Tensor, ...]


class Sight:
    """Looks at windows, and remembers what it saw of their given frames."""

    def __init__(self, model: MarDini, work: int | None = None) -> None:
        self.model, self.work = model, work
        self._lock = Lock()
        self._frames: dict[Key, Parts] = {}
        self._gaps: dict[tuple[Key, Key], Tensor] = {}
        self._recent: list[set[Key]] = []

    def look(
        self,
        windows: Sequence[Window],
        frames: Tensor,
        mask: Tensor,
        times: Tensor,
        kind: str = "colour",
    ) -> Given:
        """Work out what the given frames of windows tell; see ``MarDini.look``.

        Args:
            windows: whose frames they are.
            frames: ``b g 3 h w``.
            mask: ``b f``.
            times: ``b f``.
            kind: tells pictures of the same frames apart: colour, alpha.
        """
        keys = [[_key(slot, kind) for slot in window.given] for window in windows]
        with self._lock:  # the device does one thing at a time anyway
            seen = self._seen(keys, frames)
        flow = self._flow(keys, seen) if frames.shape[1] > 1 else None
        self._forget(keys)
        return self.model.look(frames, mask, times, self.work, seen, flow)

    def _seen(self, keys: Sequence[Sequence[Key]], frames: Tensor) -> Parts:
        new = _first_places(keys, self._frames)
        if new:
            rows, columns = (list(axis) for axis in zip(*new.values(), strict=True))
            for key, parts in zip(new, self._encoded(frames[rows, columns]), strict=True):
                self._frames[key] = parts
        shown = zip(*(self._frames[key] for row in keys for key in row), strict=True)
        return tuple(torch.stack(part).unflatten(0, frames.shape[:2]) for part in shown)

    def _encoded(self, frames: Tensor) -> list[Parts]:
        """Encode ``p 3 h w``, frame by frame on a CPU: the bits of one must not turn on others.

        So a job that is split, or begun in the middle, gives the same file.
        """
        at_once = len(frames) if frames.is_cuda else 1
        found = [self.model.autoencoder.see(some, self.work) for some in frames.split(at_once)]
        return [tuple(row) for parts in found for row in zip(*parts, strict=True)]

    def _flow(self, keys: Sequence[Sequence[Key]], seen: Parts) -> Tensor | None:
        pairs = [list(pairwise(row)) for row in keys]
        with self._lock:
            new = _first_places(pairs, self._gaps)
            known = {pair: self._gaps[pair] for row in pairs for pair in row if pair not in new}
        if new:
            rows, columns = (list(axis) for axis in zip(*new.values(), strict=True))
            after = [column + 1 for column in columns]
            ends = tuple(torch.stack((p[rows, columns], p[rows, after]), 1) for p in seen[:1])
            found = self.model.autoencoder.between(ends)
            if found is None:
                return None
            known |= {pair: found[number] for number, pair in enumerate(new)}
        with self._lock:
            self._gaps |= known
        return torch.stack([torch.stack([known[pair] for pair in row]) for row in pairs])

    def _forget(self, keys: Iterable[Iterable[Key]]) -> None:
        """Let go of all that the last batches did not show."""
        with self._lock:
            self._recent = [*self._recent, {key for row in keys for key in row}][-KEPT_BATCHES:]
            held = set[Key]().union(*self._recent)
            self._frames = {key: parts for key, parts in self._frames.items() if key in held}
            self._gaps = {ends: flow for ends, flow in self._gaps.items() if held.issuperset(ends)}


def _key(slot: Slot, kind: str) -> Key:
    """One frame of the source, wherever it stands; or a made frame that stands as given."""
    if slot.given is None:
        return f"made {kind}", slot.index
    return f"given {kind}", slot.given


def _first_places(
    keys: Sequence[Sequence[K]], known: Mapping[K, object]
) -> dict[K, tuple[int, int]]:
    """Where each key that is not known stands first: row and column."""
    places = dict[K, tuple[int, int]]()
    for row, line in enumerate(keys):
        for column, key in enumerate(line):
            if key not in known:
                places.setdefault(key, (row, column))
    return places
