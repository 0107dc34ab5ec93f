"""``docs/measure_tasks.py`` in small: every cell ends in a line, whatever becomes of it."""

import json
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
import torch

from docs.measure_tasks import SUITES, Line, measured, random_weights, table, write
from mardini_cli.api.carrying import let_models_go

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_model_stays() -> None:
    let_models_go()


def test_a_task_is_measured_and_what_fails_is_told(tmp_path: Path) -> None:
    model = random_weights("nano", tmp_path, CPU)
    (cell,) = [c for c in SUITES["tasks"](str(model), tmp_path) if c.name == "fill"]
    until = monotonic() + 100

    good = measured(cell, [], tmp_path, CPU, until)
    bad = measured(replace(cell, sources=(tmp_path / "none.mp4",)), [], tmp_path, CPU, until)
    late = measured(cell, [], tmp_path, CPU, monotonic() - 1)

    assert (good.made, good.frames, good.failed) == (3, 8, "")
    assert 0 < good.seconds <= good.whole
    assert good.peak > 2**20
    assert "none.mp4" in bad.failed
    assert late.failed == "not run: out of time"
    write(tmp_path / "told.json", {"device": "cpu"}, [good, bad, late])
    assert [line["failed"] for line in json.loads((tmp_path / "told.json").read_text())["lines"]]
    assert (tmp_path / "told.md").read_text().count("| tasks |") == 3


def test_a_job_of_two_devices_is_set_beside_that_of_one(tmp_path: Path) -> None:
    model = random_weights("nano", tmp_path, CPU)
    lines = list[Line]()
    for cell in SUITES["devices"](str(model), tmp_path):
        short = replace(cell, flags={**cell.flags, "end": "0:0.2", "factor": 3, "steps": 0})
        lines.append(measured(short, lines, tmp_path, CPU, monotonic() + 100))

    assert not [line.failed for line in lines if line.failed]
    assert "identical" in " ".join(lines[-1].notes)
    assert "times as fast" in table(lines)
