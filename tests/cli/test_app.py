"""How the program starts and how it ends, seen from outside: in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SLOW_TO_IMPORT = ("torch", "numpy", "av", "cv2", "xformers", "imageio", "PIL", "huggingface_hub")


def run(*words: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program, or a script that ends in it."""
    start = ["-c", code] if code else ["-m", "mardini_cli"]
    return subprocess.run(
        [sys.executable, *start, *words], capture_output=True, text=True, check=False, timeout=120
    )


def with_command(body: str) -> str:
    """Code of a program that has one more command, ``probe``."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return (
        "import sys, time\n"
        "from mardini_cli.cli.app import app, main\n"
        "from mardini_cli.errors import MissingFileError\n"
        "@app.command('probe')\n"
        "def probe(json: bool = False) -> None:\n"
        f"{lines}\n"
        "sys.argv[0] = 'mardini'\n"
        "main()\n"
    )


def test_help_names_the_commands_and_loads_nothing_slow() -> None:
    code = (
        "import sys\n"
        "from mardini_cli.cli.app import main\n"
        "try:\n    main()\n"
        "finally:\n"
        f"    print([name for name in {SLOW_TO_IMPORT} if name in sys.modules], file=sys.stderr)\n"
    )

    shown = run("--help", code=code)

    assert shown.returncode == 0
    assert shown.stderr == "[]\n"
    assert "Make the video frames that are missing." in shown.stdout
    assert re.search(r"^  interpolate +Make the frames between", shown.stdout, re.MULTILINE)


def test_version_tells_all_that_a_result_depends_on() -> None:
    shown = run("--version")

    told = dict(line.split(" ", 1) for line in shown.stdout.splitlines())
    assert shown.returncode == 0
    assert list(told) == [
        "mardini",
        "python",
        "torch",
        "cuda",
        "xformers",
        "pyav",
        "ffmpeg",
        "opencv",
    ]
    assert re.fullmatch(r"\d+\.\d+\.\d+", told["mardini"])
    assert re.search(r"libavcodec \d+\.\d+\.\d+, ", told["ffmpeg"])


def test_an_unknown_flag_exits_2_and_says_so_on_standard_error() -> None:
    shown = run("--bogus")

    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.endswith("Error: No such option: --bogus\n")


def test_an_unknown_command_exits_2() -> None:
    shown = run("interpolatte")

    assert (shown.returncode, shown.stdout) == (2, "")
    assert "No such command 'interpolatte'" in shown.stderr


FAILS = with_command("raise MissingFileError('no a.mp4', needed='a clip', do='look again')")


def test_an_error_is_one_line_on_standard_error_and_its_exit_code() -> None:
    shown = run("probe", code=FAILS)

    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == "mardini: no a.mp4; needs a clip; look again\n"


def test_an_error_with_json_is_a_line_of_json_too() -> None:
    shown = run("probe", "--json", code=FAILS)

    assert shown.returncode == 1
    assert json.loads(shown.stdout)["code"] == "missing-file"
    assert shown.stderr == "mardini: no a.mp4; needs a clip; look again\n"


def test_a_bug_keeps_its_traceback() -> None:
    shown = run("probe", code=with_command("raise ValueError('a bug')"))

    assert shown.returncode == 1
    assert "Traceback" in shown.stderr
    assert shown.stderr.endswith("ValueError: a bug\n")


@pytest.mark.parametrize(
    "words",
    [
        ("interpolate", "LONG.mkv"),
        ("interpolate", "walk.mkv", "-o", "LONG.mkv"),
        ("interpolate", "walk.mkv", "-o", "a.mkv", "--log-file", "LONG"),
        ("animate", "boat.png", "--output-dir", "LONG"),
        ("batch", "LONG.toml"),
    ],
)
def test_a_name_that_no_file_can_have_is_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    long = "x" * 300
    told = [word.replace("LONG", str(tmp_path / long)) for word in words]

    shown = run(*told)

    assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (1, "", 1)
    assert re.search(f"^mardini: .*{long}.*: File name too long; needs ", shown.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_file_name_that_is_no_text_goes_out_as_it_came_in() -> None:
    code = with_command("sys.stdout.write('a\\udcff.mp4')")

    shown = subprocess.run(
        [sys.executable, "-c", code, "probe"], capture_output=True, check=True, timeout=60
    )

    assert shown.stdout == b"a\xff.mp4"


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130)],
    ids=["terminated", "interrupted"],
)
def test_a_signal_ends_the_program_with_its_own_code_and_after_tidying_up(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    """Whatever is open closes: a part file in a context manager is removed."""
    code = with_command(
        "import tempfile\n"
        f"with tempfile.NamedTemporaryFile(dir={str(tmp_path)!r}):\n"
        "    time.sleep(60)\n"
    )

    process = subprocess.Popen(
        [sys.executable, "-c", code, "probe"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _wait_for_a_file(tmp_path)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=30)

    assert process.returncode == status
    assert list(tmp_path.iterdir()) == []
    assert out == b""
    assert b"Traceback" not in err


def _wait_for_a_file(folder: Path) -> None:
    end = time.monotonic() + 30
    while not list(folder.iterdir()):
        assert time.monotonic() < end, "the program did not start"
        time.sleep(0.02)
