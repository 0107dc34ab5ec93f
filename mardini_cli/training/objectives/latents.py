"""What is asked of planner and denoiser, on latents of an autoencoder that stays as it is.

Room: training. Source: masked v-prediction and masked planner loss, the paper's 5 and 3.6.

Dimension key
    b  windows    f  slots    g  given    m  made    p = b * m    c  channels    h, w  pixels
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mardini_cli.diffusion.schedule import Schedule
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.planner import PlannerHead
from mardini_cli.training.batches import Batch
from mardini_cli.training.crops import draw_crop
from mardini_cli.training.objectives.base import Asked, Objective, Step, steady
from mardini_cli.training.seen import Seen, see
from mardini_cli.training.stages import StageConfig


class Resting(Objective):
    """Rests on an autoencoder that does not move, whose answers may have been kept."""

    def seen(self, step: Step) -> Seen:
        """What the autoencoder tells of a step's windows."""
        batch = step.batch
        return batch if isinstance(batch, Seen) else see(self.model, batch, self.stage.kind)


class LatentObjective(Resting):
    """Masked v-prediction on latents: the denoiser alone, or planner and denoiser together."""

    def moving(self) -> Iterable[nn.Module]:
        """The autoencoder stays."""
        joint = self.stage.kind == "joint"
        return [self.model.denoiser, self.model.planner] if joint else [self.model.denoiser]

    def ask(self, step: Step) -> Asked:
        """See ``Objective.ask``."""
        return self._asked(step, self.stage.crops)

    @torch.no_grad()
    def score(self, batch: Batch | Seen) -> dict[str, Tensor]:
        """The loss on whole frames."""
        return {"loss": self._asked(Step(batch, steady(batch)), 0.0).total}

    def _asked(self, step: Step, crops: float) -> Asked:
        """Work the loss out, with a share of crops."""
        model, schedule = self.model, Schedule()
        seen, chance = self.seen(step), step.chance
        with torch.no_grad():
            given = seen.given(model)
            mean, spread = seen.tensors["mean"], seen.tensors["spread"]
            latent = mean + torch.exp(0.5 * spread) * chance.normal(mean)
            clean = model.autoencoder.normalise(latent).float()
        b = len(clean)
        t = chance.integers(b, 1, schedule.length + 1)
        noise = chance.normal(clean)
        signal, drop = None, None
        if self.stage.kind == "joint":
            signal = model.plan(given)
            drop = chance.uniform(b) < self.stage.drop
        if box := draw_crop(given.token_grid, crops, chance):
            patch = model.config.denoiser.patch
            given, clean, noise = given.cut(box), box.of(clean, patch), box.of(noise, patch)
        told = model.velocity(schedule.add_noise(clean, noise, t), t, given, signal, drop)
        loss = F.mse_loss(told.float(), schedule.v_from(clean, noise, t))
        return Asked(loss, None, {"v": loss.detach()})


class PlannerObjective(Resting):
    """The planner's warm-up: masked MSE on low-resolution tokens (paper 3.6)."""

    def __init__(self, model: MarDini, stage: StageConfig) -> None:
        super().__init__(model, stage)
        # Thrown away afterwards (paper 3.6).
        self.head = PlannerHead(model.config).to(next(model.parameters()).device)

    def moving(self) -> Iterable[nn.Module]:
        """The planner; its head is new and moves anyway."""
        return [self.model.planner]

    def ask(self, step: Step) -> Asked:
        """See ``Objective.ask``."""
        model, seen = self.model, self.seen(step)
        with torch.no_grad():
            given, target = seen.given(model), seen.tensors["target"]
        told = self.head(model.plan(given))[given.mask].unflatten(0, target.shape[:2])
        loss = F.mse_loss(told[..., : target.shape[-1]].float(), target.float())
        return Asked(loss, None, {"mse": loss.detach()})
