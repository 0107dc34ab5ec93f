"""Large pictures through a network strip by strip: what it gives whole, in less memory.

Room: model. A convolution of three rows sees one row beyond its strip: strips are cut with a
margin, and nothing changes where they meet. Norms see the whole picture: their means and
deviations are found first, over all strips. (Tiles that are normed each by itself differ in tone,
which no blending hides: borders with steps 5 to 25 % off, measured with random weights.)

Dimension key
    p  pictures      c  channels      h, w  rows and columns of a level of the network
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Layer = Callable[[Tensor], Tensor]
MARGIN = 2
"""Rows that a strip sees beyond itself; even, since some layers halve them."""
LEAST = 16
"""Rows of a strip at least."""


def by_strips(layer: Layer, x: Tensor, places: int | None, onto: Tensor | None = None) -> Tensor:
    """Run a layer that sees no further than ``MARGIN`` rows.

    Args:
        layer: maps ``p c h w``; keeps, doubles or halves rows.
        x: its input; an even number of rows where it halves them.
        places: rows times columns that pass at once, about; None runs the layer as it is.
        onto: what the result is added to, in its own memory.
    """
    height, rows = x.shape[2], _rows(x, places)
    if rows >= height:
        return layer(x) if onto is None else onto.add_(layer(x))
    out = torch.empty(0) if onto is None else onto
    for top in range(0, height, rows):
        end = min(top + rows, height)
        first, last = max(top - MARGIN, 0), min(end + MARGIN, height)
        part = layer(x[:, :, first:last])
        scale = part.shape[2] / (last - first)  # a half, 1 or 2
        if onto is None and not top:
            out = _empty_like(part, int(height * scale))
        own = part[:, :, int((top - first) * scale) : int((end - first) * scale)]
        place = out[:, :, int(top * scale) : int(end * scale)]
        place.copy_(own) if onto is None else place.add_(own)
    return out


def in_place(layer: nn.Conv2d, x: Tensor, places: int) -> Tensor:
    """Run a layer that sees single places; where it narrows, in the memory of ``x``."""
    if layer.out_channels > x.shape[1]:
        return by_strips(layer, x, places)
    for strip in x.split(_rows(x, places), dim=2):
        strip[:, : layer.out_channels] = layer(strip)
    return x[:, : layer.out_channels]


def normed(norm: nn.GroupNorm, x: Tensor, places: int | None) -> Layer:
    """A group norm that norms any strip of ``x`` as the whole of it."""
    if _rows(x, places) >= x.shape[2]:
        return norm
    counts, found = [], []
    for strip in x.split(_rows(x, places), dim=2):
        groups = strip.float().unflatten(1, (norm.num_groups, -1))  # p g c/g h w
        found.append(torch.stack(torch.var_mean(groups, (2, 3, 4), correction=0)))
        counts.append(strip.shape[2])
    share = torch.tensor(counts, device=x.device).view(-1, 1, 1) / x.shape[2]
    variance, mean = torch.stack(found, 1)  # strips p g each
    middle = (share * mean).sum(0)
    spread = (share * (variance + (mean - middle) ** 2)).sum(0)
    each = x.shape[1] // norm.num_groups
    scale = (spread + norm.eps).rsqrt().repeat_interleave(each, 1) * norm.weight.float()  # p c
    shift = norm.bias.float() - middle.repeat_interleave(each, 1) * scale
    scale, shift = scale[..., None, None], shift[..., None, None]
    return lambda strip: torch.addcmul(shift, strip.float(), scale).to(x.dtype)


def _rows(x: Tensor, places: int | None) -> int:
    """Rows of a strip: an even number."""
    return x.shape[2] if places is None else max(LEAST, places // x.shape[3] // 2 * 2)


def _empty_like(part: Tensor, height: int) -> Tensor:
    """Room for all strips, laid out as one is."""
    last = part.is_contiguous(memory_format=torch.channels_last)
    pictures, channels, _, width = part.shape
    return torch.empty(
        (pictures, channels, height, width),
        dtype=part.dtype,
        device=part.device,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )
