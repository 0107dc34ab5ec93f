"""What is asked of both autoencoders: that made frames come out as the true ones.

Room: training. Source: ours, sharpness and critic too.

Dimension key
    b  windows    f  slots    g  given    m  made    p = b * m    c  channels    h, w  pixels
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mardini_cli.model.guided import Guided
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.motion import Decoded, GuidedGiven
from mardini_cli.model.warping import slots, take, warp
from mardini_cli.training import losses
from mardini_cli.training.batches import Batch
from mardini_cli.training.crew import Chance
from mardini_cli.training.objectives.base import Asked, Objective, Step, steady
from mardini_cli.training.seen import Seen, look
from mardini_cli.training.stages import StageConfig

ABSENT = 2.0
"""Level that stands for no latent."""
WATCH = 0.01
"""How far a step moves the stored statistics of latents."""


class GuidedObjective(Objective):
    """Guided autoencoder: paint made frames from warped given ones; ``sharp`` moves the decoder."""

    def __init__(self, model: MarDini, stage: StageConfig) -> None:
        assert isinstance(model.autoencoder, Guided)
        super().__init__(model, stage)
        self.invite()

    @property
    def guided(self) -> Guided:
        """The autoencoder, by its own type."""
        assert isinstance(self.model.autoencoder, Guided)
        return self.model.autoencoder

    def moving(self) -> Iterable[nn.Module]:
        """Everything in the first stage; in the sharp one nothing that others rest on."""
        guided = self.model.autoencoder
        assert isinstance(guided, Guided)
        if self.stage.kind == "guided":
            return [guided]
        blocks = (guided.refine16, guided.refine8, guided.refine4, guided.refine2)
        return [*blocks, guided.told, guided.planned, guided.residual]

    def ask(self, step: Step) -> Asked:
        """See ``Objective.ask``."""
        guided, stage = self.guided, self.stage
        batch, chance = step.pixels, step.chance
        assert batch.flow is not None
        held = chance.uniform(len(batch.mask)) >= stage.no_prior
        given = guided.look(
            batch.given, batch.mask, batch.times, flow=batch.flow * held.view(-1, 1, 1, 1, 1, 1)
        )
        truth = batch.made
        mean, spread = guided.encode(truth, given)
        latent = mean + torch.exp(0.5 * spread) * chance.normal(mean)
        if stage.kind == "guided":
            guided.watch(chance.crew.gather(latent.detach()), WATCH / chance.parts)
        latent, level = self._told(guided.normalise(latent), chance)
        signal = self._signal(given)
        out = guided.trace(latent, level, given, signal)
        flat = truth.flatten(0, 1)
        parts = self._parts(out, flat, given, batch)
        parts["kl"] = losses.divergence(mean, spread)
        weights = self._weights(step.behind)
        total = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
        if self.rival is None:
            return Asked(total, None, parts)
        tau = given.gap.tau.flatten().view(-1, 1, 1, 1)
        near = torch.where(
            tau < 0.5, take(given.frames, given.gap.first), take(given.frames, given.gap.second)
        )
        return self.contested(Asked(total, None, parts), (out.frames, flat, near), step)

    def _signal(self, given: GuidedGiven) -> Tensor | None:
        if not self.stage.signal:
            return None
        with torch.no_grad():
            return self.model.plan(given)

    def _told(self, latent: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
        """Leave each window's latent clean, make it noisy, or withhold it."""
        clean, noisy, _ = self.stage.latents
        u, sigma = chance.uniform(len(latent)), chance.uniform(len(latent))
        level = torch.where(u < clean, 0.0, torch.where(u < clean + noisy, sigma, ABSENT))
        amount = level.clamp(max=1).view(-1, 1, 1, 1, 1)
        mixed = (1 - amount.square()).sqrt() * latent + amount * chance.normal(latent)
        return mixed, level

    def _weights(self, behind: float) -> dict[str, float]:
        return {
            "pixels": 1.0,
            "structure": 0.1,
            "coarse": 0.15,
            "merged": 0.5,
            "contrast": self.stage.contrast_weight,
            "flow": 0.01 * (1 - 0.8 * behind),
            "smooth": 0.01,
            "kl": self.stage.kl_weight,
        }

    def _parts(
        self, out: Decoded, truth: Tensor, given: GuidedGiven, batch: Batch
    ) -> dict[str, Tensor]:
        parts = {
            "pixels": losses.pixels(out.frames, truth),
            "structure": losses.structure(out.frames, truth),
            "merged": losses.pixels(out.merged, truth),
            "contrast": losses.contrast(out.frames, truth)
            + 0.5 * losses.contrast(out.merged, truth),
            "coarse": self._coarse(out, truth, given),
            "smooth": losses.smooth(out.flows[-1], truth),
        }
        if batch.target is not None:
            parts["flow"] = self._flow(out, truth, given, batch.target)
        return parts

    def _coarse(self, out: Decoded, truth: Tensor, given: GuidedGiven) -> Tensor:
        """L1 of the merge at 1/8 and 1/4."""
        total = truth.new_zeros(())
        for flow, mask in zip(out.flows[1:3], out.masks[1:3], strict=True):
            cell = truth.shape[-1] // flow.shape[-1]
            small = F.avg_pool2d(given.small.flatten(0, 1), cell).unflatten(
                0, given.small.shape[:2]
            )
            first = warp(take(small, given.gap.first), flow[:, :2] / cell)
            second = warp(take(small, given.gap.second), flow[:, 2:] / cell)
            share = torch.sigmoid(mask)
            merged = share * first + (1 - share) * second
            total = total + (merged - F.avg_pool2d(truth, cell)).abs().mean()
        return total

    def _flow(self, out: Decoded, truth: Tensor, given: GuidedGiven, target: Tensor) -> Tensor:
        """Distance to the flow found on the truth, at every level, where that flow explains it."""
        half = F.avg_pool2d(truth, 2)
        small = F.avg_pool2d(given.small.flatten(0, 1), 2).unflatten(0, given.small.shape[:2])
        first = warp(take(small, given.gap.first), target[:, :2] / 2)
        second = warp(take(small, given.gap.second), target[:, 2:] / 2)
        errors = torch.cat([(x - half).abs().mean(1, keepdim=True) for x in (first, second)], 1)
        trust = torch.exp(-20 * errors)
        total = truth.new_zeros(())
        for flow in out.flows:
            size = (flow.shape[-2], flow.shape[-1])
            if size[0] > target.shape[-2]:
                flow, size = F.avg_pool2d(flow, 2), (target.shape[-2], target.shape[-1])
            total = total + losses.flow_against(
                flow, F.adaptive_avg_pool2d(target, size), F.adaptive_avg_pool2d(trust, size)
            )
        return total

    @torch.no_grad()
    def score(self, batch: Batch | Seen) -> dict[str, Tensor]:
        """PSNR and sharpness without a latent and with the true one."""
        guided = self.guided
        assert isinstance(batch, Batch)
        assert batch.flow is not None
        given = guided.look(batch.given, batch.mask, batch.times, flow=batch.flow)
        mean, spread = guided.encode(batch.made, given)
        truth = batch.made.flatten(0, 1)
        signal = self._signal(given)
        clean = torch.zeros(len(batch.mask), device=truth.device)
        latent = mean + torch.exp(0.5 * spread) * steady(batch).normal(mean)
        latent = guided.normalise(latent)
        without = guided.trace(None, None, given, signal).frames.float().clamp(0, 1)
        told = guided.trace(latent, clean, given, signal).frames.float().clamp(0, 1)
        return {
            "psnr": _psnr(without, truth),
            "sharp": _energy(without) / _energy(truth),
            "psnr_told": _psnr(told, truth),
            "sharp_told": _energy(told) / _energy(truth),
            "kl": losses.divergence(mean, spread),
        }


class VaeObjective(Objective):
    """Picture latents: L1, local contrast and a light KL on single frames; a critic if asked."""

    def __init__(self, model: MarDini, stage: StageConfig) -> None:
        super().__init__(model, stage)
        self.invite()

    def moving(self) -> Iterable[nn.Module]:
        """The whole autoencoder."""
        return [self.model.autoencoder]

    def ask(self, step: Step) -> Asked:
        """See ``Objective.ask``."""
        vae, truth = self.model.autoencoder, step.pixels.made
        with torch.no_grad():  # each frame by itself: the others only tell its size
            given = look(self.model, step.pixels)
        mean, spread = vae.encode(truth, given)
        latent = mean + torch.exp(0.5 * spread) * step.chance.normal(mean)
        vae.watch(step.chance.crew.gather(latent.detach()), WATCH / step.chance.parts)
        made = vae.decode(vae.normalise(latent), None, given, None)
        made, flat = made.flatten(0, 1).float(), truth.flatten(0, 1)
        parts = {
            "pixels": losses.pixels(made, flat),
            "contrast": losses.contrast(made, flat),
            "kl": losses.divergence(mean.float(), spread.float()),
        }
        stage = self.stage
        total = parts["pixels"] + stage.contrast_weight * parts["contrast"]
        total = total + stage.kl_weight * parts["kl"]
        parts["psnr"] = _psnr(made.detach().clamp(0, 1), flat)
        if self.rival is None:
            return Asked(total, None, parts)
        near = _nearer(step.pixels)
        return self.contested(Asked(total, None, parts), (made, flat, near), step)

    def settle(self, batches: Iterable[Batch]) -> None:
        """Store the latents' mean and deviation, measured with the weights that stay."""
        measure_latents(self.model, batches)

    @torch.no_grad()
    def score(self, batch: Batch | Seen) -> dict[str, Tensor]:
        """PSNR and sharpness of what comes back from the latents' means."""
        assert isinstance(batch, Batch)
        vae, truth = self.model.autoencoder, batch.made.flatten(0, 1)
        given = look(self.model, batch)
        mean, spread = vae.encode(batch.made, given)
        made = vae.decode(vae.normalise(mean), None, given, None).flatten(0, 1)
        made = made.float().clamp(0, 1)
        return {
            "psnr": _psnr(made, truth),
            "sharp": _energy(made) / _energy(truth),
            "kl": losses.divergence(mean.float(), spread.float()),
        }


@torch.no_grad()
def measure_latents(model: MarDini, batches: Iterable[Batch]) -> None:
    """Measure mean and deviation of every channel of the latents, and store them.

    Args:
        model: its autoencoder is asked; the statistics go into its buffers.
        batches: true frames, at least one batch, on the model's device.
    """
    autoencoder = model.autoencoder
    count, none = 0, autoencoder.mean.new_zeros(autoencoder.mean.shape[2], dtype=torch.float64)
    total, square = none, none
    for batch in batches:
        mean, spread = autoencoder.encode(batch.made, look(model, batch))
        mean, variance = mean.double(), spread.double().exp()
        over = (0, 1, 3, 4)
        count += mean.numel() // mean.shape[2]
        total = total + mean.sum(over)
        square = square + (mean.square() + variance).sum(over)  # of mean + deviation * noise
    centre = total / count
    width = (square / count - centre.square()).clamp(min=1e-12).sqrt()
    autoencoder.mean.copy_(centre.view(1, 1, -1, 1, 1))
    autoencoder.std.copy_(width.view(1, 1, -1, 1, 1))


def _nearer(batch: Batch) -> Tensor:
    """The nearest given frame of every made one, ``p 3 h w``."""
    inside, outside = slots(batch.mask, batch.given.shape[1])
    given, made = batch.times.gather(1, inside), batch.times.gather(1, outside)
    apart = (made[:, :, None] - given[:, None]).abs()  # b m g
    return take(batch.given, apart.argmin(2))


def _psnr(made: Tensor, truth: Tensor) -> Tensor:
    return (-10 * torch.log10((made - truth).square().mean((1, 2, 3)).clamp(min=1e-10))).mean()


def _energy(frames: Tensor) -> Tensor:
    x, y = losses.steps(losses.luma(frames))
    return x.square().mean() + y.square().mean()
