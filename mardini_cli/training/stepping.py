"""One training step: losses of this process's windows, gradients of everyone's, weights moved.

Room: training. A step whose losses are no numbers moves nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from mardini_cli.errors import MadeFrameError
from mardini_cli.training.batches import Batch
from mardini_cli.training.crew import Chance, Crew
from mardini_cli.training.guard import PATIENCE, Guard
from mardini_cli.training.movers import Movers
from mardini_cli.training.objectives import Asked, Objective, Step
from mardini_cli.training.seeds import seed_of
from mardini_cli.training.seen import Seen


class Stepper:
    """Steps of one stage.

    Args:
        objective: what is asked for.
        movers: what moves.
        crew: this process among the others.
        seed: the run's.
        spike: see ``TrainConfig.spike``.
    """

    def __init__(
        self, objective: Objective, movers: Movers, crew: Crew, seed: int, spike: float
    ) -> None:
        self.objective, self.movers, self.crew, self.seed = objective, movers, crew, seed
        self.stage = objective.stage
        self.device = movers.parameters[0].device
        self.guard = Guard(self.device, spike)
        self.figures: dict[str, Tensor] = {}
        self.ready: Callable[[Batch], Batch] = lambda batch: batch.to(self.device)

    def __call__(self, batch: Batch | Seen, step: int, behind: float, rate: float) -> None:
        """Take one step; its losses and the gradient's length go to ``figures``.

        Args:
            batch: the windows of all processes.
            step: steps done before this one.
            behind: share of the stage that they are.
            rate: learning rate.
        """
        movers = self.movers
        movers.set_rate(rate)
        movers.clear()
        self.figures = {}
        sound = True
        for part in range(self.stage.accumulate):
            sound = self._part(batch, step, behind, part) and sound
        movers.give_rivals()
        self.crew.meet(movers.rivals)
        self.crew.meet(movers.parameters)
        length = self.crew.clip(movers.parameters, self.stage.clip)
        if not sound:  # the way back was not gone
            length = torch.full_like(length, torch.nan)
        movers.step(self.guard.judge(length))
        movers.average.update(step, behind)
        self.figures["gradient"] = length

    def _part(self, batch: Batch | Seen, step: int, behind: float, part: int) -> bool:
        """Add up the gradients of one part; False where they could not be worked out."""
        here = (part, self.stage.accumulate)
        seed = seed_of(self.seed + 2, self.stage.name, step)
        chance = Chance(seed, self.device, self.crew, here)
        alone = isinstance(batch, Batch) and batch.own
        mine = batch.share(*(here if alone else self.crew.share(here)))
        mine = self.ready(mine) if isinstance(mine, Batch) else mine.to(self.device)
        with autocast(self.device):
            asked = self.objective.ask(Step(mine, chance, behind))
        self._note(asked)
        # torch's backward of grid_sample dies on a CPU of NaN flow. All processes must agree.
        if self.device.type == "cpu":
            broken = not bool(asked.total.detach().isfinite())
            if self.crew.agree(float(broken), self.device):
                return False
        (asked.total / self.stage.accumulate).backward()
        if asked.rival is not None:
            self.movers.learn_rivals(asked.rival / self.stage.accumulate)
        return True

    def _note(self, asked: Asked) -> None:
        parts = {**asked.parts, "total": asked.total}
        for name, value in parts.items():
            share = value.detach() / self.stage.accumulate
            self.figures[name] = self.figures[name] + share if name in self.figures else share

    def told(self) -> dict[str, float]:
        """Figures of the last step over the windows of all processes, which must all ask."""
        values = torch.stack([value.detach().float() for value in self.figures.values()])
        return dict(zip(self.figures, self.crew.mean(values).tolist(), strict=True))

    def check(self, done: int) -> int:
        """Look what the guard left out since the last look; asked seldom, since it waits.

        Returns:
            Steps that were left out.

        Raises:
            MadeFrameError: nothing gets through any more.
        """
        skipped = self.guard.take_skipped()
        if self.guard.lost:
            figures = {name: float(value) for name, value in self.figures.items()}
            raise MadeFrameError(
                f"stage {self.stage.name}, by step {done}: {PATIENCE} steps in a row without a "
                f"finite loss, the last {figures}",
                needed="finite losses",
                do="lower the learning rate and start again; the last checkpoint stands",
            )
        return skipped

    def tensors(self) -> dict[str, Tensor]:
        """Everything but weights that a checkpoint keeps, by name."""
        return {**self.movers.tensors(), **self.guard.tensors()}

    def spread(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See ``Movers.spread``."""
        return self.movers.spread(tensors)

    def room(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Empty tensors to read what ``tensors`` gave into, by the names that a checkpoint has."""
        guard = {name: torch.zeros_like(x) for name, x in self.guard.tensors().items()}
        return {**self.movers.room(names), **{n: x for n, x in guard.items() if n in set(names)}}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back what ``tensors`` gave."""
        self.movers.restore(state)
        self.guard.restore(state)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """The numbers that networks train in: bfloat16 on CUDA, float32 elsewhere."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()
