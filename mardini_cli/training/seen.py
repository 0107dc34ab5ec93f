"""What a frozen autoencoder tells of a batch: all that planner and denoiser learn from.

Room: training. Small enough to be kept on disk (``cache``), and the same whether it was kept or is
worked out from pixels in the step.

Dimension key
    b  windows    f  slots    g  given    m  made    n  tokens    c  channels
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from mardini_cli.model.autoencoder import Given, Grids
from mardini_cli.model.guided import Guided
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.positions import Grid
from mardini_cli.training.batches import Batch
from mardini_cli.training.stages import Kind


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Windows as planner and denoiser know them, and what they should say."""

    tensors: Mapping[str, Tensor]
    """By name, the windows first: ``Autoencoder.condensed``, and ``mean`` and ``spread`` of the
    made frames' latents, ``b m c h w``, or the planner's ``target``, ``b m n c``."""
    grids: Grids

    def given(self, model: MarDini) -> Given:
        """The windows as the model looks at them."""
        return model.autoencoder.expanded(self.tensors, self.grids)

    def pin_memory(self) -> Self:
        """Make the way to the device quick."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> Self:
        """Move to the device."""
        return self._each(lambda x: x.to(device, non_blocking=True))

    def share(self, first: int, every: int) -> Self:
        """Every so many windows, from the first of them on."""
        return self._each(lambda x: x[first::every])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        return type(self)({name: change(x) for name, x in self.tensors.items()}, self.grids)


@torch.no_grad()
def see(model: MarDini, batch: Batch, kind: Kind) -> Seen:
    """Ask the autoencoder, which does not move, what a stage of this kind needs to know."""
    autoencoder = model.autoencoder
    given = look(model, batch)
    tensors = autoencoder.condensed(given, batch.given.shape[1])
    if kind == "planner":
        tensors["target"] = autoencoder.planner_target(batch.made, given)
    else:
        tensors["mean"], tensors["spread"] = autoencoder.encode(batch.made, given)
    return Seen(tensors, Grids.of(given))


def look(model: MarDini, batch: Batch) -> Given:
    """Look at given frames, with the flow that came along with them."""
    autoencoder = model.autoencoder
    if isinstance(autoencoder, Guided):
        return autoencoder.look(batch.given, batch.mask, batch.times, flow=batch.flow)
    return autoencoder.look(batch.given, batch.mask, batch.times)


def grids_to_data(grids: Grids) -> dict[str, Any]:
    """Plain data, for JSON."""

    def of(grid: Grid) -> list[float]:
        return [grid.rows, grid.cols, grid.top, grid.left, grid.height, grid.width]

    return {
        "size": list(grids.size),
        "planner": of(grids.planner),
        "tokens": of(grids.tokens),
        "latent": list(grids.latent),
    }


def grids_from_data(data: Mapping[str, Any]) -> Grids:
    """Undo ``grids_to_data``."""

    def of(told: list[float]) -> Grid:
        return Grid(int(told[0]), int(told[1]), *told[2:])

    high, wide = data["size"]
    channels, rows, cols = data["latent"]
    return Grids((high, wide), of(data["planner"]), of(data["tokens"]), (channels, rows, cols))
