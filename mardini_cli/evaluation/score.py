"""Every figure of made windows, as rows.

Room: evaluation. Runs where its tensors are; always in float32. The warp error's flow is worked
out on the CPU.

Dimension key
    b  windows    f  slots    m  made slots    h, w  pixels    frames are RGB in [0, 1]
"""

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from mardini_cli.evaluation import metrics, temporal
from mardini_cli.evaluation.excerpts import Excerpt
from mardini_cli.evaluation.lpips import Lpips
from mardini_cli.evaluation.protocols import SLOTS, Protocol
from mardini_cli.evaluation.tables import Row
from mardini_cli.pipeline import faults
from mardini_cli.tasks.plan import Slot, Window

MIDDLE = SLOTS // 2


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
    lpips: Lpips | None = None,
) -> list[Row]:
    """Measure some windows of one method.

    Args:
        excerpts: the true windows.
        flows: motion of each, pixels (``baselines.motion_between``).
        made: ``b m 3 h w``, on any device.
        protocol: which slots are made.
        method: its name in the rows.
        lpips: with its weights, on the same device; without it that figure is left out.
    """
    true = torch.stack([excerpt.frames for excerpt in excerpts]).to(made.device)
    windows = whole_windows(true, made, protocol)
    columns = {name: values.tolist() for name, values in _figures(windows, true, protocol).items()}
    if lpips is not None:
        slots = list(protocol.made)
        apart = lpips(windows[:, slots], true[:, slots])  # b m
        columns["lpips"] = apart.mean(1).tolist()
        if protocol.middle:
            columns["lpips_middle"] = apart[:, slots.index(MIDDLE)].tolist()
    mine, wanted = (temporal.warp_errors(x, protocol.mask) for x in (windows, true))
    columns["warp"] = [
        float(temporal.ratio(torch.tensor(a), torch.tensor(b)))
        for a, b in zip(mine, wanted, strict=True)
    ]
    return [
        Row(
            protocol=protocol.name,
            method=method,
            clip=excerpt.clip,
            stride=excerpt.stride,
            start=excerpt.start,
            flow=flow,
            figures={name: values[place] for name, values in columns.items()},
        )
        for place, (excerpt, flow) in enumerate(zip(excerpts, flows, strict=True))
    ]


def _figures(windows: Tensor, true: Tensor, protocol: Protocol) -> dict[str, Tensor]:
    """Figure to its value for every window."""
    slots = list(protocol.made)
    ours, truth = windows[:, slots], true[:, slots]
    by_frame = {name: getattr(metrics, name)(ours, truth) for name in _by_frame(true)}  # b m each
    found = {name: values.mean(1) for name, values in by_frame.items()}
    if protocol.middle:
        place = slots.index(MIDDLE)
        found |= {f"{name}_middle": by_frame[name][:, place] for name in ("psnr", "ssim")}
    return found | {
        "sharpness": temporal.sharpness(ours, true[:, list(protocol.given)]),
        "flicker": temporal.flicker(windows, protocol.mask),
        "motion": temporal.motion(windows, true, protocol.mask),
        **flags(windows, true, protocol),
        **(temporal.drift(windows, true, protocol.given) if protocol.drifts else {}),
    }


def flags(windows: Tensor, true: Tensor, protocol: Protocol) -> dict[str, Tensor]:
    """Whether windows hold frames that no one could use; 1 = yes, 0 = no, each ``b``.

    frozen: they stand still where the truth moves. blank and exploding: what every command would
    refuse (``pipeline.faults``), empty frames and those without likeness; or far too rich ones.

    Args:
        windows: ``b f 3 h w``.
        true: the true windows.
        protocol: which slots are made.
    """
    slots = tuple(
        Slot(n, Fraction(n), None if is_made else n) for n, is_made in enumerate(protocol.mask)
    )
    given, made = list(protocol.given), list(protocol.made)
    found = [
        {fault.what for fault in faults.find(Window(slots), one[given], one[made])}
        for one in windows
    ]
    blank, unlike = (
        torch.tensor([float(bool(kinds & those)) for those in found], device=windows.device)
        for kinds in ({faults.ALL_OVER, faults.NOTHING}, {faults.UNLIKE})
    )
    return {
        "frozen": temporal.frozen(windows, true, protocol.mask),
        "blank": blank,
        "exploding": torch.maximum(temporal.wild(windows, protocol.mask), unlike),
    }


def _by_frame(true: Tensor) -> tuple[str, ...]:
    large = min(true.shape[-2:]) >= metrics.SMALLEST_MS_SIDE
    return ("psnr", "ssim", *(("ms_ssim",) if large else ()), "gmsd", "haarpsi")
