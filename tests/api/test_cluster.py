"""A batch on a Ray cluster: two nodes on this machine, one of which is killed in the middle."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mardini_cli import api
from mardini_cli.config import SamplerConfig
from mardini_cli.events import Batched, Began, Event, OfItem, Progress
from tests.pipeline.clips import even_times, read_back, write_clip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray's own warnings are its makers' business
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with one core each; the test's process joins the first."""
    import ray
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    settings = pytest.MonkeyPatch()
    settings.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Loopback alone, as Ray itself does on machines whose firewall would ask.
    settings.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
    node: dict[str, Any] = {
        "num_cpus": 1,
        "object_store_memory": 80 * 2**20,
        "node_ip_address": "127.0.0.1",
    }
    cluster: Any = Cluster(initialize_head=True, head_node_args=dict(node))
    cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    settings.undo()


def test_a_node_that_is_killed_costs_no_item_and_none_is_done_twice(
    cluster: Any, nano: str, tmp_path: Path
) -> None:
    clips = [write_clip(tmp_path / f"{n}.mkv", even_times(150)) for n in range(4)]
    (tmp_path / "broken.mkv").write_bytes(b"no film")
    wish = api.InterpolateRequest(
        clip=clips[0], model=nano, device="cpu", sampler=SamplerConfig(steps=0), codec="ffv1"
    )
    found = api.gathered([str(tmp_path)], api.FILMS).inputs
    items = [
        api.item_of(number, wish, one, str(tmp_path / "out"))
        for number, one in enumerate(found, start=1)
    ]
    seen: list[Event | OfItem] = []
    at_work, killed = set[int](), False

    for event in api.batch(items, api.BatchSettings(engine="ray")):
        seen.append(event)
        if isinstance(event, OfItem) and isinstance(event.event, Progress):
            at_work.add(event.item)
        if len(at_work) == 2 and not killed:  # one on each node
            killed = True
            cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)

    result = seen[-1]
    assert isinstance(result, Batched)
    assert [outcome.state for outcome in result.outcomes] == ["done"] * 4 + ["failed"]
    assert result.outcomes[4].code == "not-media"
    begun = Counter(e.item for e in seen if isinstance(e, OfItem) and isinstance(e.event, Began))
    assert sorted(begun.values()) == [1, 1, 1, 1, 2]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"{n}.x2.mkv" for n in range(4)]
    assert len(read_back(tmp_path / "out" / names[0])) == 299
