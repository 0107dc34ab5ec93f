"""The bench: cells are run, timed and counted, and one that fails ends nothing."""

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch

from mardini_cli.bench.cells import (
    WAYS,
    Cell,
    after_one,
    between,
    cells_of,
    compiled,
    paper,
    symmetric,
    targets,
)
from mardini_cli.bench.machine import ceiling, facts
from mardini_cli.bench.measuring import Measured, Subject, count, subject_of
from mardini_cli.bench.profiling import Profile, kind_of
from mardini_cli.bench.report import Report
from mardini_cli.bench.run import bench
from mardini_cli.config import ModelConfig, SamplerConfig, l_t, nano, nano_vae
from mardini_cli.errors import ConfigError
from mardini_cli.model.graphs import Graphs
from mardini_cli.model.mardini import MarDini
from tests.model.tape import Tape

CPU, FLOAT = torch.device("cpu"), torch.float32


def cell_of(name: str, steps: int = 2, config: ModelConfig | None = None) -> Cell:
    config = config or nano()
    sampler = SamplerConfig(steps=steps)
    return Cell(name=name, config=config, size=(48, 64), mask=after_one(4), sampler=sampler)


def run(cells: Iterable[Cell], profile: Iterable[str] = ()) -> list[Measured | Profile]:
    return list(bench(cells, CPU, FLOAT, profile))


def parameters(config: ModelConfig) -> int:
    with torch.device("meta"):
        model = MarDini(config)
    return sum(p.numel() for part in (model.planner, model.denoiser) for p in part.parameters())


@pytest.mark.parametrize("config", [nano(), nano_vae()])
def test_a_cell_tells_seconds_operations_and_memory(config: ModelConfig) -> None:
    (measured,) = run([cell_of("one", config=config)])

    assert isinstance(measured, Measured)
    assert measured.failed == ""
    assert (measured.made, measured.steps) == (3, 2)
    assert all(seconds > 0 for seconds in measured.seconds.values())
    assert all(operations > 0 for operations in measured.flops.values())
    assert measured.peak > 2**20
    assert measured.frame == pytest.approx(measured.total / 3)
    assert 0 < measured.rate("plan", "denoise") < 1e14


def test_a_cell_that_fails_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = MarDini.plan

    def full(model: MarDini, given: object) -> object:
        if model.config.planner.depth == 1:
            raise torch.OutOfMemoryError("tried to allocate 99 GiB")
        return plan(model, given)  # type: ignore[arg-type] # whatever look gave

    monkeypatch.setattr(MarDini, "plan", full)
    small = nano()
    shallow = replace(small, planner=replace(small.planner, depth=1))
    draft = cell_of("no draft", steps=0, config=nano_vae())  # picture latents have none

    found = run([cell_of("full", config=shallow), draft, cell_of("runs")])

    told = [one.failed for one in found if isinstance(one, Measured)]
    assert told[0] == "out of memory"
    assert told[1].startswith("ConfigError: steps = 0 with picture latents")
    assert told[2] == ""


def test_cells_are_left_out_when_time_is_up() -> None:
    (found,) = bench([cell_of("late")], CPU, FLOAT, until=0.0)

    assert isinstance(found, Measured)
    assert found.failed == "not run: out of time"


def test_operations_of_many_steps_follow_from_two() -> None:
    counts = {
        steps: count(subject_of(cell_of("n", steps=steps), CPU, FLOAT)) for steps in (0, 1, 3, 5)
    }

    assert counts[0]["denoise"] == 0
    each = (counts[5]["denoise"] - counts[3]["denoise"]) / 2
    assert counts[3]["denoise"] - counts[1]["denoise"] == pytest.approx(2 * each)
    assert counts[1]["denoise"] > each  # what is kept of the window comes on top
    assert counts[5]["decode"] == counts[1]["decode"]


def test_operations_are_those_of_the_matrices_by_hand() -> None:
    """The planner of 4 frames, 3 x 5 tokens each: all of its products, two for a multiply-add."""
    subject = subject_of(cell_of("n", steps=0), CPU, FLOAT)
    found = count(subject)["plan"]

    tokens, made, width, frames = 4 * 15, 3 * 15, 32, 4
    spatial = tokens * (4 * width**2) + frames * 2 * 15 * 15 * width
    across = tokens * 3 * width**2 + made * width**2 + 2 * made * tokens * width
    mlp = tokens * 2 * width * 64
    embed = tokens * nano().planner_channels * width
    expected = 2 * (embed + 2 * (spatial + across + mlp))
    assert found == pytest.approx(expected, rel=0.02)


def test_whole_windows_and_kept_ones_make_the_same_frames() -> None:
    kept = subject_of(cell_of("kept"), CPU, FLOAT)
    plain = Subject(replace(kept.cell, way="plain"), kept.model, FLOAT, kept.frames)

    made = [subject.run(lambda _stage: torch.no_grad()) for subject in (kept, plain)]

    torch.testing.assert_close(made[0], made[1], rtol=1e-4, atol=1e-4)
    assert count(plain)["denoise"] > count(kept)["denoise"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch left
def test_what_is_compiled_and_recorded_counts_the_operations_of_what_is_not() -> None:
    """Counting runs the blocks as they are; so nothing is compiled here."""
    eager = count(subject_of(cell_of("eager"), CPU, FLOAT))
    subject = subject_of(replace(cell_of("both"), way="both"), CPU, FLOAT)
    tape = Tape()
    subject.model.graphs = graphs = Graphs(tape)

    assert count(subject) == eager
    assert tape.tried == 0
    assert subject.model.graphs is graphs


def test_both_parts_of_compiling_are_compared_with_each_other_and_with_none() -> None:
    cells = compiled()

    assert len({cell.name for cell in cells}) == len(cells)
    guided = [cell for cell in cells if cell.sampler.guidance != 1]
    assert {cell.way for cell in guided} == set(WAYS)
    tiny_cells = [cell for cell in cells if cell.config.preset == "tiny"]
    assert {(cell.size, cell.sampler.steps) for cell in tiny_cells} == {
        (size, steps) for size in ((256, 456), (1080, 1920)) for steps in (0, 8)
    }
    for cell in cells:
        alike = [
            one
            for one in cells
            if replace(one, name="", way="kept") == replace(cell, name="", way="kept")
        ]
        assert {"both", "kept"} <= {one.way for one in alike}


def test_the_symmetric_design_has_the_parameters_of_the_asymmetric_one() -> None:
    assert parameters(symmetric()) == pytest.approx(parameters(l_t()), rel=0.03)


def test_the_papers_table_is_whole() -> None:
    cells = paper()

    asymmetric = [cell for cell in cells if cell.config.preset == "l-t"]
    assert len({cell.name for cell in cells}) == len(cells) == 21
    assert {(c.config.denoiser.attention, c.config.low_resolution, len(c.mask), c.size[0])
            for c in asymmetric} == {
        (over, low, frames, side)
        for over in ("st", "t")
        for side in (256, 512)
        for low in (256, side)
        for frames in (9, 13, 17)
    }  # fmt: skip
    assert all(sum(cell.mask) == len(cell.mask) - 1 for cell in cells)
    assert len({cell.name for cell in targets()}) == len(targets())


def test_masks_follow_the_task() -> None:
    assert between(2, 5) == (False, True, False, True, False)
    (cell,) = cells_of("nano", "keyframes", [(32, 32)], [0])
    assert (sum(cell.mask), len(cell.mask)) == (7, 9)
    with pytest.raises(ConfigError, match="unknown task 'paint'"):
        cells_of("nano", "paint", [(32, 32)], [0])


def test_a_report_is_a_table_for_eyes_and_json_for_programs() -> None:
    broken = Measured(name="broken", made=3, steps=2, failed="out of memory")
    found = run([cell_of("runs")], profile=["runs"])
    report = Report(
        machine=facts(CPU, FLOAT),
        ceiling=ceiling(CPU, FLOAT),
        cells=[*(one for one in found if isinstance(one, Measured)), broken],
        profiles=[one for one in found if isinstance(one, Profile)],
        kernels={"bfloat16 1 x 2 of 3, 4 x 5": {"sdpa": 0.002}},
    )

    text, told = report.to_text(), json.loads(report.to_json())

    assert "| broken | out of memory |" in text
    assert "| bfloat16 1 x 2 of 3, 4 x 5 | 2.000 |" in text
    assert "matrix product" in text
    assert [cell["name"] for cell in told["cells"]] == ["runs", "broken"]
    assert told["cells"][0]["of_ceiling"] > 0
    assert told["machine"]["device"] == "cpu"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("void cudnn::ops::nchwToNhwcKernel<float>", "layout"),
        ("pytorch_flash::flash_fwd_kernel", "attention"),
        ("sm90_xmma_fprop_implicit_gemm", "convolution"),
        ("nvjet_tst_128x256_64x4", "matrix product"),
        ("vectorized_elementwise_kernel<4, at::native::GeluCUDA", "pointwise"),
        ("Memcpy DtoD", "copy"),
        ("something new", "other"),
    ],
)
def test_kernels_are_sorted_by_their_names(name: str, kind: str) -> None:
    assert kind_of(name) == kind
