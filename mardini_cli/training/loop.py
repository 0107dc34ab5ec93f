"""The training loop: stages one after the other, each with a fresh optimiser.

Room: training. Same config, seed and device: same weights; a run that is stopped goes on where its
checkpoint stands. One process, or several under torchrun.
"""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from mardini_cli import weights
from mardini_cli.device import choose_device
from mardini_cli.errors import ConfigError
from mardini_cli.events import Event, Paused, Progress, Trained, Warned
from mardini_cli.training import cache, checkpoint, crew, keeping
from mardini_cli.training.batches import Batch
from mardini_cli.training.blocks import gathered, run_as, share_out
from mardini_cli.training.movers import Movers
from mardini_cli.training.objectives import KINDS, measure_latents
from mardini_cli.training.pace import Pace
from mardini_cli.training.seeds import seed_of
from mardini_cli.training.stages import FINISHED, Resume, StageConfig, TrainConfig, stranded
from mardini_cli.training.starting import (
    check_resume,
    check_stage,
    claim,
    device_name,
    make_folder,
    start,
    swap_attention,
    untrained,
)
from mardini_cli.training.stepping import Stepper, autocast
from mardini_cli.training.stopping import Stop, listening
from mardini_cli.training.supply import Look, Supply
from mardini_cli.training.watching import Watch

_TELL = 50  # steps between lines of the log
_SETTLE = 16  # batches that the latents' statistics are measured on
_AGREE = 10  # steps between questions whether any process was asked to end
_FLOOR = 0.02  # of the highest learning rate, where a stage ends


class Clock:
    """Tells which share of a stage lies behind, by steps or by minutes, whichever is further."""

    def __init__(self, stage: StageConfig, spent: float = 0.0) -> None:
        self.stage, self.started = stage, time.perf_counter() - spent

    @property
    def seconds(self) -> float:
        """Time that the stage has taken, before a stop and after it."""
        return time.perf_counter() - self.started

    def behind(self, step: int) -> float:
        """Share of the stage before ``step``, from 0; 1 or more is its end."""
        share = step / self.stage.steps
        if not self.stage.minutes:
            return share
        return max(share, self.seconds / (60 * self.stage.minutes))


class Run:
    """One training run."""

    def __init__(self, config: TrainConfig, resume: Resume = "auto") -> None:
        self.config = config
        self.crew = crew.join()
        self.device = choose_device(device_name(config.device, self.crew.world))
        claim(self.device)
        self.folder = Path(config.out)
        check_resume(self.folder, resume)
        make_folder(self.folder)
        torch.manual_seed(seed_of(config.seed, "weights", 0))
        torch.backends.cudnn.benchmark = True  # shapes are few and come back
        self.model = start(config, self.device)
        for stage in config.stages:
            check_stage(stage, self.model.config, self.crew.world)
        run_as(self.model, config)
        self.sharded = config.shard and self.crew.world > 1
        if self.sharded:
            share_out(self.model, self.crew, self.device)
        self.keeper = keeping.keeper(config, self.crew)
        self.supply = Supply(config, self.device, self.crew)
        self.started, self.steps = time.perf_counter(), 0
        self.stop, self.paused = Stop(), False
        self.bad, self.named = set[str](), set[str]()  # clips that do not decode, and are told of
        self.pace = Pace(config.stages)
        self.watch = Watch(config, on=self.crew.rank == 0)

    def events(self) -> Iterator[Event]:
        """Train every stage, and save the weights at the end; the first process alone tells."""
        try:
            for event in self._events():
                if self.crew.rank == 0:
                    yield event
        finally:
            crew.leave()

    def _events(self) -> Iterator[Event]:
        place = self.resumed()
        self.watch.begin()
        skipped = self.supply.load(self.config.stages[place.stage :])
        if resting := untrained(self.config):
            yield Warned(
                code="untrained-autoencoder",
                message=f"stage {resting} rests on an autoencoder that nothing has trained: give "
                "init or vae, or train one first (--stages guided, --stages vae)",
            )
        if moved := stranded(self.config):
            yield Warned(
                code="moved-encoder",
                message=f"stage {moved} moves the encoder whose latents the denoiser has learnt, "
                "and no later stage mends that: add one of kind joint, or take kind sharp",
            )
        if lacking := self.supply.lacking(self.config.stages[place.stage :]):
            yield Warned(
                code="no-cache",
                message=f"{self.config.cache} keeps nothing for {', '.join(lacking)}: batches are "
                "made from clips",
            )
        self.measure(place)
        if skipped:
            yield Warned(
                code="skipped-files", message=f"left out, do not decode: {', '.join(skipped)}"
            )
        with listening() as self.stop:
            for index, stage in enumerate(self.config.stages):
                if index >= place.stage:
                    here = place if index == place.stage else replace(place, step=0, seconds=0.0)
                    yield from self._stage(replace(here, stage=index), stage)
                if self.paused:
                    break
        self.keeper.close()
        if self.paused:
            return
        finished = gathered(self.model) if self.sharded else self.model
        if self.crew.rank == 0:
            facts = {"stages": [stage.name for stage in self.config.stages]}
            weights.save(finished, self.folder / FINISHED, facts=facts)
        self.watch.finish(finished, (len(self.supply.clips), len(self.supply.photos)))
        yield Trained(
            output=self.folder / FINISHED,
            steps=self.steps,
            elapsed=self._elapsed(),
        )

    def resumed(self) -> checkpoint.Place:
        """Where the run stands; its weights are put back here.

        Raises:
            ConfigError: the folder holds another run.
        """
        stages = tuple(stage.name for stage in self.config.stages)
        place = self.keeper.place()
        if place is None:
            return checkpoint.Place(model=self._sizes(), stages=stages)
        begun = place.stage + (place.step > 0)
        for stage in self.config.stages[:begun]:
            swap_attention(self.model, stage)
        sizes = self._sizes()
        if place.model != sizes or place.stages[:begun] != stages[:begun]:
            raise ConfigError(
                f"{self.folder} holds a run of {place.model.get('preset')} through stages "
                f"{', '.join(place.stages)}",
                needed="the run that this config describes",
                do="choose another out, or delete that folder",
            )
        self.keeper.restore_model(self.model)
        return replace(place, stages=stages)

    def _sizes(self) -> dict[str, Any]:
        """The model's sizes as a file tells them."""
        sizes: dict[str, Any] = json.loads(json.dumps(self.model.config.to_dict()))
        return sizes

    def _stage(self, place: checkpoint.Place, stage: StageConfig) -> Iterator[Event]:
        # Whatever is new in a stage starts alike, with a stop before it or without.
        torch.manual_seed(seed_of(self.config.seed, stage.name, 0))
        swap_attention(self.model, stage)
        place = replace(place, model=self._sizes())
        objective = KINDS[stage.kind](self.model, stage)
        objective.train()
        stepper = Stepper(
            objective, Movers(objective, stage), self.crew, self.config.seed, self.config.spike
        )
        stepper.ready = self.supply.ready(stage)
        if place.step:
            self.keeper.restore_stage(objective, stepper)
        train = self.supply.train(stage, self.model)
        # A network that is shared out says nothing unless all processes ask it.
        alone = self.crew.rank > 0 and not self.sharded
        held = [] if alone else self.supply.looks(stage, self.model)
        if not self.sharded:
            self.watch.aim(self.supply.held(stage), stage, self.device)
        clock = Clock(stage, place.seconds)
        batches = train.run(place.step, self.config.workers, self.device)
        if self.config.init and not place.step:  # what the weights could do before
            self._figures(stepper, held, (0, 0.0), last=True)
        for step, batch in enumerate(batches, place.step):
            behind = clock.behind(step)
            behind = self.crew.agree(behind, self.device) if stage.minutes else behind
            stepper(batch, step, behind, rate_at(stage, step, behind))
            self.bad |= set(batch.bad) if isinstance(batch, Batch) else set()
            self.steps += 1
            done, last = step + 1, step + 1 == stage.steps or behind >= 1
            here = replace(place, step=done, seconds=clock.seconds)
            stop, save = self._asked(done) and not last, done % self.config.save == 0
            if done % _TELL == 0 or save or last or stop:
                yield from self._look(stepper, (done, max(behind, float(last))), clock.seconds)
            self._figures(stepper, held, (done, behind), last=last)
            if last:
                break
            if save or stop:
                self.keeper.save(here, dict(objective.named_children()), stepper)
            if stop:
                self.paused = True
                yield Paused(
                    output=self.folder, stage=stage.name, step=done, elapsed=self._elapsed()
                )
                return
        stepper.movers.average.swap()
        objective.merge()
        objective.settle(self._some(stage))
        self.watch.end(stepper, done, clock.seconds)
        ended = replace(place, stage=place.stage + 1, step=0, seconds=0.0)
        self.keeper.save(ended, {"model": self.model}, None)

    def _asked(self, done: int) -> bool:
        """Whether the run shall end here; several processes agree on it now and then."""
        if self.crew.world == 1:
            return self.stop.asked
        if done % _AGREE:
            return False
        return bool(self.crew.agree(float(self.stop.asked), self.device))

    def measure(self, place: checkpoint.Place) -> None:
        """Measure the latents of an autoencoder that came from elsewhere, before the first step."""
        if not self.config.vae or place.stage or place.step:
            return
        stage = self.config.stages[0]
        if folder := self.supply.kept(stage):
            cache.restore_statistics(folder, self.model)
        else:
            measure_latents(self.model, self._some(stage))

    def _some(self, stage: StageConfig) -> Iterator[Batch]:
        """The first batches of a stage, whole and on the device, for what is measured once."""
        ready = self.supply.ready(stage)
        for batch in islice(self.supply.drawn(stage).run(0, 0, self.device), _SETTLE):
            yield ready(batch)

    def _look(self, stepper: Stepper, at: tuple[int, float], seconds: float) -> Iterator[Event]:
        """See how the steps since the last look went, and tell."""
        done, behind = at
        stage, skipped = stepper.stage, stepper.check(done)
        if new := sorted(self.bad - self.named):
            self.named |= self.bad
            message = f"left out, do not decode: {', '.join(new)}"
            yield Warned(code="skipped-files", message=message)
        if skipped:
            yield Warned(
                code="skipped-steps",
                message=f"stage {stage.name}, by step {done}: {skipped} steps moved nothing, their "
                "losses were no numbers or their gradients far too long",
            )
        if done % _TELL == 0 or behind >= 1:
            figures = {name: round(x, 6) for name, x in stepper.told().items()}
            told = {"seconds": round(self._elapsed(), 2), **figures}
            if skipped:
                told["skipped"] = skipped
            self.watch.write({"stage": stage.name, "step": done, **told})
            yield self._progress(stage, at, seconds)

    def _progress(self, stage: StageConfig, at: tuple[int, float], seconds: float) -> Progress:
        done, total = self.pace.at(stage, *at, seconds)
        return Progress(done=done, total=total, elapsed=self._elapsed(), unit="steps")

    def _elapsed(self) -> float:
        return time.perf_counter() - self.started

    def _figures(
        self, stepper: Stepper, held: list[Look], at: tuple[int, float], *, last: bool
    ) -> None:
        """Measure held-out windows where it is time to."""
        if held and (at[0] % stepper.stage.validate == 0 or last):
            self._validate(stepper, held, at)
        self.watch.look(stepper, at[0], last=last)

    @torch.no_grad()
    def _validate(self, stepper: Stepper, held: list[Look], at: tuple[int, float]) -> None:
        """Score held-out windows with raw and averaged weights, over all tasks and by task."""
        (done, behind), average = at, stepper.movers.average
        row: dict[str, object] = {"stage": stepper.stage.name, "step": done}
        row["average_steps"] = round(average.horizon(done - 1, behind))
        for name in ("raw", "average"):
            totals: dict[str, float] = {}
            with autocast(self.device):
                for look in held:
                    for key, value in stepper.objective.score(look.batch).items():
                        task = f"{key}_{look.task}"
                        totals[key] = totals.get(key, 0.0) + float(value) * look.share
                        totals[task] = totals.get(task, 0.0) + float(value) / look.of_task
            row |= {f"{name}_{key}": round(value, 4) for key, value in totals.items()}
            average.swap()
        self.watch.write(row)


def rate_at(stage: StageConfig, step: int, behind: float) -> float:
    """Learning rate: a rise, then half a cosine down."""
    rise = min(1.0, (step + 1) / stage.warmup)
    fall = 0.5 * (1 + math.cos(math.pi * min(behind, 1.0)))
    return stage.rate * rise * (_FLOOR + (1 - _FLOOR) * fall)
