"""Several processes do what one does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mardini_cli.errors import ConfigError
from mardini_cli.training import crew, loop
from mardini_cli.training.crew import Chance, Crew
from tests.training.runs import CPU, data_folder, saved, settings, stage

ROOT = Path(__file__).parents[2]
CONFIG = """
preset = "nano"
data = ["{data}"]
out = "{out}"
device = "cpu"
workers = 0
save = 100
[[stages]]
name = "guided"
kind = "guided"
steps = 3
batch = 4
side = 64
warmup = 1
photos = 0.0
rate = 1e-4
critic = true
[[stages]]
name = "joint"
kind = "joint"
steps = 3
batch = 4
side = 64
warmup = 1
photos = 0.0
rate = 1e-4
"""


def test_processes_draw_their_share_of_what_one_would_draw() -> None:
    like = torch.zeros(6, 2)
    alone = Chance(3, CPU, Crew())
    crew = [Chance(3, CPU, Crew(rank, 3)) for rank in range(3)]

    whole = alone.normal(like), alone.uniform(6), alone.integers(6, 1, 1001)
    parts = [(c.normal(like[:2]), c.uniform(2), c.integers(2, 1, 1001)) for c in crew]

    for index, wanted in enumerate(whole):
        joined = torch.stack([part[index] for part in parts], 1).flatten(0, 1)
        assert torch.equal(joined, wanted)


def test_gradients_meet_in_bundles_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [3, 4, 9, 1, 1, 5, 2]
    gradients = [torch.full((size,), float(place)) for place, size in enumerate(sizes)]
    monkeypatch.setattr(crew, "_MESSAGE", 4 * 7)  # bytes

    bundles = [[len(one) for one in bundle] for bundle in crew._bundles(gradients)]

    assert bundles == [[3, 4], [9], [1, 1, 5], [2]]
    assert not list(crew._bundles([]))


def test_a_batch_that_does_not_divide_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "join", lambda: Crew(0, 3))

    with pytest.raises(ConfigError, match="batch = 2 over 3 processes"):
        loop.Run(settings(tmp_path, stage("denoiser")))


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    alone = ["-m", "mardini_cli"]
    both = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *alone]

    shown = {}
    for name, words in (("one", alone), ("two", both)):
        path = tmp_path / f"{name}.toml"
        path.write_text(CONFIG.format(data=data, out=tmp_path / name))
        ended = subprocess.run(
            [sys.executable, *words, "train", str(path), "--json"],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=200,
        )
        assert ended.returncode == 0, ended.stderr
        shown[name] = [json.loads(line) for line in ended.stdout.splitlines()]

    assert [event["event"] for event in shown["two"]] == ["progress", "progress", "trained"]
    one, two = saved(str(tmp_path / "one")), saved(str(tmp_path / "two"))
    apart = {name: float((one[name] - two[name]).abs().max()) for name in one}
    assert max(apart.values()) < 1e-5, max(apart, key=lambda name: apart[name])
    for alone_row, both_row in zip(*map(losses, (tmp_path / "one", tmp_path / "two")), strict=True):
        assert both_row == pytest.approx(alone_row, rel=1e-3)


def losses(out: Path) -> list[dict[str, float]]:
    """What the log tells of steps, without the time that they took."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    left_out = ("seconds", "stage", "step")
    return [
        {key: value for key, value in row.items() if key not in left_out}
        for row in rows
        if "total" in row
    ]
