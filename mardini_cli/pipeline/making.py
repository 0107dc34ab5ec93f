"""The model over windows: given pictures in, made pictures out.

Room: pipeline. Knows no files.

Dimension key
    b  windows in the batch    g  given, m  made slots of a window    c  latent channels
    h, w  pixels, or latent rows and columns
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from mardini_cli.config import SamplerConfig
from mardini_cli.diffusion.sampler import guided_velocity, needs, noise_for, sample
from mardini_cli.errors import MadeFrameError, MemoryLimitError
from mardini_cli.events import Warned
from mardini_cli.model.autoencoder import Given
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.tiles import side_for
from mardini_cli.model.vae import Vae
from mardini_cli.pipeline import faults
from mardini_cli.pipeline.desk import Picture
from mardini_cli.pipeline.joins import matched
from mardini_cli.pipeline.memory import Fit, frugal
from mardini_cli.pipeline.settings import MakeSettings
from mardini_cli.pipeline.settling import lengthened, precision
from mardini_cli.pipeline.sight import Sight
from mardini_cli.pipeline.still import hold_still
from mardini_cli.tasks.plan import Slot, Window

NO_MEMORY = "can't allocate memory"
"""What torch says on a CPU; there is no class for it."""


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

    def __init__(
        self,
        model: MarDini,
        settings: MakeSettings,
        sight: Sight | None = None,
        fit: Fit | None = None,
    ) -> None:
        self.model, self.settings = model, settings
        self.sight = sight
        self.fit: Fit | None = None
        if fit is not None:
            self._take(fit)
        self.device = next(model.parameters()).device
        self._frames = torch.empty(0)
        self.noted = 0  # windows made so far: names the window in an error
        self.notices: list[Warned] = []  # what was wrong and let pass, or was cured

    def __call__(
        self, windows: Sequence[Window], pictures: Sequence[Sequence[Picture]]
    ) -> list[tuple[Slot, Picture]]:
        """Make every made slot of windows of one size.

        What does not fit into memory is tried again in smaller batches, then in smaller tiles.

        Args:
            windows: alike in how many of their slots are given, and how many made.
            pictures: for each window its given frames, in slot order.

        Raises:
            MadeFrameError: what was made twice is no picture that goes with the given ones.
            MemoryLimitError: a single window in the smallest tiles does not fit.
        """
        out: list[tuple[Slot, Picture]] = []
        done = 0
        while done < len(windows):
            count = min(self.fit.batch if self.fit else len(windows), len(windows) - done)
            part = slice(done, done + count)
            made = self._tried(windows[part], pictures[part])
            if made is None:
                self._shrink(count)
            else:
                out += made
                done += count
        return out

    def _tried(
        self, windows: Sequence[Window], pictures: Sequence[Sequence[Picture]]
    ) -> list[tuple[Slot, Picture]] | None:
        """Make the frames of windows; None where the memory is too small."""
        try:
            # Kernels that are compiled or timed on the way go by the thread's current device.
            with torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext():
                made = self._recorded(windows, pictures)
        except RuntimeError as error:
            if not (isinstance(error, torch.OutOfMemoryError) or NO_MEMORY in str(error)):
                raise
        else:
            return made
        # Outside the clause: the error holds on to all tensors of the frames it went through.
        if self.model.graphs is not None:
            self.model.graphs.forget()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _recorded(
        self, windows: Sequence[Window], pictures: Sequence[Sequence[Picture]]
    ) -> list[tuple[Slot, Picture]]:
        """Run windows, with recorded steps where the model has such."""
        graphs = self.model.graphs
        if graphs is None or not self.settings.sampler.steps:
            return self._run(windows, pictures)
        shape = len(windows), len(windows[0].given), len(windows[0].made), pictures[0][0].shape
        with graphs.window((shape, self.settings, self.fit)):
            made = self._run(windows, pictures)
        if told := graphs.complaint():
            message = f"CUDA graphs are left out: {told}; frames stay the same, and take longer"
            self.notices.append(Warned(code="compile", message=message))
        return made

    def _shrink(self, count: int) -> None:
        tile = self.settings.tile
        wish = self.fit or Fit(
            tile=tile if isinstance(tile, int) else None, graphs=self.model.graphs is not None
        )
        fit = frugal(wish, count)
        if fit is None:
            raise MemoryLimitError(
                f"a single window in tiles of {wish.tile} pixels does not fit into memory",
                needed="more memory, or less to be done at once",
                do="try a smaller --resolution, or --device cpu",
            )
        self._take(fit)
        how = f"tiles of {fit.tile} pixels" if count == 1 else f"{fit.batch} windows at once"
        told = f"out of memory with {count} windows at once; going on with {how}"
        self.notices.append(Warned(code="memory", message=told))

    def _take(self, fit: Fit) -> None:
        self.fit = fit
        if self.model.graphs is not None and not fit.graphs and self.settings.sampler.steps:
            self.model.graphs.refuse("there is too little memory for them")
        if isinstance(self.model.autoencoder, Vae):
            self.model.autoencoder.pixels_at_once = fit.pixels_at_once

    @torch.inference_mode()
    def _run(
        self, windows: Sequence[Window], pictures: Sequence[Sequence[Picture]]
    ) -> list[tuple[Slot, Picture]]:
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
            with self._planner_away():
                tile = self._tile(given)
                made = paint(self.model, given, signal, self.settings.sampler, slots, tile).float()
        first = 0
        for places, alike in groupby(window.mask for window in windows):
            rows = slice(first, first := first + sum(1 for _ in alike))
            hold_still(made[rows], frames[rows], places, times[rows])
        return made

    def _tile(self, given: Given) -> int | None:
        if self.fit:
            return self.fit.tile
        tile = self.settings.tile
        return side_for(given.token_grid) if tile == "auto" else tile

    @contextmanager
    def _planner_away(self) -> Iterator[None]:
        """Keep the planner's weights in the processor's memory, where the fit asks for it."""
        if self.fit is None or not self.fit.offload:
            yield
            return
        self.model.planner.to("cpu")
        try:
            yield
        finally:
            self.model.planner.to(self.device)

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
            exact = replace(self.settings, dtype=torch.float32)
            again = Maker(lengthened(self.model), exact, fit=self.fit)
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
            self.notices.append(Warned(code="made-frame", message=f"{told}: {cure}"))
        self.noted += len(windows)
        return made
