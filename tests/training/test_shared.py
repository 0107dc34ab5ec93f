"""State and networks that are shared out over processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mardini_cli import weights
from mardini_cli.errors import WeightsError
from mardini_cli.events import Trained
from mardini_cli.training import keeping, shared
from mardini_cli.training.checkpoint import Place
from mardini_cli.training.crew import Crew
from mardini_cli.training.stages import TrainConfig
from tests.training.runs import CPU, Stopped, data_folder, run, saved, settings, stage

ROOT = Path(__file__).parents[2]
AROUND = tuple(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
"""Where packages may lie that children need as well."""
CONFIG = """
preset = "nano"
data = ["{data}"]
out = "{out}"
device = "{device}"
workers = 0
save = {save}
shard = {shard}
[[stages]]
name = "planner"
kind = "planner"
steps = 3
batch = 4
side = 64
warmup = 1
photos = 0.0
rate = 1e-3
[[stages]]
name = "joint"
kind = "joint"
steps = {steps}
batch = 4
side = 64
warmup = 1
photos = 0.0
rate = 1e-3
"""


STOPPED = """
import os, signal, sys
from mardini_cli.cli.app import main
from mardini_cli.training import loop
from mardini_cli.training.stepping import Stepper
loop._AGREE, taken = 1, Stepper.__call__
def stopping(self, batch, step, *told):
    taken(self, batch, step, *told)
    if (self.stage.name, step) == ("joint", 3):
        os.kill(os.getpid(), signal.SIGTERM)
Stepper.__call__ = stopping
main()
"""


ENDING = """
import atexit, os
from pathlib import Path
def told():
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    Path(f"{__file__}.{os.environ['RANK']}").write_text("".join(names))
atexit.register(told)
from mardini_cli.cli.app import main
main()
"""


def torchrun(folder: Path, processes: int, name: str, script: str = "", **told: object) -> Path:
    """Train a planner, then both, in so many processes."""
    data, out = folder / "data", folder / name
    if not data.exists():
        data_folder(data)
    values = {
        "data": data, "out": out, "save": 100, "shard": "true", "steps": 3, "device": "cpu", **told,
    }  # fmt: skip
    path = folder / f"{name}.toml"
    path.write_text(CONFIG.format(**values))
    program = ["-m", "mardini_cli"]
    if script:
        (folder / "script.py").write_text(script)
        program = [str(folder / "script.py")]
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    ended = subprocess.run(
        [sys.executable, *(several if processes > 1 else []), *program, "train", str(path), "-q"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *AROUND])},
        timeout=250,
    )
    assert ended.returncode == 0, ended.stderr
    return out


def run_until(config: TrainConfig, saves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until so many checkpoints are written, and stop there."""
    save, left = shared.Writer.save, [saves]

    def counted(self: shared.Writer, *told: Any) -> None:
        save(self, *told)
        left[0] -= 1
        if not left[0]:
            self.wait()
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(shared.Writer, "save", counted)
        with pytest.raises(Stopped):
            run(config)


def state(folder: Path) -> dict[str, Tensor]:
    found = keeping.load(folder, CPU)
    assert found is not None
    return found[1]


@pytest.mark.slow
def test_sharded_networks_learn_what_whole_ones_do(tmp_path: Path) -> None:
    whole = state(torchrun(tmp_path, 2, "whole", shard="false"))
    parts = state(torchrun(tmp_path, 2, "parts"))
    alone = state(torchrun(tmp_path, 1, "alone"))

    assert whole.keys() == parts.keys() == alone.keys()
    for other in (parts, alone):
        assert apart(whole, other) < 2e-5
    finished = weights.load(str(tmp_path / "parts" / "weights"), CPU, torch.float32)
    assert finished.config.preset == "nano"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux alone tells threads so")
def test_no_thread_that_talks_to_others_meets_the_end_of_the_interpreter(tmp_path: Path) -> None:
    """One that does may abort the process, when all is written."""
    torchrun(tmp_path, 2, "ended", ENDING, save=1)

    for rank in "01":
        told = (tmp_path / f"script.py.{rank}").read_text().split()
        assert told
        assert not [name for name in told if "gloo" in name]


@pytest.mark.slow
def test_a_checkpoint_of_two_processes_is_gone_on_from_by_one(tmp_path: Path) -> None:
    unbroken = state(torchrun(tmp_path, 2, "unbroken", steps=6))
    out = torchrun(tmp_path, 2, "broken", STOPPED, steps=6)
    found = keeping.load(out, CPU)

    torchrun(tmp_path, 1, "broken", steps=6)

    assert found is not None
    assert (found[0].stage, found[0].step) == (1, 4)
    assert len(list(out.glob("checkpoint-*"))) == 1
    assert apart(unbroken, state(out)) < 2e-5


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """How far two states lie apart, at most."""
    return max(float((one[name] - other[name]).abs().max()) for name in one)


KILLED = """
import os, signal, sys
from pathlib import Path
from torch import nn
from mardini_cli.training import shared
from mardini_cli.training.checkpoint import Place
from mardini_cli.training.crew import Crew
folder, layer = Path(sys.argv[1]), nn.Linear(300, 300)
writer = shared.Writer(folder, Crew())
writer.save(Place(model={}, stages=("a",), step=1), dict(layer.state_dict()))
writer.wait()
def half(self, written, part, name):
    written.result()
    (shard,) = part.glob("*.safetensors")
    os.truncate(shard, shard.stat().st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)
shared.Writer._finish = half
writer.save(Place(model={}, stages=("a",), step=2), dict(layer.state_dict()))
writer.wait()
"""


def test_a_kill_during_a_checkpoint_leaves_the_last_one(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )

    found = keeping.load(tmp_path, CPU)

    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert found is not None
    assert found[0].step == 1
    assert {name: tuple(x.shape) for name, x in found[1].items()} == {
        "weight": (300, 300),
        "bias": (300,),
    }


def test_a_later_checkpoint_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    writer, layer = shared.Writer(tmp_path, Crew()), nn.Linear(3, 2)
    for step in (1, 2):
        told = layer.weight.detach().clone()
        writer.save(Place(model={}, stages=("a",), step=step), dict(layer.state_dict()))
        layer.weight.data += 1  # while it is written
    writer.wait()

    (folder,) = tmp_path.iterdir()
    kept = shared.whole(folder, CPU)

    assert folder.name == "checkpoint-000-00000002"
    assert torch.equal(kept["weight"], told)


def test_stop_and_resume_equals_no_stop_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process, checkpoints written beside the steps; critic, head and stages as ever."""
    stages = (stage("guided", critic=True), stage("planner"))
    whole = settings(tmp_path, *stages, out=str(tmp_path / "whole"))
    parts = settings(tmp_path, *stages, out=str(tmp_path / "parts"), shard=True)
    run(whole)
    run_until(parts, 1, monkeypatch)  # in the middle of the first stage

    *_, trained = run(parts)

    assert isinstance(trained, Trained)
    wanted, found = saved(whole.out), state(Path(parts.out))
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    writer = shared.Writer(tmp_path, Crew())
    writer.save(Place(model={}, stages=("a",)), dict(nn.Linear(30, 20).state_dict()))
    writer.wait()
    (shard,) = tmp_path.glob("*/*.safetensors")
    shard.write_bytes(shard.read_bytes()[:200])

    with pytest.raises(WeightsError, match="is damaged") as raised:
        keeping.load(tmp_path, CPU)

    assert "\n" not in str(raised.value)
