"""How much of a latent is noise at each diffusion time, and what a v-prediction stands for.

Room: diffusion. Tensor arithmetic only: no modules, no randomness, no device choice.
Source: v-prediction, Salimans & Ho 2022, sec. 4; the betas, Emu Video; zero terminal SNR,
Lin et al. 2024, sec. 3.

Symbols
    t      diffusion time, whole: 0 is clean, ``length`` is pure noise
    alpha  amplitude of the clean latent; sigma, of the noise; alpha^2 + sigma^2 = 1
    v      alpha * noise - sigma * clean

Dimension key
    b  windows in the batch      ...  what one window holds
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mardini_cli.errors import ShapeError

FIRST_BETA = 0.00085
LAST_BETA = 0.012
LENGTH = 1000
"""The same as ``config.SCHEDULE_LENGTH``, which this room does not know; a test compares them."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Scaled-linear noise schedule, stretched so that the last level holds no signal at all.

    Every method takes t as one int64 a window, ``b``, works in at least float32 and gives the
    dtype of its first tensor back. Each raises ShapeError on tensors that do not match.
    """

    length: int = LENGTH
    """Levels above the clean one."""

    def alpha(self, t: Tensor) -> Tensor:
        """Amplitude of the clean latent, float32, in the shape of t: 1 at 0, 0 at ``length``."""
        return _table(self.length, t.device, torch.float32)[0][t]

    def sigma(self, t: Tensor) -> Tensor:
        """Amplitude of the noise, float32, in the shape of t: 0 at 0, 1 at ``length``."""
        return _table(self.length, t.device, torch.float32)[1][t]

    def add_noise(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Mix clean latents, ``b ...``, with noise of level t."""
        return self._mixed(clean, noise, t, lambda clean, noise, a, s: a * clean + s * noise)

    def v_from(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Give the v that the denoiser should predict, ``b ...``."""
        return self._mixed(clean, noise, t, lambda clean, noise, a, s: a * noise - s * clean)

    def clean_from_v(self, noisy: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """Give the clean latents that a v-prediction stands for, ``b ...``."""
        return self._mixed(noisy, v, t, lambda noisy, v, a, s: a * noisy - s * v)

    def noise_from_v(self, noisy: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """Give the noise that a v-prediction stands for, ``b ...``."""
        return self._mixed(noisy, v, t, lambda noisy, v, a, s: s * noisy + a * v)

    def _mixed(
        self,
        first: Tensor,
        second: Tensor,
        t: Tensor,
        formula: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    ) -> Tensor:
        if first.shape != second.shape or t.shape != first.shape[:1]:
            raise ShapeError(
                f"latents {tuple(first.shape)} and {tuple(second.shape)}, t {tuple(t.shape)}",
                needed="equal shapes and one t a window",
                do="pass t of shape (b,)",
            )
        work = torch.promote_types(first.dtype, torch.float32)
        alphas, sigmas = _table(self.length, first.device, work)
        t = t.to(first.device)
        shape = (-1, *(1,) * (first.ndim - 1))
        alpha, sigma = alphas[t].view(shape), sigmas[t].view(shape)  # b -> b 1 ...
        return formula(first.to(work), second.to(work), alpha, sigma).to(first.dtype)


@lru_cache(maxsize=32)
def _table(length: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Alphas and sigmas of the levels 0 to ``length``, worked out in float64 on the CPU."""
    with torch.inference_mode(False):  # the table outlives the call, and may meet autograd
        alphas = _alphas(length)
        return alphas.to(device, dtype), (1 - alphas.square()).sqrt().to(device, dtype)


def _alphas(length: int) -> Tensor:
    betas = torch.linspace(FIRST_BETA**0.5, LAST_BETA**0.5, length, dtype=torch.float64).square()
    alphas = (1 - betas).cumprod(0).sqrt()
    if length > 1:  # shift the last to 0, scale so that the first stays
        alphas = (alphas - alphas[-1]) * (alphas[0] / (alphas[0] - alphas[-1]))
    alphas = torch.cat((torch.ones(1, dtype=torch.float64), alphas))
    alphas[-1] = 0
    return alphas
