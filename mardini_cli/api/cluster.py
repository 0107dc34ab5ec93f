"""Items on a Ray cluster: one task each, with its share of a GPU; what is lost is done anew.

Room: api. The one door to Ray, which is an extra. Every machine of the cluster needs mardini, and
the paths of inputs and results: a shared file system, or addresses. Light to import.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from mardini_cli.api.batch import BatchSettings, Item, Told
from mardini_cli.api.carrying import keep_models
from mardini_cli.api.settings import request_of, settings_of, sources_of
from mardini_cli.api.workers import told_of
from mardini_cli.errors import CrashedError, DeviceError, MardiniError, OutputExistsError
from mardini_cli.events import Skipped

LISTENING_SECONDS = 0.2
"""How often the driver asks what has been told."""
PATIENCE = 20.0
"""Seconds that items have to tidy up when the batch is stopped."""


def carry_out(
    items: Sequence[Item], settings: BatchSettings
) -> Generator[tuple[Item, Told], None, None]:
    """Hand all items to the cluster; closing the iterator stops those that have not ended.

    Yields:
        Each item with what is told of it.

    Raises:
        DeviceError: Ray is not installed, or no cluster can be reached or started.
    """
    ray = _ray()
    ours = not ray.is_initialized()
    try:
        if ours:
            _join(ray)
        yield from _work(ray, items, settings)
    finally:
        if ours:
            ray.shutdown()


def _ray() -> ModuleType:
    # Ray tells its makers of every use unless it is told not to; nobody asked for that here.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise DeviceError(
            "Ray is not installed", needed="the extra 'ray'", do="run: pip install 'mardini[ray]'"
        ) from error
    return ray


def _join(ray: Any) -> None:
    """Join the cluster of RAY_ADDRESS, or the one that runs here, or start one for this batch."""
    try:
        ray.init(log_to_driver=False, logging_level="error", include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise DeviceError(
            f"no Ray cluster: {str(error).splitlines()[0]}",
            needed="one that can be reached, or room to start one",
            do="check RAY_ADDRESS and 'ray status'",
        ) from error


def _work(
    ray: Any, items: Sequence[Item], settings: BatchSettings
) -> Generator[tuple[Item, Told], None, None]:
    gpus = settings.gpu_share
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU") else 0.0
    # Beside the driver: what was told must not go down with a machine.
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    ear = ray.remote(_Ear).options(num_cpus=0, scheduling_strategy=here).remote()
    # max_calls 0: a process keeps its weights for the next item, on a GPU too.
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=settings.retries, max_calls=0)(_carry)
    by_number = {item.number: item for item in items}
    open_tasks = {task.remote(ear, _anywhere(item)): item.number for item in items}
    ended: set[int] = set()
    try:
        while open_tasks:
            ready, _ = ray.wait(list(open_tasks), timeout=LISTENING_SECONDS)
            for number, told in ray.get(ear.heard.remote()):
                if number not in ended:  # else: redone although it had told all
                    yield by_number[number], told
                    if told is None or isinstance(told, MardiniError):
                        ended.add(number)
            for done in ready:
                number = open_tasks.pop(done)
                if number not in ended:
                    ended.add(number)
                    yield by_number[number], _lost(ray, done, by_number[number])
    finally:
        for one in open_tasks:
            ray.cancel(one)
        ray.wait(list(open_tasks), num_returns=len(open_tasks), timeout=PATIENCE)


def _lost(ray: Any, task: Any, item: Item) -> MardiniError:
    """Why a task ended without a word."""
    try:
        ray.get(task)
        why = "it told nothing"
    except ray.exceptions.RayError as error:
        why = str(error).strip().splitlines()[0]
    return CrashedError(
        f"{item.source}: lost on the cluster ({why})",
        needed="a machine that stays, and memory enough",
        do="look at 'ray status', and give the batch again",
    )


def _anywhere(item: Item) -> Item:
    """The same item for a process in another folder."""
    request = item.request
    sources = [str(path) for path in sources_of(request)]
    source = sources if item.task == "keyframes" else sources[0]
    settings = settings_of(request)
    if "frame" in settings:
        source = []
    return replace(
        item, request=request_of(item.task, source, settings, f"item {item.number}", Path.cwd())
    )


class _Ear:
    """An actor beside the driver: what items tell waits here until the driver asks."""

    def __init__(self) -> None:
        self._told: list[tuple[int, Told]] = []
        self._begun: dict[int, int] = {}

    def begin(self, number: int) -> int:
        """Count an item's beginnings."""
        self._begun[number] = self._begun.get(number, 0) + 1
        return self._begun[number]

    def tell(self, number: int, told: Told) -> None:
        """Take one thing down."""
        self._told.append((number, told))

    def heard(self) -> list[tuple[int, Told]]:
        """All since the last time."""
        told, self._told = self._told, []
        return told


def _carry(ear: Any, item: Item) -> None:
    """Task: carry out one item, and tell all of it."""
    import ray

    attempt = ray.get(ear.begin.remote(item.number))
    keep_models()
    for told in told_of(item, attempt):
        last = told
        if attempt > 1 and isinstance(told, OutputExistsError):
            # The machine was lost after the result had its name, and before that was told.
            ear.tell.remote(item.number, Skipped(output=item.place))
            last = None
        delivered = ear.tell.remote(item.number, last)
    ray.get(delivered)  # nothing may be under way when the task ends
