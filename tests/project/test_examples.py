"""The shell examples about many inputs run as they stand, and job files of ours are right."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mardini_cli import api
from tests.pipeline.clips import even_times, nano_weights, write_clip

ROOT = Path(__file__).parents[2]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with ``mardini``, and an ``ssh`` that finds every host on this machine."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, line in (
        ("mardini", f'exec {sys.executable} -m mardini_cli "$@"'),
        ("ssh", 'exec bash -c "$2"'),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def ran(programs: Path, *words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", *words],
        cwd=programs.parent,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


def test_the_job_file_that_we_ship_is_right() -> None:
    items = api.read_jobs(ROOT / "examples" / "jobs.toml")

    assert [(item.task, Path(item.source).name) for item in items] == [
        ("interpolate", "cat.mp4"),
        ("extend", "cat.mp4"),
        ("animate", "boat.jpg"),
    ]


@pytest.mark.slow
def test_batch_does_a_tree_and_again_only_what_is_missing(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "day").mkdir(parents=True)
    first = write_clip(tmp_path / "in" / "a.mkv", even_times(3))
    shutil.copy(first, tmp_path / "in" / "day" / "b.mkv")
    script = ROOT / "examples" / "batch.sh"

    once = ran(programs, script, "in", "out")
    (tmp_path / "out" / "a.x2.mkv").unlink()
    again = ran(programs, script, "in", "out")

    assert (once.returncode, again.returncode) == (0, 0), once.stderr + again.stderr
    assert "2 items" in once.stderr
    assert "1 done, 1 skipped" in again.stderr
    assert (tmp_path / "out" / "day" / "b.x2.mkv").is_file()


@pytest.mark.slow
def test_slurm_tasks_and_hosts_share_a_job_file(programs: Path, tmp_path: Path) -> None:
    """Without its result there, an item is done; so nothing may be done twice."""
    nano = nano_weights(tmp_path / "nano")
    for name in ("a", "b", "c"):
        write_clip(tmp_path / f"{name}.mkv", even_times(3))
    jobs = tmp_path / "my jobs.toml"
    jobs.write_text(
        f'[[job]]\ninput = "*.mkv"\nmodel = "{nano}"\noutput_dir = "out"\n', encoding="utf-8"
    )
    slurm = ROOT / "examples" / "slurm_array.sh"

    for task in ("1", "2"):
        told = ran(programs, slurm, jobs, SLURM_ARRAY_TASK_ID=task, SLURM_ARRAY_TASK_COUNT="2")
        assert told.returncode == 0, told.stderr
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    shutil.rmtree(tmp_path / "out")
    hosts = ran(programs, ROOT / "examples" / "hosts.sh", jobs, "one", "two")

    assert made == ["a.x2.mkv", "b.x2.mkv", "c.x2.mkv"]
    assert (tmp_path / "mardini-2.log").is_file()
    assert hosts.returncode == 0, hosts.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == made
    assert "skipped" not in hosts.stderr
