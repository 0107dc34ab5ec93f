"""Watches over a run: steps that would spoil the weights are left out, and told of.

Room: training. Judges on the device, so that a step waits for nothing.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mardini_cli.training.checkpoint import part_of

PATIENCE = 5
"""Steps in a row that may be left out; then the run is lost, not unlucky."""
_PACE = 0.02  # of the running length of the gradient
_SETTLED = 100.0  # steps before a length counts as usual


class Guard:
    """Tells which steps to leave out: no number, or a gradient far longer than usual.

    Args:
        device: where the gradients are.
        spike: how many times the usual length is too long; 0 asks for numbers alone.
    """

    def __init__(self, device: torch.device, spike: float) -> None:
        self.spike = spike
        self.usual, self.seen = torch.zeros((), device=device), torch.zeros((), device=device)
        self.row, self.skipped = torch.zeros((), device=device), torch.zeros((), device=device)

    @torch.no_grad()
    def judge(self, length: Tensor) -> Tensor:
        """Judge a step by the length of its gradient: 1.0 leaves it out, 0.0 lets it pass."""
        odd = ~length.isfinite()
        if self.spike:
            odd = odd | ((self.seen >= _SETTLED) & (length > self.spike * self.usual))
        pace = torch.maximum(1 / (self.seen + 1), torch.full_like(self.seen, _PACE))
        moved = self.usual + pace * (length - self.usual)
        self.usual = torch.where(odd, self.usual, moved)
        self.seen = self.seen + (~odd).float()
        self.row = torch.where(odd, self.row + 1, torch.zeros_like(self.row))
        self.skipped = self.skipped + odd.float()
        return odd.float()

    @property
    def lost(self) -> bool:
        """Whether nothing gets through any more; waits for the device."""
        return bool(self.row >= PATIENCE)

    def take_skipped(self) -> int:
        """Steps left out since this was last asked; waits for the device."""
        count = int(self.skipped)
        self.skipped = torch.zeros_like(self.skipped)
        return count

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, by name."""
        return {"guard/usual": self.usual, "guard/seen": self.seen, "guard/row": self.row}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back what ``tensors`` gave; older checkpoints hold nothing of it."""
        for key, value in part_of(state, "guard").items():
            setattr(self, key, value.to(self.usual.device))
