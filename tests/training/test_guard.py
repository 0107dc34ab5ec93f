"""Which steps are left out."""

import pytest
import torch
from torch import Tensor

from mardini_cli.training.guard import PATIENCE, Guard
from tests.training.runs import CPU


def told(guard: Guard, *lengths: float) -> list[float]:
    return [float(guard.judge(torch.tensor(length))) for length in lengths]


@pytest.mark.parametrize("length", [float("nan"), float("inf")])
def test_no_number_is_left_out_from_the_first_step_on(length: float) -> None:
    guard = Guard(CPU, spike=0)

    assert told(guard, length, 1.0, length, 2.0) == [1, 0, 1, 0]
    assert guard.take_skipped() == 2
    assert guard.take_skipped() == 0


def test_a_spike_is_left_out_once_it_is_known_what_is_usual() -> None:
    guard = Guard(CPU, spike=10)

    early = told(guard, 1.0, 50.0)
    told(guard, *[1.0] * 200)

    assert early == [0, 0]
    assert told(guard, 9.0, 50.0, 1.0) == [0, 1, 0]


def test_without_a_spike_every_number_passes() -> None:
    guard = Guard(CPU, spike=0)
    told(guard, *[1.0] * 200)

    assert told(guard, 1e9) == [0]


def test_a_run_is_lost_when_nothing_gets_through_in_a_row() -> None:
    guard = Guard(CPU, spike=0)
    nan = float("nan")

    told(guard, *[nan] * (PATIENCE - 1), 1.0, *[nan] * (PATIENCE - 1))
    patient = guard.lost
    told(guard, nan)

    assert (patient, guard.lost) == (False, True)


def test_what_is_usual_goes_through_a_checkpoint() -> None:
    guard, again = Guard(CPU, spike=10), Guard(CPU, spike=10)
    told(guard, *[1.0] * 200)

    again.restore(guard.tensors())
    empty: dict[str, Tensor] = {}
    again.restore(empty)  # an older checkpoint

    assert told(again, 50.0) == [1]
