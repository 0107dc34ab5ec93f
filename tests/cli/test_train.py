"""``mardini train`` from outside: its words, its result and its errors."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mardini_cli.training.stages import TrainConfig
from tests.pipeline.clips import even_times, nano_weights, write_clip
from tests.training.runs import CONFIG

KEYS = len(dataclasses.fields(TrainConfig))


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mardini_cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a clip and a config."""
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "walk.mkv", even_times(12))
    (tmp_path / "train.toml").write_text(CONFIG)
    return tmp_path


def test_the_weights_folder_is_the_only_output_and_makes_frames(folder: Path) -> None:
    trained = run(folder, "train", "train.toml", "out=mine")
    made = run(folder, "interpolate", "clips/walk.mkv", "--model", "mine/weights", "-q", "-o", ".")

    assert (trained.returncode, trained.stdout) == (0, "mine/weights\n")
    assert trained.stderr.startswith("2 of 2 steps, ")
    assert "trained 2 steps in " in trained.stderr
    assert (made.returncode, made.stderr, made.stdout) == (0, "", "walk.x2.mkv\n")


def test_weights_are_fitted_to_clips_and_shared(folder: Path) -> None:
    (folder / "large").mkdir()
    write_clip(folder / "large" / "walk.mkv", even_times(12), size=(136, 144))
    nano_weights(folder / "nano")
    tuned = run(
        folder, "train", "--init", "nano", "--data", "large", "steps=2", "device=cpu",
        "workers=0", "sheets=0", "--lora", "2",
    )  # fmt: skip
    shared = run(folder, "train", "export", "runs/large", "-o", "shared")
    again = run(folder, "train", "export", "runs/large", "-o", "shared")

    assert (tuned.returncode, tuned.stdout) == (0, "runs/large/weights\n"), tuned.stderr
    assert (shared.returncode, shared.stdout) == (0, "shared\n")
    assert "averaged weights of runs/large after stage tune-pictures" in shared.stderr
    assert (again.returncode, again.stdout) == (1, "")
    assert "shared stands there already" in again.stderr
    assert (folder / "shared" / "README.md").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "nothing to train on; needs a TOML file, or a folder of clips; add --data"),
        (("--data", "nowhere"), "nowhere is no file; needs a TOML file of settings, or a folder"),
        (("export", "clips"), "clips holds no train.toml; needs the folder of a run"),
    ],
)
def test_what_is_not_there_is_one_line(words: tuple[str, ...], told: str, folder: Path) -> None:
    shown = run(folder, "train", *words)

    assert (shown.returncode in (1, 2), shown.stdout) == (True, "")
    assert shown.stderr.startswith(f"mardini: {told}")
    assert shown.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("train", "clips"), ("train", "cache", "train.toml")])
def test_a_run_that_came_to_nothing_leaves_no_folder(words: tuple[str, ...], folder: Path) -> None:
    """The clip is too small for the usual settings; no stage of the file's can be kept for."""
    before = sorted(folder.rglob("*"))

    ended = run(folder, *words)

    assert ended.returncode == 2
    assert sorted(folder.rglob("*")) == before


def test_json_gives_one_event_a_line(folder: Path) -> None:
    (folder / "clips" / "broken.mp4").write_text("no film")

    shown = run(folder, "train", "train.toml", "--json")

    events = [json.loads(line) for line in shown.stdout.splitlines()]
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [event["event"] for event in events] == ["warned", "progress", "trained"]
    assert events[0]["message"] == "left out, do not decode: broken.mp4"
    assert (events[2]["output"], events[2]["steps"]) == ("run/weights", 2)


def test_settings_can_be_printed(folder: Path) -> None:
    shown = run(folder, "train", "train.toml", "seed=7", "--print-config")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert "seed = 7\n" in shown.stdout
    assert not (folder / "run").exists()


def test_a_dry_run_counts_and_trains_nothing(folder: Path) -> None:
    shown = run(folder, "train", "train.toml", "--dry-run")

    assert (shown.returncode, shown.stderr) == (0, "")
    first, head, stage, *_ = shown.stdout.splitlines()
    assert first.startswith("nano: 0.5 M parameters; 1 x cpu, ")
    assert (head.split()[:2], stage.split()[:2]) == (["stage", "steps"], ["guided", "2"])
    assert not (folder / "run").exists()


def test_a_folder_is_enough(folder: Path) -> None:
    words = ("preset=nano", "device=cpu", "workers=0", "-q")
    small = 'stages=[{name = "a", kind = "denoiser", steps = 1, side = 48, batch = 1}]'

    shown = run(folder, "train", "clips", small, *words)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == "runs/clips/weights\n"
    assert (folder / "runs" / "clips" / "weights" / "config.json").is_file()


def test_a_scheduler_s_signal_ends_with_nothing_wrong(folder: Path) -> None:
    words = [sys.executable, "-m", "mardini_cli", "train", "train.toml", "--json"]
    config = (folder / "train.toml").read_text().replace("steps = 2", "steps = 100000")
    config = config.replace('kind = "guided"', 'kind = "denoiser"').replace(
        "batch = 2", "batch = 1"
    )
    (folder / "train.toml").write_text(config)
    env = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        told = (json.loads(line)["event"] for line in running.stdout)
        begun = next(event for event in told if event != "warned")  # fifty steps are done
        running.send_signal(signal.SIGTERM)
        rest = running.stdout.read()
        ended = running.wait(60)

    paused = json.loads(rest.splitlines()[-1])
    assert (ended, begun) == (0, "progress")
    assert (paused["event"], paused["output"], paused["stage"]) == ("paused", "run", "guided")
    assert paused["step"] >= 50
    assert (folder / "run" / "checkpoint.safetensors").is_file()


def test_help_teaches() -> None:
    shown = run(Path(), "train", "--help")

    assert shown.returncode == 0
    assert "Example: mardini train examples/train.toml data=my_clips out=runs/mine" in shown.stdout


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (
            ["no.toml"],
            1,
            "mardini: no.toml is no file; needs a TOML file of settings, or a folder of clips; "
            "check the path\n",
        ),
        (
            ["train.toml", "presett=nano"],
            2,
            f"mardini: unknown key 'presett' in 'presett=nano'; needs one of {KEYS} keys; "
            "did you mean preset?\n",
        ),
        (
            ["train.toml", "data=nowhere"],
            2,
            "mardini: no clips in nowhere; needs files ending in .mp4 .mov .mkv .webm .m4v .avi "
            ".mpg .mpeg .ts .m2ts .mts .ogv .wmv .flv .3gp .mxf .y4m .gif; or .txt lists of clips; "
            "name their folder in data\n",
        ),
        (
            ["train.toml", "preset=huge"],
            2,
            "mardini: unknown preset 'huge'; needs one of nano, nano-vae, tiny, s-st, l-st, s-t, "
            "l-t; choose one\n",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: list[str], status: int, told: str, folder: Path
) -> None:
    shown = run(folder, "train", *words)

    assert (shown.returncode, shown.stdout, shown.stderr) == (status, "", told)
