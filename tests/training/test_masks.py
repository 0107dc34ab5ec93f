"""Which slots are given: the tasks, and the paper's keep ratio."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli.training.masks import draw_mask, draw_task, thin
from mardini_cli.training.stages import FEWEST_SLOTS, TASKS

tasks = st.sampled_from(TASKS)
windows = st.integers(FEWEST_SLOTS, 17)
seeds = st.integers(0, 2**32)


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(tasks, windows, seeds)
def test_every_task_gives_a_slot_and_leaves_one_to_make(task: str, slots: int, seed: int) -> None:
    mask = draw_mask(task, slots, (0.0, 1.0), chance(seed))

    assert mask.shape == (slots,)
    assert 0 < int(mask.sum()) < slots


@pytest.mark.parametrize(
    ("keep", "slots", "counts"),
    [
        ((0.65, 1.0), 4, {3}),
        ((0.45, 1.0), 4, {2, 3}),
        ((0.35, 1.0), 4, {1, 2, 3}),
        ((0.35, 1.0), 9, {3, 4, 5, 6, 7, 8}),
        ((0.15, 0.6), 9, {1, 2, 3, 4, 5}),
        ((0.06, 0.3), 17, {1, 2, 3, 4, 5}),
    ],
)
def test_the_random_task_gives_as_many_slots_as_the_paper(
    keep: tuple[float, float], slots: int, counts: set[int]
) -> None:
    rng = chance(0)

    drawn = {slots - int(draw_mask("random", slots, keep, rng).sum()) for _ in range(1000)}

    assert drawn == counts


@pytest.mark.parametrize(
    ("task", "given"),
    [("ends", [0, 8]), ("middle", [0, 4, 8]), ("every-other", [0, 2, 4, 6, 8])],
)
def test_a_named_task_gives_its_slots(task: str, given: list[int]) -> None:
    mask = draw_mask(task, 9, (0.1, 0.2), chance(0))

    assert (~mask).nonzero().flatten().tolist() == given


@given(tasks, windows, st.integers(1, 17), seeds)
def test_thinning_keeps_all_given_slots_in_order(
    task: str, slots: int, made: int, seed: int
) -> None:
    rng = chance(seed)
    mask = draw_mask(task, slots, (0.0, 1.0), rng)

    kept = thin(mask, made, rng)

    assert set((~mask).nonzero().flatten().tolist()) <= set(kept.tolist())
    assert int(mask[kept].sum()) == min(made, int(mask.sum()))
    assert bool((kept.diff() > 0).all())


def test_tasks_are_drawn_by_their_shares() -> None:
    rng = chance(0)

    drawn = [draw_task({"ends": 0.75, "animate": 0.25, "random": 0.0}, rng) for _ in range(2000)]

    assert drawn.count("ends") / 2000 == pytest.approx(0.75, abs=0.03)
    assert "random" not in drawn
