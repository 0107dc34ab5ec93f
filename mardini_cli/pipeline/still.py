"""What does not change between two given frames stays as it is in the frames made between them.

Room: pipeline. Tensor arithmetic only.

A model that moves pixels also moves, a little or a lot, words and logos that stand over a moving
ground. A pixel that is equal in both given neighbours, among others of its surroundings that are
equal too, is therefore taken from them. On held-out clips this loses nothing: + 0.14 dB and equal
SSIM between every second frame (``docs/cuts.md``). Known limit:
something small that passes within the gap over a ground that stands quite still is held back too;
no given frame shows it there.

Dimension key
    b  windows    g  given, m  made frames of a window    h, w  pixels
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor

EQUAL = 2 / 255
"""Most that a channel differs in an equal pixel: what a good codec leaves of stillness."""
SURROUNDED = 4
"""Equal pixels among nine, itself included, from which a pixel is held: lines of words have them,
chance has not."""


def hold_still(made: Tensor, given: Tensor, mask: Sequence[bool], times: Tensor) -> None:
    """Put still pixels into made frames, in place.

    Args:
        made: ``b m 3 h w``, RGB in [0, 1].
        given: ``b g 3 h w``, alike.
        mask: one truth a slot, True = made; the same for all windows.
        times: ``b f``, of all slots.
    """
    places = [slot for slot, is_made in enumerate(mask) if not is_made]
    for number, (left, right) in enumerate(pairwise(places)):
        if right - left == 1:
            continue
        before, after = given[:, number], given[:, number + 1]
        still = _still(before, after)  # b 1 h w
        if not bool(still.any()):
            continue
        first = left - number  # made frames before the gap: its slots less the given ones
        for offset, slot in enumerate(range(left + 1, right)):
            share = (times[:, slot] - times[:, left]) / (times[:, right] - times[:, left])
            held = before.lerp(after, share.to(before).view(-1, 1, 1, 1))
            frame = made[:, first + offset]
            frame.copy_(held.where(still, frame))


def _still(before: Tensor, after: Tensor) -> Tensor:
    """Pixels that are equal, among equal ones; ``b 3 h w`` to ``b 1 h w``."""
    equal = ((before - after).abs().amax(1, keepdim=True) <= EQUAL).to(before.dtype)
    around = F.avg_pool2d(equal, 3, stride=1, padding=1) * 9
    still: Tensor = (equal > 0) & (around > SURROUNDED - 0.5)
    return still
