"""Where the batches of a stage come from: clips and photographs, or what was kept of them.

Room: training. Held-out windows are the same ones in every look.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch

from mardini_cli.model.mardini import MarDini
from mardini_cli.training import cache, clips, streams, synthetic
from mardini_cli.training.batches import Batch, Batches, Windows, developed
from mardini_cli.training.crew import Crew, Own
from mardini_cli.training.darkroom import Darkroom, Drafts
from mardini_cli.training.seen import Seen
from mardini_cli.training.stages import StageConfig, TrainConfig

LOOKS = 8
"""Held-out batches, over all tasks."""
LOOK_WINDOWS = 12
"""Windows in each."""


class Source(Protocol):
    """Gives batches in the order of their steps."""

    def run(self, first: int, workers: int, device: torch.device) -> Iterator[Batch | Seen]:
        """Give the batches from step ``first`` on."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A held-out batch of one task."""

    task: str
    share: float
    """Its weight in the mean over all tasks."""
    of_task: int
    """Batches of this task."""
    batch: Batch | Seen


class Supply:
    """All sources of a run; clips and photographs are read when they are first needed.

    Args:
        config: of the run.
        device: where held-out batches wait.
        crew: this process among the others, which make their own windows.
        cached: whether caches count.
    """

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        crew: Crew = Crew(),  # noqa: B008  # frozen
        *,
        cached: bool = True,
    ) -> None:
        self.config, self.device, self.crew, self.cached = config, device, crew, cached
        self.clips: list[clips.Clip] = []
        self.entries: Callable[[int], Sequence[clips.Entry]] | None = None
        self.photos: list[synthetic.Picture] = []

    def load(self, stages: Sequence[StageConfig]) -> list[str]:
        """Read clips and photographs, if one of these stages has not kept what it needs of them.

        Returns:
            Names of files that do not decode.

        Raises:
            ConfigError: there are none.
        """
        if all(self.kept(stage) for stage in stages):
            return []
        self.entries = streams.streamed(self.config)
        skipped: list[str] = []
        if self.entries is None:
            data = [Path(word) for word in self.config.data]
            self.clips, skipped = clips.load(data, self.config.short, self.config.bad)
        if self.config.photos:
            self.photos, others = synthetic.load([Path(p) for p in self.config.photos])
            skipped = skipped + others
        return skipped

    def kept(self, stage: StageConfig) -> Path | None:
        """The folder in which a stage has kept what it needs, if it has."""
        if not self.cached or not self.config.cache or stage.kind not in cache.KINDS:
            return None
        folder = Path(self.config.cache) / stage.name
        return folder if cache.stands(folder) else None

    def lacking(self, stages: Sequence[StageConfig]) -> list[str]:
        """Name the stages that could learn from the cache that was named, but are not in it."""
        if not self.config.cache:
            return []
        able = [stage for stage in stages if stage.kind in cache.KINDS]
        return [stage.name for stage in able if not self.kept(stage)]

    def train(self, stage: StageConfig, model: MarDini) -> Source:
        """Batches to train on.

        Raises:
            ConfigError: no clip is large and long enough; or what was kept is of another stage.
        """
        if folder := self.kept(stage):
            return cache.Cache(folder, self.config, stage, model)
        return self.drawn(stage, self.crew.own(stage.accumulate) if self.crew.world > 1 else None)

    def ready(self, stage: StageConfig) -> Callable[[Batch], Batch]:
        """What makes a batch ready to be learnt from: it goes to the device, and is made whole."""
        if not self.photos or self.config.photos_on == "workers":
            return lambda batch: batch.to(self.device)
        darkroom = Darkroom(self.photos, stage.side, self.device)
        return lambda batch: developed(batch.to(self.device), darkroom)

    def drawn(self, stage: StageConfig, own: Own | None = None) -> Batches:
        """Batches to train on from pixels, whether anything is kept or not."""
        late = self.config.photos_on == "device"
        kind = Drafts if late else synthetic.PhotoWindows
        made = kind(self.photos, stage.slots, stage.side) if self.photos else None
        windows = self._windows(stage, held=False, own=own or Own())
        return Batches((windows, made), stage, self.config.seed, own)

    def _windows(self, stage: StageConfig, *, held: bool, own: Own) -> Windows:
        """Where windows of clips come from: to train on, or held out."""
        if self.entries is not None:
            looking = streams.Looking.at(self.config, stage, held=held)
            return streams.StreamWindows(self.entries, looking, own)
        jitter, balance = stage.jitter, self.config.balance
        return clips.ClipWindows(
            self._sources(stage)[held], stage.slots, stage.side, jitter, balance=balance
        )

    def looks(self, stage: StageConfig, model: MarDini) -> list[Look]:
        """The held-out batches, on the device."""
        if not (folder := self.kept(stage)):
            return list(self.drawn_looks(stage))
        kept = cache.Cache(folder, self.config, stage, model)
        return [
            Look(held.task, held.share, held.of_task, seen.to(self.device))
            for held, seen in kept.looks()
        ]

    def drawn_looks(self, stage: StageConfig) -> Iterator[Look]:
        """Held-out batches of every task of a stage, from pixels."""
        tasks = [(task, share) for task, share in stage.tasks if share]
        count = math.ceil(LOOKS / len(tasks))
        look = replace(stage, steps=count, batch=min(stage.batch, LOOK_WINDOWS), photos=0.0)
        windows = self._windows(stage, held=True, own=Own())
        workers = min(self.config.workers, count)
        for task, share in tasks:
            one = replace(look, tasks=((task, 1.0),))
            batches = Batches((windows, None), one, self.config.seed + 1)
            for batch in batches.run(0, workers, self.device):
                yield Look(task, share / count, count, batch.to(self.device))

    def held(self, stage: StageConfig) -> list[clips.Source]:
        """Clips held out; none where no clip was read, since all was kept."""
        return self._sources(stage)[1] if self.clips else []

    def _sources(self, stage: StageConfig) -> tuple[list[clips.Source], list[clips.Source]]:
        """Clips to train on, and those held out."""
        sources = clips.usable(self.clips, stage.slots, stage.side, stage.fps)
        every = self.config.held_out
        held = sources[every // 2 :: every] if every and len(sources) > every else sources[:1]
        apart = {id(source) for source in held}
        return [source for source in sources if id(source) not in apart] or sources, held
