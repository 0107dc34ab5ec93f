"""Photographs in motion, made on the training device: workers draw what shall be seen, no pixel.

Room: training. The same windows as ``synthetic``'s for the same chance, within the rounding of two
resamplers, and motion blur besides. What moved where is known here, so no flow is searched: the
true motion is the target, and, averaged as DIS averages over its patches, the prior.

Dimension key
    b  windows    l  layers    f  slots    k  exposures of a slot    p = b * m made frames
    s  side of a photograph     h, w  pixels
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from mardini_cli.model.warping import gaps, slots
from mardini_cli.training.synthetic import PhotoWindows, Picture, outlines

EXPOSURES = 3
"""Moments that are averaged where a window is blurred; the middle one is the slot's own time."""
BLURRED = 0.25
"""Share of windows with motion blur."""
SHUTTER = 0.5
"""Longest time that the shutter is open, in steps from slot to slot."""
_PATCH = 5  # places at half size over which the prior is averaged: about DIS's patches


@dataclass(frozen=True, slots=True, eq=False)
class Negatives:
    """What windows of photographs shall show, small enough to come from a worker."""

    picked: Tensor
    """``b l``, numbers of photographs."""
    there: Tensor
    """``b l`` bool: which layers there are; the first always is."""
    paths: Tensor
    """``b l f k 2 3``: where pixels lie in the photographs."""
    rough: Tensor
    """``b l 7 7``, unevenness of the outlines."""
    middle: Tensor
    """``b l 2``"""
    reach: Tensor
    """``b l``"""
    light: Tensor
    """``b f``, brightness."""
    mask: Tensor
    """``b f`` bool, True = to be made."""
    times: Tensor
    """``b f``"""

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Change every tensor."""
        return type(self)(*(change(getattr(self, one.name)) for one in fields(self)))

    def __len__(self) -> int:
        return len(self.picked)


class Sheet(NamedTuple):
    """Windows that are developed."""

    frames: Tensor
    """``b f 3 h w`` in [0, 1], in steps of bytes."""
    flow: Tensor | None
    """Prior between given neighbours, ``b g-1 2 2 h/2 w/2``, pixels."""
    target: Tensor | None
    """From made frames to both of their gaps' frames, ``p 4 h/2 w/2``, pixels."""


class Drafts(PhotoWindows):
    """Draws what windows of photographs shall show."""

    def draft(self, count: int, mask: Tensor, kept: Tensor, rng: torch.Generator) -> Negatives:
        """Draw ``count`` windows, and of each the slots ``kept``; ``mask`` is of all slots."""
        light = self._light(count, rng)[:, kept]
        layers = []
        for layer in range(self.layers):
            picked = torch.randint(len(self.photos), (count,), generator=rng)
            paths = self._paths(count, layer, rng, self._moments())
            paths = paths.unflatten(1, (self.slots, EXPOSURES))[:, kept]
            shape = self._outline(count, rng) if layer else _no_outline(count)
            there = torch.rand(count, generator=rng) < (0.7 if layer else 1.1)
            layers.append((picked, there, paths, *shape))
        picked, there, paths, rough, middle, reach = (
            torch.stack(parts, 1) for parts in zip(*layers, strict=True)
        )
        blurred = torch.rand(count, 1, 1, 1, 1, 1, generator=rng) < BLURRED
        sharp = paths[:, :, :, EXPOSURES // 2 : EXPOSURES // 2 + 1]
        return Negatives(
            picked=picked,
            there=there,
            paths=torch.where(blurred, paths, sharp),
            rough=rough,
            middle=middle,
            reach=reach,
            light=light,
            mask=mask[kept].expand(count, -1).contiguous(),
            times=kept.float().expand(count, -1).contiguous(),
        )

    def _moments(self) -> Tensor:
        """Times of all exposures of a window, ``1 (f k)``, from -0.5 to 0.5."""
        step = 1 / (self.slots - 1)
        own = torch.linspace(-0.5, 0.5, self.slots).view(-1, 1)
        open_ = SHUTTER * step * torch.linspace(-0.5, 0.5, EXPOSURES)
        return (own + open_).view(1, -1)


def _no_outline(count: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.zeros(count, 7, 7), torch.zeros(count, 2), torch.ones(count)


class Darkroom:
    """Develops windows on a device.

    Args:
        photos: the photographs, each a square ``s s 3`` uint8.
        side: of the windows, pixels.
        device: where.
    """

    def __init__(self, photos: Sequence[Picture], side: int, device: torch.device) -> None:
        self.side = side
        stacked = torch.stack([torch.tensor(photo) for photo in photos])
        self.photos = stacked.permute(0, 3, 1, 2).contiguous().to(device)  # n 3 s s

    @torch.no_grad()
    def develop(self, negatives: Negatives, *, flow: bool, target: bool) -> Sheet:
        """Make the windows.

        Args:
            negatives: what they show, on the device.
            flow: whether the prior is wanted.
            target: whether the true motion is wanted.
        """
        scene, mask = _Scene(self.photos, negatives, self.side), negatives.mask
        frames = torch.stack([scene.frame(slot) for slot in range(mask.shape[1])], 1)
        given = int((~mask[0]).sum()) if len(mask) else 0
        inside, outside = slots(mask, given)
        return Sheet(
            frames,
            scene.prior(inside) if flow else None,
            scene.truth(negatives.times, inside, outside) if target else None,
        )


class _Scene:
    """Windows' layers, ready to be looked at."""

    def __init__(self, photos: Tensor, negatives: Negatives, side: int) -> None:
        self.photos, self.told, self.side = photos, negatives, side
        size = photos.shape[-1]
        b, layers = negatives.picked.shape
        self.shapes = outlines(
            negatives.rough.flatten(0, 1),
            negatives.middle.flatten(0, 1),
            negatives.reach.flatten(),
            size,
        ).view(b, layers, 1, size, size)

    def frame(self, slot: int) -> Tensor:
        """What is seen at a slot: ``b 3 h w`` in [0, 1]."""
        paths = self.told.paths[:, :, slot]  # b l k 2 3
        seen = [self._exposed(paths[:, :, k]) for k in range(paths.shape[2])]
        lit = torch.stack(seen).mean(0) * self.told.light[:, slot].view(-1, 1, 1, 1)
        return (lit.clamp(0, 255)).round() / 255

    def _exposed(self, paths: Tensor) -> Tensor:
        where = _pixels(self.side, 1, paths.device)
        out = paths.new_zeros(len(paths), 3, self.side, self.side)
        for layer in range(paths.shape[1]):
            at = _along(paths[:, layer], where)  # b h w 2
            picture = self.photos[self.told.picked[:, layer]].float()
            seen = _sampled(picture, at, "bicubic", "reflection").clamp(0, 255)
            share = self._share(layer, at) if layer else 1.0
            out = share * seen + (1 - share) * out
        return out

    def _share(self, layer: int, at: Tensor) -> Tensor:
        """How much of each pixel a layer covers, ``b 1 h w``."""
        there = self.told.there[:, layer].view(-1, 1, 1, 1)
        return _sampled(self.shapes[:, layer], at, "bilinear", "zeros") * there

    def prior(self, inside: Tensor) -> Tensor:
        """Flow both ways between given neighbours, averaged: ``b g-1 2 2 h/2 w/2``."""
        half = self.side // 2
        found = [inside.new_zeros(len(inside), 0, 2, 2, half, half, dtype=torch.float32)]
        for a, b in pairwise(inside.unbind(1)):
            both = torch.stack((self.flow(a, b), self.flow(b, a)), 1)  # b 2 2 h w
            smooth = F.avg_pool2d(
                both.flatten(0, 1), _PATCH, 1, _PATCH // 2, count_include_pad=False
            )
            found.append(smooth.view_as(both)[:, None])
        return torch.cat(found, 1)

    def truth(self, times: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
        """Flow from made frames to both frames of their gaps: ``p 4 h/2 w/2``."""
        gap = gaps(times.gather(1, inside), times.gather(1, outside))
        found = [
            torch.cat([self.flow(made, inside.gather(1, one)[:, m]) for one in gap[:2]], 1)
            for m, made in enumerate(outside.unbind(1))
        ]
        return torch.stack(found, 1).flatten(0, 1)

    def flow(self, a: Tensor, b: Tensor) -> Tensor:
        """Where the pixels of slot ``a`` stand in slot ``b``, each ``b``: ``b 2 h/2 w/2``."""
        rows = torch.arange(len(a), device=a.device)
        middle = self.told.paths.shape[3] // 2
        here, there = (self.told.paths[rows, :, slot, middle] for slot in (a, b))  # b l 2 3
        where = _pixels(self.side // 2, 2, here.device)
        found = where.new_zeros(len(a), *where.shape)
        for layer in range(here.shape[1]):
            at = _along(here[:, layer], where)
            moved = _back(there[:, layer], at) - where
            seen = self._share(layer, at)[:, 0, :, :, None] > 0.5 if layer else True
            found = torch.where(torch.as_tensor(seen, device=at.device), moved, found)
        return found.permute(0, 3, 1, 2).contiguous()


def _pixels(side: int, step: int, device: torch.device) -> Tensor:
    """Places of cells ``step`` pixels wide: ``h w 2``, x then y, pixels."""
    axis = torch.arange(side, device=device, dtype=torch.float32) * step + (step - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack((x, y), -1)


def _along(path: Tensor, where: Tensor) -> Tensor:
    """Places in a photograph of pixels ``h w 2``: ``b h w 2``."""
    return torch.einsum("bij,hwj->bhwi", path[:, :, :2], where) + path[:, None, None, :, 2]


def _back(path: Tensor, at: Tensor) -> Tensor:
    """Pixels of places in a photograph, ``b h w 2``."""
    turned = torch.linalg.inv(path[:, :, :2])
    return torch.einsum("bij,bhwj->bhwi", turned, at - path[:, None, None, :, 2])


def _sampled(picture: Tensor, at: Tensor, mode: str, beyond: str) -> Tensor:
    """Read a picture ``b c s s`` at places ``b h w 2``, pixels."""
    grid = (2 * at + 1) / picture.shape[-1] - 1
    return F.grid_sample(picture, grid, mode=mode, padding_mode=beyond, align_corners=False)
