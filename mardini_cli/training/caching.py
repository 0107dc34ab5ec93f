"""Fills caches: looks at the batches of stages to come with the autoencoder as it stands.

Room: training.
"""

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch

from mardini_cli.errors import ConfigError, OutputExistsError
from mardini_cli.events import Cached, Event, Progress, Warned
from mardini_cli.training import cache
from mardini_cli.training.batches import Batch
from mardini_cli.training.loop import Run
from mardini_cli.training.seen import see
from mardini_cli.training.stages import ENCODING, StageConfig, TrainConfig
from mardini_cli.training.stepping import autocast
from mardini_cli.training.supply import Supply

FOLDER = "cache"
"""Where caches go, in the folder of the run, if the settings name no place."""


def fill(
    config: TrainConfig, stage: str = "", steps: int = 0, *, overwrite: bool = False
) -> Iterator[Event]:
    """Keep what stages with a frozen autoencoder need of their batches.

    Args:
        config: the run; its autoencoder is taken as its checkpoint, or ``init``, has it.
        stage: name of the one stage to keep for; empty takes all that the autoencoder is ready for.
        steps: batches to keep of each; 0 keeps all that the stage has steps. A longer stage goes
            through them again and again.
        overwrite: whether a cache that stands is made anew.

    Raises:
        ConfigError: no such stage, or one before it still has to train the autoencoder.
        OutputExistsError: the cache stands already.
    """
    run = Run(config)
    place = run.resumed()
    chosen = _chosen(config, place.stage, stage)
    folder = Path(config.cache or Path(config.out) / FOLDER)
    for one in chosen:
        if cache.stands(folder / one.name) and not overwrite:
            raise OutputExistsError(
                f"{folder / one.name} stands already", needed="a free name", do="use --overwrite"
            )
    run.supply = supply = Supply(config, run.device, cached=False)
    if skipped := supply.load(chosen):
        yield Warned(code="skipped-files", message=f"left out, do not decode: {', '.join(skipped)}")
    run.measure(place)
    started, done = time.perf_counter(), 0
    counts = {one.name: min(steps or one.steps, one.steps) for one in chosen}
    for one in chosen:
        keeper = cache.Keeper(folder / one.name, cache.facts(config, one, run.model))
        try:
            for _ in _kept(run, one, counts[one.name], keeper):
                done += 1
                elapsed = time.perf_counter() - started
                total = sum(counts.values())
                yield Progress(done=done, total=total, elapsed=elapsed, unit="batches")
            keeper.finish(counts[one.name])
        except BaseException:
            keeper.give_up()
            raise
        yield Cached(
            output=folder / one.name,
            stage=one.name,
            steps=counts[one.name],
            size=keeper.size,
            elapsed=time.perf_counter() - started,
        )


@torch.no_grad()
def _kept(run: Run, stage: StageConfig, steps: int, keeper: cache.Keeper) -> Iterator[int]:
    """Keep one stage's batches, and say which step was kept."""
    autoencoder = run.model.autoencoder
    for name in ("mean", "std"):
        keeper.statistics[name] = getattr(autoencoder, name).flatten().tolist()
    with autocast(run.device):
        for look in run.supply.drawn_looks(stage):
            assert isinstance(look.batch, Batch)
            held = cache.Held(look.task, look.share, look.of_task)
            keeper.hold(held, see(run.model, look.batch, stage.kind))
        ready = run.supply.ready(stage)
        batches = run.supply.drawn(stage).run(0, run.config.workers, run.device)
        for step, batch in enumerate(islice(batches, steps)):
            keeper.keep(str(step), see(run.model, ready(batch), stage.kind))
            yield step


def _chosen(config: TrainConfig, reached: int, name: str) -> list[StageConfig]:
    """The stages to keep for: those before which nothing moves the autoencoder any more."""
    ready = []
    for stage in config.stages[reached:]:
        if stage.kind in ENCODING:
            break
        if stage.kind in cache.KINDS:
            ready.append(stage)
    if not name and ready:
        return ready
    found = [stage for stage in ready if stage.name == name]
    if found:
        return found
    if reached == len(config.stages):
        raise ConfigError(
            f"the run of {config.out} is at its end",
            needed="stages to come",
            do=f"take another out, and init={config.out}",
        )
    names = ", ".join(stage.name for stage in ready) or "none yet"
    raise ConfigError(
        f"stage '{name}' cannot be kept for" if name else "no stage can be kept for",
        needed=f"one that rests on an autoencoder which is trained: {names}",
        do="train the stages before it first, or give init",
    )
