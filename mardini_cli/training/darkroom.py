"""Photographs in motion, made on the training device: workers draw what shall be seen.

Room: training. The same windows as ``synthetic``'s for the same chance, within the rounding of two
resamplers, and motion blur besides. What moved where is known here: it is the target. The prior is
searched all the same, by the workers, in the given frames alone: a decoder that learns with the
truth for a prior leans on it, and is left alone with what a search finds in a film.

Dimension key
    b  windows    l  layers    f  slots    g  given    k  exposures of a slot
    p = b * m made frames
    s  side of a photograph     h, w  pixels
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mardini_cli.model.warping import gaps, slots
from mardini_cli.training.synthetic import STORED, PhotoWindows, Picture, grey, outlines

EXPOSURES = 3
"""Moments that are averaged where a window is blurred; the middle one is the slot's own time."""
BLURRED = 0.25
"""Share of windows with motion blur."""
SHUTTER = 0.5
"""Longest time that the shutter is open, in steps from slot to slot."""


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
    flow: Tensor | None = None
    """Prior between given neighbours, ``b g-1 2 2 h/2 w/2``, pixels."""

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Change every tensor."""
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{name: change(x) for name, x in told.items() if x is not None})

    def __len__(self) -> int:
        return len(self.picked)


class Sheet(NamedTuple):
    """Windows that are developed."""

    frames: Tensor
    """``b f 3 h w`` in [0, 1], in steps of bytes."""
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

    def given(self, negatives: Negatives) -> NDArray[np.uint8]:
        """What the device will show at given slots, as workers see it: ``b g h w``, bytes of luma.

        At least one window.
        """
        told, index = negatives, (~negatives.mask[0]).nonzero().flatten()
        b, cut = len(told), told.picked.shape[1] - 1  # the first layer is whole
        rough, middle, reach = (
            x[:, 1:].flatten(0, 1) for x in (told.rough, told.middle, told.reach)
        )
        cutouts = outlines(rough, middle, reach, STORED).view(b, cut, STORED, STORED).numpy()
        made = np.empty((b, len(index), self.side, self.side), np.uint8)
        for window, place in np.ndindex(*made.shape[:2]):
            paths = told.paths[window, :, int(index[place])].numpy()  # l k 2 3
            moving = bool((paths != paths[:, :1]).any())
            moments = range(paths.shape[1]) if moving else (0,)
            light = float(told.light[window, index[place]])
            seen = [self._moment(told, window, paths[:, k], cutouts[window]) for k in moments]
            made[window, place] = np.clip(np.mean(seen, 0) * light + 0.5, 0, 255)
        return made

    def _moment(
        self, told: Negatives, window: int, paths: NDArray[np.float32], cutouts: Picture
    ) -> Picture:
        """One exposure of a slot, luma ``h w``; paths are ``l 2 3``, cut-outs ``l-1 s s``."""
        seen = np.empty((self.side, self.side), np.uint8)
        for layer in told.there[window].nonzero().flatten().tolist():
            photo = grey(self.photos[int(told.picked[window, layer])])
            seen = self.lay((photo, cutouts[layer - 1] if layer else None), paths[layer], seen)
        return seen

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
    def develop(self, negatives: Negatives, *, target: bool) -> Sheet:
        """Make the windows.

        Args:
            negatives: what they show, on the device.
            target: whether the true motion is wanted.
        """
        scene, mask = _Scene(self.photos, negatives, self.side), negatives.mask
        frames = torch.stack([scene.frame(slot) for slot in range(mask.shape[1])], 1)
        given = int((~mask[0]).sum()) if len(mask) else 0
        inside, outside = slots(mask, given)
        return Sheet(
            frames,
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
