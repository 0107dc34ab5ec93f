"""Random command lines, with the words of people in a hurry and of people with bad intentions.

Every one of them ends in success or in one clear line, exit 1 or 2, and leaves nothing behind.
"""

import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import given as for_all
from hypothesis import strategies as st
from typer.main import get_command

from mardini_cli.cli.app import app, main
from tests.pipeline.clips import even_times, nano_weights, write_clip
from tests.training.runs import CONFIG

MAKING = ("interpolate", "animate", "extend", "fill")
COMMANDS = (
    *MAKING,
    *("probe", "verify", "batch", "rerun", "train", "train cache", "train export"),
)
ODD = (
    *("", "0", "1", "2", "-1", "3.5", "1e400", "nan", "inf", "1/0", "99999999999999999999", "a,b"),
    *("auto", "off", "none", "abc", "../..", "\x1b[31m", "üñ", "%s%n", "0..1", "1..0", "0..9e9"),
    *("[bold]", "{x}", "'; ls", "\u202e", "-", "--", "nul\ud800"),
)
"""For any flag."""
RIGHT: dict[str, tuple[str, ...]] = {
    "--output": ("a.mkv", "a.mp4", "a.gif", "p/%03d.png", "a.xyz", "no/a.mkv", "in.mkv", "/", "."),
    "--factor": ("2", "3", "64"),
    "--fps": ("24", "59.94", "60000/1001", "1000"),
    "--slow-motion": ("2", "1.5"),
    "--speed": ("0:1,0.1:0.5", "0:2"),
    "--start": ("0.04", "1f", "0:00.04"),
    "--end": ("0.16", "4f", "9"),
    "--audio": ("drop", "stretch", "loop", "keep"),
    "--cuts": ("off", "in.mkv"),
    "--cut-threshold": ("0.5", "2"),
    "--at-cuts": ("predict", "hold"),
    "--duplicates": ("keep", "smooth"),
    "--between": ("1", "3"),
    "--frame": ("0=in.png", "0.2=in.png", "x=in.png", "0.1=no.png"),
    "--seconds": ("0.2", "1/8"),
    "--frames": ("2", "4"),
    "--smooth": ("16", "24"),
    "--reference-at": ("middle", "last", "1"),
    "--variations": ("2",),
    "--direction": ("both", "backward"),
    "--context": ("1", "2", "99"),
    "--missing": ("1-2", "0-99", "3,1"),
    "--keep": ("0,4",),
    "--damaged": ("auto",),
    "--fit": ("pad", "crop"),
    "--background": ("white", "#ff0000", "#f"),
    "--steps": ("1", "1001"),
    "--guidance": ("2.5",),
    "--seed": ("7",),
    "--device": ("cpu", "cuda", "cuda:9", "mps"),
    "--devices": ("cpu", "cpu,cpu", ",", "0,1"),
    "--dtype": ("fp32", "bf16", "fp16"),
    "--attention": ("sdpa", "xformers"),
    "--resolution": ("64", "1"),
    "--tile": ("256", "off", "8"),
    "--batch": ("3", "auto"),
    "--faults": ("warn", "stop"),
    "--max-pixels": ("100", "99999"),
    "--max-frames": ("3", "50"),
    "--codec": ("ffv1", "h264", "vp9", "gif", "prores", "h264_nvenc"),
    "--crf": ("20", "99"),
    "--preset": ("ultrafast", "p4", "12"),
    "--bitrate": ("1M",),
    "--pix-fmt": ("yuv420p", "rgb24", "yuv444p10le"),
    "--range": ("0..0.1", "0.05..0.2"),
    "--compare": ("repeat", "blend"),
    "--input-fps": ("25",),
    "--input-format": ("rawvideo",),
    "--input-size": ("64x48", "99999x99999"),
    "--input-pix-fmt": ("yuv420p",),
    "--resume": ("auto", "never", "force"),
    "--shard": ("1/2", "2/2", "3/2"),
    "--engine": ("local", "cloud"),
    "--gpu-share": ("0.5",),
    "--retries": ("2",),
    "--init": ("nano", "in.mkv"),
    "--data": ("clips", "in.mkv"),
    "--lora": ("2",),
    "--stages": ("tune", "vae"),
    "--stage": ("guided",),
    "--storage": ("int8", "bf16", "fp32"),
    "--licence": ("mit",),
}
INPUTS = ("in.mkv", "in.png", "no.mkv", "text.mp4", "pictures", "p%d.png", "-", "in.mkv in.png", "")
OWN_INPUTS = {
    "batch": ("drawn.toml", "drawn.toml", "text.mp4", "no.toml", "pictures", "-", ""),
    "rerun": ("in.x2.mkv.json", "in.x2.mkv.json", "in.mkv", "drawn.toml", "no.json", "-", ""),
    "train": ("train.toml", "train.toml", "clips", "in.mkv", "drawn.toml", "no.toml", "a=b", ""),
    "train cache": ("train.toml", "train.toml", "clips", "no.toml", ""),
    "train export": ("ended", "nano", "no", "in.mkv", ""),
}
KEYS = ("seed", "preset", "side", "rate", "precision", "lora", "cache", "average", "stages", "xyz")
"""Settings of training, as KEY=VALUE."""
LEFT_OUT = {
    *("--model", "--write-cuts", "--work-dir", "--help", "--until", "--max-minutes", "--workers"),
    *("--sidecar", "--log-file", "--output-dir", "--compile", "--minutes"),
}
"""What goes to the network, is meant to leave something, or takes long: processes, compilers."""
NOTHING = re.compile(r"0 items in [\d.]+ s: none")
LONG = {"train": {"--stages"}, "train cache": {"--steps"}}
"""What takes long in one command alone."""


def options_of(command: str) -> list[tuple[str, bool]]:
    """Names of a command's options, and whether each takes a word."""
    found, node = [], get_command(app)
    for word in command.split():
        node = node.commands[word]  # type: ignore[attr-defined]
    if command == "train":
        node = node.commands["run"]  # type: ignore[attr-defined]
    for param in node.params:
        name = max(param.opts, key=len)
        if name.startswith("--") and name not in LEFT_OUT | LONG.get(command, set()):
            found.append((name, not getattr(param, "is_flag", False)))
    return found


def word_for(draw: st.DrawFn, name: str) -> str:
    """A word for an option: three times in four a right one, where there are such."""
    right = RIGHT.get(name, ())
    is_right = bool(right) and draw(st.integers(0, 3)) > 0
    return draw(st.sampled_from(right if is_right else ODD))


@st.composite
def job_files(draw: st.DrawFn) -> str:
    """Up to two jobs with up to four settings each, under the names of flags; in strings."""
    lines = ["[all]", 'model = "nano"', 'device = "cpu"', "max_frames = 60"]
    for _ in range(draw(st.integers(0, 2))):
        task = draw(st.sampled_from((*MAKING, "keyframes", "probe")))
        source = draw(st.sampled_from(INPUTS))
        lines += ["[[job]]", f"task = {json.dumps(task)}", f"input = {json.dumps(source)}"]
        if task == "animate":
            lines += ["steps = 1", "frames = 3"]
        known = options_of(task) if task in MAKING else [("--output", True)]
        for name, takes_word in draw(st.lists(st.sampled_from(known), max_size=4, unique=True)):
            key = name.removeprefix("--").replace("-", "_")
            word = word_for(draw, name).encode(errors="replace").decode()
            lines.append(f"{key} = {json.dumps(word) if takes_word else 'true'}")
    return "\n".join(lines)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command, its inputs and up to five of its options."""
    command = draw(st.sampled_from(COMMANDS))
    inputs = OWN_INPUTS.get(command, INPUTS)
    words = [*command.split(), *draw(st.sampled_from(inputs)).split()]
    if command == "train":
        for key in draw(st.lists(st.sampled_from(KEYS), max_size=2, unique=True)):
            words.append(f"{key}={draw(st.sampled_from(ODD))}")
    chosen = draw(st.lists(st.sampled_from(options_of(command)), max_size=5, unique=True))
    for name, takes_word in chosen:
        words.append(name)
        if takes_word:
            words.append(word_for(draw, name))
    if command == "batch":
        words[1:1] = ["--workers", "0"]
    if command.startswith("train") and command != "train export":
        words += ["workers=0", "device=cpu"]
        words[-2:-2] = ["--steps", "1"] if command == "train cache" else ["--minutes", "0.005"]
    if command in MAKING:
        # Small work, and not the default weights; first, so that the chosen ones win.
        words[1:1] = ["--model", "nano", "--max-frames", "60", "--device", "cpu", "--workers", "0"]
        if command == "animate":
            words[1:1] = ["--steps", "1", "--frames", "3"]
    return words


@contextmanager
def room(files: Path) -> Iterator[Path]:
    """A folder of its own with all inputs, as the current one."""
    place = files.with_name("room")
    shutil.copytree(files, place)
    try:
        with chdir(place):
            yield place
    finally:
        shutil.rmtree(place)


def run(words: list[str]) -> tuple[int, str, str]:
    """Run the whole program; anything but an exit is raised."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    empty = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with (
        patch.object(sys, "argv", ["mardini", *words]),
        patch.object(sys, "stdin", empty),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(bool(exit_.code))
        out.flush()
        err.flush()
    told = [stream.buffer.getvalue().decode(errors="replace") for stream in (out, err)]
    return code, *told  # type: ignore[return-value]


def listing(folder: Path) -> set[str]:
    return {os.fspath(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("options") / "files"
    (folder / "pictures").mkdir(parents=True)
    write_clip(folder / "in.mkv", even_times(6), sound=True)
    write_clip(folder / "in.png", even_times(1), codec="png", pixel_format="rgb24")
    for number in range(3):
        shutil.copy(folder / "in.png", folder / "pictures" / f"{number}.png")
        shutil.copy(folder / "in.png", folder / f"p{number}.png")
    (folder / "text.mp4").write_text("no film")
    nano_weights(folder / "nano")
    (folder / "clips").mkdir()
    write_clip(folder / "clips" / "walk.mkv", even_times(12))
    (folder / "train.toml").write_text(CONFIG)
    with chdir(folder):
        for words in (
            ["interpolate", "in.mkv", "--model", "nano", "--device", "cpu", "--sidecar"],
            ["train", "train.toml"],
        ):
            assert run(words)[0] == 0
    (folder / "run").rename(folder / "ended")
    return folder


def check(words: list[str], jobs: str, files: Path) -> None:
    """One command line, from the words to the folder afterwards."""
    with room(files) as place:
        (place / "drawn.toml").write_text(jobs, encoding="utf-8")
        before = listing(place)
        code, out, err = run(words)
        left = listing(place) - before

    assert code in (0, 1, 2), (words, code, err)
    assert "Traceback" not in err, (words, err)
    assert "\x1b" not in err, (words, err)
    if code:
        lines = [line for line in err.splitlines() if line.startswith(("mardini: ", "Error: "))]
        told = [line for line in lines if not line.startswith("mardini: warning: ")]
        table = words[0] == "verify" and out  # it tells in a table what does not hold
        failed = "--json" in words and '"failed"' in out  # of several, each tells its own
        assert told or table or failed, (words, code, err)
        if words[0] == "batch" or "in.png" in words:  # those that could be done were done
            left = {name for name in left if name.startswith(".")}
        assert not left, (words, left, err)
    else:
        quiet = {"-", "--quiet", "--dry-run"} & set(words)
        assert out or quiet or words[0] == "batch" or is_elsewhere(words, left, err), (words, err)


def is_elsewhere(words: list[str], left: set[str], err: str) -> bool:
    """Whether the second of two machines has nothing to do, as with one input; and did nothing."""
    pairs = set(pairwise(words))
    alone = ("--shard", "2/2") in pairs and ("in.mkv", "in.png") not in pairs
    return alone and not left and NOTHING.fullmatch(err.splitlines()[-1]) is not None


checked = settings(suppress_health_check=list(HealthCheck))


@settings(checked, max_examples=60)
@for_all(words=command_lines(), jobs=job_files())
def test_any_command_line_ends_in_success_or_one_clear_line(
    words: list[str], jobs: str, files: Path
) -> None:
    assume(not any("\x00" in word for word in words))

    check(words, jobs, files)


@pytest.mark.slow
@settings(checked, max_examples=1500)
@for_all(words=command_lines(), jobs=job_files())
def test_so_do_many_more(words: list[str], jobs: str, files: Path) -> None:
    check(words, jobs, files)
