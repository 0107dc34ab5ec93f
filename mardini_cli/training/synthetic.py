"""Training windows from photographs: a camera moves over one, cut-outs of others move before it.

Room: training. From a generator alone. Ours.

Dimension key
    b  windows     f  slots     h, w  pixels
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mardini_cli.errors import ConfigError, DamagedMediaError
from mardini_cli.media.bulk import photo_bytes
from mardini_cli.training.clips import Drawn, files
from mardini_cli.training.stages import PHOTOS

Picture = NDArray[Any]
Path2x3 = NDArray[np.float32]
STORED = 400
"""Side of the photographs in memory, pixels."""


def load(folders: Sequence[Path]) -> tuple[list[Picture], list[str]]:
    """Read every photograph under the folders, each a square ``s s 3`` uint8.

    Returns:
        The photographs in the order of their names, and the names of files that are none.

    Raises:
        ConfigError: no photograph found.
    """
    paths = files(folders, PHOTOS)
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(_read, paths))
    photos = [photo for photo in read if photo is not None]
    if not photos:
        raise ConfigError(
            f"no photographs in {', '.join(map(str, folders))}",
            needed=f"pictures ending in {' '.join(PHOTOS)}",
            do="check photos, or leave it empty",
        )
    return photos, [path.name for path, photo in zip(paths, read, strict=True) if photo is None]


def _read(path: Path) -> Picture | None:
    try:
        return photo_bytes(path, STORED)
    except DamagedMediaError:
        return None  # named to the user by ``load``


class PhotoWindows:
    """Draws windows of photographs in motion."""

    def __init__(self, photos: Sequence[Picture], slots: int, side: int, layers: int = 3) -> None:
        self.photos, self.slots, self.side, self.layers = photos, slots, side, layers

    def draw(self, count: int, kept: Tensor, rng: torch.Generator, first: int = 0) -> Drawn:
        """See ``batches.Windows``."""
        del first
        made = np.empty((count, len(kept), self.side, self.side, 3), np.uint8)
        light = self._light(count, rng)[:, kept].numpy()
        for layer in range(self.layers):
            picked = torch.randint(len(self.photos), (count,), generator=rng).tolist()
            paths = self._paths(count, layer, rng)[:, kept].numpy()
            shapes = self._shapes(count, rng).numpy() if layer else None
            there = torch.rand(count, generator=rng) < (0.7 if layer else 1.1)
            for window in there.nonzero().flatten().tolist():
                cutout = None if shapes is None else shapes[window]
                for slot, path in enumerate(paths[window]):
                    layered = (self.photos[picked[window]], cutout)
                    made[window, slot] = self.lay(layered, path, made[window, slot])
        lit = np.clip(made * light[..., None, None, None] + 0.5, 0, 255).astype(np.uint8)
        frames = torch.from_numpy(lit).permute(0, 1, 4, 2, 3).contiguous()
        return Drawn(frames, kept.float().expand(count, -1).contiguous())

    def lay(self, layer: tuple[Picture, Picture | None], path: Path2x3, under: Picture) -> Picture:
        """Lay a photograph, or a cut-out of it, before what is seen: ``side side`` or three."""
        photo, cutout = layer
        seen = self.see(photo, path)
        if cutout is None:
            return seen
        share = self.see(cutout, path, cv2.BORDER_CONSTANT)
        return cv2.blendLinear(seen, under, share, 1 - share)

    def see(self, picture: Picture, path: Path2x3, border: int = cv2.BORDER_REFLECT) -> Picture:
        """What a camera on that path sees: ``side side`` of the picture."""
        size = (self.side, self.side)
        soft = picture.dtype == np.float32  # outlines
        how = cv2.INTER_LINEAR if soft else cv2.INTER_CUBIC
        return cv2.warpAffine(
            picture, path, size, flags=how | cv2.WARP_INVERSE_MAP, borderMode=border
        )

    def _paths(
        self, count: int, layer: int, rng: torch.Generator, time: Tensor | None = None
    ) -> Tensor:
        """Where each pixel of a slot lies in the photograph: ``b f 2 3`` affine, pixels.

        Other moments than those of the slots may be asked for: ``1 f``, from -0.5 to 0.5.
        """
        time = torch.linspace(-0.5, 0.5, self.slots).view(1, -1) if time is None else time

        def draw(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, 1, generator=rng)

        def curve() -> Tensor:
            bend = draw(-0.6, 0.6)
            return time + bend * (time.square() - 1 / 12) + 0.1 * draw(-1, 1) * torch.sin(6 * time)

        # Pixels moved over the window, from barely to a quarter of the picture, evenly in log.
        far = torch.exp(draw(0.7, 4.1)) * (1.0 if layer else 0.7)
        way = draw(0, 2 * torch.pi)
        zoom = torch.exp(draw(-0.15, 0.15) * curve()) * draw(0.75, 1.0)
        turn = draw(-0.25, 0.25) * draw(0, 1) * curve() + draw(-0.2, 0.2)
        room = 0.3 * (STORED - self.side)
        x = STORED / 2 + draw(-room, room) + far * torch.cos(way) * curve()
        y = STORED / 2 + draw(-room, room) + far * torch.sin(way) * curve()
        cos, sin = zoom * torch.cos(turn), zoom * torch.sin(turn)
        middle = (self.side - 1) / 2
        rows = (cos, -sin, x - middle * (cos - sin), sin, cos, y - middle * (sin + cos))
        return torch.stack(rows, -1).view(count, -1, 2, 3)

    def _shapes(self, count: int, rng: torch.Generator) -> Tensor:
        """Random outlines, 1 inside, 0 outside, with a soft edge: ``b s s`` float32."""
        return outlines(*self._outline(count, rng), STORED)

    def _outline(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Unevenness ``b 7 7``, middle ``b 2`` and reach ``b`` of random outlines."""
        rough = torch.randn(count, 7, 7, generator=rng)
        middle = 0.5 * (torch.rand(count, 2, generator=rng) - 0.5)
        return rough, middle, 0.15 + 0.35 * torch.rand(count, generator=rng)

    def _light(self, count: int, rng: torch.Generator) -> Tensor:
        """A slow change of brightness in a fifth of the windows, ``b f``."""
        time = torch.linspace(-0.5, 0.5, self.slots).view(1, -1)
        change = 0.3 * (torch.rand(count, 1, generator=rng) - 0.5)
        some = (torch.rand(count, 1, generator=rng) < 0.2).float()
        return 1 + some * change * time


def grey(photo: Picture) -> Picture:
    """The luma of a photograph, ``s s`` uint8."""
    return cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)


def outlines(rough: Tensor, middle: Tensor, reach: Tensor, side: int) -> Tensor:
    """Outlines as pictures, 1 inside, 0 outside, with a soft edge: ``b s s`` float32."""
    uneven = F.interpolate(rough[:, None], side, mode="bicubic", align_corners=False)[:, 0]
    axis = torch.linspace(-1, 1, side, device=rough.device)
    across = axis.view(1, -1, 1) - middle[:, 0].view(-1, 1, 1)
    along = axis.view(1, 1, -1) - middle[:, 1].view(-1, 1, 1)
    away = (across.square() + along.square()).sqrt() / reach.view(-1, 1, 1)
    return torch.sigmoid(8 * (6 * (1 - away) + uneven))
