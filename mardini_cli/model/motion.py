"""What is known of a window on the way to its made frames: what was seen, and what is believed.

Room: model. No weights: ``guided`` has the networks that fill these in.

Dimension key
    b  windows     f  slots     g  given     m  made     n  tokens     c  channels
    h, w  pixels, or rows and columns of a level     p = b * m  made frames of the batch
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor

from mardini_cli.model.autoencoder import Given
from mardini_cli.model.refining import STRIDES
from mardini_cli.model.tiles import TOKEN, Box
from mardini_cli.model.warping import Gap, resize, share_logit, twice


@dataclass(frozen=True, kw_only=True, eq=False)
class GuidedGiven(Given):
    """A window as the guided decoder sees it."""

    frames: Tensor
    """Given frames at their own size, ``b g 3 h w``."""
    small: Tensor
    """The same at the working size, padded to whole cells of the coarsest level."""
    work: tuple[int, int]
    """Height and width of the working size without padding."""
    features: tuple[Tensor, ...]
    """Given frames' features at 1/2, 1/4, 1/8, 1/16, each ``b g c h w``."""
    keys: tuple[Tensor, ...]
    """What given frames are matched by, at 1/8 and 1/16, each ``b g c h w``."""
    made: Tensor
    """``b m``, slots of the made frames."""
    gap: Gap
    flow: Tensor
    """The prior projected to every made frame, ``p 4 h w`` at 1/2, working pixels."""
    place_tokens: Tensor
    """``b m n c``: warped features, prior and place of made frames, for the denoiser."""
    box: Box | None = None
    """The tile that made frames are seen through; given frames stay whole. None: the whole."""

    def level(self, index: int) -> tuple[int, int]:
        """Rows and columns of made frames at a level of ``STRIDES``."""
        cells = STRIDES[-1] // STRIDES[index]
        return self.token_grid.rows * cells, self.token_grid.cols * cells

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of the tile's first pixel, at the working size."""
        return (self.box.top * TOKEN, self.box.left * TOKEN) if self.box else (0, 0)

    def cut(self, box: Box) -> Self:
        """See ``Given.cut``. The prior is cut; warps still reach all of the given frames."""
        if (box.rows, box.cols) == (self.token_grid.rows, self.token_grid.cols):
            return self
        return replace(
            super().cut(box),
            flow=box.of(self.flow, TOKEN // 2),
            place_tokens=box.of_tokens(self.place_tokens, self.token_grid),
            box=box,
        )


class Decoded(NamedTuple):
    """A made frame and how it came about, at the working size (for losses)."""

    frames: Tensor
    """``p 3 h w``, at the frames' own size."""
    merged: Tensor
    """Before the residual."""
    flows: tuple[Tensor, ...]
    """``p 4 h w`` at 1/16, 1/8, 1/4 and 1/1, working pixels."""
    masks: tuple[Tensor, ...]
    """Logits of the first frame's share, ``p 1 h w``, at the same levels."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Motion:
    """What the decoder believes at one level, on its way from coarse to fine."""

    flow: Tensor
    """``p 4 h w``, working pixels."""
    mask: Tensor
    """Logit of the first frame's share, ``p 1 h w``."""
    trust: Tensor
    """How far the prior's finer detail is believed, ``p 1 h w`` in [0, 1]."""
    held: Tensor
    """The prior at this level, ``p 4 h w``."""
    state: Tensor | None = None
    """Hidden state of the last refining block."""
    flows: tuple[Tensor, ...] = ()
    masks: tuple[Tensor, ...] = ()

    @classmethod
    def start(cls, given: GuidedGiven) -> Self:
        """The prior and the made frame's time, at the coarsest level."""
        flow = resize(given.flow, given.level(3))
        mask = share_logit(given.gap).expand(-1, 1, *flow.shape[-2:])
        return cls(flow=flow, mask=mask, trust=torch.ones_like(mask), held=flow)

    def enlarged(self, held: Tensor) -> Self:
        """Go to the next finer level; what the prior, ``held``, adds there counts by trust."""
        flow = twice(self.flow) + twice(self.trust) * (held - twice(self.held))
        return replace(self, flow=flow, mask=twice(self.mask), held=held)

    def corrected(self, state: Tensor, change: Tensor, stride: int) -> Self:
        """Apply a block's corrections, ``p 6 h w``: flow, mask and trust."""
        flow, mask = self.flow + change[:, :4] * stride, self.mask + change[:, 4:5]
        trust = torch.sigmoid(change[:, 5:6] + 3)  # a silent block trusts the prior at 0.95
        return replace(self, state=state, trust=trust)._kept(flow, mask)

    def sharpened(self, change: Tensor) -> Self:
        """Go from 1/2 to the working size with the last corrections, ``p 5 h w`` at 1/1."""
        flow, mask = twice(self.flow) + change[:, :4] * 2, twice(self.mask) + change[:, 4:5]
        return self._kept(flow, mask)

    def _kept(self, flow: Tensor, mask: Tensor) -> Self:
        flows, masks = (*self.flows, flow), (*self.masks, mask)
        return replace(self, flow=flow, mask=mask, flows=flows, masks=masks)
