"""From noise to clean latents: DDIM, guidance, and where the noise comes from.

Room: diffusion. Knows no model: a network comes in as a function of (noisy, t).
Source: DDIM, Song et al. 2021, eq. 12 with eta = 0; trailing times, Lin et al. 2024, sec. 3.3;
guidance on the signal alone, MarDini 3.3.

Dimension key
    b  windows in the batch      ...  what one window holds
"""

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mardini_cli.diffusion.schedule import Schedule
from mardini_cli.errors import ConfigError

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(noisy ``b ...``, t ``b`` int64) to v ``b ...``."""


def noise_for(seed: int, slot_index: int, shape: Sequence[int], level: int = 0) -> Tensor:
    """Draw the noise of one made frame.

    It depends on the arguments alone: not on the batch, the device or how a plan was split.

    Args:
        seed: the job's seed.
        slot_index: the frame's place in the whole job.
        shape: of the latent.
        level: tells apart several draws for one frame.

    Returns:
        Normal noise, float32, on the CPU.
    """
    key = hashlib.blake2b(f"{seed} {slot_index} {level}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key, "big") >> 1)
    return torch.randn(tuple(shape), generator=generator)


def trailing_times(steps: int, length: int) -> list[int]:
    """Give the diffusion times of a run: from ``length`` in ``steps`` even strides to 0.

    Raises:
        ConfigError: more steps than levels, or none.
    """
    if not 1 <= steps <= length:
        raise ConfigError(f"steps = {steps}", needed=f"1 to {length}", do="try --steps 8")
    return [(2 * length * left + steps) // (2 * steps) for left in range(steps, -1, -1)]


def sample(
    velocity: Velocity, noise: Tensor, steps: int, schedule: Schedule | None = None
) -> Tensor:
    """Turn noise into clean latents by deterministic DDIM.

    Args:
        velocity: the network's v at (noisy, t).
        noise: normal noise, ``b ...``; its dtype is the sampler's.
        steps: calls of ``velocity``, 1 to the schedule's length.
        schedule: the one that the network was trained with; None for the default.

    Returns:
        Clean latents, ``b ...``.
    """
    schedule = schedule or Schedule()
    times = trailing_times(steps, schedule.length)
    latents = noise
    for now, after in pairwise(times):
        t, t_after = (
            torch.full(noise.shape[:1], time, dtype=torch.int64, device=noise.device)
            for time in (now, after)
        )
        v = velocity(latents, t).to(noise.dtype)
        clean = schedule.clean_from_v(latents, v, t)
        latents = schedule.add_noise(clean, schedule.noise_from_v(latents, v, t), t_after)
    return latents


def guided_velocity(
    velocities: Callable[[Tensor, Tensor], Sequence[Tensor] | Tensor], guidance: float
) -> Velocity:
    """Lean towards the signal: v = v0 + guidance * (v1 - v0).

    Args:
        velocities: (noisy, t) to v with the signal and v without; or to one of them alone, where
            ``guidance`` is 1 or 0 and asks for no other (``needs``).
        guidance: 1 is the signal's v itself.
    """

    def velocity(noisy: Tensor, t: Tensor) -> Tensor:
        first, *others = velocities(noisy, t)
        return others[0] + guidance * (first - others[0]) if others else first

    return velocity


def needs(guidance: float) -> tuple[bool, ...]:
    """Which networks' answers a guidance asks for: True with the signal, False without."""
    if guidance == 1:
        return (True,)
    return (False,) if guidance == 0 else (True, False)
