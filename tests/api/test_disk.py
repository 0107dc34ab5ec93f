"""What a job is expected to take on disk, held against what it took and against what is free."""

import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mardini_cli import api
from mardini_cli.api import carrying, disk
from mardini_cli.api.jobs import Job
from mardini_cli.errors import DiskSpaceError
from mardini_cli.events import Event, Finished, Warned
from mardini_cli.pipeline import keeping

EXAMPLE = Path(__file__).parents[2] / "examples" / "cat.mp4"
Usage = namedtuple("Usage", "total used free")


def request(nano: str, output: Path, **told: Any) -> api.InterpolateRequest:
    return api.InterpolateRequest(
        **{"clip": EXAMPLE, "end": "4f", "output": output, "model": nano, "device": "cpu", **told}
    )


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "h264"), ("a.mkv", "ffv1")])
def test_result_and_kept_frames_take_about_what_was_expected(
    name: str, codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the default weights: noise, as untrained ones make it, would take more."""
    wish = request("mardini-tiny", tmp_path / name, codec=codec, resume="force")
    jobs: list[Job] = []
    room_for = disk.room_for

    def seen(job: Job) -> Iterator[Event]:
        jobs.append(job)
        return room_for(job)

    monkeypatch.setattr(carrying, "room_for", seen)
    made = kept = 0

    for event in api.interpolate(wish):
        if isinstance(event, Finished):
            made = event.size
        kept = max(kept, sum(p.stat().st_size for p in tmp_path.glob(".a.*/segments/*.made")))

    expected = disk.disk_of(jobs[0])
    assert expected.result * 0.3 < made < expected.result * 1.2
    assert expected.kept * 0.3 < kept < expected.kept * 1.2


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - size, size))


def test_a_disk_that_is_certainly_too_small_is_refused_before_the_work(
    nano: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 1000)

    with pytest.raises(DiskSpaceError, match=r"has 1 kB free; needs about \d+ kB for the result"):
        list(api.interpolate(request(nano, tmp_path / "a.mp4")))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_may_be_too_small_is_told_and_nothing_is_kept_on_it(
    nano: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 40_000)
    monkeypatch.setattr(keeping, "LONG_SECONDS", 0.0)

    events = list(api.interpolate(request(nano, tmp_path / "a.mp4")))

    told = [event.message for event in events if isinstance(event, Warned) and event.code == "disk"]
    assert len(told) == 2
    assert "the result may take" in told[0]
    assert "made frames are not kept" in told[1]
