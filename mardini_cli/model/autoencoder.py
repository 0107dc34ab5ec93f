"""Frames to latents and back: the one interface of both autoencoders.

Room: model. Knows no sampler and no files. ``vae.Vae`` (picture latents, the paper's way) and
``guided.Guided`` (motion latents, ours) fill it in; ``mardini.MarDini`` holds either.

Dimension key
    b  windows in the batch       f  slots of a window        g  given, m  made slots (g + m = f)
    n  tokens of a frame          c  channels                 h, w  pixels, or latent rows, columns
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from mardini_cli.model.positions import Grid
from mardini_cli.model.tiles import Box
from mardini_cli.model.warping import in_slots, slots


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """What the model knows of a window before it makes a frame; worked out once a window.

    A subclass carries what its autoencoder needs besides.
    """

    mask: Tensor
    """``b f`` bool, True = to be made; every window of the batch makes as many."""
    times: Tensor
    """``b f`` float32, real-valued positions in the window; 1 = the usual step between slots."""
    size: tuple[int, int]
    """Height and width of the frames, pixels."""
    planner_tokens: Tensor
    """``b f n c``: what the planner reads at given slots; zero at made ones."""
    planner_grid: Grid
    reference_tokens: Tensor
    """``b f n c``: given frames as the denoiser reads them, at t = 0; zero at made slots."""
    token_grid: Grid
    latent_shape: tuple[int, int, int]
    """Channels, rows and columns of one made frame's latent."""

    def cut(self, box: Box) -> Self:
        """The same window, seen through a tile by the denoiser and the decoder."""
        channels, rows, cols = self.latent_shape
        down, across = rows // self.token_grid.rows, cols // self.token_grid.cols
        return replace(
            self,
            reference_tokens=box.of_tokens(self.reference_tokens, self.token_grid),
            token_grid=box.grid(self.token_grid),
            latent_shape=(channels, box.rows * down, box.cols * across),
        )


@dataclass(frozen=True, slots=True)
class Grids:
    """Sizes of a window that no tensor tells; the same for all windows of one size."""

    size: tuple[int, int]
    planner: Grid
    tokens: Grid
    latent: tuple[int, int, int]

    @classmethod
    def of(cls, given: Given) -> Self:
        """Those of a window."""
        return cls(given.size, given.planner_grid, given.token_grid, given.latent_shape)


class Autoencoder(nn.Module, ABC):
    """Frames to latents and back."""

    @abstractmethod
    def see(self, frames: Tensor, work: int | None = None) -> tuple[Tensor, ...]:
        """Encode given frames, each by itself: what windows that share a frame need once.

        Args:
            frames: ``p 3 h w``, RGB in [0, 1].
            work: see ``look``.

        Returns:
            Several tensors ``p ...``: the autoencoder's own affair.
        """

    def between(self, seen: tuple[Tensor, ...]) -> Tensor | None:
        """Find the prior flow of gaps: what windows that share a gap need once.

        Args:
            seen: of the frames at both ends, ``p 2 ...`` each.

        Returns:
            Both ways, ``p 2 2 h w`` in working pixels; None where there is no such prior.
        """
        del seen
        return None

    @abstractmethod
    def look(
        self,
        frames: Tensor,
        mask: Tensor,
        times: Tensor,
        work: int | None = None,
        seen: tuple[Tensor, ...] | None = None,
        flow: Tensor | None = None,
    ) -> Given:
        """Work out what the given frames tell.

        Args:
            frames: the given frames alone, in slot order, ``b g 3 h w``, RGB in [0, 1].
            mask: ``b f`` bool, True = to be made.
            times: ``b f`` float, real-valued positions.
            work: short side at which motion is worked out, pixels; picture latents ignore it.
            seen: what ``see`` said of the same frames, ``b g ...`` each; None asks it.
            flow: what ``between`` said of neighbouring given frames, ``b g-1 2 2 h w``; None asks
                it.
        """

    @abstractmethod
    def encode(self, made: Tensor, given: Given) -> tuple[Tensor, Tensor]:
        """Tell the true made frames in latents (training only).

        Args:
            made: ``b m 3 h w``, RGB in [0, 1].

        Returns:
            Mean and log-variance of the latents, each ``b m c h w``, not normalised.
        """

    @abstractmethod
    def noisy_tokens(self, latent: Tensor, given: Given) -> Tensor:
        """What the denoiser reads at made slots: ``b m c h w`` to ``b m n c``."""

    @abstractmethod
    def decode(
        self,
        latent: Tensor | None,
        level: Tensor | None,
        given: Given,
        signal: Tensor | None,
        tile: int | None = None,
    ) -> Tensor:
        """Paint the made frames.

        Args:
            latent: normalised, ``b m c h w``; None decodes without (motion latents only).
            level: ``b``, how noisy the latent is: 0 clean, 1 pure noise. None with no latent.
            given: what ``look`` found.
            signal: the planner's signal ``b f n d``, where the decoder reads it; may be None.
            tile: side of the tiles that the networks work on, working pixels; None: the whole.
                Picture latents are decoded frame by frame, large ones in strips.

        Returns:
            ``b m 3 h w``, RGB, not clamped.
        """

    @abstractmethod
    def planner_target(self, made: Tensor, given: Given) -> Tensor:
        """What the planner's warm-up asks for at made slots (paper 3.6): ``b m n c``."""

    def condensed(self, given: Given, count: int) -> dict[str, Tensor]:
        """What planner and denoiser need to know of windows, small enough to be kept on disk.

        Args:
            given: what ``look`` found.
            count: given frames of a window; told, so that nothing waits for the device.

        Returns:
            By name, the windows first: tokens of given frames, ``b g n c``; mask and times.
        """
        inside, _ = slots(given.mask, count)
        rows = torch.arange(len(inside), device=inside.device).unsqueeze(1)
        return {
            "mask": given.mask,
            "times": given.times,
            "planner": given.planner_tokens[rows, inside],
            "reference": given.reference_tokens[rows, inside],
        }

    def expanded(self, told: Mapping[str, Tensor], grids: Grids) -> Given:
        """Undo ``condensed``, as far as planner and denoiser can tell."""
        mask, g = told["mask"], told["planner"].shape[1]
        inside, _ = slots(mask, g)
        return Given(
            mask=mask,
            times=told["times"],
            size=grids.size,
            planner_tokens=in_slots(told["planner"], inside, mask.shape[1]),
            planner_grid=grids.planner,
            reference_tokens=in_slots(told["reference"], inside, mask.shape[1]),
            token_grid=grids.tokens,
            latent_shape=grids.latent,
        )

    mean: Tensor
    """Stored mean of the latents, ``1 1 c 1 1``."""
    std: Tensor
    """Stored standard deviation of the latents, ``1 1 c 1 1``."""

    def normalise(self, latent: Tensor) -> Tensor:
        """Scale latents, ``b m c h w``, to zero mean and unit variance a channel."""
        return (latent - self.mean) / self.std

    def watch(self, latent: Tensor, pace: float = 0.01) -> None:
        """Move the stored statistics towards those of ``latent`` (training only)."""
        over = (0, 1, 3, 4)
        for kept, found in (
            (self.mean, latent.float().mean(over, keepdim=True)),
            (self.std, latent.float().std(over, keepdim=True)),
        ):
            kept.lerp_(torch.where(found.isfinite(), found, kept), pace)  # one NaN would stay
