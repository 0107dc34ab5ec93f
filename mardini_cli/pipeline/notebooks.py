"""The model as notebooks meet it: weights in, frames and a plan in, frames out.

Room: pipeline. No files but the weights.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mardini_cli.config import SamplerConfig
from mardini_cli.errors import ShapeError
from mardini_cli.pipeline.desk import Picture
from mardini_cli.pipeline.making import Maker
from mardini_cli.pipeline.settings import MakeSettings
from mardini_cli.pipeline.walking import batches
from mardini_cli.tasks.plan import Plan
from mardini_cli.weights.pretrained import Pretrained


class MarDini(Pretrained):
    """One model for any set of given frames at any times.

    Example::

        from mardini_cli import MarDini
        from mardini_cli.tasks.interpolate import interpolate

        model = MarDini.from_pretrained()
        plan = interpolate([Fraction(0), Fraction(1, 8)], factor=4, size=model.config.window)
        frames = model.make([first, second], plan)  # 5 h w 3
    """

    def make(
        self,
        frames: Sequence[NDArray[Any]],
        plan: Plan,
        sampler: SamplerConfig | None = None,
        batch: int = 1,
    ) -> NDArray[np.float32]:
        """Make the frames that a plan says, in memory.

        Args:
            frames: what the plan's ``given`` counts: RGB, ``h w 3`` each, uint8 or float in
                [0, 1], all of one size.
            plan: from ``mardini_cli.tasks``.
            sampler: steps, guidance, seed; None is without diffusion.
            batch: windows made at once.

        Returns:
            The output's frames in time order, float32 in [0, 1], ``f h w 3``; given ones as they
            came.

        Raises:
            ShapeError: frames of other shapes, or fewer than the plan counts.
            MadeFrameError: the model made NaN or infinity.
        """
        given = [_picture(frame) for frame in frames]
        needed = 1 + max(s.given for s in plan.slots if s.given is not None)
        if len(given) < needed or len({picture.shape for picture in given}) != 1:
            raise ShapeError(
                f"{len(given)} frames of shapes {sorted({p.shape for p in given})}",
                needed=f"{needed} of one size, which is what the plan counts",
                do="pass every frame that the plan was made for",
            )
        maker = Maker(self, MakeSettings(sampler=sampler or SamplerConfig()))
        made: dict[int, Picture] = {}
        for windows in batches(plan.windows, batch):
            pictures = [
                [made[s.index] if s.given is None else given[s.given] for s in window.given]
                for window in windows
            ]
            made |= {slot.index: picture for slot, picture in maker(windows, pictures)}
        return np.stack([made[s.index] if s.given is None else given[s.given] for s in plan.shown])


def _picture(frame: NDArray[Any]) -> Picture:
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise ShapeError(f"a frame of shape {frame.shape}", needed="h, w, 3", do="pass RGB")
    scale = np.float32(1 / 255) if frame.dtype == np.uint8 else np.float32(1)
    return frame.astype(np.float32) * scale
