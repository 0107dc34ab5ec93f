"""The model as a method: made frames of many windows at once, at any number of sampling steps.

Room: evaluation. No files. The noise of a made frame follows from (seed, slot in the whole
folder), so a window scores the same alone, in any batch and beside any other method.

The ceiling tells the decoder the true frames' own latents: no sample can do better with it.

Dimension key
    b  windows    f  slots    g  given, m  made slots    h, w  pixels
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from mardini_cli.config import SamplerConfig
from mardini_cli.errors import MadeFrameError
from mardini_cli.evaluation.excerpts import Excerpt
from mardini_cli.evaluation.protocols import Protocol
from mardini_cli.model.autoencoder import Given
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import Picture, hold_still, matched, paint
from mardini_cli.tasks.plan import Slot, Window
from mardini_cli.tasks.windows import arrange

CEILING = "ceiling"


def method_name(steps: int) -> str:
    """Name of the model's rows at so many sampling steps."""
    return f"ours-{steps}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Maker:
    """A model and how it is run."""

    model: MarDini
    device: torch.device
    dtype: torch.dtype
    """Number type of the networks; metrics stay in float32 whatever it is."""
    seed: int

    @torch.inference_mode()
    def make(
        self,
        excerpts: Sequence[Excerpt],
        protocol: Protocol,
        steps: Sequence[int],
        *,
        ceiling: bool = False,
    ) -> dict[str, Tensor]:
        """Make the missing frames once for each number of sampling steps.

        Where the protocol has more slots than the model's window, windows follow one another as in
        every command, each on frames that those before it made.

        Returns:
            By method's name: ``b m 3 h w``, float32 in [0, 1], on the device.

        Raises:
            MadeFrameError: a pixel is NaN or infinite.
        """
        true = torch.stack([excerpt.frames for excerpt in excerpts]).to(self.device)
        asked = [*steps, *([None] if ceiling else [])]
        windows = _windows(protocol, self.model.config.window)
        made = list(protocol.made)
        if len(windows) == 1:
            return self._window(excerpts, true, true, windows[0], asked)
        found = {}
        for count in asked:
            frames = true.clone()
            for window in windows:
                ((name, part),) = self._window(excerpts, true, frames, window, [count]).items()
                _join(frames, part, window)
            found[name] = frames[:, made]
        return found

    def _window(
        self,
        excerpts: Sequence[Excerpt],
        true: Tensor,
        frames: Tensor,
        window: Window,
        asked: Sequence[int | None],
    ) -> dict[str, Tensor]:
        """Make a window's frames for each number of steps; None stands for the ceiling.

        Args:
            excerpts: the windows of the protocol.
            true: their frames, ``b f 3 h w``.
            frames: the same, with those that earlier windows made.
            window: of the model.
            asked: numbers of steps.
        """
        b, slots = true.shape[:2]
        mask = torch.tensor(window.mask, device=self.device).expand(b, -1)
        times = torch.tensor(window.positions(), device=self.device).expand(b, -1)
        places = [slot.index for slot in window.made]
        known = frames[:, [slot.index for slot in window.given]]
        numbers = [[one.ordinal * slots + place for place in places] for one in excerpts]
        made = {}
        low = self.dtype != torch.float32
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=low):
            given = self.model.look(known, mask, times)
            signal = self.model.plan(given)
            for count in asked:
                if count is None:
                    made[CEILING] = self._told(true[:, places], given, signal)
                    continue
                sampler = SamplerConfig(steps=count, seed=self.seed)
                made[method_name(count)] = paint(self.model, given, signal, sampler, numbers)
        checked = {name: self._checked(result, name) for name, result in made.items()}
        for name, result in checked.items():
            if name != CEILING:  # as the pipeline does with what it makes
                hold_still(result, known, window.mask, times)
        return checked

    def _told(self, true: Tensor, given: Given, signal: Tensor) -> Tensor:
        """Decode the true frames' own latents."""
        autoencoder = self.model.autoencoder
        latent, _ = autoencoder.encode(true, given)
        level = torch.zeros(len(true), device=self.device)
        return self.model.decode(autoencoder.normalise(latent), level, given, signal)

    def _checked(self, made: Tensor, name: str) -> Tensor:
        if not bool(made.isfinite().all()):
            raise MadeFrameError(
                f"NaN or infinity in made frames of {name}",
                needed="finite pixels",
                do="try --dtype fp32, or other weights",
            )
        return made.float().clamp(0, 1)


def _windows(protocol: Protocol, size: int) -> tuple[Window, ...]:
    """The model's windows over a protocol's slots, in the order of making."""
    slots = tuple(
        Slot(place, Fraction(place), place if place in protocol.given else None)
        for place in range(protocol.slots)
    )
    return (Window(slots),) if protocol.slots <= size else arrange(slots, size)


def _join(frames: Tensor, made: Tensor, window: Window) -> None:
    """Put a window's made frames, ``b m 3 h w``, into a longer row, as ``extend`` does."""
    for row, frame in enumerate(made):
        given = [_picture(frames[row, slot.index]) for slot in window.given]
        pictures = [(s, _picture(one)) for s, one in zip(window.made, frame, strict=True)]
        for slot, picture in matched(window, given, pictures):
            frames[row, slot.index] = torch.from_numpy(picture).permute(2, 0, 1)


def _picture(frame: Tensor) -> Picture:
    picture: Picture = frame.permute(1, 2, 0).cpu().numpy()
    return picture
