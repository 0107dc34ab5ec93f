"""Sampling steps as CUDA graphs: what they give, in one thread and in two, and what goes wrong.

Run on a machine with a CUDA device: ``python -m pytest -m gpu tests/model``.
"""

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from mardini_cli.config import SamplerConfig, preset
from mardini_cli.model import fastest
from mardini_cli.model.denoiser import KeptWindows
from mardini_cli.model.fastest import Choices
from mardini_cli.model.graphs import CudaRecorder, Graphs
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import paint
from mardini_cli.pipeline.making import sampled
from mardini_cli.pipeline.settling import compile_blocks, precision, record_steps, settle

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda")
GUIDED = SamplerConfig(steps=4, guidance=2.0)


def model_of(name: str, dtype: torch.dtype = torch.bfloat16) -> MarDini:
    """Random weights, the same every time, none of them zero."""
    rng = torch.Generator().manual_seed(0)
    model = MarDini(preset(name)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=rng) * 0.05
            parameter.copy_(drawn + (parameter.mean() > 0.5))  # gains stay around 1
    return settle(model.to(CUDA), dtype)


def latents(
    model: MarDini,
    seed: int,
    dtype: torch.dtype = torch.bfloat16,
    sampler: SamplerConfig = GUIDED,
    slots: int = 5,
) -> Tensor:
    """Sample a window whose first and last frames are given."""
    mask = torch.ones(1, slots, dtype=torch.bool, device=CUDA)
    mask[0, [0, -1]] = False
    rng = torch.Generator().manual_seed(seed)
    frames = torch.rand(1, 2, 3, 90, 150, generator=rng).to(CUDA)
    times = torch.arange(slots, device=CUDA).float()[None]
    with torch.inference_mode(), torch.cuda.device(CUDA), precision(model, dtype):
        given = model.look(frames, mask, times)
        places = [[seed * 10 + n for n in range(slots - 2)]]
        found = sampled(model, given, model.plan(given), sampler, places)
    assert found is not None
    return found.cpu()


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Compare relative to the size of what is expected."""
    scale = expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("name", ["nano", "nano-vae", "tiny"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=["fp32", "bf16"]
)
def test_windows_sampled_by_a_graph_are_those_sampled_without(
    name: str, guidance: float, dtype: torch.dtype, tolerance: float
) -> None:
    sampler = SamplerConfig(steps=4, guidance=guidance)
    plain, recorded = model_of(name, dtype), record_steps(model_of(name, dtype))
    graphs = recorded.graphs
    assert graphs is not None

    for seed in (1, 2, 1):  # windows of one shape: one graph, other values
        found = latents(recorded, seed, dtype, sampler)
        close(found, latents(plain, seed, dtype, sampler), tolerance)

    assert graphs.held == 1
    assert graphs.complaint() == ""
    close(latents(recorded, 1, dtype, sampler), found, 1e-6)


@pytest.mark.filterwarnings("ignore")  # torch's compiler uses what torch left, and gives advice
@pytest.mark.parametrize("name", ["nano-vae", "tiny"])
def test_compiled_blocks_in_a_graph_give_what_eager_ones_give(name: str) -> None:
    torch.compiler.reset()
    eager = model_of(name, torch.float32)
    model = record_steps(compile_blocks(model_of(name, torch.float32)))
    assert model.graphs is not None

    for seed in (1, 2):
        close(latents(model, seed, torch.float32), latents(eager, seed, torch.float32), 1e-2)

    assert model.graphs.held == 1
    assert model.graphs.complaint() == ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["nano-vae", "tiny"])
def test_the_compiler_takes_whole_blocks_and_attention_is_chosen_by_the_clock(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.compiler.reset()
    compile = torch.compile

    def whole(function: Callable[..., object]) -> Callable[..., object]:
        return compile(function, fullgraph=True)  # an error where the compiler breaks off

    choices = Choices()
    monkeypatch.setattr(fastest, "CHOICES", choices)
    monkeypatch.setattr(torch, "compile", whole)
    model = compile_blocks(model_of(name, torch.float32))
    monkeypatch.setattr(torch, "compile", compile)

    found = latents(model, 1, torch.float32)

    close(found, latents(model_of(name, torch.float32), 1, torch.float32), 1e-2)
    assert len(choices.chosen) >= 3


def test_a_graph_is_recorded_under_autocast_and_outlives_its_cache_of_weights() -> None:
    plain, recorded = model_of("tiny"), record_steps(model_of("tiny"))
    found = [latents(recorded, 1)]
    gc.collect()
    torch.cuda.empty_cache()
    scrap = [torch.full((2**20,), float("nan"), device=CUDA) for _ in range(64)]

    found.append(latents(recorded, 1))

    assert all(one.isnan().all().item() for one in scrap)  # nothing was written there
    assert found[1].isfinite().all()
    for one in found:
        close(one, latents(plain, 1), 2e-2)


def test_windows_of_two_threads_get_what_each_gets_alone() -> None:
    """Recording while the other thread works: with the gate of ``Graphs.window``, as makers do."""
    model = record_steps(model_of("tiny"))
    graphs = model.graphs
    assert graphs is not None
    jobs = [(seed, 5 + seed % 2) for seed in range(12)]
    plain = model_of("tiny")
    alone = [latents(plain, seed, slots=slots) for seed, slots in jobs]

    def make(job: tuple[int, int]) -> Tensor:
        seed, slots = job
        with graphs.window(slots):
            return latents(model, seed, slots=slots)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(make, jobs))

    for one, expected in zip(found, alone, strict=True):
        close(one, expected, 2e-2)
    assert graphs.held == 2
    assert graphs.complaint() == ""


def test_a_step_that_waits_for_the_device_is_run_as_it_is_and_the_device_stays_of_use() -> None:
    model = record_steps(model_of("nano"))
    graphs = model.graphs
    assert graphs is not None
    step = model.denoiser.step

    def waits(noisy: Tensor, t: Tensor, kept: KeptWindows) -> Tensor:
        assert float(t.sum()) >= 0  # a number on the processor
        return step(noisy, t, kept)

    model.denoiser.step = waits  # type: ignore[method-assign] # what no graph can hold
    found = latents(model, 1)

    assert graphs.complaint() != ""
    assert graphs.held == 0
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    close(found, latents(model_of("nano"), 1), 2e-2)
    # The allocator gives back again what it caches, and another graph may be recorded.
    scrap = torch.empty(2**28, device=CUDA)
    del scrap
    before = torch.cuda.memory_reserved()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before - 2**28
    assert 0 <= torch.rand(1, device=CUDA).item() <= 1  # random numbers are drawn again, too
    again = record_steps(model_of("nano"))
    latents(again, 1)
    assert again.graphs is not None
    assert again.graphs.held == 1


def test_too_little_memory_for_a_graph_is_told_and_the_step_stands() -> None:
    record = CudaRecorder(CUDA)

    def greedy(run: Callable[[], Tensor]) -> object:
        def more() -> Tensor:
            out = run()
            torch.empty(2**50, dtype=torch.uint8, device=CUDA)
            return out

        return record(more)

    model = model_of("nano")
    model.graphs = graphs = Graphs(greedy)  # type: ignore[arg-type] # never gives a recording

    found = latents(model, 1)

    assert graphs.complaint() == "there is too little memory for them"
    close(found, latents(model_of("nano"), 1), 2e-2)


def test_forgotten_graphs_give_their_memory_back() -> None:
    model = record_steps(model_of("tiny"))
    graphs = model.graphs
    assert graphs is not None
    latents(model, 1)  # workspaces of the libraries stay
    graphs.forget()
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    for slots in (5, 6, 7):
        latents(model, 1, slots=slots)
    assert graphs.held == 3
    gc.collect()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() > before

    graphs.forget()
    gc.collect()
    torch.cuda.empty_cache()

    assert torch.cuda.memory_reserved() <= before + 2**25
    assert latents(model, 2).isfinite().all()


def test_whole_frames_come_out_of_recorded_steps() -> None:
    model = record_steps(model_of("tiny"))
    mask = torch.tensor([[False, True, True, False]], device=CUDA)
    with torch.inference_mode(), precision(model, torch.bfloat16):
        frames = torch.rand(1, 2, 3, 90, 150, device=CUDA)
        given = model.look(frames, mask, torch.arange(4.0, device=CUDA)[None])
        made = paint(model, given, model.plan(given), GUIDED, [[1, 2]])

    assert made.shape == (1, 2, 3, 90, 150)
    assert bool(made.isfinite().all())
