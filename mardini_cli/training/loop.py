"""The training loop: stages one after the other, each with a fresh optimiser.

Room: training. Same config, seed and device: same weights; a run that is stopped goes on where its
checkpoint stands. One process, or several under torchrun.
"""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mardini_cli import weights
from mardini_cli.config import ModelConfig, preset
from mardini_cli.device import choose_device
from mardini_cli.errors import ConfigError, MadeFrameError, UnwritableError, WeightsError
from mardini_cli.events import Event, Progress, Trained, Warned
from mardini_cli.model.mardini import MarDini
from mardini_cli.training import checkpoint, clips, crew, synthetic
from mardini_cli.training.batches import Batch, Batches, seed_of
from mardini_cli.training.movers import Movers
from mardini_cli.training.objectives import KINDS, Objective, Step
from mardini_cli.training.stages import StageConfig, TrainConfig

WEIGHTS = "weights"
"""Folder of the finished weights, in the folder of the run."""
_TELL = 50  # steps between lines of the log
_LOOKS, _LOOK_WINDOWS = 8, 12  # held-out batches, and windows in each
_FLOOR = 0.02  # of the highest learning rate, where a stage ends


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Everything that windows are cut from."""

    clips: list[clips.Clip]
    photos: list[synthetic.Picture]


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

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.crew = crew.join()
        self.device = choose_device(_device_name(config.device, self.crew.world))
        _claim(self.device)
        self.folder = Path(config.out)
        _make_folder(self.folder)
        torch.manual_seed(seed_of(config.seed, "weights", 0))
        torch.backends.cudnn.benchmark = True  # shapes are few and come back
        self.model = _start(config, self.device)
        for stage in config.stages:
            _check_stage(stage, self.model.config, self.crew.world)
        self.started, self.steps = time.perf_counter(), 0

    def events(self) -> Iterator[Event]:
        """Train every stage, and save the weights at the end; the first process alone tells."""
        try:
            for event in self._events():
                if self.crew.rank == 0:
                    yield event
        finally:
            crew.leave()

    def _events(self) -> Iterator[Event]:
        place, state = self._resumed()
        data, skipped = self._load()
        if skipped:
            yield Warned(
                code="skipped-files", message=f"left out, do not decode: {', '.join(skipped)}"
            )
        for index, stage in enumerate(self.config.stages):
            if index >= place.stage:
                here = place if index == place.stage else replace(place, step=0, seconds=0.0)
                yield from self._stage(replace(here, stage=index), stage, state, data)
                state = {}
        if self.crew.rank == 0:
            facts = {"stages": [stage.name for stage in self.config.stages]}
            weights.save(self.model, self.folder / WEIGHTS, facts=facts)
        yield Trained(
            output=self.folder / WEIGHTS,
            steps=self.steps,
            elapsed=time.perf_counter() - self.started,
        )

    def _resumed(self) -> tuple[checkpoint.Place, dict[str, Tensor]]:
        """Where the run stands, and the state to go on from; weights are put back here.

        Raises:
            ConfigError: the folder holds another run.
        """
        sizes = json.loads(json.dumps(self.model.config.to_dict()))
        stages = tuple(stage.name for stage in self.config.stages)
        fresh = checkpoint.Place(model=sizes, stages=stages)
        found = checkpoint.load(self.folder, self.device)
        if found is None:
            return fresh, {}
        place, state = found
        begun = place.stage + (place.step > 0)
        if place.model != sizes or place.stages[:begun] != stages[:begun]:
            raise ConfigError(
                f"{self.folder} holds a run of {place.model.get('preset')} through stages "
                f"{', '.join(place.stages)}",
                needed="the run that this config describes",
                do="choose another out, or delete that folder",
            )
        self.model.load_state_dict(checkpoint.part_of(state, "model"))
        return replace(place, stages=stages), state if place.step else {}

    def _load(self) -> tuple[Data, list[str]]:
        store, skipped = clips.load([Path(p) for p in self.config.data], self.config.short)
        if not self.config.photos:
            return Data(store, []), skipped
        photos, no_photos = synthetic.load([Path(p) for p in self.config.photos])
        return Data(store, photos), skipped + no_photos

    def _stage(
        self, place: checkpoint.Place, stage: StageConfig, state: dict[str, Tensor], data: Data
    ) -> Iterator[Event]:
        # Whatever is new in a stage starts alike, with a stop before it or without.
        torch.manual_seed(seed_of(self.config.seed, stage.name, 0))
        objective = KINDS[stage.kind](self.model, stage)
        objective.train()
        movers = Movers(objective, stage)
        if state:
            for name, module in objective.named_children():
                module.load_state_dict(checkpoint.part_of(state, name))
            movers.restore(state)
        train, held = self._data(stage, data)
        clock, sound = Clock(stage, place.seconds), torch.ones((), device=self.device)
        batches = train.run(place.step, self.config.workers, self.device)
        for step, batch in enumerate(batches, place.step):
            behind = clock.behind(step)
            behind = self.crew.agree(behind, self.device) if stage.minutes else behind
            parts = self._step(objective, movers, batch, (step, behind))
            movers.average.update(step, behind)
            self.steps += 1
            sound = sound * torch.stack(list(parts.values())).isfinite().all()
            done, last = step + 1, step + 1 == stage.steps or behind >= 1
            if done % _TELL == 0 or done % self.config.save == 0 or last:
                self._check(sound, stage, done, parts)
            if done % _TELL == 0 or last:
                yield self._log(stage, done, parts, last)
            if self.crew.rank == 0 and (done % stage.validate == 0 or last):
                self._validate(objective, movers, held, done)
            if last:
                break
            if done % self.config.save == 0:
                here = replace(place, step=done, seconds=clock.seconds)
                self._save(here, dict(objective.named_children()), movers.tensors())
        movers.average.swap()
        ended = replace(place, stage=place.stage + 1, step=0, seconds=0.0)
        self._save(ended, {"model": self.model}, {})

    def _data(self, stage: StageConfig, data: Data) -> tuple[Batches, list[Batch]]:
        """Batches to train on, and the held-out ones, on the device."""
        sources = clips.usable(data.clips, stage.slots, stage.side)
        every = self.config.held_out
        held = sources[every // 2 :: every] if every and len(sources) > every else sources[:1]
        apart = {id(source) for source in held}
        rest = [source for source in sources if id(source) not in apart] or sources
        made = synthetic.PhotoWindows(data.photos, stage.slots, stage.side) if data.photos else None
        train = Batches(
            (clips.ClipWindows(rest, stage.slots, stage.side), made), stage, self.config.seed
        )
        if self.crew.rank:
            return train, []
        look = replace(stage, steps=_LOOKS, batch=min(stage.batch, _LOOK_WINDOWS), photos=0.0)
        source = clips.ClipWindows(held, stage.slots, stage.side)
        looks = Batches((source, None), look, self.config.seed + 1)
        workers = min(self.config.workers, _LOOKS)
        return train, [batch.to(self.device) for batch in looks.run(0, workers, self.device)]

    def _step(
        self, objective: Objective, movers: Movers, batch: Batch, at: tuple[int, float]
    ) -> dict[str, Tensor]:
        (step, behind), stage = at, objective.stage
        movers.set_rate(_rate(stage, step, behind))
        chance = crew.Chance(
            seed_of(self.config.seed + 2, stage.name, step), self.device, self.crew
        )
        mine = batch.share(self.crew.rank, self.crew.world).to(self.device)
        movers.optimiser.zero_grad(set_to_none=True)
        with self._autocast():
            asked = objective.ask(Step(mine, chance, behind))
        if self.device.type == "cpu":  # torch's backward of grid_sample dies there of NaN flow
            self._check(asked.total.isfinite(), stage, step + 1, asked.parts)
        asked.total.backward()
        if movers.rival is not None and asked.rival is not None:
            movers.rival.zero_grad(set_to_none=True)
            asked.rival.backward()
            self.crew.meet(movers.rivals)
            movers.rival.step()
        self.crew.meet(movers.parameters)
        size = nn.utils.clip_grad_norm_(movers.parameters, 1.0)
        movers.optimiser.step()
        parts = {name: value.detach() for name, value in asked.parts.items()}
        return {**parts, "total": asked.total.detach(), "gradient": size}

    def _autocast(self) -> AbstractContextManager[object]:
        if self.device.type == "cuda":
            return torch.autocast("cuda", torch.bfloat16)
        return nullcontext()

    def _check(
        self, sound: Tensor, stage: StageConfig, done: int, parts: Mapping[str, Tensor]
    ) -> None:
        """Stop before weights that a loss has spoilt are saved; asked seldom, since it waits.

        Raises:
            MadeFrameError: a loss or the gradient was not finite since the last look.
        """
        if not bool(sound):
            figures = {name: float(value.detach()) for name, value in parts.items()}
            raise MadeFrameError(
                f"stage {stage.name}, by step {done}: {figures}",
                needed="finite losses",
                do="lower the learning rate and start again; the last checkpoint stands",
            )

    def _log(self, stage: StageConfig, done: int, parts: Mapping[str, Tensor], last: bool) -> Event:
        elapsed = time.perf_counter() - self.started
        figures = {name: round(float(value), 6) for name, value in parts.items()}
        self._write({"stage": stage.name, "step": done, "seconds": round(elapsed, 2), **figures})
        before, total = 0, 0
        for each in self.config.stages:
            before += total if each is stage else 0
            total += each.steps
        # Minutes may end a stage before its steps do: what is left of it is done then too.
        reached = before + (stage.steps if last else done)
        return Progress(done=reached, total=total, elapsed=elapsed, unit="steps")

    @torch.no_grad()
    def _validate(self, objective: Objective, movers: Movers, held: list[Batch], done: int) -> None:
        row: dict[str, object] = {"stage": objective.stage.name, "step": done}
        for name in ("raw", "average"):
            totals: dict[str, float] = {}
            with self._autocast():
                for batch in held:
                    for key, value in objective.score(batch).items():
                        totals[key] = totals.get(key, 0.0) + float(value) / len(held)
            row |= {f"{name}_{key}": round(value, 4) for key, value in totals.items()}
            movers.average.swap()
        self._write(row)

    def _write(self, row: Mapping[str, object]) -> None:
        if self.crew.rank == 0:
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")

    def _save(
        self,
        place: checkpoint.Place,
        modules: Mapping[str, nn.Module],
        tensors: Mapping[str, Tensor],
    ) -> None:
        if self.crew.rank == 0:
            checkpoint.save(self.folder, place, modules, tensors)


def _device_name(name: str, world: int) -> str:
    """The device of this process: under torchrun, each has a GPU of its own where there are any."""
    if world > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return name


def _claim(device: torch.device) -> None:
    """Make one GPU of several this process's own; a device without a number is the first anyway."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableError(
            f"{folder} cannot be made ({error.strerror})",
            needed="a folder for the run",
            do="choose another out",
        ) from error


def _start(config: TrainConfig, device: torch.device) -> MarDini:
    """The model before the first step: from scratch, from weights, or from another run."""
    if not config.init:
        return MarDini(preset(config.preset)).to(device)
    found = checkpoint.load(Path(config.init), device)
    if found is None:
        return weights.load(config.init, device, torch.float32)
    place, state = found
    model = MarDini(ModelConfig.from_dict(place.model, config.init)).to(device)
    try:
        model.load_state_dict(checkpoint.part_of(state, "model"))
    except RuntimeError as error:
        raise WeightsError(
            f"{config.init} does not fit its sizes", needed="a run of this version", do="see init"
        ) from error
    return model


def _check_stage(stage: StageConfig, model: ModelConfig, world: int) -> None:
    needed = {"guided": "motion latents", "sharp": "motion latents", "vae": "picture latents"}
    has = "motion latents" if model.guided else "picture latents"
    if needed.get(stage.kind, has) != has:
        raise ConfigError(
            f"stage {stage.name} of kind {stage.kind} with preset {model.preset}, which has {has}",
            needed=needed[stage.kind],
            do="change kind or preset",
        )
    if stage.slots > model.window:
        raise ConfigError(
            f"stage {stage.name}: slots = {stage.slots}",
            needed=f"at most {model.window}, the window of preset {model.preset}",
            do="lower slots",
        )
    if stage.batch % world:
        raise ConfigError(
            f"stage {stage.name}: batch = {stage.batch} over {world} processes",
            needed="as many windows for each",
            do="change batch",
        )


def _rate(stage: StageConfig, step: int, behind: float) -> float:
    """Learning rate: a rise, then half a cosine down."""
    rise = min(1.0, (step + 1) / stage.warmup)
    fall = 0.5 * (1 + math.cos(math.pi * min(behind, 1.0)))
    return stage.rate * rise * (_FLOOR + (1 - _FLOOR) * fall)
