"""Standard streams that take nothing: a full disk, a daemon's closed ones."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from mardini_cli.cli.screen import Screen
from mardini_cli.errors import TooFewFramesError, UnwritableError
from mardini_cli.events import Progress
from tests.cli.test_screen import FINISHED, PLANNED
from tests.pipeline.clips import even_times, write_clip

PROGRESS = Progress(done=1, total=2, elapsed=1.0)


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


def test_results_that_cannot_be_told_end_the_work_with_one_line() -> None:
    for json in (True, False):
        with pytest.raises(UnwritableError, match=r"^standard output: No space left on device"):
            Screen(out=Full(), err=io.StringIO(), json=json).follow(iter([FINISHED]))


def test_work_goes_on_where_what_is_for_eyes_cannot_be_told() -> None:
    out = io.StringIO()

    Screen(out=out, err=Full()).follow(iter([PLANNED, PROGRESS, FINISHED]))

    assert out.getvalue() == f"{FINISHED.output}\n"


def test_an_error_that_cannot_be_told_in_one_place_is_told_in_the_other() -> None:
    error = TooFewFramesError("1 frame", needed="2", do="name another clip")
    err = io.StringIO()

    Screen(out=Full(), err=err, json=True).fail(error)
    Screen(out=Full(), err=Full(), json=True).fail(error)

    assert err.getvalue() == "mardini: 1 frame; needs 2; name another clip\n"


def _through_shell(streams: str, *words: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-c", "from mardini_cli.cli.app import main; main()", *words]
    line = f'exec "$@" {streams}'
    return subprocess.run(
        ["/bin/sh", "-c", line, "sh", *program], capture_output=True, text=True, check=False
    )


def test_a_job_with_closed_streams_writes_its_result_and_nothing_into_it(
    tmp_path: Path, nano: str
) -> None:
    """Their numbers would go to the files that are opened first, the result among them."""
    clip, output = write_clip(tmp_path / "walk.mkv", even_times(3)), tmp_path / "made.mkv"
    words = ("interpolate", str(clip), "--model", nano, "--steps", "0", "-o", str(output))

    plain = _through_shell("", *words)
    made = output.read_bytes()
    closed = _through_shell("<&- >&- 2>&-", *words, "--overwrite")

    assert (plain.returncode, plain.stdout) == (0, f"{output}\n")
    assert (closed.returncode, closed.stdout, closed.stderr) == (0, "", "")
    assert output.read_bytes() == made
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.mkv", "walk.mkv"]


def test_a_full_disk_under_a_stream_is_one_line_and_no_trouble_at_the_end(tmp_path: Path) -> None:
    """What is still in a buffer would fail once more as the interpreter ends, with exit 120."""
    if not Path("/dev/full").exists():  # Linux has it; elsewhere the tests above are all there is
        return
    clip = str(write_clip(tmp_path / "walk.mkv", even_times(3)))

    out = _through_shell(">/dev/full", "probe", clip, "--json")
    err = _through_shell("2>/dev/full", "probe", str(tmp_path / "gone.mkv"))

    assert (out.returncode, out.stderr.count("\n")) == (1, 1)
    assert out.stderr.startswith("mardini: standard output: No space left on device; ")
    assert (err.returncode, err.stdout) == (1, "")
