"""``docs/measure_workers.py`` in small: two workers make what one makes, and nothing hangs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from docs import measure_workers
from tests.pipeline.clips import nano_weights

SMALL = ["clips=3", "frames=3", "long=3", "width=64", "height=48", "steps=1"]


@pytest.mark.slow
def test_two_workers_and_two_devices_make_what_one_makes_beside_a_clip_that_fails(
    tmp_path: Path,
) -> None:
    model, output = nano_weights(tmp_path / "nano"), tmp_path / "told.json"

    status = measure_workers.main([str(output), "200", str(model), *SMALL])

    told = json.loads(output.read_text())
    assert (status, told["wrong"]) == (0, [])
    assert told["workers"]["results"]["of the same bytes"] == 3
    assert [len(told["workers"][n]["failed"]) for n in "12"] == [1, 1]
    assert told["devices"]["results"]["frames that differ"] == 0
    assert told["devices"]["times as fast"] > 0


def test_a_command_that_hangs_is_ended_with_all_that_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grandchild holds the pipe: it must end for the reading to end."""
    program = tmp_path / "hang.sh"
    program.write_text(f"#!/bin/sh\nsleep 100 & echo $! > {tmp_path}/pid\nwait\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    began = monotonic()

    run = measure_workers.command([], began + 1)

    assert run.late
    assert monotonic() - began < 20
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", (tmp_path / "pid").read_text().strip()],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert state.stdout.strip() in ("", "Z")


def test_what_was_not_done_in_time_is_told(tmp_path: Path) -> None:
    output = tmp_path / "told.json"

    status = measure_workers.main([str(output), "0", *SMALL])

    told = json.loads(output.read_text())
    assert status == 1
    assert len(told["wrong"]) == 3
    assert all("out of time" in line for line in told["wrong"])
