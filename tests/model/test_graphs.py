"""Recorded sampling steps: when they are recorded, what they read, and what becomes of failures.

The recorder is a stand-in (``tape``); ``test_graphs_gpu.py`` holds CUDA's own to the same.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError, Event
from typing import Any

import pytest
import torch
from torch import Tensor

from mardini_cli.config import ModelConfig, nano, nano_vae
from mardini_cli.model.denoiser import KeptWindows
from mardini_cli.model.graphs import Graphs, blank_like, tensors_of
from mardini_cli.model.mardini import KeptTile, MarDini
from mardini_cli.model.positions import Grid
from tests.model.tape import Tape

Awake = Callable[..., MarDini]
Kept = tuple[KeptTile, ...]


def model_of(awake: Awake, config: ModelConfig, tape: Tape) -> MarDini:
    model = awake(MarDini(config))
    model.graphs = Graphs(tape)
    return model


def window(
    model: MarDini, seed: int, guided: bool = True, made: int = 3, tile: int | None = None
) -> tuple[Kept, Tensor]:
    """What is kept of a window, and noise for it."""
    rng = torch.Generator().manual_seed(seed)
    mask = torch.tensor([[False, *(True,) * made, False]])
    size = (320, 272) if tile else (32, 48)
    frames = torch.rand(1, 2, 3, *size, generator=rng)
    given = model.look(frames, mask, torch.arange(made + 2.0)[None])
    signals = [model.plan(given), None] if guided else [model.plan(given)]
    noisy = torch.randn(1, made, *given.latent_shape, generator=rng)
    return model.keep(given, signals, tile), noisy


def plainly(model: MarDini, noisy: Tensor, t: int, kept: Kept) -> Tensor:
    graphs, model.graphs = model.graphs, None
    v = model.velocities(noisy, torch.tensor([t]), kept)
    model.graphs = graphs
    return v


def step(model: MarDini, noisy: Tensor, t: int, kept: Kept) -> Tensor:
    return model.velocities(noisy, torch.tensor([t]), kept)


@pytest.mark.parametrize("config", [nano(), nano_vae()], ids=["motion", "picture"])
@pytest.mark.parametrize("guided", [True, False])
@torch.inference_mode()
def test_every_step_of_every_window_gives_the_plain_bits(
    config: ModelConfig, guided: bool, awake: Awake
) -> None:
    tape = Tape()
    model = model_of(awake, config, tape)
    windows = [window(model, seed, guided) for seed in (1, 2)]
    plan = [(0, 1000), (0, 500), (1, 1000), (0, 250), (1, 500), (1, 3)]  # windows take turns

    found = [step(model, windows[n][1] * (t / 500), t, windows[n][0]) for n, t in plan]

    for v, (n, t) in zip(found, plan, strict=True):  # after all replays: each has its own memory
        assert torch.equal(v, plainly(model, windows[n][1] * (t / 500), t, windows[n][0]))
    assert tape.tried == 1
    assert tape.recorded[0].replays == len(plan) - 1


@torch.inference_mode()
def test_what_is_kept_is_copied_once_a_window_and_not_taken_for_that_of_one_that_is_gone(
    awake: Awake,
) -> None:
    tape = Tape()
    model = model_of(awake, nano(), tape)
    expected, found = list[Tensor](), list[Tensor]()

    for seed in range(6):  # windows that die may leave their address to the next one
        kept, noisy = window(model, seed)
        found.append(step(model, noisy, 700, kept))
        expected.append(plainly(model, noisy, 700, kept))

    assert all(map(torch.equal, found, expected))


@torch.inference_mode()
def test_tiles_share_a_graph_and_each_brings_what_is_kept_of_it(awake: Awake) -> None:
    tape = Tape()
    model = model_of(awake, nano(), tape)
    kept, noisy = window(model, 3, tile=256)
    assert len(kept) > 1

    found = [step(model, noisy, t, kept) for t in (1000, 400)]

    for v, t in zip(found, (1000, 400), strict=True):
        assert torch.equal(v, plainly(model, noisy, t, kept))
    assert tape.tried == 1


@torch.inference_mode()
def test_each_shape_is_recorded_once_and_no_more_than_may_be_held(awake: Awake) -> None:
    tape = Tape()
    model = awake(MarDini(nano()))
    model.graphs = Graphs(tape, most=2)
    one, two, three = (window(model, 1, made=made) for made in (1, 2, 3))

    for kept, noisy in (one, two, three, one, three, two):
        assert torch.equal(step(model, noisy, 9, kept), plainly(model, noisy, 9, kept))

    assert [recorded.replays for recorded in tape.recorded] == [1, 1]
    assert model.graphs.held == tape.tried == 2


def test_where_nothing_more_can_be_recorded_nobody_waits_to_be_alone() -> None:
    graphs = Graphs(Tape(), most=1)
    with graphs.window("a"):
        pass
    refused = Graphs(Tape())
    refused.refuse("no")

    for one in (graphs, refused):
        with one.window("b"), ThreadPoolExecutor(1) as threads:
            threads.submit(_pass, one, "c").result(timeout=30)


def _pass(graphs: Graphs, kind: str) -> None:
    with graphs.window(kind):
        pass


@torch.inference_mode()
def test_number_types_of_autocast_have_graphs_of_their_own(awake: Awake) -> None:
    tape = Tape()
    model = model_of(awake, nano(), tape)
    kept, noisy = window(model, 1)

    for _ in range(2):
        exact = step(model, noisy, 500, kept)
        with torch.autocast("cpu", torch.bfloat16):
            short = step(model, noisy, 500, kept)
            assert torch.equal(short, plainly(model, noisy, 500, kept))
        assert torch.equal(exact, plainly(model, noisy, 500, kept))

    assert short.dtype == torch.bfloat16
    assert tape.tried == 2


@torch.inference_mode()
def test_what_autocast_keeps_for_a_while_is_no_part_of_a_recording(awake: Awake) -> None:
    """Its cache of shortened weights ends with its context; a graph would read on."""
    tape = Tape()
    model = model_of(awake, nano(), tape)
    kept, noisy = window(model, 1)
    cached = list[bool]()
    run = model.denoiser.step

    def noted(*told: Any) -> Tensor:
        cached.append(torch.is_autocast_cache_enabled())
        return run(*told)

    model.denoiser.step = noted  # type: ignore[method-assign, assignment] # listens in
    with torch.autocast("cpu", torch.bfloat16):
        step(model, noisy, 500, kept)
        after = torch.is_autocast_cache_enabled()

    assert cached == [False, False]  # run as it is, and recorded
    assert after


@torch.inference_mode()
def test_each_answer_is_the_callers_own(awake: Awake) -> None:
    model = model_of(awake, nano(), Tape())
    kept, noisy = window(model, 1)
    tile = kept[0]
    assert isinstance(tile.windows, KeptWindows)
    graphs, tokens = model.graphs, model.autoencoder.noisy_tokens(noisy, tile.given)
    assert graphs is not None

    answers = [
        graphs.step(model.denoiser.step, tokens, torch.tensor([t]), tile.windows)
        for t in (900, 600, 300)
    ]

    for t, answer in zip((900, 600, 300), answers, strict=True):
        assert torch.equal(answer, model.denoiser.step(tokens, torch.tensor([t]), tile.windows))


def test_outside_of_inference_mode_nothing_is_recorded_and_gradients_flow(awake: Awake) -> None:
    tape = Tape()
    model = model_of(awake, nano(), tape)
    kept, noisy = window(model, 1)

    step(model, noisy, 500, kept).sum().backward()
    with torch.no_grad():
        step(model, noisy, 500, kept)

    assert tape.tried == 0
    assert model.denoiser.out.weight.grad is not None


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RuntimeError("not permitted\nwhen stream is capturing"), "not permitted"),
        (torch.OutOfMemoryError("tried to allocate 99 GiB"), "there is too little memory for them"),
    ],
)
@torch.inference_mode()
def test_what_cannot_be_recorded_runs_as_it_is_and_is_told_once(
    error: Exception, why: str, awake: Awake
) -> None:
    tape = Tape()
    model = model_of(awake, nano(), tape)
    (kept, noisy), (other, more) = window(model, 1), window(model, 1, made=2)
    step(model, noisy, 800, kept)
    tape.error = error

    found = [step(model, more, t, other) for t in (800, 300)]
    again = step(model, noisy, 800, kept)

    assert torch.equal(found[0], plainly(model, more, 800, other))
    assert torch.equal(found[1], plainly(model, more, 300, other))
    assert torch.equal(again, plainly(model, noisy, 800, kept))
    assert tape.tried == 2
    assert tape.recorded[0].forgotten  # its memory is of use to others
    assert model.graphs is not None
    assert [model.graphs.complaint() for _ in range(2)] == [why, ""]


@torch.inference_mode()
def test_an_error_of_the_step_itself_is_no_matter_of_recording(awake: Awake) -> None:
    tape = Tape()
    model = model_of(awake, nano(), tape)
    kept, noisy = window(model, 1)
    graphs = model.graphs
    assert graphs is not None

    def full(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("tried to allocate 99 GiB")

    with pytest.raises(torch.OutOfMemoryError):
        graphs.step(full, noisy, torch.tensor([5]), kept[0].windows)  # type: ignore[arg-type] # isolated: kept windows

    assert graphs.complaint() == ""
    step(model, noisy, 800, kept)
    assert tape.tried == 1


@torch.inference_mode()
def test_forgotten_graphs_are_recorded_anew(awake: Awake) -> None:
    tape = Tape()
    model = model_of(awake, nano(), tape)
    kept, noisy = window(model, 1)
    step(model, noisy, 800, kept)
    assert model.graphs is not None

    model.graphs.forget()

    assert tape.recorded[0].forgotten
    assert torch.equal(step(model, noisy, 800, kept), plainly(model, noisy, 800, kept))
    assert tape.tried == 2


def test_windows_of_two_threads_share_a_graph_and_get_the_plain_bits(awake: Awake) -> None:
    tape = Tape()
    model = model_of(awake, nano(), tape)
    together = Barrier(2, timeout=30)

    def run(seed: int) -> list[tuple[int, Tensor]]:
        with torch.inference_mode():
            kept, noisy = window(model, seed)
            together.wait()
            return [(t, step(model, noisy, t, kept)) for t in range(1000, 0, -50)]

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(run, (1, 2)))

    with torch.inference_mode():
        for seed, steps in zip((1, 2), found, strict=True):
            kept, noisy = window(model, seed)
            assert all(torch.equal(v, plainly(model, noisy, t, kept)) for t, v in steps)
    assert tape.tried == 1
    assert tape.recorded[0].replays == 2 * 20 - 1


def test_a_window_of_a_new_kind_passes_alone_and_known_ones_side_by_side() -> None:
    graphs = Graphs(Tape())
    inside = Barrier(2)

    def meet(kind: str, patience: float = 0.2) -> bool:
        with graphs.window(kind):
            try:
                inside.wait(patience)
            except BrokenBarrierError:
                return False
            return True

    with ThreadPoolExecutor(2) as threads:
        new = list(threads.map(meet, ("a", "b")))
        inside.reset()
        known = list(threads.map(meet, ("a", "b"), (30.0, 30.0)))

    assert new == [False, False]
    assert known == [True, True]


@torch.inference_mode()
def test_beside_others_nothing_is_recorded(awake: Awake) -> None:
    tape = Tape()
    model = model_of(awake, nano(), tape)
    (kept, noisy), (other, more) = window(model, 1), window(model, 1, made=2)
    graphs = model.graphs
    assert graphs is not None
    with graphs.window("kind"):
        step(model, noisy, 800, kept)

    with graphs.window("kind"):
        step(model, noisy, 700, kept)
        found = step(model, more, 700, other)

    assert torch.equal(found, plainly(model, more, 700, other))
    assert tape.tried == 1
    assert tape.recorded[0].replays == 1
    step(model, more, 700, other)  # outside, nobody else is at work
    assert tape.tried == 2


def test_a_window_that_fails_alone_leaves_the_way_free_and_its_kind_new() -> None:
    graphs = Graphs(Tape())
    went = Event()

    def fail() -> None:
        with graphs.window("a"):
            raise ValueError("no")

    def go() -> None:
        with graphs.window("a"):
            went.set()

    with pytest.raises(ValueError, match="no"):
        fail()
    with ThreadPoolExecutor(1) as threads:
        with graphs.window("a"):
            waiting = threads.submit(go)
            assert not went.wait(0.1)  # of a new kind still: this one is alone
        waiting.result(timeout=30)


def test_a_nest_is_walked_in_order_and_doubled_without_its_values() -> None:
    grid = Grid(2, 3)
    nest = (torch.ones(2, 3).T, (grid, torch.ones(4, dtype=torch.int64)), None)

    double = blank_like(nest)

    assert [one.shape for one in tensors_of(double)] == [(3, 2), (4,)]
    assert [one.dtype for one in tensors_of(double)] == [torch.float32, torch.int64]
    assert double[1][0] == grid
    assert double[2] is None
    assert {a.data_ptr() for a in tensors_of(nest)}.isdisjoint(
        b.data_ptr() for b in tensors_of(double)
    )
