"""The choice of the dense kernel: by the clock, once a shape. Kernels against one another: on CUDA
in ``test_attention_gpu``."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from time import sleep
from typing import Any

import pytest
import torch
from torch import Tensor

from mardini_cli.model import fastest
from mardini_cli.model.fastest import KERNELS, Choices, plain, sdpa, shape_of
from mardini_cli.model.kernels import _operation, _quickest_compiled


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Stopwatch:
    """Tells given seconds in place of a clock, in the order of the calls."""

    def __init__(self, *seconds: float) -> None:
        self.seconds, self.calls = list(seconds), 0

    def __call__(self, run: Callable[[], object]) -> float:
        run()
        self.calls += 1
        return self.seconds.pop(0)


NEARLY = [(1.0, 0.95), (0.95, 1.0), (1.0, 0.5)]


def refuses(_q: Tensor, _k: Tensor, _v: Tensor) -> Tensor:
    raise RuntimeError("no kernel for this shape")


@pytest.mark.parametrize("keys", [1, 17, 64])
def test_plain_products_give_what_torchs_own_kernel_gives(keys: int) -> None:
    q, k, v = normal(5, 9, 2, 8), normal(5, keys, 2, 8, seed=1), normal(5, keys, 2, 8, seed=2)

    torch.testing.assert_close(plain(q, k, v), sdpa(q, k, v))


def test_plain_products_are_kept_from_long_sets() -> None:
    with pytest.raises(NotImplementedError, match="65 keys"):
        plain(normal(1, 2, 1, 8), normal(1, 65, 1, 8), normal(1, 65, 1, 8))


def test_the_quickest_kernel_is_taken_and_each_shape_is_tried_once() -> None:
    q, k = normal(2, 3, 1, 8), normal(2, 4, 1, 8)
    clock = Stopwatch(2.0, 1.0, 1.0, 2.0)
    choices, kernels = Choices(clock=clock), {"sdpa": sdpa, "refuses": refuses, "plain": plain}

    first = [choices.of(q, k, k, kernels) for _ in range(3)]
    second = choices.of(q, q, q, kernels)

    assert first == ["plain"] * 3
    assert second == "sdpa"
    assert clock.calls == 4
    assert choices.chosen == {shape_of(q, k): "plain", shape_of(q, q): "sdpa"}


def test_times_that_are_nearly_equal_do_not_change_the_choice() -> None:
    q, kernels = normal(1, 2, 1, 8), {"sdpa": sdpa, "plain": plain}

    chosen = [Choices(clock=Stopwatch(*times)).of(q, q, q, kernels) for times in NEARLY]

    assert chosen == ["sdpa", "sdpa", "plain"]


def test_threads_that_meet_a_shape_together_try_it_once() -> None:
    q, clock = normal(1, 2, 1, 8), Stopwatch(1.0)
    choices, meeting = Choices(clock=clock), Barrier(2)
    choices.lock.acquire()

    def ask() -> str:
        meeting.wait()
        return choices.of(q, q, q, {"sdpa": sdpa})

    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(ask) for _ in range(2)]
        sleep(0.1)  # both are past the first look, and wait for the lock
        choices.lock.release()

    assert [one.result() for one in asked] == ["sdpa", "sdpa"]
    assert clock.calls == 1


def test_one_threads_switches_do_not_outlive_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's switches are the process's: whoever enters second must not put back what the first
    one has set for itself."""
    flash, efficient = (normal(1, 2, 1, 8, seed=seed) for seed in (1, 2))
    entered, left = Event(), Event()
    allowed = []

    def attend(q: Tensor, _k: Tensor, _v: Tensor) -> Tensor:
        if q is flash:
            entered.wait(0.3)  # time for the other one to come in, if it may
        else:
            entered.set()
            left.wait(0.3)  # and to stay until the first has gone
        allowed.append(torch.backends.cuda.flash_sdp_enabled())
        return q

    monkeypatch.setattr(fastest, "_attend", attend)

    def first() -> None:
        KERNELS["flash"](flash, flash, flash)
        left.set()

    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(first)
        sleep(0.05)
        other = threads.submit(KERNELS["efficient"], efficient, efficient, efficient)
        one.result()
        other.result()

    assert allowed == [True, False]
    assert torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_what_was_found_before_is_believed_while_the_kernel_is_there() -> None:
    q = normal(1, 2, 1, 8)
    choices = Choices(chosen={shape_of(q, q): "gone"}, clock=Stopwatch(1.0))

    assert choices.of(q, q, q, {"gone": refuses, "sdpa": sdpa}) == "gone"  # not tried again
    assert choices.of(q, q, q, {"sdpa": sdpa}) == "sdpa"


def test_torchs_own_choice_stands_where_no_kernel_could_be_timed() -> None:
    q = normal(1, 2, 1, 8)

    assert Choices(clock=Stopwatch()).of(q, q, q, {"refuses": refuses}) == "sdpa"


def test_what_was_tried_is_known_where_nothing_can_be_tried() -> None:
    q, k = normal(2, 3, 1, 8), normal(2, 4, 1, 8)
    choices, kernels = Choices(clock=Stopwatch(2.0, 1.0)), {"sdpa": sdpa, "plain": plain}
    choices.of(q, k, k, kernels)

    assert choices.known(q, k, kernels) == "plain"
    assert choices.known(q, q, kernels) == "sdpa"  # a new shape
    assert choices.known(q, k, {"sdpa": sdpa}) == "sdpa"  # this kernel is not there


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch left
def test_to_the_compiler_the_choice_is_one_operation_made_when_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    q, k, v = normal(2, 9, 2, 8), normal(2, 5, 2, 8, seed=1), normal(2, 5, 2, 8, seed=2)
    choices = Choices(clock=Stopwatch(*[1.0] * len(KERNELS)))
    monkeypatch.setattr(fastest, "CHOICES", choices)
    graphs = list[torch.fx.GraphModule]()

    def keep(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    def around(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return _quickest_compiled(2 * q, k, v) + 1

    torch.compiler.reset()
    with torch.inference_mode():
        found = torch.compile(around, backend=keep, fullgraph=True)(q, k, v)

    torch.testing.assert_close(found, sdpa(2 * q, k, v) + 1)
    assert list(choices.chosen) == [shape_of(q, k)]
    assert len(graphs) == 1
    torch.library.opcheck(_operation, (q, k, v))


class Notebook:
    """Keeps choices as a file would; another process may write between two looks."""

    def __init__(self, *between: dict[str, dict[str, str]]) -> None:
        self.told: dict[str, Any] = {}
        self.between = list(between)

    def entries(self) -> dict[str, Any]:
        if self.between:
            self.told = self.told | self.between.pop(0)
        return self.told

    def keep(self, key: str, entry: object) -> None:
        self.told[key] = entry


def test_a_choice_lasts_beyond_its_process() -> None:
    q, kernels, notebook = normal(1, 2, 1, 8), {"sdpa": sdpa, "plain": plain}, Notebook()

    first = Choices(clock=Stopwatch(2.0, 1.0), memory=notebook, card="a").of(q, q, q, kernels)
    again = Choices(clock=Stopwatch(), memory=notebook, card="a").of(q, q, q, kernels)
    elsewhere = Choices(clock=Stopwatch(1.0, 2.0), memory=notebook, card="b").of(q, q, q, kernels)

    assert (first, again, elsewhere) == ("plain", "plain", "sdpa")
    assert notebook.told == {"a": {shape_of(q, q): "plain"}, "b": {shape_of(q, q): "sdpa"}}


def test_processes_that_meet_a_shape_together_take_the_first_ones_choice() -> None:
    q, kernels = normal(1, 2, 1, 8), {"sdpa": sdpa, "plain": plain}
    notebook = Notebook({}, {"a": {shape_of(q, q): "sdpa"}})

    chosen = Choices(clock=Stopwatch(2.0, 1.0), memory=notebook, card="a").of(q, q, q, kernels)

    assert chosen == "sdpa"


def test_what_is_remembered_of_a_kernel_that_is_not_there_is_no_choice() -> None:
    q, notebook = normal(1, 2, 1, 8), Notebook()
    notebook.told = {"a": {shape_of(q, q): "xformers"}, "b": "no table"}

    for card in ("a", "b"):
        choices = Choices(clock=Stopwatch(1.0), memory=notebook, card=card)
        assert choices.of(q, q, q, {"sdpa": sdpa}) == "sdpa"


def test_a_memory_that_cannot_be_written_is_no_hindrance() -> None:
    q = normal(1, 2, 1, 8)

    class Full(Notebook):
        def keep(self, key: str, entry: object) -> None:
            raise OSError(f"no space left for {key}: {entry}")

    choices = Choices(clock=Stopwatch(1.0), memory=Full(), card="a")

    assert choices.of(q, q, q, {"sdpa": sdpa}) == "sdpa"
