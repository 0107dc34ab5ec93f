"""From motion to pictures: given frames warped, mixed and completed, at the frames' own size.

Room: model. No weights: what the networks found out is worked out already.

Dimension key
    b  windows     m  made     c  channels     h, w  pixels     p = b * m, or b for one slot
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from mardini_cli.model.motion import GuidedGiven
from mardini_cli.model.warping import Gap, resize, sides


def merge(
    images: Tensor, flow: Tensor, mask: Tensor, gap: Gap, origin: tuple[int, int] = (0, 0)
) -> tuple[Tensor, Tensor, Tensor]:
    """Both given frames as seen from the made one, and their mix by the mask: ``p 3 h w``.

    Args:
        images: given frames, ``b g 3 h w``.
        flow: ``p 4 h w``, pixels of the images.
        mask: logits of the first frame's share, ``p 1 h w``.
        gap: which two of the given frames.
        origin: row and column of the flow's first place in the images.
    """
    first, second = sides(images, flow, gap, 1, "bicubic", origin)
    share = torch.sigmoid(mask)
    return first, second, share * first + (1 - share) * second


def inner(maps: Tensor, given: GuidedGiven) -> Tensor:
    """Maps of the working size without padding."""
    return maps[..., : given.work[0], : given.work[1]]


def painted(
    given: GuidedGiven, gap: Gap, flow: Tensor, mask: Tensor, rest: Tensor
) -> tuple[Tensor, Tensor]:
    """Merge and residual at the frames' own size, each ``p 3 h w``.

    Where that is not the working size, the motion is carried over, and the given frames are
    warped at their own: their texture stays whole.
    """
    if given.size == given.work:
        return inner(merge(given.small, flow, mask, gap)[2], given), inner(rest, given)
    flow, mask, rest = (resize(inner(maps, given), given.size) for maps in (flow, mask, rest))
    (high, wide), (h, w) = given.size, given.work
    flow = flow * flow.new_tensor([wide / w, high / h] * 2).view(1, 4, 1, 1)
    return merge(given.frames, flow, mask, gap)[2], rest


def singly(
    gap: Gap, flow: Tensor, mask: Tensor, rest: Tensor
) -> Iterator[tuple[Gap, Tensor, Tensor, Tensor]]:
    """Each slot's maps alone: at 4K those of all of them at once would fill the memory."""
    b, m = gap.tau.shape
    flow, mask, rest = (maps.view(b, m, *maps.shape[1:]) for maps in (flow, mask, rest))
    for slot in range(m):
        one = Gap(*(part[:, slot : slot + 1] for part in gap))
        yield one, flow[:, slot], mask[:, slot], rest[:, slot]
