"""What an objective is: it holds the model, says which weights move, and makes a batch a loss.

Room: training.

Dimension key
    b  windows    f  slots    g  given    m  made    p = b * m    c  channels    h, w  pixels
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mardini_cli.model.mardini import MarDini
from mardini_cli.training import losses
from mardini_cli.training.adapters import Adapters
from mardini_cli.training.batches import Batch
from mardini_cli.training.crew import Chance, Crew
from mardini_cli.training.seen import Seen
from mardini_cli.training.stages import StageConfig

PULL, HEEDED = 0.4, 0.1
"""A critic's pull at the picture, against the other losses'; and the share of a stage over which it
grows to that. A fresh critic knows nothing, and at full pull it drives the residual wild."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A loss to descend, its rival's, and figures for the log."""

    total: Tensor
    rival: Tensor | None = None
    parts: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one training step brings."""

    batch: Batch | Seen
    """Pixels; or what was kept of them, for stages that rest on a frozen autoencoder."""
    chance: Chance
    behind: float = 1.0
    """Share of the stage that is done."""

    @property
    def pixels(self) -> Batch:
        """The batch, for stages that look at pixels."""
        assert isinstance(self.batch, Batch)
        return self.batch


class Objective(nn.Module, ABC):
    """One kind of stage."""

    def __init__(self, model: MarDini, stage: StageConfig) -> None:
        super().__init__()
        self.model, self.stage = model, stage
        self.rival: nn.Module | None = None
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self.adapters: Adapters | None = None
        if stage.lora:
            self.adapters = Adapters(self.moving(), stage.lora)
        else:
            for module in self.moving():
                module.requires_grad_(True)

    @abstractmethod
    def moving(self) -> Iterable[nn.Module]:
        """The modules whose weights this stage moves."""

    @abstractmethod
    def ask(self, step: Step) -> Asked:
        """Work the losses out."""

    def score(self, batch: Batch | Seen) -> dict[str, Tensor]:
        """Figures on held-out windows; changes nothing."""
        return {"loss": self.ask(Step(batch, steady(batch))).total}

    def merge(self) -> None:
        """Work low-rank corrections into the weights, where they were what moved."""
        if self.adapters is not None:
            self.adapters.merge()

    def settle(self, batches: Iterable[Batch]) -> None:
        """Measure what later stages rest on, once the weights of this one stand."""

    def invite(self) -> None:
        """Let a critic look on, if the stage asks for one."""
        if self.stage.critic:
            self.rival = losses.Critic().to(next(self.model.parameters()).device)

    def contested(self, asked: Asked, frames: tuple[Tensor, Tensor, Tensor], step: Step) -> Asked:
        """Add what the critic says; its pull at the picture is a share of the other losses'.

        Args:
            asked: the other losses.
            frames: made, true, and the nearer given ones, each ``p 3 h w``.
            step: says how far the stage is.
        """
        critic, crew = self.rival, step.chance.crew
        assert isinstance(critic, losses.Critic)
        made, truth, near = frames
        fooled = -critic(made, near).float().mean()
        (pull,) = torch.autograd.grad(asked.total, made, retain_graph=True)
        (push,) = torch.autograd.grad(fooled, made, retain_graph=True)
        share = PULL * min(1.0, step.behind / HEEDED)
        weight = share * crew.norm(pull) / crew.norm(push).clamp(min=1e-8)
        rival = critic.loss(made, truth, near)
        return Asked(
            asked.total + weight.detach() * fooled, rival, {**asked.parts, "critic": rival.detach()}
        )


def steady(batch: Batch | Seen) -> Chance:
    """The same chance for held-out windows every time, in one process alone."""
    device = batch.tensors["mask"].device if isinstance(batch, Seen) else batch.mask.device
    return Chance(0, device, Crew())
