"""Every figure of made windows, as rows.

Room: evaluation. Runs where its tensors are; always in float32.

Dimension key
    b  windows    f  slots    m  made slots    h, w  pixels    frames are RGB in [0, 1]
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mardini_cli.evaluation import metrics
from mardini_cli.evaluation.excerpts import Excerpt
from mardini_cli.evaluation.protocols import Protocol
from mardini_cli.evaluation.tables import Row


def whole_windows(true: Tensor, made: Tensor, protocol: Protocol) -> Tensor:
    """Put made frames ``b m 3 h w`` among the given ones of true windows ``b f 3 h w``."""
    windows = true.clone()
    windows[:, list(protocol.made)] = made.to(true.dtype)
    return windows


@torch.inference_mode()
def score(
    excerpts: Sequence[Excerpt],
    flows: Sequence[float],
    made: Tensor,
    protocol: Protocol,
    method: str,
) -> list[Row]:
    """Measure some windows of one method.

    Args:
        excerpts: the true windows.
        flows: motion of each, pixels (``baselines.motion_between``).
        made: ``b m 3 h w``, on any device.
        protocol: which slots are made.
        method: its name in the rows.
    """
    true = torch.stack([excerpt.frames for excerpt in excerpts]).to(made.device)
    windows = whole_windows(true, made, protocol)
    truth, ours = true[:, list(protocol.made)], windows[:, list(protocol.made)]
    figures = {
        "psnr": metrics.psnr(ours, truth).mean(1),
        "ssim": metrics.ssim(ours, truth).mean(1),
        "gmsd": metrics.gmsd(ours, truth).mean(1),
        "haarpsi": metrics.haarpsi(ours, truth).mean(1),
        "sharpness": metrics.sharpness(ours, true[:, list(protocol.given)]),
        "flicker": metrics.flicker(windows, protocol.mask),
        "motion": metrics.motion(windows, true, protocol.mask),
    }
    columns = {name: values.tolist() for name, values in figures.items()}
    return [
        Row(
            protocol=protocol.name,
            method=method,
            clip=excerpt.clip,
            stride=excerpt.stride,
            start=excerpt.start,
            flow=flow,
            **{name: values[place] for name, values in columns.items()},
        )
        for place, (excerpt, flow) in enumerate(zip(excerpts, flows, strict=True))
    ]
