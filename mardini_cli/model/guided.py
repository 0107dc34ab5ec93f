"""Motion latents: a decoder that warps the given frames, told how they move.

Room: model. Knows no sampler and no files. Ours (``docs/design.md`` of the method: texture comes
from the given frames, the latent says motion). Relatives: flow from intermediate frames refined
coarse to fine, RIFE (Huang et al. 2022) and IFRNet (Kong et al. 2022); matching volumes, PWC-Net
(Sun et al. 2018).

A made frame stands in a gap: two given frames, ``first`` and ``second``, and a place ``tau``
(0 at the first, 1 at the second, beyond them outside). Flow to both starts from a prior, is
refined at 1/16, 1/8, 1/4 and 1/2, and both sides are merged by a mask; a residual adds what
neither side has. The latent enters at 1/8 and reaches flow and mask only.

Dimension key
    b  windows     f  slots     g  given     m  made     n  tokens     c  channels
    h, w  pixels, or rows and columns of a level     p = b * m  made frames of the batch
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mardini_cli.config import GuidedConfig, ModelConfig
from mardini_cli.model import prior
from mardini_cli.model.autoencoder import Autoencoder, Given
from mardini_cli.model.denoiser import patchify
from mardini_cli.model.positions import Grid

STRIDES = (2, 4, 8, 16)
"""Pixels in one cell of each level."""
_SLOPE = 0.1
_KEY = 32  # channels that are compared when frames are matched


class Gap(NamedTuple):
    """Where each made frame stands between (or beyond) its two given frames."""

    first: Tensor
    """``b m``, index into the given frames."""
    second: Tensor
    tau: Tensor
    """``b m``: 0 at the first, 1 at the second."""
    inside: Tensor
    """``b m`` float: 1 between two given frames, 0 where one side is free."""


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
    made: Tensor
    """``b m``, slots of the made frames."""
    gap: Gap
    flow: Tensor
    """The prior projected to every made frame, ``p 4 h w`` at 1/2, working pixels."""
    place_tokens: Tensor
    """``b m n c``: warped features, prior and place of made frames, for the denoiser."""


class Decoded(NamedTuple):
    """A made frame and how it came about, at the working size (for losses)."""

    frames: Tensor
    """``p 3 h w``, at the frames' own size."""
    merged: Tensor
    """Before the residual."""
    flows: list[Tensor]
    """``p 4 h w`` at 1/16, 1/8, 1/4, 1/2 and 1/1, working pixels."""
    masks: list[Tensor]
    """Logits of the first frame's share, ``p 1 h w``, at the same levels."""


def conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution and its activation."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1), nn.LeakyReLU(_SLOPE, inplace=True)
    )


def silent(layer: nn.Conv2d) -> nn.Conv2d:
    """Start a last layer at zero, so that the first step is the classical interpolation."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def warp(image: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Fetch ``image[y + flow_y, x + flow_x]``; both ``p . h w``, flow in pixels of ``image``."""
    h, w = image.shape[-2:]
    ys = torch.arange(h, device=flow.device, dtype=torch.float32).view(1, h, 1)
    xs = torch.arange(w, device=flow.device, dtype=torch.float32).view(1, 1, w)
    x = (xs + flow[:, 0].float()) * (2 / max(w - 1, 1)) - 1
    y = (ys + flow[:, 1].float()) * (2 / max(h - 1, 1)) - 1
    grid = torch.stack((x, y), dim=-1)
    return F.grid_sample(image.float(), grid, mode, padding_mode="border", align_corners=True)


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, antialiased when it shrinks."""
    if tuple(image.shape[-2:]) == size:
        return image
    smaller = size[0] < image.shape[-2]
    work = image.float() if smaller else image  # antialiasing knows no bfloat16 on a CPU
    resized = F.interpolate(work, size, mode="bilinear", align_corners=False, antialias=smaller)
    return resized.to(image.dtype)


def volume(a: Tensor, b: Tensor, radius: int) -> Tensor:
    """Compare each place of ``a`` with those around it in ``b``: ``p c h w`` to ``p k h w``."""
    p, c, h, w = a.shape
    side = 2 * radius + 1
    around = F.unfold(b, side, padding=radius).view(p, c, side * side, h * w)
    return (a.reshape(p, c, 1, h * w) * around).mean(1).view(p, side * side, h, w)


class Pyramid(nn.Module):
    """Features of one frame at 1/2, 1/4, 1/8 and 1/16."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        inside = (3, *widths[:-1])
        self.levels = nn.ModuleList(
            nn.Sequential(conv(i, o, stride=2), conv(o, o))
            for i, o in zip(inside, widths, strict=True)
        )

    def forward(self, frames: Tensor) -> list[Tensor]:
        """``p 3 h w`` in [0, 1] to four levels."""
        levels, x = [], frames * 2 - 1
        for level in self.levels:
            x = level(x)
            levels.append(x)
        return levels


class Refine(nn.Module):
    """One level: reads both warped sides, corrects flow and mask, says how far the prior holds."""

    def __init__(self, inside: int, hidden: int, coarser: int, outside: int) -> None:
        super().__init__()
        self.enter = conv(inside, hidden)
        self.carry = nn.Conv2d(coarser, hidden, 1) if coarser else None
        self.body = nn.ModuleList(
            nn.Sequential(conv(hidden, hidden), conv(hidden, hidden)) for _ in range(2)
        )
        self.leave = silent(nn.Conv2d(hidden, outside, 3, 1, 1))

    def forward(
        self, x: Tensor, coarser: Tensor | None, added: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the state ``p hidden h w`` and the corrections ``p outside h w``, float32."""
        x = self.enter(x)
        if self.carry is not None and coarser is not None:
            x = x + self.carry(F.interpolate(coarser, scale_factor=2, mode="nearest"))
        if added is not None:
            x = x + added
        for block in self.body:
            x = x + block(x)
        return x, self.leave(x).float()


class MotionEncoder(nn.Module):
    """Says what the made frame does that the prior did not: mean and log-variance at 1/8."""

    def __init__(self, config: GuidedConfig) -> None:
        super().__init__()
        cells = (2 * config.radius + 1) ** 2
        self.pictures = nn.Sequential(conv(9, 32, 2), conv(32, 48, 2), conv(48, 64, 2))
        self.mix = nn.Sequential(conv(64 + 2 * cells + 4, 96), conv(96, 64))
        self.leave = nn.Conv2d(64, 2 * config.latent_channels, 3, 1, 1)

    def forward(self, pictures: Tensor, matches: Tensor) -> tuple[Tensor, Tensor]:
        """Both warped sides beside the true frame ``p 9 h w``, and the matching at 1/8."""
        x = self.pictures(pictures)
        mean, spread = self.leave(self.mix(torch.cat((x, matches), 1))).float().chunk(2, 1)
        return mean, spread.clamp(-12, 4)


class Residual(nn.Module):
    """Paints what neither side has; sees warped pictures and features, never the latent."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(36 + 2 * features, hidden), conv(hidden, hidden), conv(hidden, hidden)
        )
        self.leave = silent(nn.Conv2d(hidden, 12, 3, 1, 1))

    def forward(self, pictures: Tensor, features: Tensor) -> Tensor:
        """``p 9 h w`` (both sides and their merge) and features at 1/2 to ``p 3 h w``."""
        x = torch.cat((F.pixel_unshuffle(pictures * 2 - 1, 2), features), 1)
        return F.pixel_shuffle(self.leave(self.body(x)).float(), 2)


class Guided(Autoencoder):
    """The guided autoencoder."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.guided is not None
        guided = self.config = config.guided
        cells = (2 * guided.radius + 1) ** 2
        half, quarter, eighth, coarse = guided.widths
        h2, h4, h8, h16 = guided.hidden
        place = 4 + 1 + 2  # flow, mask logit, tau and whether both sides are given
        self.pyramid = Pyramid(guided.widths)
        self.key8, self.key16 = nn.Conv2d(eighth, _KEY, 1), nn.Conv2d(coarse, _KEY, 1)
        self.refine16 = Refine(2 * coarse + cells + place, h16, 0, 6)
        self.refine8 = Refine(2 * eighth + cells + place, h8, h16, 6)
        self.refine4 = Refine(2 * quarter + place, h4, h8, 6)
        self.refine2 = Refine(2 * half + 6 + place, h2, h4, 20)
        self.told = nn.Conv2d(guided.latent_channels + 2, h8, 3, 1, 1)
        self.planned = silent(nn.Conv2d(config.planner.width, h16, 1))
        self.residual = Residual(half, 64)
        self.encoder = MotionEncoder(guided)
        self.patch = config.denoiser.patch
        self.register_buffer("mean", torch.tensor(guided.mean).view(1, 1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(guided.std).view(1, 1, -1, 1, 1))

    # What the given frames tell ------------------------------------------------------------

    def look(
        self,
        frames: Tensor,
        mask: Tensor,
        times: Tensor,
        work: int | None = None,
        flow: Tensor | None = None,
    ) -> GuidedGiven:
        """See ``Autoencoder.look``.

        Args:
            frames: the given frames, ``b g 3 h w``.
            mask: ``b f``.
            times: ``b f``.
            work: short side at which motion is worked out, pixels; None takes the config's.
            flow: prior flow between neighbouring given frames, ``b g-1 2 2 h w`` in working
                pixels; None works it out (or leaves it at zero, as the config says).
        """
        b, g = frames.shape[:2]
        size = (frames.shape[-2], frames.shape[-1])
        small, inner = self._small(frames, work or self.config.resolution)
        levels = [level.view(b, g, *level.shape[1:]) for level in self.pyramid(small.flatten(0, 1))]
        given, made = slots(mask, g)
        gap = gaps(times.gather(1, given), times.gather(1, made))
        if flow is None:
            flow = self._prior(small)
        half = resize(flow.flatten(0, 3).unsqueeze(1), (small.shape[-2] // 2, small.shape[-1] // 2))
        flow = half.view(b, flow.shape[1], 2, 2, *half.shape[-2:])
        projected = _project(flow, gap)
        coarse = levels[-1]
        rows, cols = coarse.shape[-2:]
        grid = Grid.of_frame(rows, cols, size)
        planner_tokens, planner_grid = self._planner_tokens(coarse, flow, size)
        return GuidedGiven(
            mask=mask,
            times=times,
            size=size,
            planner_tokens=_in_slots(planner_tokens, given, mask.shape[1]),
            planner_grid=planner_grid,
            reference_tokens=_in_slots(coarse.flatten(3).transpose(2, 3), given, mask.shape[1]),
            token_grid=grid,
            latent_shape=(self.config.latent_channels, rows * 2, cols * 2),
            frames=frames,
            small=small,
            work=inner,
            features=tuple(levels),
            made=made,
            gap=gap,
            flow=projected,
            place_tokens=self._place_tokens(coarse, projected, gap),
        )

    def _small(self, frames: Tensor, short: int) -> tuple[Tensor, tuple[int, int]]:
        h, w = frames.shape[-2:]
        scale = min(1.0, short / min(h, w))
        inner = (max(1, round(h * scale)), max(1, round(w * scale)))
        small = resize(frames.flatten(0, 1), inner)
        coarsest = STRIDES[-1]
        below, right = -inner[0] % coarsest, -inner[1] % coarsest
        small = F.pad(small, (0, right, 0, below), mode="replicate")
        return small.view(*frames.shape[:3], *small.shape[-2:]), inner

    def _prior(self, small: Tensor) -> Tensor:
        if self.config.prior == "none":
            b, g, _, h, w = small.shape
            return small.new_zeros(b, max(g - 1, 0), 2, 2, h, w)
        return prior.between_neighbours(small)

    def _planner_tokens(
        self, coarse: Tensor, flow: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Grid]:
        """Pooled features of given frames, and flow to the given ones beside: ``b g n c``."""
        b, g, c = coarse.shape[:3]
        stretch = (size[0] / size[1]) ** 0.5
        rows = max(1, round(self.config.signal_rows * stretch))
        cols = max(1, round(self.config.signal_rows / stretch))
        pooled = F.adaptive_avg_pool2d(coarse.flatten(0, 1), (rows, cols)).view(b, g, c, rows, cols)
        moved = flow.new_zeros(b, g, 4, rows, cols)
        if g > 1:
            extent = flow.new_tensor([2.0 * flow.shape[-1], 2.0 * flow.shape[-2]]).view(1, 2, 1, 1)
            cells = F.adaptive_avg_pool2d(flow.flatten(0, 2), (rows, cols)) / extent
            cells = cells.view(b, g - 1, 2, 2, rows, cols)
            moved[:, :-1, :2], moved[:, 1:, 2:] = cells[:, :, 0], cells[:, :, 1]
        told = torch.cat((pooled, moved.to(pooled.dtype) * 8), 2)
        return told.flatten(3).transpose(2, 3), Grid.of_frame(rows, cols, size)

    def _place_tokens(self, coarse: Tensor, flow: Tensor, gap: Gap) -> Tensor:
        """What the denoiser should know of a made frame's surroundings, beside its noise."""
        b, m = gap.tau.shape
        stride = STRIDES[-1]
        at = resize(flow, (coarse.shape[-2], coarse.shape[-1])) / stride
        first = warp(take(coarse, gap.first), at[:, :2])
        second = warp(take(coarse, gap.second), at[:, 2:])
        place = _maps(gap, coarse.shape[-2:])
        told = torch.cat((first, second, at / 8, place), 1)  # p c h w
        return told.flatten(2).transpose(1, 2).view(b, m, -1, told.shape[1])

    # Latents -----------------------------------------------------------------------------

    def encode(self, made: Tensor, given: Given) -> tuple[Tensor, Tensor]:
        """See ``Autoencoder.encode``; the frames are at the given frames' size."""
        assert isinstance(given, GuidedGiven)
        b, m = made.shape[:2]
        truth, _ = self._small(made, min(given.work))
        truth = truth.flatten(0, 1)
        full = resize(given.flow, (truth.shape[-2], truth.shape[-1]))
        first = warp(take(given.small, given.gap.first), full[:, :2])
        second = warp(take(given.small, given.gap.second), full[:, 2:])
        eighth = given.features[2]
        own = self.pyramid(truth)[2]
        at = resize(given.flow, (own.shape[-2], own.shape[-1])) / STRIDES[2]
        sides = self._sides(eighth, resize(given.flow, _of(own)), given.gap, STRIDES[2])
        own, *keys = (self.key8(features) for features in (own, *sides))
        found = [volume(own, key, self.config.radius) for key in keys]
        matches = torch.cat((*found, (at / 8).to(own.dtype)), 1)
        mean, spread = self.encoder(torch.cat((truth, first, second), 1) * 2 - 1, matches)
        return mean.view(b, m, *mean.shape[1:]), spread.view(b, m, *spread.shape[1:])

    def planner_target(self, made: Tensor, given: Given) -> Tensor:
        """See ``Autoencoder.planner_target``: the true frames' pooled features."""
        assert isinstance(given, GuidedGiven)
        truth, _ = self._small(made, min(given.work))
        grid = given.planner_grid
        coarse = self.pyramid(truth.flatten(0, 1))[-1]
        pooled = F.adaptive_avg_pool2d(coarse, (grid.rows, grid.cols))
        return pooled.flatten(2).transpose(1, 2).unflatten(0, made.shape[:2])

    def noisy_tokens(self, latent: Tensor, given: Given) -> Tensor:
        """See ``Autoencoder.noisy_tokens``."""
        assert isinstance(given, GuidedGiven)
        tokens = patchify(latent, self.patch)
        return torch.cat((tokens, given.place_tokens.to(tokens.dtype)), -1)

    # Pictures ----------------------------------------------------------------------------

    def decode(
        self, latent: Tensor | None, level: Tensor | None, given: Given, signal: Tensor | None
    ) -> Tensor:
        """See ``Autoencoder.decode``."""
        assert isinstance(given, GuidedGiven)
        made = self.trace(latent, level, given, signal).frames
        return made.view(*given.gap.tau.shape, *made.shape[1:])

    def trace(
        self,
        latent: Tensor | None,
        level: Tensor | None,
        given: GuidedGiven,
        signal: Tensor | None,
    ) -> Decoded:
        """Decode, and keep what the losses ask for. A level above 1 stands for no latent."""
        gap = given.gap
        flow = prior16 = resize(given.flow, _of(given.features[3]))
        mask = _logit(gap).expand(-1, 1, *flow.shape[-2:])
        flows, masks = [], []
        trust = torch.ones_like(mask)
        state: Tensor | None = None
        before = prior16
        blocks = (self.refine16, self.refine8, self.refine4)
        for index, block in zip((3, 2, 1), blocks, strict=True):
            features = given.features[index]
            if index < 3:
                held = resize(given.flow, _of(features))
                flow, mask = twice(flow), twice(mask)
                flow = flow + twice(trust) * (held - twice(before))
                before = held
            sides = self._sides(features, flow, gap, STRIDES[index])
            told = [
                *sides,
                *self._match(sides, index),
                flow / STRIDES[index] / 8,
                mask,
                _maps(gap, _of(features)),
            ]
            added = self._added(index, latent, level, given, signal)
            state, change = block(torch.cat([x.to(sides[0].dtype) for x in told], 1), state, added)
            flow = flow + change[:, :4] * STRIDES[index]
            mask = mask + change[:, 4:5]
            trust = torch.sigmoid(change[:, 5:6] + 3)
            flows.append(flow)
            masks.append(mask)
        return self._finish(given, flow, mask, trust, before, state, flows, masks)

    def _finish(
        self,
        given: GuidedGiven,
        flow: Tensor,
        mask: Tensor,
        trust: Tensor,
        before: Tensor,
        state: Tensor | None,
        flows: list[Tensor],
        masks: list[Tensor],
    ) -> Decoded:
        gap, features = given.gap, given.features[0]
        flow = twice(flow) + twice(trust) * (given.flow - twice(before))
        mask = twice(mask)
        sides = self._sides(features, flow, gap, 2)
        halves = F.avg_pool2d(given.small.flatten(0, 1), 2).view(
            *given.small.shape[:3], *_of(features)
        )
        pictures = self._sides(halves, flow, gap, 2)
        told = [*sides, *pictures, flow / 16, mask, _maps(gap, _of(features))]
        _, change = self.refine2(torch.cat([x.to(sides[0].dtype) for x in told], 1), state, None)
        change = F.pixel_shuffle(change, 2)  # p 20 h/2 w/2 to p 5 h w
        flow, mask = twice(flow) + change[:, :4] * 2, twice(mask) + change[:, 4:5]
        flows.append(flow)
        masks.append(mask)
        first, second = self._sides(given.small, flow, gap, 1, "bicubic")
        share = torch.sigmoid(mask)
        merged = share * first + (1 - share) * second
        rest = self.residual(torch.cat((first, second, merged), 1), torch.cat(sides, 1))
        if given.size == given.work:
            h, w = given.size
            merged = merged[..., :h, :w]
            return Decoded(merged + rest[..., :h, :w], merged, flows, masks)
        return self._enlarge(given, flow, mask, rest, flows, masks)

    def _enlarge(
        self,
        given: GuidedGiven,
        flow: Tensor,
        mask: Tensor,
        rest: Tensor,
        flows: list[Tensor],
        masks: list[Tensor],
    ) -> Decoded:
        """Carry motion from the working size to the frames' own, and warp the frames there."""
        h, w = given.work
        scale = flow.new_tensor([given.size[1] / w, given.size[0] / h] * 2).view(1, 4, 1, 1)
        flow = resize(flow[..., :h, :w], given.size) * scale
        share = torch.sigmoid(resize(mask[..., :h, :w], given.size))
        first, second = self._sides(given.frames, flow, given.gap, 1, "bicubic")
        merged = share * first + (1 - share) * second
        return Decoded(merged + resize(rest[..., :h, :w], given.size), merged, flows, masks)

    def _sides(
        self, images: Tensor, flow: Tensor, gap: Gap, stride: int, mode: str = "bilinear"
    ) -> tuple[Tensor, Tensor]:
        """Both given frames (or their features, ``b g c h w``) as seen from the made one."""
        at = flow / stride
        first = warp(take(images, gap.first), at[:, :2], mode)
        second = warp(take(images, gap.second), at[:, 2:], mode)
        return first.to(images.dtype), second.to(images.dtype)

    def _match(self, sides: tuple[Tensor, Tensor], index: int) -> list[Tensor]:
        if index < 2:
            return []
        key = self.key8 if index == 2 else self.key16
        return [volume(key(sides[0]), key(sides[1]), self.config.radius)]

    def _added(
        self,
        index: int,
        latent: Tensor | None,
        level: Tensor | None,
        given: GuidedGiven,
        signal: Tensor | None,
    ) -> Tensor | None:
        """The latent at 1/8, the planner's signal at 1/16."""
        if index == 2:
            return self.told(self._latent_maps(latent, level, given))
        if index == 3 and signal is not None:
            rows = torch.arange(signal.shape[0], device=signal.device).unsqueeze(1)
            made = signal[rows, given.made].flatten(0, 1).transpose(1, 2)  # p d n
            grid = given.planner_grid
            maps = made.reshape(*made.shape[:2], grid.rows, grid.cols)
            return resize(self.planned(maps), _of(given.features[3]))
        return None

    def _latent_maps(
        self, latent: Tensor | None, level: Tensor | None, given: GuidedGiven
    ) -> Tensor:
        """Latent, how noisy it is, and whether it is there at all."""
        c, h, w = given.latent_shape
        b, m = given.gap.tau.shape
        if latent is None or level is None:
            return given.flow.new_zeros(b * m, c + 2, h, w)
        there = (level <= 1).to(latent.dtype).repeat_interleave(m).view(-1, 1, 1, 1)
        noisy = level.to(latent.dtype).repeat_interleave(m).view(-1, 1, 1, 1) * there
        maps = latent.flatten(0, 1) * there
        return torch.cat((maps, noisy.expand(-1, 1, h, w), there.expand(-1, 1, h, w)), 1)


def slots(mask: Tensor, given: int) -> tuple[Tensor, Tensor]:
    """Slots of given and of made frames, ``b g`` and ``b m``, rising; never waits for the device."""
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


def twice(x: Tensor) -> Tensor:
    """Enlarge a level to the next finer one."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _project(flow: Tensor, gap: Gap) -> Tensor:
    p = gap.tau.numel()
    if flow.shape[1] == 0:
        return flow.new_zeros(p, 4, *flow.shape[-2:])
    forward, backward = (take(flow[:, :, way], gap.first) for way in (0, 1))
    return torch.cat(prior.project(forward, backward, gap.tau.flatten()), 1)


def _logit(gap: Gap) -> Tensor:
    """Mask logit to start from: the nearer side wins, the free side never does."""
    tau = gap.tau.flatten()
    return torch.logit((1 - tau).clamp(0.02, 0.98)).view(-1, 1, 1, 1)


def _maps(gap: Gap, size: torch.Size | tuple[int, int]) -> Tensor:
    place = torch.stack((gap.tau.flatten(), gap.inside.flatten()), 1)
    return place.view(-1, 2, 1, 1).expand(-1, 2, *size)


def _in_slots(tokens: Tensor, given: Tensor, count: int) -> Tensor:
    """Lay tokens of given frames, ``b g n c``, into their slots, ``b f n c``; zero elsewhere."""
    out = tokens.new_zeros(tokens.shape[0], count, *tokens.shape[2:])
    rows = torch.arange(tokens.shape[0], device=tokens.device).unsqueeze(1)
    return out.index_put((rows, given), tokens)


def _of(features: Tensor) -> tuple[int, int]:
    return features.shape[-2], features.shape[-1]
