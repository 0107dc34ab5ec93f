"""The script that measures memory along a run: a stand-in for the model must stay like one."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_along_a_run_is_told_with_its_slope() -> None:
    command = [sys.executable, "-m", "docs.measure_files", "memory", "4", "64x48"]

    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert told.returncode == 0, told.stderr
    assert "MiB after a quarter" in told.stdout
    assert told.stdout.splitlines()[-1].startswith("slope: ")
