"""No encoder changes how the system schedules the process that opens it."""

import os
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

from mardini_cli.media.scheduling import TASKS, kept_scheduling
from tests.media.clips import Recipe, make_clip

ROOT = Path(__file__).parents[2]


def policies() -> set[tuple[int, int]]:
    """Of all threads of this process; none where the system has no such."""
    if sys.platform != "linux":
        return set()
    threads = [int(path.name) for path in TASKS.iterdir()]
    return {(os.sched_getscheduler(n), os.sched_getparam(n).sched_priority) for n in threads}


def test_the_thread_and_those_that_begin_meanwhile_are_scheduled_as_before() -> None:
    before, end = policies(), Event()
    thread = Thread(target=end.wait)

    with kept_scheduling():
        if sys.platform == "linux":  # nowhere else is there anything to keep
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # anybody may do that
        thread.start()
        assert (policies() != before) == (sys.platform == "linux")
    after = policies()
    end.set()
    thread.join()

    assert after == before


def test_an_av1_encoder_takes_no_machine_for_itself(tmp_path: Path) -> None:
    """For root SVT-AV1 asks for SCHED_FIFO at 99; for others it asks for nothing.

    In a process of its own, which would take that along if it failed.
    """
    make_clip(tmp_path / "in.mkv", Recipe(size=(128, 96)))
    code = (
        "from fractions import Fraction\n"
        "from pathlib import Path\n"
        "from mardini_cli.media.encoders import EncodeSettings\n"
        "from mardini_cli.media.probe import probe\n"
        "from mardini_cli.media.reader import read\n"
        "from mardini_cli.media.writer import Writer\n"
        "from tests.media.test_scheduling import policies\n"
        "tick = Fraction(1, 1000)\n"
        "info, before = probe(Path('in.mkv')), policies()\n"
        "settings = EncodeSettings(codec='av1', preset='12')\n"
        "with Writer(Path('out.mkv'), info, tick, info.end, settings, info.times) as writer:\n"
        "    opened = policies()\n"
        "    for frame in read(info):\n"
        "        writer.original(frame)\n"
        "    busy = policies()\n"
        "assert before == opened == busy == policies(), (before, opened, busy, policies())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mkv").stat().st_size
