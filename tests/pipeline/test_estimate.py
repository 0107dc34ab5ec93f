"""The time of a job, from what was measured: exact where times follow the loads, kept in a file."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st

from mardini_cli.config import SamplerConfig, l_t, tiny
from mardini_cli.pipeline import estimate
from mardini_cli.pipeline.estimate import Loads, Shape, Speed, fitted, job_loads, window_loads
from mardini_cli.tasks.interpolate import interpolate

SHAPE = Shape(config=tiny(), size=(256, 456), sampler=SamplerConfig(steps=8))
TRUE = {
    "look": (3e-8,),
    "plan": (0.004,),
    "denoise": (2e-7, 5e-11),
    "decode": (6e-7, 1e-8),
}


def seconds_of(loads: Loads, wrong: float = 1.0) -> dict[str, float]:
    return {
        stage: wrong * sum(a * b for a, b in zip(counts, TRUE[stage], strict=True))
        for stage, counts in loads.items()
    }


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mardini" / "speed.json"
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    return path


def test_loads_follow_sizes_frames_and_steps() -> None:
    one, twice = (
        window_loads(replace(SHAPE, size=size), 5, 4) for size in ((256, 456), (512, 912))
    )
    more = window_loads(replace(SHAPE, sampler=SamplerConfig(steps=16)), 5, 4)
    guided = window_loads(replace(SHAPE, sampler=SamplerConfig(steps=8, guidance=2.5)), 5, 4)

    assert twice["look"][0] == 4 * one["look"][0]
    assert twice["denoise"][1] == 16 * one["denoise"][1]  # pairs of tokens
    assert guided["denoise"] == tuple(2 * count for count in one["denoise"])
    assert more["denoise"][0] / one["denoise"][0] == (16 * 4 + 5) / (8 * 4 + 5)  # given ones once
    assert one["decode"] == (4 * 256 * 456, 4 * 256 * 456)
    large = window_loads(replace(SHAPE, size=(1080, 1920)), 5, 4)
    assert large["decode"] == (4 * 512 * 910, 4 * 1080 * 1920)  # motion at 512 rows


def test_temporal_attention_reads_one_place_of_every_frame() -> None:
    shape = Shape(config=l_t(), size=(512, 512), sampler=SamplerConfig(steps=1))

    (tokens, pairs) = window_loads(shape, 1, 16)["denoise"]

    assert tokens == 17 * 1024
    assert pairs == 16 * 1024 * (1024 + 17) + 1024 * 1024


def test_a_frame_that_windows_share_counts_once() -> None:
    plan = interpolate([Fraction(n, 25) for n in range(9)], factor=4, size=9)

    loads = job_loads(SHAPE, plan)

    one = window_loads(SHAPE, 3, 6)
    assert loads["look"][0] == pytest.approx(9 / 3 * one["look"][0])
    assert loads["plan"][0] == len(plan.windows) * 9
    assert loads["decode"][0] == pytest.approx(len(plan.windows) * one["decode"][0])


@drawn(
    wrong=st.lists(st.floats(0.85, 1.15), min_size=5, max_size=5),
    high=st.integers(200, 700),
    steps=st.integers(0, 25),
)
def test_a_case_that_was_not_measured_is_estimated_within_a_quarter(
    wrong: list[float], high: int, steps: int
) -> None:
    """Samples like those of the bench, each off by up to 15 % as on a machine with other work."""
    cells = [((256, 456), 0), ((480, 854), 0), ((256, 456), 1), ((176, 320), 2), ((1080, 1920), 0)]
    samples = []
    for (size, count), off in zip(cells, wrong, strict=True):
        shape = replace(SHAPE, size=size, sampler=SamplerConfig(steps=count))
        loads = window_loads(shape, 5, 4)
        samples.append((loads, seconds_of(loads, off)))
    held_out = replace(SHAPE, size=(high, 2 * high), sampler=SamplerConfig(steps=steps))
    loads = window_loads(held_out, 5, 4)

    speed = Speed(stages=fitted(samples), read=0.0, write=0.0)
    found = estimate.seconds(speed, loads, (0, 0), overlapping=False)

    assert found == pytest.approx(sum(seconds_of(loads).values()), rel=0.25)


def test_units_come_back_exactly_where_nothing_disturbs_and_are_never_negative() -> None:
    samples = [
        (loads, seconds_of(loads))
        for size in ((128, 128), (256, 456), (480, 854), (1080, 1920))
        for loads in [window_loads(replace(SHAPE, size=size), 5, 4)]
    ]

    found = fitted(samples)

    for stage, units in TRUE.items():
        assert found[stage] == pytest.approx(units, rel=1e-6)
    flat = [(loads, dict.fromkeys(TRUE, 1.0)) for loads, _ in samples]
    assert all(unit >= 0 for units in fitted(flat).values() for unit in units)


def test_files_run_beside_a_gpu_and_share_the_cores_of_a_cpu() -> None:
    speed = Speed(stages={"plan": (2.0,)}, read=0.1, write=0.2)

    shared = estimate.seconds(speed, {"plan": (5,)}, (10, 10), overlapping=False)
    beside = estimate.seconds(speed, {"plan": (5,)}, (10, 10), overlapping=True)

    assert (shared, beside) == (13.0, 10.0)


def test_speeds_are_kept_side_by_side_and_a_broken_file_is_no_hindrance(cache: Path) -> None:
    first = Speed(stages={"look": (1.0,)}, read=2.0, write=3.0)
    second = replace(first, read=4.0)

    assert estimate.known("a") is None
    estimate.remember("a", first)
    estimate.remember("b", second)

    assert (estimate.known("a"), estimate.known("b")) == (first, second)
    for broken in ('{"format": 2, "entries": {"a": 5}}', '{"format": 2, "entries": {"a": {}}}'):
        cache.write_text(broken)
        assert estimate.known("a") is None
    estimate.remember("a", first)
    assert estimate.known("a") == first
    assert [path.name for path in cache.parent.iterdir()] == ["speed.json"]


def test_a_speed_is_of_a_model_a_device_a_number_type_and_threads() -> None:
    key = estimate.key_of(tiny(), torch.device("cpu"), torch.bfloat16)

    assert key.startswith("tiny, cpu (")
    assert key.endswith(f"), bfloat16, {torch.get_num_threads()} threads")
