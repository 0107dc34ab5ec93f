"""What moves in a stage besides the weights: optimisers, and the average that is kept.

Room: training. All of it goes into a checkpoint and comes back to the bit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from mardini_cli.training.checkpoint import part_of
from mardini_cli.training.objectives import Objective
from mardini_cli.training.shared import plain, spread
from mardini_cli.training.stages import StageConfig

EMA_SHARE = 0.02
"""Share of a stage over which the average reaches back; longer and it trails the raw weights."""
_SHORTEST = 10.0  # steps


class Averaged:
    """Exponential moving average of the weights that move."""

    def __init__(self, parameters: Sequence[Tensor], steps: int, reach: int = 0) -> None:
        self.parameters, self.steps, self.reach = parameters, steps, reach
        self.values = [parameter.detach().clone() for parameter in parameters]

    def horizon(self, step: int, behind: float) -> float:
        """Steps that the average reaches back.

        Args:
            step: steps done before this one.
            behind: share of the stage that they are; minutes may end it before its steps do.
        """
        if self.reach:
            return float(self.reach)
        expected = min(self.steps, (step + 1) / max(behind, 1e-9))
        return max(_SHORTEST, expected * EMA_SHARE)

    @torch.no_grad()
    def update(self, step: int, behind: float) -> None:
        """Take one step of the weights in."""
        pace = max(1 / self.horizon(step, behind), 1 / (step + 2))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], pace)

    @torch.no_grad()
    def swap(self) -> None:
        """Change places with the raw weights; twice restores."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)


class Movers:
    """The optimiser, its rival's if a critic looks on, and the average, of one stage."""

    def __init__(self, objective: Objective, stage: StageConfig) -> None:
        rivals = list(objective.rival.parameters()) if objective.rival else []
        apart = {id(parameter) for parameter in rivals}
        self.parameters = [
            p for p in objective.parameters() if p.requires_grad and id(p) not in apart
        ]
        self.rivals = rivals
        self.own: list[Tensor] = [plain(parameter) for parameter in self.parameters]
        self.optimiser: Optimizer = torch.optim.AdamW(
            self.own,
            lr=stage.rate,
            betas=stage.betas,
            weight_decay=stage.decay,
            fused=True,
        )
        self.rival: Optimizer | None = None
        if rivals:
            self.rival = torch.optim.Adam(rivals, lr=2e-4, betas=(0.5, 0.99), fused=True)
        self._learnt: list[Tensor] = []
        self.average = Averaged(self.own, stage.steps, stage.average)

    def clear(self) -> None:
        """Forget gradients."""
        for parameter, own in zip(self.parameters, self.own, strict=True):
            parameter.grad = own.grad = None
        self._learnt = []

    def learn_rivals(self, loss: Tensor) -> None:
        """Add up gradients of the rival's own loss, apart: the other loss reaches it as well."""
        found = torch.autograd.grad(loss, self.rivals)
        before = self._learnt
        self._learnt = [a + b for a, b in zip(before, found, strict=True)] if before else [*found]

    def give_rivals(self) -> None:
        """Put the rival's gradients in place of whatever stands there."""
        for parameter, gradient in zip(self.rivals, self._learnt, strict=False):
            parameter.grad = gradient

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the weights; the rival keeps its own."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def step(self, skip: Tensor) -> None:
        """Move the weights, and the rival's.

        Args:
            skip: 1.0 leaves everything as it is, 0.0 moves. The fused kernels read it on the
                device, as they do for a loss scaler, so nothing waits.
        """
        for parameter, own in zip(self.parameters, self.own, strict=True):
            if own is not parameter and parameter.grad is not None:
                own.grad = plain(parameter.grad)
        for _, each in self._optimisers():
            each.grad_scale, each.found_inf = None, skip  # type: ignore[attr-defined]  # torch's way
            each.step()

    def tensors(self) -> dict[str, Tensor]:
        """Everything but weights, by name."""
        state = {f"average/{i}": value for i, value in enumerate(self.average.values)}
        for name, each in self._optimisers():
            for index, values in each.state_dict()["state"].items():
                state |= {f"{name}/{index}/{key}": value for key, value in values.items()}
        return state

    def spread(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Say which of ``tensors`` are parts, where the parameters are shared out."""
        told = {}
        for name, value in tensors.items():
            kind, index, *_ = name.split("/")
            mine = kind in ("average", "optimiser")
            told[name] = spread(value, self.parameters[int(index)]) if mine else value
        return told

    def room(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Empty tensors to read what ``tensors`` gave into, by the names that a checkpoint has."""
        device, rooms = self.own[0].device, {}
        for name in names:
            kind, index, *field = name.split("/")
            theirs: dict[str, Sequence[Tensor]] = {
                "average": self.own, "optimiser": self.own, "rivals": self.rivals,
            }  # fmt: skip
            if of := theirs.get(kind):
                single = field == ["step"]
                like = of[int(index)]
                rooms[name] = torch.zeros((), device=device) if single else torch.zeros_like(like)
        return rooms

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back what ``tensors`` gave."""
        for key, value in part_of(state, "average").items():
            self.average.values[int(key)].copy_(value)
        for name, each in self._optimisers():
            values: dict[int, dict[str, Tensor]] = {}
            for path, value in part_of(state, name).items():
                index, field = path.split("/")
                values.setdefault(int(index), {})[field] = value
            each.load_state_dict({**each.state_dict(), "state": values})

    def _optimisers(self) -> Iterator[tuple[str, Optimizer]]:
        yield "optimiser", self.optimiser
        if self.rival is not None:
            yield "rivals", self.rival
