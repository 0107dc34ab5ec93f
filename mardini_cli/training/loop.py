"""The training loop: stages one after the other, each with a fresh optimiser.

Room: training. Same config, seed and device: same weights; a run that is stopped goes on where its
checkpoint stands. One process, or several under torchrun.
"""

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch import distributed as dist

from mardini_cli import weights
from mardini_cli.config import preset
from mardini_cli.device import choose_device
from mardini_cli.errors import MadeFrameError
from mardini_cli.events import Event, Progress, Warned
from mardini_cli.model.mardini import MarDini
from mardini_cli.training import checkpoint, clips, synthetic
from mardini_cli.training.batches import Batch, Batches
from mardini_cli.training.objectives import KINDS, Objective
from mardini_cli.training.stages import StageConfig, TrainConfig

_EMA_SHARE = 0.02  # of a stage's steps: how far back the average reaches (feasibility, mistake 1)
_LOOKS, _LOOK_WINDOWS = 8, 12  # held-out batches, and windows in each


class Averaged:
    """Exponential moving average of the weights that move."""

    def __init__(self, parameters: list[nn.Parameter], steps: int) -> None:
        self.parameters = parameters
        self.horizon = max(10.0, steps * _EMA_SHARE)
        self.values = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take one step of the weights in."""
        pace = max(1 / self.horizon, 1 / (step + 2))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], pace)

    @torch.no_grad()
    def swap(self) -> None:
        """Change places with the raw weights; twice restores."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)


class Clock:
    """Tells which share of a stage lies behind, by steps or by minutes, whichever is further."""

    def __init__(self, stage: StageConfig) -> None:
        self.stage, self.started = stage, time.perf_counter()

    def behind(self, step: int) -> float:
        """Share of the stage before ``step``, from 0; 1 or more is its end."""
        share = step / self.stage.steps
        if not self.stage.minutes:
            return share
        return max(share, (time.perf_counter() - self.started) / (60 * self.stage.minutes))


class Run:
    """One training run."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.rank, self.world = _join()
        name = (
            f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
            if self.world > 1 and torch.cuda.is_available()
            else config.device
        )
        self.device = choose_device(name)
        self.folder = Path(config.out)
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        torch.backends.cudnn.benchmark = True  # shapes are few and come back
        if config.init:
            self.model = weights.load(weights.find(config.init), self.device, torch.float32)
        else:
            self.model = MarDini(preset(config.preset)).to(self.device)
        if config.channels_last:
            for layer in self.model.autoencoder.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.to(memory_format=torch.channels_last)
        self.started = time.perf_counter()

    def events(self) -> Iterator[Event]:
        """Train every stage, and save the weights at the end."""
        found = checkpoint.load(self.folder, self.device)
        place, state = found or (checkpoint.Place(0, 0), {})
        if state:
            self.model.load_state_dict(checkpoint.part_of(state, "model"))
        store, skipped = clips.load([Path(p) for p in self.config.data], self.config.short)
        if skipped:
            yield Warned(
                code="skipped-clips", message=f"left out, do not decode: {', '.join(skipped)}"
            )
        photos: list[synthetic.Picture] = []
        if self.config.photos:
            photos = synthetic.load([Path(p) for p in self.config.photos])
        for index, stage in enumerate(self.config.stages):
            if index >= place.stage:
                first = place.step if index == place.stage else 0
                yield from self._stage(index, stage, first, state, (store, photos))
                state = {}
        if self.rank == 0:
            weights.save(
                self.model,
                self.folder / "weights",
                facts={"stages": [s.name for s in self.config.stages]},
            )

    def _stage(
        self,
        index: int,
        stage: StageConfig,
        first: int,
        state: dict[str, Tensor],
        data: tuple[list[clips.Clip], list[synthetic.Picture]],
    ) -> Iterator[Event]:
        objective = KINDS[stage.kind](self.model, stage)
        objective.train()
        parameters = [p for p in objective.parameters() if p.requires_grad]
        rivals = list(objective.rival.parameters()) if objective.rival else []
        movers = [p for p in parameters if not any(p is r for r in rivals)]
        optimiser = torch.optim.AdamW(
            movers, lr=stage.rate, betas=(0.9, 0.99), weight_decay=stage.decay,
            fused=self.device.type == "cuda",
        )  # fmt: skip
        rival = torch.optim.Adam(rivals, lr=2e-4, betas=(0.5, 0.99)) if rivals else None
        average = Averaged(movers, stage.steps)
        if state:
            _restore(state, objective, optimiser, rival, average)
        train, held = self._data(stage, data)
        clock = Clock(stage)
        for step, batch in enumerate(train.run(first, self.config.workers, self.device), first):
            behind = clock.behind(step)
            parts = self._step(objective, batch, (step, behind), optimiser, rival)
            average.update(step)
            done, last = step + 1, step + 1 == stage.steps or behind >= 1
            if done % 50 == 0 or last:
                yield self._log(stage, done, parts)
            if self.rank == 0 and (done % stage.validate == 0 or last):
                self._validate(objective, stage, done, held, average)
            if last:
                break
            if done % self.config.save == 0:
                self._save(checkpoint.Place(index, done), objective, optimiser, rival, average)
        average.swap()
        self._save(checkpoint.Place(index + 1, 0), objective, None, None, None)

    def _data(
        self, stage: StageConfig, data: tuple[list[clips.Clip], list[synthetic.Picture]]
    ) -> tuple[Batches, list[Batch]]:
        """Batches to train on, and the held-out ones, on the device."""
        store, photos = data
        every = self.config.held_out
        held = store[every // 2 :: every] if every and len(store) > every else store[:1]
        rest = [clip for clip in store if clip not in held] or store
        made = (
            synthetic.PhotoWindows(photos, stage.slots, stage.side) if photos else None
        )
        train = Batches(
            (clips.ClipWindows(rest, stage.slots, stage.side), made), stage, self.config.seed
        )
        look = replace(stage, steps=_LOOKS, batch=min(stage.batch, _LOOK_WINDOWS), photos=0.0)
        source = clips.ClipWindows(held, stage.slots, stage.side)
        looks = Batches((source, None), look, self.config.seed + 1)
        workers = min(self.config.workers, _LOOKS)
        return train, [batch.to(self.device) for batch in looks.run(0, workers, self.device)]

    def _step(
        self,
        objective: Objective,
        batch: Batch,
        place: tuple[int, float],
        optimiser: torch.optim.Optimizer,
        rival: torch.optim.Optimizer | None,
    ) -> dict[str, Tensor]:
        (step, behind), stage = place, objective.stage
        _set_rate(optimiser, stage, step, behind)
        rng = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + step)
        optimiser.zero_grad(set_to_none=True)
        with self._autocast():
            asked = objective.ask(
                batch.share(self.rank, self.world).to(self.device), rng, behind)
        asked.total.backward()
        if rival is not None and asked.rival is not None:
            rival.zero_grad(set_to_none=True)
            asked.rival.backward()
            _meet(rival, self.world)
            rival.step()
        _meet(optimiser, self.world)
        size = nn.utils.clip_grad_norm_(
            [p for g in optimiser.param_groups for p in g["params"]], 1.0
        )
        optimiser.step()
        return {**asked.parts, "total": asked.total.detach(), "gradient": size}

    def _autocast(self) -> AbstractContextManager[object]:
        if self.device.type == "cuda":
            return torch.autocast("cuda", torch.bfloat16)
        return nullcontext()

    def _log(self, stage: StageConfig, done: int, parts: dict[str, Tensor]) -> Event:
        figures = {name: round(float(value.detach()), 6) for name, value in parts.items()}
        if not all(math.isfinite(value) for value in figures.values()):
            raise MadeFrameError(
                f"stage {stage.name}, step {done}: {figures}",
                needed="finite losses",
                do="lower the learning rate; the last checkpoint stands",
            )
        elapsed = time.perf_counter() - self.started
        self._write({"stage": stage.name, "step": done, "seconds": round(elapsed, 2), **figures})
        return Progress(done=done, total=stage.steps, elapsed=elapsed)

    @torch.no_grad()
    def _validate(
        self,
        objective: Objective,
        stage: StageConfig,
        done: int,
        held: list[Batch],
        average: Averaged,
    ) -> None:
        row: dict[str, float | str | int] = {"stage": stage.name, "step": done}
        for name in ("raw", "average"):
            totals: dict[str, float] = {}
            with self._autocast():
                for batch in held:
                    for key, value in objective.score(batch).items():
                        totals[key] = totals.get(key, 0.0) + float(value.detach()) / len(held)
            row |= {f"{name}_{key}": round(value, 4) for key, value in totals.items()}
            average.swap()
        self._write(row)

    def _write(self, row: dict[str, object]) -> None:
        if self.rank == 0:
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")

    def _save(
        self,
        place: checkpoint.Place,
        objective: Objective,
        optimiser: torch.optim.Optimizer | None,
        rival: torch.optim.Optimizer | None,
        average: Averaged | None,
    ) -> None:
        if self.rank != 0:
            return
        tensors: dict[str, Tensor] = {}
        for name, each in (("optimiser", optimiser), ("rivals", rival)):
            tensors |= _flat(name, each) if each else {}
        if average:
            tensors |= {f"average/{i}": value for i, value in enumerate(average.values)}
        modules = dict(objective.named_children())  # the model, and a critic or a head beside it
        checkpoint.save(self.folder, place, modules, tensors)


def _join() -> tuple[int, int]:
    """Join the other processes that torchrun started, if it did."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return int(os.environ.get("RANK", "0")), world


def _meet(optimiser: torch.optim.Optimizer, world: int) -> None:
    """Average gradients over the processes."""
    if world == 1:
        return
    gradients = [p.grad for g in optimiser.param_groups for p in g["params"] if p.grad is not None]
    joined = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(joined)
    parts = joined.div_(world).split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def _set_rate(
    optimiser: torch.optim.Optimizer, stage: StageConfig, step: int, behind: float
) -> None:
    rise = min(1.0, (step + 1) / stage.warmup)
    fall = 0.5 * (1 + math.cos(math.pi * min(behind, 1.0)))
    for group in optimiser.param_groups:
        group["lr"] = stage.rate * rise * (0.02 + 0.98 * fall)


def _flat(name: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{index}/{key}": value
        for index, values in optimiser.state_dict()["state"].items()
        for key, value in values.items()
    }


def _restore(
    state: dict[str, Tensor],
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    rival: torch.optim.Optimizer | None,
    average: Averaged,
) -> None:
    for name, module in objective.named_children():
        module.load_state_dict(checkpoint.part_of(state, name))
    for name, each in (("optimiser", optimiser), ("rivals", rival)):
        kept = checkpoint.part_of(state, name)
        if each is None or not kept:
            continue
        values: dict[int, dict[str, Tensor]] = {}
        for key, value in kept.items():
            index, field = key.split("/")
            # AdamW keeps its step count on the host unless it is fused.
            values.setdefault(int(index), {})[field] = value
        each.load_state_dict({**each.state_dict(), "state": values})
    for key, value in checkpoint.part_of(state, "average").items():
        average.values[int(key)].copy_(value)
