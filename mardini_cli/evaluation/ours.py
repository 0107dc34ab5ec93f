"""The model as a method: made frames of many windows at once, at any number of sampling steps.

Room: evaluation. No files. The noise of a made frame follows from (seed, slot in the whole
folder), so a window scores the same alone, in any batch and beside any other method.

The ceiling tells the decoder the true frames' own latents: no sample can do better with it.

Dimension key
    b  windows    f  slots    g  given, m  made slots    h, w  pixels
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mardini_cli.config import SamplerConfig
from mardini_cli.errors import MadeFrameError
from mardini_cli.evaluation.excerpts import Excerpt
from mardini_cli.evaluation.protocols import SLOTS, Protocol
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import hold_still, paint

CEILING = "ceiling"


def method_name(steps: int) -> str:
    """Name of the model's rows at so many sampling steps."""
    return f"ours-{steps}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Maker:
    """A model and how it is run."""

    model: MarDini
    device: torch.device
    dtype: torch.dtype
    """Number type of the networks; metrics stay in float32 whatever it is."""
    seed: int

    @torch.inference_mode()
    def make(
        self,
        excerpts: Sequence[Excerpt],
        protocol: Protocol,
        steps: Sequence[int],
        *,
        ceiling: bool = False,
    ) -> dict[str, Tensor]:
        """Make the missing frames once for each number of sampling steps.

        Returns:
            By method's name: ``b m 3 h w``, float32 in [0, 1], on the device.

        Raises:
            MadeFrameError: a pixel is NaN or infinite.
        """
        true = torch.stack([excerpt.frames for excerpt in excerpts]).to(self.device)
        b = len(excerpts)
        mask = torch.tensor(protocol.mask, device=self.device).expand(b, -1)
        times = torch.arange(SLOTS, dtype=torch.float32, device=self.device).expand(b, -1)
        low = self.dtype != torch.float32
        frames = true[:, list(protocol.given)]
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=low):
            given = self.model.look(frames, mask, times)
            signal = self.model.plan(given)
            slots = [[one.ordinal * SLOTS + slot for slot in protocol.made] for one in excerpts]
            made = {
                method_name(count): paint(
                    self.model, given, signal, SamplerConfig(steps=count, seed=self.seed), slots
                )
                for count in steps
            }
            if ceiling:
                autoencoder = self.model.autoencoder
                latent, _ = autoencoder.encode(true[:, list(protocol.made)], given)
                level = torch.zeros(b, device=self.device)
                made[CEILING] = self.model.decode(
                    autoencoder.normalise(latent), level, given, signal
                )
        checked = {name: self._checked(result, name) for name, result in made.items()}
        for name, result in checked.items():
            if name != CEILING:  # as the pipeline does with what it makes
                hold_still(result, frames, protocol.mask, times)
        return checked

    def _checked(self, made: Tensor, name: str) -> Tensor:
        if not bool(made.isfinite().all()):
            raise MadeFrameError(
                f"NaN or infinity in made frames of {name}",
                needed="finite pixels",
                do="try --dtype fp32, or other weights",
            )
        return made.float().clamp(0, 1)
