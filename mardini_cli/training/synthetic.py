"""Training windows from photographs: a camera moves over one, cut-outs of others move before it.

Room: training. From a generator alone. Ours.

Dimension key
    b  windows     f  slots     h, w  pixels
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mardini_cli.errors import ConfigError
from mardini_cli.media.bulk import photo_bytes

PHOTOS = (".webp", ".jpg", ".jpeg", ".png")
_SIDE = 400  # of the stored photographs, pixels


def load(folders: Sequence[Path]) -> Tensor:
    """Read every photograph under the folders, ``k 3 s s`` uint8.

    Raises:
        ConfigError: no photograph found.
    """
    paths = sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in PHOTOS
    )
    if not paths:
        raise ConfigError(
            f"no photographs in {', '.join(map(str, folders))}",
            needed=f"files ending in {' '.join(PHOTOS)}",
            do="check photos, or leave it empty",
        )
    with ThreadPoolExecutor() as pool:
        photos = list(pool.map(lambda path: torch.tensor(photo_bytes(path, _SIDE)), paths))
    return torch.stack(photos).permute(0, 3, 1, 2).contiguous()


class PhotoWindows:
    """Draws windows of photographs in motion."""

    def __init__(self, photos: Tensor, slots: int, side: int, layers: int = 3) -> None:
        self.photos, self.slots, self.side, self.layers = photos, slots, side, layers

    def draw(self, count: int, kept: Tensor, rng: torch.Generator) -> Tensor:
        """See ``batches.Windows``."""
        made = self._see(self._pictures(count, rng), self._paths(count, 0, rng)[:, kept])
        for layer in range(1, self.layers):
            there = (torch.rand(count, generator=rng) < 0.7).nonzero().flatten()
            picture, paths = self._pictures(count, rng), self._paths(count, layer, rng)[:, kept]
            shapes = self._shapes(count, rng)
            if len(there):
                share = self._see(shapes[there], paths[there], "zeros")
                share = torch.sigmoid((share - 0.5) * 40)
                seen = self._see(picture[there], paths[there])
                made[there] = made[there] * (1 - share) + seen * share
        made = made * self._light(count, rng)[:, kept]
        return made.mul_(255).round_().clamp_(0, 255).to(torch.uint8)

    def _pictures(self, count: int, rng: torch.Generator) -> Tensor:
        return self.photos[torch.randint(len(self.photos), (count,), generator=rng)].float() / 255

    def _paths(self, count: int, layer: int, rng: torch.Generator) -> Tensor:
        """Affine path of each window's layer, ``b f 2 3``, in the photograph's [-1, 1] frame."""
        time = torch.linspace(-0.5, 0.5, self.slots).view(1, -1)

        def draw(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, 1, generator=rng)

        def curve() -> Tensor:
            bend = draw(-0.6, 0.6)
            return time + bend * (time.square() - 1 / 12) + 0.1 * draw(-1, 1) * torch.sin(6 * time)

        size = self.side / _SIDE
        # Pixels moved over the window, from barely to a quarter of the picture, evenly in log.
        far = torch.exp(draw(0.7, 4.1)) * (1.0 if layer else 0.7) * 2 / _SIDE
        way = draw(0, 2 * torch.pi)
        zoom = torch.exp(draw(-0.15, 0.15) * curve()) * draw(0.75, 1.0)
        turn = draw(-0.25, 0.25) * draw(0, 1) * curve() + draw(-0.2, 0.2)
        room = max(1 - size, 0.05)
        x = draw(-room, room) * 0.6 + far * torch.cos(way) * curve()
        y = draw(-room, room) * 0.6 + far * torch.sin(way) * curve()
        cos, sin = size * zoom * torch.cos(turn), size * zoom * torch.sin(turn)
        return torch.stack((cos, -sin, x, sin, cos, y), -1).view(count, self.slots, 2, 3)

    def _see(self, picture: Tensor, paths: Tensor, padding: str = "reflection") -> Tensor:
        b, f = paths.shape[:2]
        grid = F.affine_grid(paths.flatten(0, 1), [b * f, 3, self.side, self.side], align_corners=False)
        source = picture.repeat_interleave(f, 0)
        kernel = "bicubic" if picture.shape[1] == 3 else "bilinear"  # outlines are soft anyway
        seen = F.grid_sample(source, grid, kernel, padding, align_corners=False)
        return seen.view(b, f, *seen.shape[1:]).clamp(0, 1)

    def _shapes(self, count: int, rng: torch.Generator) -> Tensor:
        """Soft random outlines, one a window: ``b 1 s s``, over 0.5 inside."""
        rough = F.interpolate(
            torch.randn(count, 1, 7, 7, generator=rng), _SIDE, mode="bicubic", align_corners=False
        )
        axis = torch.linspace(-1, 1, _SIDE)
        middle = 0.5 * (torch.rand(count, 2, 1, 1, generator=rng) - 0.5)
        reach = 0.15 + 0.35 * torch.rand(count, 1, 1, generator=rng)
        gap = (axis.view(1, -1, 1) - middle[:, 0]).square() + (axis.view(1, 1, -1) - middle[:, 1]).square()
        return torch.sigmoid(6 * (reach - gap.sqrt()).unsqueeze(1) / reach.unsqueeze(1) + rough)

    def _light(self, count: int, rng: torch.Generator) -> Tensor:
        """A slow change of brightness in a fifth of the windows, ``b f 1 1 1``."""
        time = torch.linspace(-0.5, 0.5, self.slots).view(1, -1)
        change = 0.3 * (torch.rand(count, 1, generator=rng) - 0.5)
        some = (torch.rand(count, 1, generator=rng) < 0.2).float()
        return (1 + some * change * time).view(count, self.slots, 1, 1, 1)
