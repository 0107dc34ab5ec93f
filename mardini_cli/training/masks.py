"""Which slots of a training window are given: the tasks, and the paper's keep ratio.

Room: training. Source: the paper trains on random masks with a keep ratio that falls (its 6.1);
structured masks for the tasks that users have are ours.
"""

from collections.abc import Mapping

import torch


def draw_task(mix: Mapping[str, float], rng: torch.Generator) -> str:
    """Draw a task by its share of the mix."""
    names = sorted(mix)
    shares = torch.tensor([mix[name] for name in names], dtype=torch.float64)
    return names[int(torch.multinomial(shares, 1, generator=rng))]


def draw_mask(
    task: str, slots: int, keep: tuple[float, float], rng: torch.Generator
) -> torch.Tensor:
    """Draw which slots are to be made: ``f`` bool, at least one given and one made.

    Args:
        task: one of ``stages.TASKS``.
        slots: slots of the window, at least 4.
        keep: range of the keep ratio, for ``random``.
        rng: source of chance.
    """
    last = slots - 1
    ahead = bool(torch.rand(1, generator=rng) < 0.5)
    if task == "random":
        ratio = keep[0] + (keep[1] - keep[0]) * float(torch.rand(1, generator=rng))
        count = min(max(round(ratio * slots), 1), slots - 1)
        given = torch.randperm(slots, generator=rng)[:count].tolist()
    elif task == "animate":
        given = [(0, last // 2, last)[int(torch.randint(3, (1,), generator=rng))]]
    else:
        given = {
            "ends": [0, last],
            "middle": [0, last // 2, last],
            "every-other": list(range(0, slots, 2)),
            "extend": [0, 1] if ahead else [last - 1, last],
        }[task]
    mask = torch.ones(slots, dtype=torch.bool)
    mask[given] = False
    return mask


def thin(mask: torch.Tensor, made: int, rng: torch.Generator) -> torch.Tensor:
    """Choose the slots of a window that stay when only ``made`` frames are to be decoded.

    Returns:
        Indices of the slots that stay, rising: all given ones, and ``made`` of the others.
    """
    others = mask.nonzero().flatten()
    chosen = others[torch.randperm(len(others), generator=rng)[:made]]
    return torch.cat(((~mask).nonzero().flatten(), chosen)).sort().values
