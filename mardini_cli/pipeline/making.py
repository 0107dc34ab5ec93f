"""The model over windows: given pictures in, made pictures out.

Room: pipeline. Knows no files.

Dimension key
    b  windows in the batch    g  given, m  made slots of a window    c  latent channels
    h, w  pixels, or latent rows and columns
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from mardini_cli.config import SamplerConfig
from mardini_cli.diffusion.sampler import guided_velocity, needs, noise_for, sample
from mardini_cli.errors import MadeFrameError
from mardini_cli.media.probe import ClipInfo
from mardini_cli.model.autoencoder import Given
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.tiles import side_for
from mardini_cli.pipeline import faults
from mardini_cli.pipeline.desk import Picture
from mardini_cli.pipeline.joins import matched
from mardini_cli.pipeline.settling import lengthened, precision
from mardini_cli.pipeline.sight import Sight
from mardini_cli.pipeline.still import hold_still
from mardini_cli.tasks.plan import Plan, Slot, Window

LARGEST_BATCH = 16
"""Windows made at once on a GPU at most; more bring no speed."""
GUIDED_BYTES, VAE_BYTES = 1000, 8000
"""Memory of a window for each pixel of each slot, by autoencoder; generous. ``tiny`` took 460 at
512 x 288 and 96 at 1920 x 1080."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeSettings:
    """How the model is run; what it is given is the plan's affair."""

    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    dtype: torch.dtype = torch.float32
    """Number type of the networks; flow, grids and the last merge stay float32."""
    resolution: int | None = None
    """Short side at which the model works out motion, pixels; None leaves it to the model."""
    batch: int | None = None
    """Windows made at once; None takes what suits the device. Changes no frame."""
    tile: int | Literal["auto"] | None = "auto"
    """Side of the tiles that denoiser and decoder work on, working pixels; None: the whole frame,
    ``auto``: the whole unless it is very large."""
    match: bool = False
    """Hold the mean colour of frames that roll on from given ones (``joins.matched``)."""
    strict: bool = True
    """Refuse made frames that cannot be right; else tell of them. NaN and infinity never pass."""


def sampled(
    model: MarDini,
    given: Given,
    signal: Tensor,
    sampler: SamplerConfig,
    slots: Sequence[Sequence[int]],
    tile: int | None = None,
) -> Tensor | None:
    """Sample the latents of a batch of windows, if there are steps; see ``paint``.

    Returns:
        Clean latents ``b m c h w``, float32, or None.
    """
    if not sampler.steps:
        return None
    heard = [signal if with_signal else None for with_signal in needs(sampler.guidance)]
    kept = model.keep(given, heard, tile)
    shape = given.latent_shape
    noise = torch.stack(
        [torch.stack([noise_for(sampler.seed, slot, shape) for slot in row]) for row in slots]
    ).to(signal.device)  # b m c h w
    guided = guided_velocity(partial(model.velocities, kept=kept), sampler.guidance)
    return sample(guided, noise, sampler.steps)


def paint(
    model: MarDini,
    given: Given,
    signal: Tensor,
    sampler: SamplerConfig,
    slots: Sequence[Sequence[int]],
    tile: int | None = None,
) -> Tensor:
    """Sample the made frames of a batch of windows, if there are steps, and decode them.

    Args:
        model: the networks.
        given: what the model found in the windows.
        signal: the planner's.
        sampler: steps, guidance, seed.
        slots: for each window the places of its made frames in the whole job: their noise.
        tile: side of the tiles that the networks work on, working pixels; None: the whole.

    Returns:
        ``b m 3 h w``, RGB, not clamped.
    """
    latent = sampled(model, given, signal, sampler, slots, tile)
    level = None if latent is None else torch.zeros(len(slots), device=signal.device)
    return model.decode(latent, level, given, signal, tile)


class Maker:
    """The model, run over batches of windows.

    Args:
        model: settled for the settings' number type.
        settings: how it is run.
        sight: what is known of a job's given frames; None looks at every window anew.
    """

    def __init__(self, model: MarDini, settings: MakeSettings, sight: Sight | None = None) -> None:
        self.model, self.settings = model, settings
        self.sight = sight
        self.device = next(model.parameters()).device
        self._frames = torch.empty(0)
        self.noted = 0  # windows made so far: names the window in an error
        self.notices: list[str] = []  # what was wrong and let pass, or was cured

    def batch_size(self, plan: Plan, info: ClipInfo, makers: int = 1) -> int:
        """One window on a CPU, whose cores one window keeps busy; what memory allows on a GPU.

        Args:
            plan: whose windows shall be made.
            info: of the frames.
            makers: how many share the device.
        """
        if self.device.type != "cuda" or not plan.windows:
            return 1
        pixels = max(len(window.slots) for window in plan.windows) * info.width * info.height
        needed = pixels * (GUIDED_BYTES if self.model.config.guided else VAE_BYTES)
        free, _ = torch.cuda.mem_get_info(self.device)
        return int(max(1, min(LARGEST_BATCH, free // (needed * makers))))

    @torch.inference_mode()
    def __call__(
        self, windows: Sequence[Window], pictures: Sequence[Sequence[Picture]]
    ) -> list[tuple[Slot, Picture]]:
        """Make every made slot of windows of one shape.

        Args:
            windows: alike in their masks.
            pictures: for each window its given frames, in slot order.

        Raises:
            MadeFrameError: what was made twice is no picture that goes with the given ones.
        """
        frames = self._batch(pictures).to(self.device)
        made = self._checked(self._made(windows, frames), frames, windows)
        pixels = made.clamp_(0, 1).cpu().permute(0, 1, 3, 4, 2).numpy()  # b m h w c, a view
        out = []
        for row, window in enumerate(windows):
            frames_made = [(slot, pixels[row, n]) for n, slot in enumerate(window.made)]
            if self.settings.match:
                frames_made = matched(window, pictures[row], frames_made)
            out += frames_made
        return out

    def _made(self, windows: Sequence[Window], frames: Tensor) -> Tensor:
        """Make frames, ``b g c h w`` to ``b m c h w`` float32, not clamped, with their alpha."""
        made = self._make(windows, frames[:, :, :3])
        if frames.shape[2] == 4:
            # Alpha moves as the picture does: it is made as a gray picture of its own.
            alpha = self._make(windows, frames[:, :, 3:].expand(-1, -1, 3, -1, -1), "alpha")
            made = torch.cat([made, alpha.mean(2, keepdim=True)], 2)
        return made

    def _make(self, windows: Sequence[Window], frames: Tensor, kind: str = "colour") -> Tensor:
        """Make frames from RGB, ``b g 3 h w``: ``b m 3 h w`` float32, not clamped."""
        mask = torch.tensor([window.mask for window in windows], device=self.device)
        times = torch.tensor([window.positions() for window in windows], device=self.device)
        with precision(self.model, self.settings.dtype):
            given = (
                self.sight.look(windows, frames, mask, times, kind)
                if self.sight
                else self.model.look(frames, mask, times, self.settings.resolution)
            )
            slots = [[slot.index for slot in window.made] for window in windows]
            signal = self.model.plan(given)
            tile = self.settings.tile
            side = side_for(given.token_grid) if tile == "auto" else tile
            made = paint(self.model, given, signal, self.settings.sampler, slots, side).float()
        hold_still(made, frames, windows[0].mask, times)
        return made

    def _batch(self, pictures: Sequence[Sequence[Picture]]) -> Tensor:
        """Windows of ``h w 3`` to ``b g 3 h w``, in memory that the next batch uses again.

        The system clears fresh memory page by page, which takes longer than the copying.
        """
        planar = [torch.from_numpy(p).permute(2, 0, 1) for row in pictures for p in row]
        shape = (len(planar), *planar[0].shape)
        if self._frames.shape != shape:
            self._frames = torch.empty(shape)
        torch.stack(planar, out=self._frames)
        batch: Tensor = self._frames.unflatten(0, (len(pictures), -1))  # (b g) 3 h w
        return batch

    def _checked(self, made: Tensor, frames: Tensor, windows: Sequence[Window]) -> Tensor:
        """Look for faults; what has some is made once more, alone and in float32.

        Raises:
            MadeFrameError: that did not help.
        """
        for row, window in enumerate(windows):
            found = faults.find(window, frames[row], made[row])
            if not found:
                continue
            number = self.noted + row
            # Nothing that was found in shorter numbers is used again.
            again = Maker(lengthened(self.model), replace(self.settings, dtype=torch.float32))
            made[row] = again._made([window], frames[row : row + 1])[0]
            left = faults.find(window, frames[row], made[row])
            told = f"window {number}: {'; '.join(map(str, left or found))}"
            if left and (self.settings.strict or not made[row].isfinite().all()):
                raise MadeFrameError(
                    f"{told}, twice, the second time in float32",
                    needed="pictures like the given ones",
                    do=left[0].advice,
                )
            cure = "kept, since faults are let pass" if left else "cured by making it in float32"
            self.notices.append(f"{told}: {cure}")
        self.noted += len(windows)
        return made
