"""Where made frames stand, and given frames as seen from there.

Room: model. Pure functions of tensors: no weights, no files, no random numbers.
Flow is in pixels: ``image[y + flow_y, x + flow_x]`` is what a place sees. Two flows side by side
are four channels: x, y to the first given frame of a gap, then x, y to the second.

Dimension key
    b  windows     f  slots     g  given     m  made     n  tokens     c  channels
    h, w  pixels, or rows and columns of a level     k  cells of a matching volume
    p  images: made frames of the batch, p = b * m, wherever a gap is told
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mardini_cli.model import prior


class Gap(NamedTuple):
    """Where each made frame stands between (or beyond) its two given frames."""

    first: Tensor
    """``b m``, index into the given frames."""
    second: Tensor
    tau: Tensor
    """``b m``: 0 at the first, 1 at the second."""
    inside: Tensor
    """``b m`` float: 1 between two given frames, 0 where one side is free."""


def slots(mask: Tensor, given: int) -> tuple[Tensor, Tensor]:
    """Slots of given and of made frames, ``b g`` and ``b m``, rising.

    Never waits for the device: how many are given is told, not counted.
    """
    order = mask.to(torch.uint8).argsort(dim=1, stable=True)
    return order[:, :given], order[:, given:]


def gaps(given: Tensor, made: Tensor) -> Gap:
    """Find the two given frames of every made one: around it, or the nearest two on one side.

    Args:
        given: ``b g``, times of given frames, rising.
        made: ``b m``, times of made frames.
    """
    given, made = given.float().contiguous(), made.float().contiguous()
    count = given.shape[1]
    after = torch.searchsorted(given, made)
    first = (after - 1).clamp(0, max(count - 2, 0))
    second = (first + 1).clamp(max=count - 1)
    start, end = given.gather(1, first), given.gather(1, second)
    span = (end - start) if count > 1 else torch.ones_like(start)
    tau = (made - start) / span
    inside = ((tau > 0) & (tau < 1)).float() if count > 1 else torch.zeros_like(tau)
    return Gap(first, second, tau, inside)


def take(images: Tensor, index: Tensor) -> Tensor:
    """Pick given frames for made ones: ``b g c h w`` by ``b m`` to ``p c h w``."""
    rows = torch.arange(images.shape[0], device=images.device).unsqueeze(1)
    return images[rows, index].flatten(0, 1)


def warp(image: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Fetch ``image[y + flow_y, x + flow_x]``, ``p . h w``; flow in pixels of ``image``.

    The flow may cover a smaller map than the image: what comes back is as large as the flow.
    """
    h, w = image.shape[-2:]
    rows, cols = flow.shape[-2:]
    ys = torch.arange(rows, device=flow.device, dtype=torch.float32).view(1, rows, 1)
    xs = torch.arange(cols, device=flow.device, dtype=torch.float32).view(1, 1, cols)
    x = (xs + flow[:, 0].float()) * (2 / max(w - 1, 1)) - 1
    y = (ys + flow[:, 1].float()) * (2 / max(h - 1, 1)) - 1
    grid = torch.stack((x, y), dim=-1)
    return F.grid_sample(image.float(), grid, mode, padding_mode="border", align_corners=True)


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, antialiased when it shrinks."""
    if tuple(image.shape[-2:]) == size:
        return image
    if not len(image):  # flow where one frame is given: CUDA's kernels take no empty batch
        return image.new_empty(*image.shape[:-2], *size)
    smaller = size[0] < image.shape[-2]
    work = image.float() if smaller else image  # antialiasing knows no bfloat16 on a CPU
    resized = F.interpolate(work, size, mode="bilinear", align_corners=False, antialias=smaller)
    return resized.to(image.dtype)


def twice(x: Tensor) -> Tensor:
    """Enlarge a level to the next finer one."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def comparable(keys: Tensor) -> Tensor:
    """Make what is matched comparable: centred over the frame, of one length at each place.

    Without it, what all places share drowns what tells them apart, and products say nothing. The
    length is such that products of unrelated keys vary by about one. ``p c h w``.
    """
    centred = keys.float() - keys.float().mean((2, 3), keepdim=True)
    unit: Tensor = F.normalize(centred, dim=1, eps=1e-3)  # a flat picture's rounding stays small
    return unit.mul(keys.shape[1] ** 0.25).to(keys.dtype)


def volume(a: Tensor, b: Tensor, radius: int) -> Tensor:
    """Products of each place of ``a`` with those around it in ``b``: ``p c h w`` to ``p k h w``."""
    p, c, h, w = a.shape
    side = 2 * radius + 1
    around = F.unfold(b, side, padding=radius).view(p, c, side * side, h * w)
    return (a.reshape(p, c, 1, h * w) * around).sum(1).view(p, side * side, h, w)


def project(flow: Tensor, gap: Gap) -> Tensor:
    """Flow from every made frame to both its given ones, from flow between those.

    Args:
        flow: between neighbouring given frames, forward and backward, ``b g-1 2 2 h w``.
        gap: where the made frames stand.

    Returns:
        ``p 4 h w``; zero where one frame alone is given.
    """
    if flow.shape[1] == 0:
        return flow.new_zeros(gap.tau.numel(), 4, *flow.shape[-2:])
    forward, backward = (take(flow[:, :, way], gap.first) for way in (0, 1))
    return torch.cat(prior.project(forward, backward, gap.tau.flatten()), 1)


def sides(
    images: Tensor,
    flow: Tensor,
    gap: Gap,
    stride: int,
    mode: str = "bilinear",
    origin: tuple[int, int] = (0, 0),
) -> tuple[Tensor, Tensor]:
    """See both given frames of every gap from the made one's place.

    Args:
        images: given frames or their features, ``b g c h w``, one cell = ``stride`` pixels.
        flow: ``p 4 h w``, pixels.
        gap: which two of them.
        stride: pixels in one cell of ``images``.
        mode: how ``grid_sample`` reads between cells.
        origin: row and column of the flow's first place in the images, pixels.

    Returns:
        Each ``p c h w``, in the dtype of ``images``.
    """
    at = flow / stride
    if any(origin):
        at = at + at.new_tensor([origin[1], origin[0]] * 2).view(1, 4, 1, 1) / stride
    first = warp(take(images, gap.first), at[:, :2], mode)
    second = warp(take(images, gap.second), at[:, 2:], mode)
    return first.to(images.dtype), second.to(images.dtype)


def share_logit(gap: Gap) -> Tensor:
    """Logit of the first frame's share by time alone, ``p 1 1 1``; neither side ever vanishes."""
    tau = gap.tau.flatten()
    return torch.logit((1 - tau).clamp(0.02, 0.98)).view(-1, 1, 1, 1)


def place_maps(gap: Gap, size: tuple[int, int]) -> Tensor:
    """Tau, and whether both sides are given, at every place: ``p 2 h w``."""
    place = torch.stack((gap.tau.flatten(), gap.inside.flatten()), 1)
    return place.view(-1, 2, 1, 1).expand(-1, 2, *size)


def in_slots(tokens: Tensor, given: Tensor, count: int) -> Tensor:
    """Lay tokens of given frames, ``b g n c``, into their slots, ``b f n c``; zero elsewhere."""
    out = tokens.new_zeros(tokens.shape[0], count, *tokens.shape[2:])
    rows = torch.arange(tokens.shape[0], device=tokens.device).unsqueeze(1)
    return out.index_put((rows, given), tokens)


def size_of(image: Tensor) -> tuple[int, int]:
    """Height and width."""
    return image.shape[-2], image.shape[-1]
