"""Recipes: the stages of the paper, and those of ours."""

from dataclasses import replace

import pytest
import torch

from mardini_cli.config import PRESETS, preset
from mardini_cli.errors import ConfigError
from mardini_cli.training.masks import draw_mask
from mardini_cli.training.recipes import RECIPES, paper_stages, recipe, shortened, tiny_stages
from mardini_cli.training.stages import TrainConfig
from mardini_cli.training.starting import untrained

COUNTS = {
    "I-P": (3, 3), "I-D1": (2, 3), "I-D2": (1, 3), "I-D3": (3, 8), "J-M": (3, 8),
    "J-T1": (1, 5), "J-T2": (1, 5), "J-T3": (1, 5), "J-T4": (1, 5), "J-T5": (1, 5),
}  # fmt: skip
"""Given frames, fewest and most, of each stage (the table of paper.md 6.1)."""


def test_keep_ratios_draw_the_counts_of_the_paper_and_leave_one_of_each() -> None:
    rng = torch.Generator().manual_seed(0)
    for stage in paper_stages(preset("l-t")):
        given = {
            int((~draw_mask("random", stage.slots, stage.keep, rng)).sum()) for _ in range(600)
        }

        assert (min(given), max(given)) == COUNTS[stage.name]
        assert min(given) >= 1
        assert max(given) < stage.slots


def test_the_paper_s_stages_see_as_many_clips_as_its_figure_says() -> None:
    millions = {s.name: s.steps * s.batch / 1e6 for s in paper_stages(preset("s-t"))}

    assert {name: round(count) for name, count in millions.items()} == {
        "I-P": 200, "I-D1": 20, "I-D2": 80, "I-D3": 40, "J-M": 75,
        "J-T1": 40, "J-T2": 40, "J-T3": 40, "J-T4": 20, "J-T5": 5,
    }  # fmt: skip


def test_the_paper_s_stages_swap_attention_once_and_grow() -> None:
    stages = paper_stages(preset("l-t"))

    assert [s.attention for s in stages] == ["st"] * 7 + ["t"] * 3
    assert [s.side for s in stages] == [256] * 5 + [512] * 3 + [768, 1024]
    assert [s.fps for s in stages] == [8, 8, 4] + [8] * 7
    assert {(s.rate, s.drop, s.photos) for s in stages} == {(1.4e-4, 0.1, 0.0)}


def test_models_of_nine_frames_end_with_the_first_joint_task() -> None:
    assert [s.name for s in paper_stages(preset("s-st"))][-1] == "J-T1"


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_names_its_stages_apart(name: str) -> None:
    model = preset("s-t" if name in ("vae", "paper") else "tiny")

    names = [stage.name for stage in recipe(name, model)]

    assert len(set(names)) == len(names) > 0


def test_an_unknown_recipe_is_one_line() -> None:
    with pytest.raises(ConfigError, match="unknown stages 'papper'; needs one of tiny, guided"):
        recipe("papper", PRESETS["tiny"]())


def test_what_rests_on_nothing_is_named() -> None:
    paper = TrainConfig(preset="s-st", stages=paper_stages(preset("s-st")))

    assert untrained(paper) == "I-P"
    assert untrained(replace(paper, init="runs/vae")) == ""
    assert untrained(replace(paper, vae="folder")) == ""
    assert untrained(replace(paper, stages=shortened(paper.stages, 100))) == ""
    assert untrained(TrainConfig(stages=tiny_stages())) == ""


def test_a_shorter_run_shares_its_steps_out_as_the_whole_does() -> None:
    short = shortened(tiny_stages(), 1050)

    assert [stage.steps for stage in short] == [50, 300, 300, 250, 150]
    assert [stage.warmup for stage in short] == [6, 6, 6, 10, 20]
    assert [stage.warmup for stage in shortened(tiny_stages(), 21_000)] == [60, 60, 60, 100, 200]
