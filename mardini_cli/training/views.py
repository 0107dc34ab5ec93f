"""Fixed held-out windows, made again and again while a run goes: sheets to look at, and figures.

Room: training. The same windows, noise and places every time, so that two sheets of a run, or of
two runs on the same clips, can be laid side by side. Changes nothing that training rests on.

Dimension key
    b  windows    f  slots    m  made    h, w  pixels
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mardini_cli.config import SamplerConfig
from mardini_cli.evaluation import metrics
from mardini_cli.media.sheet import contact_sheet, framed, shrunk
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import paint
from mardini_cli.pipeline.looking import GIVEN, MADE
from mardini_cli.training.stages import Kind
from mardini_cli.training.stepping import autocast

FOLDER = "sheets"
"""Of the contact sheets, in the folder of the run."""
WINDOWS = 3
"""Windows on a sheet, of as many clips if there are so many."""
STEPS, LEAN = 8, 2.5
"""Sampling steps, and guidance where one given frame alone must move (as ``animate``)."""
_CELL = 160  # longer side of a picture on a sheet, pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One way to look at a window."""

    name: str
    given: tuple[int, ...]
    """Slots that are given; from the end if below 0."""
    guidance: float = 1.0


VIEWS = (
    View(name="interpolate", given=(0, -1)),
    View(name="extend", given=(0, 1)),
    View(name="animate", given=(0,), guidance=LEAN),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What was seen."""

    figures: dict[str, float]
    """By view: PSNR in dB and SSIM, means over the made frames of all windows."""
    sheet: NDArray[np.uint8]
    """``h w 3``."""


class Viewer:
    """Looks at the same windows with whatever the weights are.

    Args:
        windows: true frames, ``b f 3 h w``, in [0, 1].
        seed: of the noise.
    """

    def __init__(self, windows: Tensor, seed: int) -> None:
        self.windows, self.seed = windows, seed

    @torch.no_grad()
    def look(self, model: MarDini, kind: Kind, output: Path) -> Looked | None:
        """Make the windows in every way that a stage can show, measure them and write the sheet.

        Args:
            model: in any mode; it is not changed.
            kind: of the stage. ``planner`` paints nothing that could be looked at.
            output: where the sheet goes, a JPEG by its name.

        Raises:
            UnwritableError: the folder or the disk refuses.
        """
        if kind == "planner":
            return None
        made = {
            view.name: self._made(model, kind, view)
            for view in (VIEWS[:1] if kind == "vae" else VIEWS)
        }
        figures = {}
        for view in VIEWS:
            if view.name in made:
                truth = self.windows[:, self._mask(view)]
                figures[f"{view.name}_psnr"] = _mean(metrics.psnr(made[view.name], truth))
                figures[f"{view.name}_ssim"] = _mean(metrics.ssim(made[view.name], truth))
        return Looked(figures=figures, sheet=self._sheet(made, kind, output))

    def _mask(self, view: View) -> list[bool]:
        slots = self.windows.shape[1]
        given = {slot % slots for slot in view.given}
        return [slot not in given for slot in range(slots)]

    def _made(self, model: MarDini, kind: Kind, view: View) -> Tensor:
        """Made frames, ``b m 3 h w``, in [0, 1]."""
        windows = self.windows
        b, slots = windows.shape[:2]
        mask = torch.tensor(self._mask(view), device=windows.device)
        places = [
            [window * slots + slot for slot in range(slots) if mask[slot]] for window in range(b)
        ]
        times = torch.arange(slots, dtype=torch.float32, device=windows.device)
        with autocast(windows.device):
            given = model.look(windows[:, ~mask], mask.expand(b, -1), times.expand(b, -1))
            if kind == "vae":
                mean, _ = model.autoencoder.encode(windows[:, mask], given)
                made = model.decode(model.autoencoder.normalise(mean), None, given, None)
            else:
                made = paint(model, given, model.plan(given), self._sampler(kind, view), places)
        return made.float().clamp(0, 1)

    def _sampler(self, kind: Kind, view: View) -> SamplerConfig:
        # A denoiser that is trained alone knows the null signal only: guidance 0.
        guidance = 0.0 if kind == "denoiser" else view.guidance
        return SamplerConfig(steps=steps_of(kind), guidance=guidance, seed=self.seed)

    def _sheet(self, made: dict[str, Tensor], kind: Kind, output: Path) -> NDArray[np.uint8]:
        rows: list[list[NDArray[np.uint8]]] = []
        labels: list[str] = []
        how = {"vae": "back from their own latents"}.get(kind, f"{steps_of(kind)} sampling steps")
        masks = {view.name: self._mask(view) for view in VIEWS}
        for number, window in enumerate(self.windows):
            rows.append(_cells(window, None))
            labels.append(f"window {number + 1}: the truth")
            for name, frames in made.items():
                whole = window.clone()
                whole[masks[name]] = frames[number]
                rows.append(_cells(whole, masks[name]))
                labels.append(f"{name}, {how} (green: given, orange: made)")
        output.parent.mkdir(exist_ok=True)
        contact_sheet(output, rows, labels)
        return np.concatenate([np.concatenate(row, 1) for row in rows])


def steps_of(kind: Kind) -> int:
    """Sampling steps that a stage's weights are shown with: none before a denoiser has learnt."""
    return STEPS if kind in ("denoiser", "joint") else 0


def _cells(window: Tensor, mask: Sequence[bool] | None) -> list[NDArray[np.uint8]]:
    """Frames ``f 3 h w`` as small framed pictures; the truth has no frames."""
    pictures = window.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    plain = (255, 255, 255)
    return [
        framed(
            shrunk(picture, _CELL),
            plain if mask is None else MADE if mask[slot] else GIVEN,
        )
        for slot, picture in enumerate(pictures)
    ]


def _mean(values: Tensor) -> float:
    return round(float(values.mean()), 4)
