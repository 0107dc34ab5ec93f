"""Runs: stopped and taken up again, ended by minutes, stopped by a loss that is no number."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mardini_cli import weights
from mardini_cli.errors import ConfigError, MadeFrameError, UnwritableError, WeightsError
from mardini_cli.events import Paused, Progress, Trained, Warned
from mardini_cli.model import prior
from mardini_cli.model.blocks import DenoiserBlock
from mardini_cli.model.mardini import MarDini
from mardini_cli.training import checkpoint, loop, starting
from mardini_cli.training.batches import Batch
from mardini_cli.training.movers import Averaged
from mardini_cli.training.objectives import Objective
from mardini_cli.training.reading import to_toml
from mardini_cli.training.stepping import Stepper
from tests.training.runs import (
    CPU,
    batches,
    data_folder,
    photo_folder,
    run,
    run_until_save,
    saved,
    settings,
    stage,
)

# A critic, a planner's head, and stages that follow each other: all that can be forgotten.
STAGES = (stage("guided", critic=True, photos=0.5), stage("planner", photos=0.5), stage("joint"))


def blocks_of(model: MarDini) -> Iterator[DenoiserBlock]:
    return (block for block in model.denoiser.blocks if isinstance(block, DenoiserBlock))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody stopped."""
    folder = tmp_path_factory.mktemp("unbroken")
    photos = str(photo_folder(folder / "photos"))
    run(settings(folder, *STAGES, photos=(photos,)))
    return folder


@pytest.mark.parametrize("saves", [1, 2, 3, 5])
def test_stop_and_resume_equals_no_stop_to_the_bit(
    saves: int, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(
        unbroken, *STAGES, photos=(str(unbroken / "photos"),), out=str(tmp_path / "run")
    )
    run_until_save(config, saves, monkeypatch)

    *_, trained = run(config)

    assert isinstance(trained, Trained)
    assert trained.steps == 12 - 2 * saves
    wanted, found = saved(str(unbroken / "run")), saved(config.out)
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_a_run_tells_its_steps_and_its_weights(unbroken: Path, tmp_path: Path) -> None:
    config = settings(unbroken, stage("denoiser"), out=str(tmp_path / "run"))

    progress, trained = run(config)

    assert isinstance(progress, Progress)
    assert (progress.done, progress.total, progress.unit) == (4, 4, "steps")
    assert isinstance(trained, Trained)
    assert (trained.output, trained.steps) == (tmp_path / "run" / "weights", 4)
    assert weights.load(trained.output, CPU, torch.float32).config.preset == "nano"
    log = (tmp_path / "run" / "log.jsonl").read_text()
    rows = [json.loads(line) for line in log.splitlines()]
    assert {"v", "total", "gradient"} <= rows[0].keys()
    assert {"raw_loss", "average_loss", "raw_loss_ends", "average_loss_animate"} <= rows[1].keys()
    assert rows[1]["average_steps"] == 10


def test_the_finished_weights_are_the_averaged_ones(tmp_path: Path) -> None:
    config = settings(tmp_path, stage("denoiser", rate=1e-2), save=3)
    averages: list[list[torch.Tensor]] = []
    swap = Averaged.swap

    def watched(self: Averaged) -> None:
        averages.append([value.clone() for value in self.values])
        swap(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Averaged, "swap", watched)
        run(config)

    state = checkpoint.part_of(saved(config.out), "model")
    moved = [value for name, value in state.items() if name.startswith("denoiser.")]
    kept = torch.cat([value.flatten() for value in moved]).sort().values
    wanted = torch.cat([value.flatten() for value in averages[-1]]).sort().values
    assert torch.equal(kept, wanted)


def test_another_run_starts_from_a_run_s_full_precision(unbroken: Path, tmp_path: Path) -> None:
    config = settings(
        unbroken, stage("denoiser"), init=str(unbroken / "run"), out=str(tmp_path / "run")
    )

    started = loop.Run(config).model.state_dict()

    kept = checkpoint.part_of(saved(str(unbroken / "run")), "model")
    assert all(torch.equal(started[name], value) for name, value in kept.items())


def test_a_folder_of_another_run_is_refused(unbroken: Path) -> None:
    config = settings(unbroken, stage("planner", name="other"))

    with pytest.raises(ConfigError, match="holds a run of nano through stages guided, planner"):
        run(config)


def test_resume_says_what_is_expected_of_the_folder(unbroken: Path, tmp_path: Path) -> None:
    stands = settings(unbroken, *STAGES)
    empty = settings(unbroken, *STAGES, out=str(tmp_path / "run"))

    with pytest.raises(ConfigError, match="holds a run already; needs a folder without one"):
        loop.Run(stands, "never")
    with pytest.raises(ConfigError, match="holds no checkpoint; needs a run to go on with"):
        loop.Run(empty, "must")
    assert not (tmp_path / "run").exists()
    loop.Run(stands, "must")
    loop.Run(empty, "never")


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    config = settings(tmp_path, stage("denoiser"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / checkpoint.NAME).write_bytes(b"half a file")

    with pytest.raises(WeightsError, match="is damaged"):
        run(config)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = settings(tmp_path, stage("denoiser"), out=str(tmp_path / "file" / "run"))

    with pytest.raises(UnwritableError, match="cannot be made"):
        run(config)


KILLED = """
import os, signal, sys
from pathlib import Path
from torch import nn
from mardini_cli.training import checkpoint
folder, layer = Path(sys.argv[1]), nn.Linear(300, 300)
place = checkpoint.Place(model={}, stages=("a",), step=1)
checkpoint.save(folder, place, {"layer": layer}, {})
def half(state, part, metadata):
    write(state, part, metadata)
    os.truncate(part, part.stat().st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)
write, checkpoint.save_file = checkpoint.save_file, half
checkpoint.save(folder, checkpoint.Place(model={}, stages=("a",), step=2), {"layer": layer}, {})
"""


def test_a_kill_during_a_checkpoint_leaves_the_last_one(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)

    found = checkpoint.load(tmp_path, CPU)

    assert ended.returncode == -signal.SIGKILL
    assert found is not None
    assert found[0].step == 1
    assert {name: tuple(value.shape) for name, value in found[1].items()} == {
        "layer/weight": (300, 300),
        "layer/bias": (300,),
    }


def test_a_loss_that_is_no_number_stops_before_anything_is_saved(tmp_path: Path) -> None:
    config = settings(tmp_path, stage("guided", steps=8, rate=1e30, warmup=1), save=1)

    with pytest.raises(MadeFrameError, match="the last checkpoint stands"):
        run(config)

    assert all(bool(value.isfinite().all()) for value in saved(config.out).values())


def test_a_scheduler_s_signal_saves_and_the_run_goes_on_to_the_bit(
    unbroken: Path, tmp_path: Path
) -> None:
    changes = {"photos": (str(unbroken / "photos"),), "out": str(tmp_path / "run"), "save": 100}
    config = settings(unbroken, *STAGES, **changes)
    steps: list[int] = []
    taken = Stepper.__call__

    def signalled(self: Stepper, *told: Any) -> None:
        taken(self, *told)
        steps.append(1)
        if len(steps) == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "__call__", signalled)
        *_, paused = run(config)
    *_, trained = run(config)

    assert isinstance(paused, Paused)
    assert (paused.output, paused.stage, paused.step) == (tmp_path / "run", "planner", 3)
    assert isinstance(trained, Trained)
    assert trained.steps == 12 - 7
    wanted, found = saved(str(unbroken / "run")), saved(config.out)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


@pytest.mark.timeout(60)
def test_workers_begin_beside_what_opencv_did_before_them() -> None:
    """Its threads are not there in a process that is forked, and ending them waits for ever."""
    pictures = np.random.default_rng(0).integers(0, 256, (2, 300, 400), dtype=np.uint8)
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        prior.dis_flow(*pictures)
        batch = next(batches(stage("joint")).run(0, 1, CPU))

        assert len(batch.mask) == 2
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(before)


def test_workers_leave_a_scheduler_s_signal_to_the_process_that_saves() -> None:
    """Schedulers send it to every process of a job; of a dead worker the run would die."""
    drawn = batches(stage("joint", steps=8)).run(0, 1, CPU)
    next(drawn)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None

    for _ in range(6):
        os.kill(worker.pid, signal.SIGTERM)
        next(drawn)

    assert worker.is_alive()
    del drawn
    worker.join(timeout=10)
    assert not worker.is_alive()


def test_a_step_without_a_number_is_left_out_and_told(tmp_path: Path) -> None:
    config = settings(tmp_path, stage("denoiser", steps=4))
    seen: list[dict[str, Tensor]] = []
    taken = Stepper.__call__

    def spoilt(self: Stepper, batch: Batch, *told: Any) -> None:
        before = {name: value.clone() for name, value in self.objective.state_dict().items()}
        if len(seen) == 2:
            batch = replace(batch, made=batch.made.float() * torch.nan)
        taken(self, batch, *told)
        after = self.objective.state_dict()
        seen.append({name: after[name] - value for name, value in before.items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "__call__", spoilt)
        events = run(config)

    moved = [sum(float(x.abs().sum()) for x in one.values()) for one in seen]
    assert [size > 0 for size in moved] == [True, True, False, True]
    (warned,) = [event for event in events if isinstance(event, Warned)]
    assert (warned.code, warned.message[:40]) == (
        "skipped-steps", "stage denoiser, by step 4: 1 steps moved",
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert rows[0]["skipped"] == 1


def test_parts_of_a_step_do_what_the_whole_step_does(tmp_path: Path) -> None:
    for parts in (1, 2, 4):
        one = stage("joint", steps=3, batch=4, accumulate=parts)
        run(settings(tmp_path, one, out=str(tmp_path / str(parts))))

    whole, *others = (saved(str(tmp_path / str(parts))) for parts in (1, 2, 4))
    for parts_of_it in others:
        torch.testing.assert_close(parts_of_it, whole, atol=1e-5, rtol=0)


def test_a_stage_may_change_the_form_of_attention_and_keeps_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = (stage("denoiser"), stage("denoiser", name="swapped", attention="t"))
    config = settings(tmp_path, *stages)
    run_until_save(config, 2, monkeypatch)  # the first stage has ended
    before = checkpoint.part_of(saved(config.out), "model")
    starts: list[dict[str, Tensor]] = []
    made = Stepper.__init__

    def watched(self: Stepper, objective: Objective, *told: Any) -> None:
        starts.append({name: x.clone() for name, x in objective.model.state_dict().items()})
        made(self, objective, *told)

    monkeypatch.setattr(Stepper, "__init__", watched)
    run_until_save(config, 1, monkeypatch)  # and the second is on its way
    *_, trained = run(config)

    assert isinstance(trained, Trained)
    assert all(torch.equal(starts[0][name], value) for name, value in before.items())
    model = weights.load(trained.output, CPU, torch.float32)
    assert model.config.denoiser.attention == "t"
    assert {block.across.over for block in blocks_of(model)} == {"t"}


def test_blocks_that_are_worked_out_again_give_the_same_weights(tmp_path: Path) -> None:
    for again in (False, True):
        run(settings(tmp_path, stage("joint"), recompute=again, out=str(tmp_path / str(again))))

    plain, other = (saved(str(tmp_path / str(again))) for again in (False, True))
    assert all(torch.equal(plain[name], value) for name, value in other.items())


@pytest.mark.slow
def test_compiled_blocks_give_nearly_the_same_weights(tmp_path: Path) -> None:
    """In a process of its own: torch's compiler warns of its own ways, and warnings are errors."""
    plain = settings(tmp_path, stage("denoiser", steps=2), sheets=0)
    run(plain)
    compiled = replace(plain, compile=True, out=str(tmp_path / "compiled"))
    (tmp_path / "train.toml").write_text(to_toml(compiled))

    ended = subprocess.run(
        [sys.executable, "-m", "mardini_cli", "train", str(tmp_path / "train.toml"), "-q"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0, ended.stderr
    wanted, found = saved(plain.out), saved(compiled.out)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_minutes_end_a_stage_and_the_next_one_follows(tmp_path: Path) -> None:
    timed = stage("denoiser", steps=100_000, minutes=0.02)

    *_, trained = run(settings(tmp_path, timed, stage("planner")))

    assert isinstance(trained, Trained)
    assert 5 < trained.steps < 1000


def test_the_average_reaches_back_a_share_of_the_stage_that_really_happens() -> None:
    by_steps, by_minutes = Averaged([], 5000), Averaged([], 100_000)

    assert by_steps.horizon(0, 0.0) == 100
    assert by_steps.horizon(2500, 0.5) == 100
    assert by_minutes.horizon(999, 0.5) == 40
    assert by_minutes.horizon(9, 0.5) == 10


def test_a_stage_may_say_how_far_its_average_reaches() -> None:
    assert Averaged([], 5000, reach=700).horizon(2500, 0.5) == 700


def test_the_average_begins_as_a_plain_mean_and_swaps_back() -> None:
    weight = nn.Parameter(torch.tensor([0.0]))
    average = Averaged([weight], 10_000)
    for step, value in enumerate((1.0, 2.0, 3.0)):
        weight.data.fill_(value)
        average.update(step, step / 10_000)

    average.swap()
    seen = float(weight.detach())
    average.swap()

    assert seen == pytest.approx(1.5)  # the start counts as a step
    assert float(weight.detach()) == 3


def test_clips_that_do_not_decode_are_named(tmp_path: Path) -> None:
    (data_folder(tmp_path / "data") / "broken.mp4").write_bytes(b"no film")

    told, *_ = run(settings(tmp_path, stage("denoiser")))

    assert told == Warned(code="skipped-files", message="left out, do not decode: broken.mp4")


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"preset": "nano-vae"}, "guided", "preset nano-vae, which has picture latents"),
        ({}, "vae", "needs picture latents"),
        ({"data": ()}, "denoiser", "data: it is empty"),
        ({"data": ("nowhere",)}, "denoiser", "no clips in nowhere"),
        ({"photos": ("nowhere",)}, "denoiser", "no photographs in nowhere"),
    ],
)
def test_a_run_that_cannot_be_is_one_line(
    changes: dict[str, object], kind: str, told: str, tmp_path: Path
) -> None:
    config = settings(tmp_path, stage(kind), **changes)

    with pytest.raises(ConfigError, match=told):
        run(config)


def test_a_stage_longer_than_the_model_s_window_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 9, the window of preset nano"):
        run(settings(tmp_path, stage("denoiser", slots=17)))


def test_a_gpu_without_a_number_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", claimed.append)
    starting.claim(torch.device("cuda"))
    starting.claim(torch.device("cuda:1"))
    starting.claim(torch.device("cpu"))
    assert claimed == [torch.device("cuda:1")]
