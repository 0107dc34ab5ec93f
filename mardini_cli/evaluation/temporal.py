"""How made frames stand among their neighbours: sharpness, pulsing, motion, coherence, collapse.

Room: evaluation. No files, no weights, no randomness; float32. DIS flow comes from ``model.prior``
and runs on the CPU.
Sources: warp error, Lai et al. 2018 (blind video temporal consistency), section 4; occlusion by
disagreeing flows, Sundaram et al. 2010.

Dimension key
    ...  any leading dimensions     f  slots of a window, m made, g given     b  windows
    h, w  pixels                    frames are ``... 3 h w``, RGB in [0, 1]
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from mardini_cli.evaluation.measures import STRETCH, drift_key
from mardini_cli.evaluation.metrics import luma, pair
from mardini_cli.model import prior
from mardini_cli.model.warping import warp

LEVEL: Final = 1 / 255
STILL: Final = 0.1
"""A step is frozen below this share of the true step's luma change..."""
STIRS: Final = 1.0
"""...where the true step changes luma by at least so many levels in the mean."""
WILD: Final = 2.5
"""A frame explodes above this multiple of the sharpest given frame's gradient energy."""


def gradient_energy(frames: Tensor) -> Tensor:
    """Mean size of the forward differences of luma along x plus the same along y; ``...``.

    Sizes, not squares: squares would let a few hard edges outweigh all texture.
    """
    y = luma(frames)
    across, down = y.diff(dim=-1), y.diff(dim=-2)
    return across.abs().mean(dim=(-2, -1)) + down.abs().mean(dim=(-2, -1))


def sharpness(made: Tensor, given: Tensor) -> Tensor:
    """Gradient energy of made frames over that of given ones; 1.0 is right; ``...``.

    mean over m of ``gradient_energy(made)`` / mean over g of ``gradient_energy(given)``.

    Args:
        made: ``... m 3 h w``.
        given: ``... g 3 h w``.
    """
    return ratio(gradient_energy(made).mean(dim=-1), gradient_energy(given).mean(dim=-1))


def flicker(frames: Tensor, made: Sequence[bool]) -> Tensor:
    """Relative step of gradient energy where a given frame meets a made one; 0 is none; ``...``.

    mean over neighbouring slots (given, made) of ``|E made - E given| / E given``. True frames
    have a little of it too.

    Args:
        frames: a whole window, ``... f 3 h w``.
        made: a flag a slot, True = made.
    """
    energy = gradient_energy(frames)  # ... f
    steps = []
    for left, right in zip(range(len(made)), range(1, len(made)), strict=False):
        if made[left] != made[right]:
            inside, outside = (left, right) if made[left] else (right, left)
            step = (energy[..., inside] - energy[..., outside]).abs()
            steps.append(ratio(step, energy[..., outside]))
    return torch.stack(steps, dim=-1).mean(dim=-1)


def motion(frames: Tensor, true: Tensor, made: Sequence[bool]) -> Tensor:
    """Motion energy over that of the true window; 1.0 is right; ``...``.

    Mean squared luma difference of neighbouring slots of which at least one is made, over the
    same of the true frames. Frames that stand still give 0.

    Args:
        frames: a whole window, ``... f 3 h w``.
        true: the true window, same shape.
        made: a flag a slot, True = made.
    """
    frames, true = pair(frames, true)
    pairs = [i for i in range(len(made) - 1) if made[i] or made[i + 1]]
    change, wanted = (
        luma(x).diff(dim=-3)[..., pairs, :, :].square().mean(dim=(-3, -2, -1))
        for x in (frames, true)
    )
    return ratio(change, wanted)


def drift(frames: Tensor, true: Tensor, given: Sequence[int]) -> dict[str, Tensor]:
    """How frames change with their distance from the last given one, stretch by stretch.

    By ``measures.drift_key``, each ``b``: sharpness over the given frames'; motion energy over the
    truth's; colour, the largest difference of a channel's mean from the true frame's, in 8-bit
    levels, in the mean.

    Args:
        frames: windows, ``b f 3 h w``.
        true: the true windows.
        given: slots of the given frames; all after the last of them are made.
    """
    energy = gradient_energy(frames)
    sharp = energy / energy[:, list(given)].mean(1, keepdim=True).clamp_min(1e-12)
    means = (frames - true).float().mean((-2, -1)).abs().amax(-1) / LEVEL  # b f
    ours, theirs = (luma(x).diff(dim=1).square().mean((-2, -1)) for x in (frames, true))  # b f-1
    found = {}
    for first in range(given[-1] + 1, frames.shape[1], STRETCH):
        part = slice(first, first + STRETCH)
        steps = slice(first - 1, first - 1 + STRETCH)
        last = min(first + STRETCH, frames.shape[1]) - 1 - given[-1]
        found[drift_key("sharpness", last)] = sharp[:, part].mean(1)
        found[drift_key("motion", last)] = ratio(ours[:, steps].mean(1), theirs[:, steps].mean(1))
        found[drift_key("colour", last)] = means[:, part].mean(1)
    return found


def warp_errors(frames: Tensor, made: Sequence[bool]) -> list[float]:
    """How far neighbouring slots are from being one scene in motion, in 8-bit levels; a window.

    Mean size of the luma difference between a frame and the next one brought back along the flow
    between them, where the flows there and back agree; over steps with a made frame.

    Args:
        frames: ``b f 3 h w``.
        made: a flag a slot, True = made.
    """
    pairs = [i for i in range(len(made) - 1) if made[i] or made[i + 1]]
    return [_warp_error(window, pairs) for window in frames]


def _warp_error(window: Tensor, pairs: Sequence[int]) -> float:
    levels = prior.luma_bytes(window)
    there, back = (
        torch.stack(
            [
                torch.from_numpy(prior.dis_flow(levels[i + way], levels[i + 1 - way], "fast"))
                for i in pairs
            ]
        )
        for way in (0, 1)
    )
    y = luma(window).cpu()
    now, after = y[pairs][:, None], y[[i + 1 for i in pairs]][:, None]
    difference = (now - warp(after, there)).abs()[:, 0]
    returned = there + warp(back, there)
    reach = there.square().sum(1) + back.square().sum(1)
    seen = returned.square().sum(1) <= 0.01 * reach + 0.5
    return float((difference * seen).sum() / seen.sum().clamp_min(1)) / LEVEL


def frozen(frames: Tensor, true: Tensor, made: Sequence[bool]) -> Tensor:
    """Whether most steps with a made frame stand still where the truth moves; 1 = yes, ``...``.

    Args:
        frames: a whole window, ``... f 3 h w``.
        true: the true window.
        made: a flag a slot, True = made.
    """
    pairs = [i for i in range(len(made) - 1) if made[i] or made[i + 1]]
    step, wanted = (
        luma(x).diff(dim=-3)[..., pairs, :, :].abs().mean(dim=(-2, -1)) / LEVEL
        for x in (frames, true)
    )
    still = (step < STILL * wanted) & (wanted >= STIRS)
    return (still.float().mean(-1) > 0.5).float()


def wild(frames: Tensor, made: Sequence[bool]) -> Tensor:
    """Whether a made frame has far more gradient energy than any given one; 1 = yes, ``...``.

    Args:
        frames: a whole window, ``... f 3 h w``.
        made: a flag a slot, True = made.
    """
    energy = gradient_energy(frames)
    ours = [i for i, is_made in enumerate(made) if is_made]
    given = [i for i, is_made in enumerate(made) if not is_made]
    most = energy[..., given].amax(-1, keepdim=True)
    return (energy[..., ours] > WILD * most + LEVEL).any(-1).float()


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide; nothing over nothing is 1, so that a flat or still truth is met by the same."""
    tiny = 1e-12
    return torch.where((part < tiny) & (whole < tiny), 1.0, part / whole.clamp_min(tiny))
