"""What networks that measure have in common: exact arithmetic, and weights that must fit.

Room: evaluation.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from mardini_cli.errors import WeightsLayoutError
from mardini_cli.weights.layout import few
from mardini_cli.weights.plain import tensors_of


def exactly() -> AbstractContextManager[None]:
    """Convolutions without TF32, whatever the device would rather."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return flags


class Judge(nn.Module):
    """A network that measures; its weights are another project's."""

    needed: ClassVar[str]
    """What a file of its weights is."""
    advice: ClassVar[str] = "see docs/evaluation.md, FID and FVD"
    """What to do where a file holds something else."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = ""
        """SHA-256 of the weights' file."""

    @classmethod
    def of(cls, name: str) -> Self:
        """Read the weights from a file; see ``weights.plain.tensors_of`` for names and errors.

        Raises:
            WeightsError: no such weights, or another network's.
        """
        found, network = tensors_of(name), cls()
        network.load_state_dict(network._fitted(network.renamed(found.tensors), name))
        network.digest = found.digest
        return network.eval().requires_grad_(False)

    def renamed(self, found: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Tensors of a file by our keys."""
        return found

    def _fitted(self, found: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
        """Its tensors among those of a file; what it does not know is left over."""
        state = self.state_dict()
        wanted = {k: v.shape for k, v in state.items() if "num_batches" not in k}
        wrong = sorted(key for key in wanted if key not in found or found[key].shape != wanted[key])
        if wrong:
            raise WeightsLayoutError(
                f"{name.partition('#')[0]} lacks {few(wrong)}, or in another shape",
                needed=self.needed,
                do=self.advice,
            )
        counted = {k: torch.zeros((), dtype=torch.long) for k in state if k not in wanted}
        return counted | {key: found[key].float() for key in wanted}
