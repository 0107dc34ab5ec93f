"""The script that measures training: ``docs/measure_training.py``, tried without a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from docs import measure_training as script
from mardini_cli.model import fastest
from mardini_cli.training.crew import Crew
from tests.training.runs import CPU, data_folder, photo_folder

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", range(4))
def test_what_is_counted_is_what_a_step_does(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but attention, whose kernels count their way back differently."""
    monkeypatch.setattr(fastest, "sdpa", lambda q, k, v: q + k.mean() + v.mean())
    monkeypatch.setattr(script, "_counted", script._counted.__wrapped__)  # keep nothing of it
    cell = script.named_cells(small=True)[number]
    subject = script.Subject(cell, 2, CPU, Crew())

    with FlopCounterMode(display=False) as flops:
        subject.step()

    assert 2 * script.counted(cell)[0].flops == flops.get_total_flops() > 0


def test_a_cell_that_fails_is_told_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such kernel\nand more")

    cell = script.named_cells(small=True)[1]
    monkeypatch.setattr(script, "timed", broken)

    row = script.measured(cell, CPU, Crew(), 1e9)

    assert row.failed == "RuntimeError: no such kernel"
    assert len(row.line) == len(script.HEAD)


def ran(folder: Path, *words: str, processes: int = 1) -> Any:
    """What a run of the script leaves."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    ended = subprocess.run(
        [
            sys.executable, *(several if processes > 1 else []),
            str(ROOT / "docs" / "measure_training.py"), str(folder / "out.json"), *words,
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=280,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (folder / "out.md").read_text()
    return json.loads((folder / "out.json").read_text())


@pytest.mark.slow
def test_all_suites_of_one_process_but_the_compiled_one(tmp_path: Path) -> None:
    clips, photos = data_folder(tmp_path / "clips"), photo_folder(tmp_path / "photos")
    suites = ("steps", "profile", "loader", "identity")

    found = ran(tmp_path, *suites, "60", "--data", str(clips), "--photos", str(photos))

    assert not [row["name"] for row in found["rows"] if row["failed"]]
    assert [curve[0][0] for curve in found["curves"].values()] == [5, 5, 5]
    assert found["profiles"][0]["kinds"]
    assert any("batches/s alone" in note for note in found["notes"])  # of four, as time allows


@pytest.mark.slow
def test_two_processes_beside_each_alone(tmp_path: Path) -> None:
    found = ran(tmp_path, "100", processes=2)

    assert {row["way"] for row in found["rows"]} == {"alone", "whole", "parts"}
    assert not [row["name"] for row in found["rows"] if row["failed"]]
    assert sum(note.startswith("scaling") for note in found["notes"]) == 8
