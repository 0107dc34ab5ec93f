"""Training windows straight from files, for more clips than memory holds: a stretch is decoded for
each window, and looked at for cuts, stillness and darkness before it is taken.

Room: training. Which clip, which stretch and which crop are functions of seed, stage and step.

Dimension key
    f  slots     h, w  pixels
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from mardini_cli.errors import ConfigError, DamagedMediaError
from mardini_cli.media.bulk import Film, film
from mardini_cli.training import shards
from mardini_cli.training.clips import (
    ClipWindows,
    Drawn,
    Entry,
    Source,
    check_bad,
    clip_of,
    listed,
    source_of,
    strides,
)
from mardini_cli.training.crew import Own
from mardini_cli.training.seeds import seed_of
from mardini_cli.training.stages import StageConfig, TrainConfig

TRIES = 40
"""Stretches that are tried for a window, of clip after clip, before the data is called unusable."""
_ROUND_A_CUT = 6  # frames around a stretch that tell whether it borders on a cut
_PROBED = 16  # clips that are looked at to estimate all
_FEW = 10  # clips that must have been met before a share of bad ones means something


@dataclass(frozen=True, kw_only=True, slots=True)
class Looking:
    """How windows are looked for."""

    slots: int
    side: int
    short: int
    fps: float = 0.0
    jitter: float = 0.0
    bad: float = 0.5
    balance: bool = False
    held_out: int = 0
    """Every n-th clip by its name's hash is for validation."""
    held: bool = False
    """Whether those, or the others, are wanted."""

    @classmethod
    def at(cls, config: TrainConfig, stage: StageConfig, *, held: bool) -> Self:
        """What a stage of a run looks for."""
        return cls(
            slots=stage.slots,
            side=stage.side,
            short=config.short,
            fps=stage.fps,
            jitter=stage.jitter,
            bad=config.bad,
            balance=config.balance,
            held_out=config.held_out,
            held=held,
        )


@dataclass(slots=True)
class Met:
    """Clips that this process has met, and those among them that do not decode."""

    names: set[str] = field(default_factory=set)
    bad: list[str] = field(default_factory=list)


class StreamWindows:
    """Draws windows from files.

    Args:
        entries: clips that a window may come from, by its number over the whole stage.
        looking: what is wanted of them.
        own: windows of the process that asks; others are not decoded, and stay black.
    """

    def __init__(
        self,
        entries: Callable[[int], Sequence[Entry]],
        looking: Looking,
        own: Own = Own(),  # noqa: B008  # frozen
    ) -> None:
        self.entries, self.looking, self.own, self.met = entries, looking, own, Met()

    def draw(self, count: int, kept: Tensor, rng: torch.Generator, first: int = 0) -> Drawn:
        """See ``batches.Windows``."""
        known, side = len(self.met.bad), self.looking.side
        frames = torch.zeros(count, len(kept), 3, side, side, dtype=torch.uint8)
        times = kept.float().repeat(count, 1)
        base = int(torch.randint(2**62, (1,), generator=rng))
        for number in filter(self.own.has, range(count)):
            # Its own chance, so that nobody has to decode the windows before it.
            own = torch.Generator().manual_seed(seed_of(base, "window", number))
            drawn = self._window(kept, own, first + number)
            frames[number], times[number] = drawn.frames[0], drawn.times[0]
        return Drawn(frames, times, tuple(self.met.bad[known:]))

    def _window(self, kept: Tensor, rng: torch.Generator, number: int) -> Drawn:
        looking, still = self.looking, None
        there = self.entries(number)
        entries = [one for one in there if self._wanted(one)] or there  # few clips: all of them
        for _ in range(TRIES if entries else 0):
            source = self._try(self._pick(entries, rng), rng)
            if source is None:
                continue
            if source.moves:
                return self._cut_out(source, kept, rng)
            still = still or source
        if still is None:
            raise ConfigError(
                f"{TRIES} stretches of clips, and none of {looking.slots} frames of "
                f"{looking.side} x {looking.side} pixels without a cut",
                needed="longer or larger clips",
                do="lower side, or add clips",
            )
        return self._cut_out(still, kept, rng)  # where nothing moves, a still window is better

    def _cut_out(self, source: Source, kept: Tensor, rng: torch.Generator) -> Drawn:
        looking = self.looking
        cutter = ClipWindows([source], looking.slots, looking.side, looking.jitter)
        return cutter.draw(1, kept, rng)

    def _wanted(self, entry: Entry) -> bool:
        every = self.looking.held_out
        chosen = bool(every) and zlib.crc32(name_of(entry).encode()) % every == every // 2
        return chosen == self.looking.held

    def _pick(self, entries: Sequence[Entry], rng: torch.Generator) -> Entry:
        if self.looking.balance:
            groups = sorted({entry.group for entry in entries})
            group = groups[_one_of(len(groups), rng)]
            entries = [entry for entry in entries if entry.group == group]
        return entries[_one_of(len(entries), rng)]

    def _try(self, entry: Entry, rng: torch.Generator) -> Source | None:
        """A stretch of a clip in which one window can begin, and where; None if it has none."""
        name = name_of(entry)
        self.met.names.add(name)
        if name in self.met.bad:
            return None
        try:
            inside = entry.read() if isinstance(entry, shards.Packed) else entry.path
            with film(inside, self.looking.short, name) as opened:
                return self._stretch(opened, name, entry.group, rng)
        except DamagedMediaError:
            self.met.bad.append(name)
            if len(self.met.names) >= _FEW:
                check_bad(self.met.bad, len(self.met.names), self.looking.bad)
            return None

    def _stretch(self, opened: Film, name: str, group: str, rng: torch.Generator) -> Source | None:
        looking = self.looking
        if min(opened.width, opened.height) < looking.side:
            return None
        ways = [way for way, times in strides(opened.rate, looking.fps) for _ in range(times)]
        stride = ways[_one_of(len(ways), rng)]
        span = stride * (looking.slots - 1) + 1
        first = _one_of(max(1, opened.length - span + 1), rng)
        before = min(first, _ROUND_A_CUT)
        read = opened.read(first - before, before + span + _ROUND_A_CUT)
        clip = clip_of(read, name, group)
        found = source_of(clip, looking.slots, opened.rate / stride)
        if found is None:
            return None
        # The stretch that was drawn, not those that its surroundings happen to hold as well.
        starts = tuple((way, at[at == before]) for way, at in found.starts if way == stride)
        here = tuple((way, at) for way, at in starts if len(at))
        return Source(clip, here, found.moves) if here else None


def name_of(entry: Entry) -> str:
    """What a clip is called where it is named to people."""
    return entry.name if isinstance(entry, shards.Packed) else entry.path.name


def streamed(config: TrainConfig) -> Callable[[int], Sequence[Entry]] | None:
    """Clips by the number of a window, where windows are to be decoded as they are drawn.

    Raises:
        ConfigError: no clip found; or shards that are to be held in memory.
        MissingFileError: a pattern of shards that matches nothing.
    """
    names = shards.named(config.data)
    if names and config.stream == "no":
        raise ConfigError(
            "stream = no with shards", needed="auto or yes", do="unpack them to hold them in memory"
        )
    if names:
        return of_shards(names, config.seed)
    entries = listed([Path(word) for word in config.data])
    many = config.stream == "auto" and decoded(entries, config.short) > _free() / 2
    return (lambda _: entries) if many or config.stream == "yes" else None


def decoded(entries: Sequence[Entry], short: int) -> float:
    """Estimate the bytes that clips take in memory, from a few of them and all sizes on disk."""
    some = entries[:: max(1, len(entries) // _PROBED)]
    frames = read = 0.0
    for entry in some:
        try:
            with film(entry.path, short) as opened:
                frames += 3.0 * opened.width * opened.height * opened.length
                read += entry.path.stat().st_size
        except DamagedMediaError:
            continue
    whole = sum(entry.path.stat().st_size for entry in entries if entry.path.is_file())
    return whole * frames / read if read else 0.0


def _free() -> float:
    import psutil

    return float(psutil.virtual_memory().available)


def of_shards(names: tuple[str, ...], seed: int) -> Callable[[int], Sequence[Entry]]:
    """Clips of the shard that a window's number falls on."""
    visits = shards.Visits(names, seed)
    return lambda number: shards.index(shards.here(visits.at(number)))


def _one_of(count: int, rng: torch.Generator) -> int:
    return int(torch.randint(count, (1,), generator=rng))
