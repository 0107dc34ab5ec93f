"""A job whose weights are on the Hub fetches them first, and tells how far it is."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mardini_cli import weights
from tests.pipeline.clips import even_times, nano_model, write_clip
from tests.weights.hub_server import Hub, serving
from tests.weights.test_hub import NO_NETWORK, run


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A Hub that holds nano in shards, as me/nano."""
    folder = tmp_path / "nano"
    weights.save(nano_model(), folder, storage="fp32", shard_bytes=1_000_000)
    with serving() as hub:
        hub.commit("me/nano", {path.name: path.read_bytes() for path in folder.iterdir()})
        yield hub


def test_weights_come_first_are_told_of_and_then_are_here(hub: Hub, tmp_path: Path) -> None:
    clip, home = tmp_path / "walk.mkv", tmp_path / "hf"
    write_clip(clip, even_times(3))
    words = ("interpolate", str(clip), "--model", "hub:me/nano", "--json", "--overwrite")

    status, out, err = run(hub, home, *words)
    again, later, _ = run(hub, home, *words, before=NO_NETWORK)

    events = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (0, "")
    units = [event["unit"] for event in events if event["event"] == "progress"]
    assert units == sorted(units)  # MiB, then frames
    assert set(units) == {"MiB", "frames"}
    (planned,) = (event for event in events if event["event"] == "planned")
    (commit,) = hub.repos["me/nano"].commits
    assert planned["weights"] == f"hub:me/nano@{commit}"
    assert again == 0
    assert "MiB" not in later


def test_a_job_that_cannot_begin_fetches_nothing(hub: Hub, tmp_path: Path) -> None:
    status, _, err = run(hub, tmp_path / "hf", "interpolate", "gone.mp4", "--model", "hub:me/nano")

    assert (status, err.startswith("mardini: gone.mp4: No such file")) == (1, True)
    assert hub.asked == []


def test_offline_a_job_says_that_its_weights_are_not_here(hub: Hub, tmp_path: Path) -> None:
    clip = tmp_path / "walk.mkv"
    write_clip(clip, even_times(3))

    status, _, err = run(
        hub, tmp_path / "hf", "--offline", "interpolate", str(clip), "--model", "me/nano"
    )

    assert (status, "me/nano@main: the network is switched off" in err) == (1, True)
    assert hub.asked == []
