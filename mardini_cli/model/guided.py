"""Motion latents: a decoder that warps the given frames, told how they move.

Room: model. Knows no sampler and no files. Ours: texture comes from the given
frames, the latent says motion. Relatives: flow from intermediate frames refined
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

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mardini_cli.config import ModelConfig
from mardini_cli.model import prior
from mardini_cli.model.autoencoder import Autoencoder, Given, Grids
from mardini_cli.model.denoiser import patchify
from mardini_cli.model.motion import Decoded, GuidedGiven, Motion
from mardini_cli.model.painting import inner, merge, painted, singly
from mardini_cli.model.positions import Grid
from mardini_cli.model.refining import STRIDES, MotionEncoder, Pyramid, Refine, Residual, silent
from mardini_cli.model.tiles import TOKEN, Box, blended, boxes
from mardini_cli.model.warping import (
    Gap,
    comparable,
    gaps,
    in_slots,
    place_maps,
    project,
    resize,
    sides,
    size_of,
    slots,
    take,
    volume,
    warp,
)

_KEY = 32  # channels that are compared when frames are matched


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

    def see(self, frames: Tensor, work: int | None = None) -> tuple[Tensor, ...]:
        """See ``Autoencoder.see``: the frames at the working size, their features, their keys."""
        small = self._small(frames.unsqueeze(1), work or self.config.resolution)[0].squeeze(1)
        levels = self.pyramid(small)
        return (small, *levels, *self._keys(levels))

    def between(self, seen: tuple[Tensor, ...]) -> Tensor | None:
        """See ``Autoencoder.between``."""
        flow = self._prior(seen[0])
        return flow.squeeze(1)

    def look(
        self,
        frames: Tensor,
        mask: Tensor,
        times: Tensor,
        work: int | None = None,
        seen: tuple[Tensor, ...] | None = None,
        flow: Tensor | None = None,
    ) -> GuidedGiven:
        """See ``Autoencoder.look``; without a prior in the config its flow is zero."""
        b, g = frames.shape[:2]
        size = size_of(frames)
        if seen is None:
            flat = self.see(frames.flatten(0, 1), work)
            seen = tuple(part.unflatten(0, (b, g)) for part in flat)
        small, levels, keys = seen[0], seen[1 : 1 + len(STRIDES)], seen[1 + len(STRIDES) :]
        inner = working_size(size, work or self.config.resolution)
        given, made = slots(mask, g)
        gap = gaps(times.gather(1, given), times.gather(1, made))
        if flow is None:
            flow = self._prior(small)
        half = resize(flow.flatten(0, 3).unsqueeze(1), (small.shape[-2] // 2, small.shape[-1] // 2))
        flow = half.view(b, flow.shape[1], 2, 2, *half.shape[-2:])
        projected = project(flow, gap)
        coarse = levels[-1]
        rows, cols = coarse.shape[-2:]
        grid = Grid.of_frame(rows, cols, size)
        planner_tokens, planner_grid = self._planner_tokens(coarse, flow, size)
        return GuidedGiven(
            mask=mask,
            times=times,
            size=size,
            planner_tokens=in_slots(planner_tokens, given, mask.shape[1]),
            planner_grid=planner_grid,
            reference_tokens=in_slots(coarse.flatten(3).transpose(2, 3), given, mask.shape[1]),
            token_grid=grid,
            latent_shape=(self.config.latent_channels, rows * 2, cols * 2),
            frames=frames,
            small=small,
            work=inner,
            features=levels,
            keys=keys,
            made=made,
            gap=gap,
            flow=projected,
            place_tokens=self._place_tokens(coarse, projected, gap),
        )

    def _keys(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """What frames are matched by, at 1/8 and 1/16, from all their features ``p c h w``."""
        return comparable(self.key8(levels[2])), comparable(self.key16(levels[3]))

    def _small(self, frames: Tensor, short: int) -> tuple[Tensor, tuple[int, int]]:
        inner = working_size(size_of(frames), short)
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
        at = resize(flow, size_of(coarse)) / stride
        first = warp(take(coarse, gap.first), at[:, :2])
        second = warp(take(coarse, gap.second), at[:, 2:])
        place = place_maps(gap, size_of(coarse))
        told = torch.cat((first, second, at / 8, place), 1)  # p c h w
        return told.flatten(2).transpose(1, 2).view(b, m, -1, told.shape[1])

    # Latents -----------------------------------------------------------------------------

    def encode(self, made: Tensor, given: Given) -> tuple[Tensor, Tensor]:
        """See ``Autoencoder.encode``; the frames are at the given frames' size."""
        assert isinstance(given, GuidedGiven)
        b, m = made.shape[:2]
        truth, _ = self._small(made, min(given.work))
        truth = truth.flatten(0, 1)
        full = resize(given.flow, size_of(truth))
        first, second = sides(given.small, full, given.gap, 1)
        own, _ = self._keys(self.pyramid(truth))
        flow = resize(given.flow, size_of(own))
        keys = sides(given.keys[0], flow, given.gap, STRIDES[2])
        found = [volume(own, key, self.config.radius) for key in keys]
        matches = torch.cat((*found, (flow / STRIDES[2] / 8).to(own.dtype)), 1)
        mean, spread = self.encoder(torch.cat((truth, first, second), 1) * 2 - 1, matches)
        return mean.view(b, m, *mean.shape[1:]), spread.view(b, m, *spread.shape[1:])

    def planner_target(self, made: Tensor, given: Given) -> Tensor:
        """See ``Autoencoder.planner_target``: the true frames' pooled features."""
        assert isinstance(given, GuidedGiven)
        truth, _ = self._small(made, min(given.work))
        grid = given.planner_grid
        coarse = self.pyramid(truth.flatten(0, 1))[-1]
        pooled = F.adaptive_avg_pool2d(coarse, (grid.rows, grid.cols))
        return pooled.flatten(2).transpose(1, 2).view(*made.shape[:2], grid.tokens, -1)

    def condensed(self, given: Given, count: int) -> dict[str, Tensor]:
        """See ``Autoencoder.condensed``; made frames are told of by their prior, ``b m 4 h w``."""
        assert isinstance(given, GuidedGiven)
        flow = resize(given.flow, (given.token_grid.rows, given.token_grid.cols))
        return {**super().condensed(given, count), "flow": flow.unflatten(0, given.made.shape)}

    def expanded(self, told: Mapping[str, Tensor], grids: Grids) -> GuidedGiven:
        """See ``Autoencoder.expanded``. What only the decoder reads stays empty."""
        plain = super().expanded(told, grids)
        reference, flow = told["reference"], told["flow"].flatten(0, 1)
        inside, made = slots(plain.mask, reference.shape[1])
        gap = gaps(plain.times.gather(1, inside), plain.times.gather(1, made))
        coarse = reference.transpose(2, 3).unflatten(3, (grids.tokens.rows, grids.tokens.cols))
        nothing = reference.new_empty(*reference.shape[:2], 3, 0, 0)
        return GuidedGiven(
            **{each.name: getattr(plain, each.name) for each in fields(Given)},
            frames=nothing,
            small=nothing,
            work=(0, 0),
            features=(),
            keys=(),
            made=made,
            gap=gap,
            flow=flow,
            place_tokens=self._place_tokens(coarse.contiguous(), flow, gap),
        )

    def noisy_tokens(self, latent: Tensor, given: Given) -> Tensor:
        """See ``Autoencoder.noisy_tokens``."""
        assert isinstance(given, GuidedGiven)
        tokens = patchify(latent, self.patch)
        return torch.cat((tokens, given.place_tokens.to(tokens.dtype)), -1)

    # Pictures ----------------------------------------------------------------------------

    def decode(
        self,
        latent: Tensor | None,
        level: Tensor | None,
        given: Given,
        signal: Tensor | None,
        tile: int | None = None,
    ) -> Tensor:
        """See ``Autoencoder.decode``. Tiles say flow, mask and residual; all paint once."""
        assert isinstance(given, GuidedGiven)
        grid = given.token_grid

        def believed(box: Box) -> Tensor:
            part = None if latent is None else box.of(latent, self.patch)
            motion, rest, _ = self._believe(part, level, given.cut(box), signal)
            return torch.cat((motion.flow, motion.mask, rest), 1)  # p 8 h w

        parts = ((box, believed(box)) for box in boxes(grid, tile))
        flow, mask, rest = blended(parts, grid, TOKEN).split((4, 1, 3), 1)
        frames = []
        for single in singly(given.gap, flow, mask, rest):
            merged, added = painted(given, *single)
            frames.append(merged + added)
        return torch.stack(frames, 1)  # b m 3 h w

    def trace(
        self,
        latent: Tensor | None,
        level: Tensor | None,
        given: GuidedGiven,
        signal: Tensor | None,
    ) -> Decoded:
        """Decode, and keep what the losses ask for. A level above 1 stands for no latent."""
        motion, rest, merged = self._believe(latent, level, given, signal)
        if given.size == given.work:
            merged, rest = inner(merged, given), inner(rest, given)
        else:
            merged, rest = painted(given, given.gap, motion.flow, motion.mask, rest)
        return Decoded(merged + rest, merged, motion.flows, motion.masks)

    def _believe(
        self,
        latent: Tensor | None,
        level: Tensor | None,
        given: GuidedGiven,
        signal: Tensor | None,
    ) -> tuple[Motion, Tensor, Tensor]:
        """Work out motion, residual and the merge before it, at the working size, padded."""
        motion = Motion.start(given)
        for index, block in zip(
            (3, 2, 1), (self.refine16, self.refine8, self.refine4), strict=True
        ):
            features, stride = given.features[index], STRIDES[index]
            if index < 3:
                motion = motion.enlarged(resize(given.flow, given.level(index)))
            both = sides(features, motion.flow, given.gap, stride, origin=given.origin)
            told = [*both, *self._match(given, motion.flow, index), motion.flow / stride / 8]
            added = self._added(index, latent, level, given, signal)
            state, change = block(_told(told, motion, given.gap), motion.state, added)
            motion = motion.corrected(state, change, stride)
        return self._finish(given, motion.enlarged(given.flow))

    def _finish(self, given: GuidedGiven, motion: Motion) -> tuple[Motion, Tensor, Tensor]:
        """Correct the motion at 1/2, and merge from it at the working size."""
        gap, features, origin = given.gap, given.features[0], given.origin
        both = sides(features, motion.flow, gap, 2, origin=origin)
        halves = F.avg_pool2d(given.small.flatten(0, 1), 2).unflatten(0, given.small.shape[:2])
        pictures = sides(halves, motion.flow, gap, 2, origin=origin)
        told = _told([*both, *pictures, motion.flow / 16], motion, gap)
        _, change = self.refine2(told, motion.state, None)
        motion = motion.sharpened(F.pixel_shuffle(change, 2))  # p 20 h/2 w/2 to p 5 h w
        first, second, merged = merge(given.small, motion.flow, motion.mask, gap, origin)
        rest = self.residual(torch.cat((first, second, merged), 1), torch.cat(both, 1))
        return motion, rest, merged

    def _match(self, given: GuidedGiven, flow: Tensor, index: int) -> list[Tensor]:
        if index < 2:
            return []
        both = sides(given.keys[index - 2], flow, given.gap, STRIDES[index], origin=given.origin)
        return [volume(*both, self.config.radius)]

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
            told: Tensor = self.told(self._latent_maps(latent, level, given))
            return told
        if index == 3 and signal is not None:
            rows = torch.arange(signal.shape[0], device=signal.device).unsqueeze(1)
            made = signal[rows, given.made].flatten(0, 1).transpose(1, 2)  # p d n
            grid = given.planner_grid
            maps = made.reshape(*made.shape[:2], grid.rows, grid.cols)
            whole = resize(self.planned(maps), size_of(given.features[3]))
            return given.box.of(whole, 1) if given.box else whole
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


def working_size(size: tuple[int, int], short: int) -> tuple[int, int]:
    """The working size of frames: their short side at most ``short``."""
    scale = min(1.0, short / min(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _told(seen: list[Tensor], motion: Motion, gap: Gap) -> Tensor:
    """What a refining block reads: what is seen, then mask and place; in the features' dtype."""
    parts = [*seen, motion.mask, place_maps(gap, size_of(motion.flow))]
    return torch.cat([part.to(seen[0].dtype) for part in parts], 1)
