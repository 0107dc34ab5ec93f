"""What networks that measure have in common: exact arithmetic, and weights that must fit.

Room: evaluation.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from mardini_cli.errors import WeightsLayoutError
from mardini_cli.weights.layout import few


def exactly() -> AbstractContextManager[None]:
    """Convolutions without TF32, whatever the device would rather."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return flags


def fitted(
    found: Mapping[str, Tensor], network: nn.Module, name: str, needed: str
) -> dict[str, Tensor]:
    """A network's tensors among those of a file; what it does not know is left over.

    Raises:
        WeightsLayoutError: one is not there, or in another shape.
    """
    wanted = {k: v.shape for k, v in network.state_dict().items() if "num_batches" not in k}
    wrong = sorted(key for key in wanted if key not in found or found[key].shape != wanted[key])
    if wrong:
        raise WeightsLayoutError(
            f"{name.partition('#')[0]} lacks {few(wrong)}, or in another shape",
            needed=needed,
            do="see docs/evaluation.md, FID and FVD",
        )
    counted = {
        k: torch.zeros((), dtype=torch.long) for k in network.state_dict() if k not in wanted
    }
    return counted | {key: found[key].float() for key in wanted}
