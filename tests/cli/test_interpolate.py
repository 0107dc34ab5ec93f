"""``mardini interpolate``, seen from outside: what it prints, how it ends, what it leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from safetensors.torch import load_file, save

from mardini_cli import config, weights
from mardini_cli.cli import app
from tests.pipeline.clips import RATE, even_times, nano_weights, read_back, write_clip, write_tone

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Shown:
    """What one run printed, and how it ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Shown]


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nano_weights(tmp_path_factory.mktemp("weights") / "nano")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, so that messages hold plain names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(
    nano: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run the program in this process, with the smallest weights unless told otherwise."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*words: str) -> Shown:
        fixed = [] if "--model" in words else ["--model", str(nano)]
        fixed += [] if "--device" in words else ["--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["mardini", "interpolate", *fixed, *words])
        with pytest.raises(SystemExit) as ended:
            app.main()
        return Shown(int(ended.value.code or 0), *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_clip_is_interpolated_and_its_path_is_the_only_output(run: Run, folder: Path) -> None:
    write_clip(folder / "walk.mkv", even_times(4))

    shown = run("walk.mkv", "--factor", "4", "--quiet")

    assert shown == Shown(0, "walk.x4.mkv\n", "")
    assert len(read_back(folder / "walk.x4.mkv")) == 13


def test_json_gives_one_event_a_line(run: Run, folder: Path) -> None:
    write_clip(folder / "walk.mkv", even_times(4))

    shown = run("walk.mkv", "--json", "-o", "out.mp4")

    events = [json.loads(line) for line in shown.out.splitlines()]
    assert (shown.status, shown.err) == (0, "")
    assert [events[0]["event"], events[-1]["event"]] == ["planned", "finished"]
    assert {event["event"] for event in events[1:-1]} == {"window", "progress", "verified"}
    assert (events[-1]["output"], events[-1]["frames"], events[-1]["made"]) == ("out.mp4", 7, 3)


def test_a_dry_run_prints_the_plan_and_makes_nothing(run: Run, nano: Path, folder: Path) -> None:
    write_clip(folder / "walk.mkv", even_times(4))

    shown = run("walk.mkv", "--dry-run", "--steps", "2", "--seed", "9")

    assert shown == Shown(
        0,
        "interpolate: walk.mkv, 64x48, 4 given + 3 made = 7 frames in 1 window; "
        f"{nano} on cpu, steps 2, seed 9; to walk.x2.mkv\n",
        "",
    )
    assert list(contents(folder)) == ["walk.mkv"]


def test_the_same_seed_gives_the_same_frames_and_another_one_does_not(
    run: Run, folder: Path
) -> None:
    write_clip(folder / "walk.mkv", even_times(3))
    common = ("walk.mkv", "--codec", "ffv1", "--steps", "2", "--quiet")

    for name, seed in (("first", "3"), ("again", "3"), ("other", "4")):
        assert run(*common, "--seed", seed, "-o", f"{name}.mkv").status == 0

    first, again, other = (
        read_back(folder / f"{name}.mkv") for name in ("first", "again", "other")
    )
    assert first == again
    assert [place for place in range(5) if first[place] != other[place]] == [1, 3]


def test_several_clips_are_made_one_after_another_into_a_folder(run: Run, folder: Path) -> None:
    for name in ("a.mkv", "b.mkv"):
        write_clip(folder / name, even_times(3))
    (folder / "there").mkdir()

    shown = run("a.mkv", "b.mkv", "-o", "there", "--quiet")

    assert shown == Shown(0, "there/a.x2.mkv\nthere/b.x2.mkv\n", "")


def test_one_clip_that_fails_does_not_stop_the_others(run: Run, folder: Path) -> None:
    write_clip(folder / "b.mkv", even_times(3))

    shown = run("a.mkv", "b.mkv", "--quiet")

    assert shown == Shown(
        1,
        "b.x2.mkv\n",
        "mardini: a.mkv: No such file or directory; needs a file that can be read; "
        "check the path and its permissions\n",
    )


def test_several_clips_do_not_fit_one_file(run: Run, folder: Path) -> None:
    for name in ("a.mkv", "b.mkv"):
        write_clip(folder / name, even_times(3))

    shown = run("a.mkv", "b.mkv", "-o", "out.mkv")

    assert shown == Shown(
        2,
        "",
        "mardini: one output, out.mkv, for several clips; needs a folder that is there; "
        "make it first, or use --output-dir\n",
    )


TRANSCRIPT = (Path(__file__).parent / "bad_input.txt").read_text(encoding="utf-8")
"""Each command that cannot work, then its exit status and all that it prints."""
CASES = [case.splitlines() for case in TRANSCRIPT.split("\n\n")]


def test_wrong_words_end_the_work_at_the_first_of_several_clips(run: Run, folder: Path) -> None:
    for name in ("a.mkv", "b.mkv"):
        write_clip(folder / name, even_times(3))

    shown = run("a.mkv", "b.mkv", "--codec", "mpeg9", "--quiet")

    assert shown == Shown(
        2,
        "",
        "mardini: unknown codec 'mpeg9'; needs one of h264, hevc, av1, vp9, prores, ffv1;"
        " choose one\n",
    )


@pytest.fixture
def shelf(folder: Path, nano: Path) -> Path:
    """One good clip, and all that can be wrong beside it."""
    write_clip(folder / "walk.mkv", even_times(3))
    write_clip(folder / "one.mkv", even_times(1))
    write_tone(folder / "tone.wav")
    (folder / "link.mkv").symlink_to("walk.mkv")
    (folder / "zero.mp4").touch()
    (folder / "text.mp4").write_text("Dear diary, today I was renamed.\n" * 9, encoding="utf-8")
    (folder / "empty").mkdir()
    card = (nano / "config.json").read_text(encoding="utf-8")
    tensors = (nano / "model.safetensors").read_bytes()
    lacking = load_file(nano / "model.safetensors")
    del lacking["planner.embed.bias"]
    for name, wrong_card, wrong_tensors in (
        ("odd", card.replace('"window"', '"widow"'), tensors),
        ("swapped", card, save(lacking)),
        ("cut", card, tensors[: len(tensors) // 2]),
    ):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(wrong_card, encoding="utf-8")
        (folder / name / "model.safetensors").write_bytes(wrong_tensors)
    return folder


@pytest.mark.parametrize(("command", "answer"), CASES)
def test_what_cannot_work_is_one_line_and_leaves_nothing(
    command: str, answer: str, run: Run, shelf: Path
) -> None:
    before = contents(shelf)
    status, line = answer.format(
        folder=shelf,
        keys=len(fields(config.ModelConfig)),
        releases=", ".join(weights.releases()) or "none is embedded",
    ).split(" ", 1)

    shown = run(*command.removeprefix("$ mardini interpolate ").split(), "--quiet")

    assert shown == Shown(int(status), "", f"{line}\n")
    assert contents(shelf) == before


@pytest.mark.usefixtures("folder")
def test_an_error_is_the_last_line_of_json(run: Run) -> None:
    shown = run("gone.mp4", "--json")

    line = "gone.mp4: No such file or directory"
    assert json.loads(shown.out) == {
        "event": "failed",
        "schema": 1,
        "code": "missing-file",
        "found": line,
        "needed": "a file that can be read",
        "do": "check the path and its permissions",
    }
    assert shown.err.startswith(f"mardini: {line}; ")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_the_work_leaves_nothing(
    number: signal.Signals, status: int, nano: Path, folder: Path
) -> None:
    write_clip(folder / "walk.mkv", even_times(400))
    words = (
        "interpolate",
        "walk.mkv",
        "--model",
        str(nano),
        "--device",
        "cpu",
        "--resume",
        "never",
    )

    process = subprocess.Popen(
        [sys.executable, "-m", "mardini_cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2:  # the hidden part file shows that the work has begun
        assert time.monotonic() < end, "the work did not begin"
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (status, b"")
    assert b"Traceback" not in err
    assert [path.name for path in folder.iterdir()] == ["walk.mkv"]


def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(nano: Path, folder: Path) -> None:
    """The limit on the size of a file stands for the disk."""
    write_clip(folder / "walk.mkv", even_times(40))
    words = ("interpolate", "walk.mkv", "--codec", "ffv1", "--quiet", "--device", "cpu")
    program = (sys.executable, "-m", "mardini_cli", *words, "--model", str(nano))

    ended = subprocess.run(
        ["bash", "-c", 'ulimit -f 40; exec "$@"', "bash", *program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"mardini: {folder}/walk.x2.mkv: File too large; needs room and permission to write; "
        "choose another place with -o\n"
    )
    assert [path.name for path in folder.iterdir()] == ["walk.mkv"]


def test_a_clip_comes_and_goes_through_pipes(folder: Path, nano: Path) -> None:
    """What arrives on standard input leaves as y4m on standard output, and nothing else does."""
    write_clip(folder / "walk.mkv", even_times(4))
    words = ["interpolate", "-", "-o", "-", "--model", str(nano), "--quiet"]

    result = subprocess.run(
        [sys.executable, "-m", "mardini_cli", *words],
        input=(folder / "walk.mkv").read_bytes(),
        capture_output=True,
        check=True,
    )

    (folder / "b.y4m").write_bytes(result.stdout)
    assert result.stderr == b""
    assert len(read_back(folder / "b.y4m")) == 7


def test_raw_video_from_a_pipe_gives_what_the_same_frames_give_as_y4m(
    folder: Path, nano: Path
) -> None:
    write_clip(folder / "walk.y4m", even_times(4), codec="wrapped_avframe", base=1 / RATE)
    header, *frames = (folder / "walk.y4m").read_bytes().split(b"FRAME\n")
    assert header.startswith(b"YUV4MPEG2 W64 H48 F25:1")
    raw = ["--input-format", "rawvideo", "--input-size", "64x48", "--input-fps", "25"]

    def piped(sent: bytes, *words: str) -> bytes:
        command = [sys.executable, "-m", "mardini_cli", "interpolate", "-", "-o", "-"]
        command += ["--model", str(nano), "--device", "cpu", "--quiet", *words]
        return subprocess.run(command, input=sent, capture_output=True, check=True).stdout

    told = piped((folder / "walk.y4m").read_bytes())
    by_hand = piped(b"".join(frames), *raw)

    assert told.count(b"FRAME\n") == 7
    assert by_hand.split(b"FRAME\n")[1:] == told.split(b"FRAME\n")[1:]
