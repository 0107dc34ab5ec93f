"""How the blocks of planner and denoiser are run."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mardini_cli.training.blocks import blocks_of, run_as
from mardini_cli.training.objectives import LatentObjective, Step
from mardini_cli.training.stages import TrainConfig
from tests.training.runs import batch, chance, model, stage


def test_blocks_that_are_worked_out_again_are_compiled_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The compiled forward runs twice; a compiler around torch's checkpoint would do nothing."""
    ran: list[object] = []

    def counted(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(*told: object) -> Tensor:
            ran.append(forward)
            return forward(*told)

        return run

    monkeypatch.setattr(torch, "compile", counted)
    small, one = model(), stage("joint")
    run_as(small, TrainConfig(compile=True, recompute=True))

    LatentObjective(small, one).ask(Step(batch(one), chance())).total.backward()

    assert len(ran) == 2 * len(list(blocks_of(small)))
