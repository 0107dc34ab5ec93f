"""``mardini batch`` and several inputs of one command, seen from outside."""

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mardini_cli.cli.app import app
from mardini_cli.cli.log import LogStream
from mardini_cli.cli.screen import Screen
from mardini_cli.errors import MissingFileError, OutputExistsError, UnwritableError
from mardini_cli.events import Event, Warned
from tests.pipeline.clips import even_times, write_clip


@pytest.fixture
def folder(tmp_path: Path, nano: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with clips, one of them broken, and a job file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "day").mkdir(parents=True)
    write_clip(tmp_path / "in" / "a.mkv", even_times(3))
    write_clip(tmp_path / "in" / "day" / "b.mkv", even_times(3))
    (tmp_path / "in" / "c.mkv").write_text("no film", encoding="utf-8")
    (tmp_path / "jobs.toml").write_text(
        f"""
        [all]
        model = "{nano}"
        output_dir = "out"
        recursive = true

        [[job]]
        input = "in"

        [[job]]
        input = "in/a.mkv"
        factor = 3
        """,
        encoding="utf-8",
    )
    return tmp_path


def ran(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


TABLE = """\
 1 done in/a.mkv out/a.x2.mkv
 2 failed in/c.mkv not-media: in/c.mkv: Invalid data found when processing input; needs \
a film or picture that FFmpeg reads; check that the file is whole
 3 done in/day/b.mkv out/day/b.x2.mkv
 4 done in/a.mkv out/a.x3.mkv
4 items : 3 done, 1 failed
"""
"""But for the seconds, and spaces between columns."""


@pytest.mark.usefixtures("folder")
def test_a_job_file_ends_in_a_table_and_the_exit_code_of_its_failures() -> None:
    status, out, err = ran("batch", "jobs.toml", "--workers", "0")

    assert status == 1
    assert out == "out/a.x2.mkv\nout/day/b.x2.mkv\nout/a.x3.mkv\n"
    table = err[err.index("   1  ") :].replace(" in ", " ")
    assert re.sub(r" +", " ", re.sub(r"\d+\.\d s", "", table)) == TABLE


@pytest.mark.usefixtures("folder")
def test_the_same_batch_again_skips_what_is_there() -> None:
    ran("batch", "jobs.toml", "--workers", "0", "--quiet")

    status, out, err = ran("batch", "jobs.toml", "--workers", "0", "--skip-existing")

    assert status == 1  # one input is no film still
    assert out == "out/a.x2.mkv\nout/day/b.x2.mkv\nout/a.x3.mkv\n"
    assert err.splitlines()[-1].endswith("1 failed, 3 skipped")


def test_a_folder_a_list_and_a_tree_in_one_command(folder: Path, nano: str) -> None:
    (folder / "more.txt").write_text("in/a.mkv\n\n# in/c.mkv\n", encoding="utf-8")
    words = ("--from-file", "more.txt", "--output-dir", "new/out", "--workers", "0", "--quiet")

    status, out, err = ran("interpolate", "in/day", *words, "--model", nano)

    assert (status, err) == (0, "")
    assert out == "new/out/day/b.x2.mkv\nnew/out/a.x2.mkv\n"


@pytest.mark.usefixtures("folder")
def test_shards_of_a_job_file_share_the_work() -> None:
    told = []
    for shard in ("1/2", "2/2"):
        _, out, _ = ran("batch", "jobs.toml", "--workers", "0", "--json", "--shard", shard)
        lines: list[Any] = [json.loads(line) for line in out.splitlines()]
        told.append([line["item"] for line in lines if line["event"] == "began"])
        assert all(line["items"] == 4 for line in lines if line["event"] == "began")

    assert told == [[1, 3], [2, 4]]


@pytest.mark.usefixtures("folder")
def test_a_log_file_gets_all_of_it_with_times_and_is_added_to() -> None:
    for _ in range(2):
        ran("batch", "jobs.toml", "--workers", "0", "--quiet", "--log-file", "run.log", "--dry-run")

    lines = Path("run.log").read_text(encoding="utf-8").splitlines()
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\[item \d\] )?.")
    assert all(stamp.match(line) for line in lines)
    assert len([line for line in lines if "[item 2] mardini: in/c.mkv: Invalid data" in line]) == 2
    assert lines[-1].endswith("1 failed")


def test_a_bug_leaves_its_traceback_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mardini_cli import api

    def broken(_request: object) -> Any:
        raise ZeroDivisionError("a bug")
        yield

    monkeypatch.setattr(api, "rerun", broken)
    words = ["rerun", "a.json", "--log-file", str(tmp_path / "run.log")]

    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(app, words, catch_exceptions=False)

    text = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert "Traceback (most recent call last):" in text
    assert text.splitlines()[-1].endswith("ZeroDivisionError: a bug")


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnwritableError, match=r"run\.log: No such file or directory"):
        LogStream(tmp_path / "gone" / "run.log")


def test_a_log_is_not_added_to_another_file(tmp_path: Path) -> None:
    clip, log, empty = tmp_path / "walk.mkv", tmp_path / "run.log", tmp_path / "empty"
    data = write_clip(clip, even_times(3)).read_bytes()
    empty.touch()

    for path, line in ((log, "one"), (log, "two"), (empty, "two")):
        stream = LogStream(path)
        stream.write(line)
        stream.rest()
    with pytest.raises(OutputExistsError, match=r"walk\.mkv exists already, and is no log"):
        LogStream(clip)

    assert clip.read_bytes() == data
    assert [line[25:] for line in log.read_text(encoding="utf-8").splitlines()] == ["one", "two"]


def test_a_log_on_a_full_disk_is_one_line_and_hides_no_other_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    log = LogStream(tmp_path / "run.log")
    monkeypatch.setattr(log, "_opened", Full)
    screen = Screen(out=io.StringIO(), err=io.StringIO(), log=log)

    def broken() -> Iterator[Event]:
        raise MissingFileError("gone", needed="a file", do="look for it")
        yield

    with pytest.raises(UnwritableError, match=r"run\.log: No space left on device"):
        screen.follow(iter([Warned(code="any", message="any")]))
    with pytest.raises(MissingFileError):
        screen.follow(broken())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_batch_and_the_told_command_goes_on(
    number: signal.Signals, status: int, tmp_path: Path, nano: str
) -> None:
    """Two items are at work in processes of their own, two are waiting."""
    for name in "abcd":
        write_clip(tmp_path / f"{name}.mkv", even_times(2 if name == "a" else 200))
    words = [*("interpolate", ".", "--model", nano, "--device", "cpu", "--resume", "force")]
    words += ["--workers", "2", "--json"]
    program = [sys.executable, "-m", "mardini_cli"]

    batch = subprocess.Popen(
        [*program, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert batch.stdout is not None
    for line in batch.stdout:
        told = json.loads(line)
        if told["event"] == "window" and told["item"] > 1:
            break
    batch.send_signal(number)
    out, err = batch.communicate(timeout=120)

    assert batch.returncode == status, err
    last = [json.loads(line) for line in out.splitlines()][-2]
    assert last["event"] == "batched"
    assert (last["failed"], last["items"]) == (0, 4)
    assert "stopped" in {outcome["state"] for outcome in last["outcomes"]}
    assert "to go on: mardini interpolate ." in err
    again = subprocess.run(
        [*program, *words, "--skip-existing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    lines = [json.loads(line) for line in again.stdout.splitlines()]
    assert again.returncode == 0, again.stderr
    assert lines[-1]["done"] + lines[-1]["skipped"] == 4
    assert [line for line in lines if line["event"] == "resumed"]
    assert not list(tmp_path.glob(".*"))
