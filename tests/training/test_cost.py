"""What a run would cost is what it costs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mardini_cli import config
from mardini_cli.cli.tables import priced_lines
from mardini_cli.events import Priced
from mardini_cli.model import fastest, kernels
from mardini_cli.model.mardini import MarDini
from mardini_cli.training import cost
from mardini_cli.training.objectives import KINDS, Step
from mardini_cli.training.stages import StageConfig, TrainConfig
from tests.training.runs import batch, chance, model, stage


def preset_of(kind: str) -> str:
    return "nano-vae" if kind == "vae" else "nano"


def counted(one: StageConfig, mask: torch.Tensor, preset: str) -> cost.Counted:
    with cost.META:
        sizes = MarDini(config.preset(preset))
    return cost.count(sizes, one, cost.window_of(one, mask))


@pytest.mark.parametrize("kind", ["guided", "vae", "planner", "denoiser", "joint"])
def test_operations_are_those_of_a_step_with_numbers(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but attention, whose kernels count their way back differently: the next test."""
    monkeypatch.setattr(fastest, "sdpa", lambda q, k, v: q + k.mean() + v.mean())
    one = stage(kind, batch=1, critic=kind == "guided")
    real = batch(one)
    objective, flops = KINDS[one.kind](model(preset_of(kind)), one), FlopCounterMode(display=False)
    with flops:
        asked = objective.ask(Step(real, chance()))
        asked.total.backward()
        if asked.rival is not None:
            asked.rival.backward()

    found = counted(one, real.mask[0], preset_of(kind))

    assert found.flops == flops.get_total_flops() > 0


def test_attention_counts_two_products_there_and_five_back() -> None:
    q = torch.empty(2, 6, 3, 8, device="meta", requires_grad=True)  # b n h d
    flops = FlopCounterMode(display=False)

    with cost._FusedAttention(), flops:
        kernels.attention(q, q, q).sum().backward()

    assert flops.get_total_flops() == 7 * 2 * (2 * 3 * 6 * 6 * 8)


def test_tokens_are_those_of_the_frames_that_networks_read() -> None:
    one = stage("joint", batch=1, made=2, tasks=(("ends", 1.0),))

    found = counted(one, torch.tensor([False, True, True, False]), "nano")

    assert (found.planner_tokens, found.denoiser_tokens) == (4 * 16, 4 * 16)


def test_working_blocks_out_again_keeps_less() -> None:
    found = counted(stage("joint"), torch.tensor([False, True, True, False]), "nano")

    assert 0 < found.kept.bytes(recompute=True) < found.kept.bytes(recompute=False)


def priced(folder: Path, *stages: StageConfig, **changes: object) -> Priced:
    told = {"preset": "nano", "out": str(folder), "device": "cpu", **changes}
    return cost.price(replace(TrainConfig(stages=stages), **told))  # type: ignore[arg-type]


def test_a_run_is_priced_stage_by_stage(tmp_path: Path) -> None:
    one = stage("denoiser", steps=10, batch=4, tasks=(("ends", 1.0),))
    run = priced(tmp_path, one, replace(one, name="twice", batch=8))

    first, twice = run.stages
    assert (first.name, first.steps, run.preset) == ("denoiser", 10, "nano")
    assert first.moving + first.still == run.parameters
    assert (twice.flops, twice.denoiser_tokens) == (2 * first.flops, 2 * first.denoiser_tokens)
    assert first.memory < twice.memory < 2 * first.memory
    assert run.least_hours == pytest.approx(30 * first.flops / run.rate / 3600)
    assert run.expected_hours is None


def test_parts_of_a_step_need_less_memory(tmp_path: Path) -> None:
    whole, parts = (
        priced(tmp_path, stage("denoiser", batch=8, accumulate=n)).stages[0] for n in (1, 8)
    )

    assert parts.memory < whole.memory
    assert parts.flops == whole.flops


def test_hours_to_expect_come_from_the_log_of_the_run(tmp_path: Path) -> None:
    rows = [{"stage": "denoiser", "step": n, "seconds": n * 0.5} for n in (50, 100, 150)]
    rows += [{"stage": "denoiser", "step": 150, "raw_loss": 1.0}]  # a look at held-out windows
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))

    run = priced(tmp_path, stage("denoiser", steps=7200))

    assert run.stages[0].measured == 0.5
    assert run.expected_hours == pytest.approx(1.0)


def test_a_stage_that_minutes_end_costs_no_more_than_they_last(tmp_path: Path) -> None:
    rows = [{"stage": "denoiser", "step": n, "seconds": n * 0.5} for n in (50, 100, 150)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))

    endless = stage("denoiser", steps=1_000_000, minutes=0.3)
    run = priced(tmp_path, endless, stage("denoiser", name="denoiser", steps=1, minutes=3.0))

    assert run.expected_hours == pytest.approx(0.3 / 60 + 0.5 / 3600)
    assert run.least_hours <= 0.3 / 60 + 0.5 / 3600
    lines = list(priced_lines(run))
    assert "0.3 min" in lines[2]
    assert "1,000,000" not in "".join(lines)


@pytest.mark.slow
def test_the_paper_s_largest_model_is_counted_without_its_memory(tmp_path: Path) -> None:
    last = stage("joint", slots=17, made=17, side=512, batch=384, tasks=(("animate", 1.0),))

    run = priced(tmp_path, last, preset="l-t")

    (found,) = run.stages
    assert found.planner_tokens == 384 * 17 * 256
    assert found.flops > 6 * found.planner_tokens * 3e9  # two there, four back, of each weight
