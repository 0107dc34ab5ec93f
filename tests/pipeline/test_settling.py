"""Numbers and layouts of a loaded model: what changes, and that frames stay what they are."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mardini_cli.config import SamplerConfig, nano, nano_vae
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import paint
from mardini_cli.pipeline.settling import compile_blocks, precision, settle
from tests.pipeline.clips import nano_model

MASK = torch.tensor([[False, True, True, False]])
TIMES = torch.arange(4.0)[None]


def model_of(preset: str) -> MarDini:
    if preset == "nano":
        return nano_model()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return MarDini(nano_vae()).eval()


@torch.inference_mode()
def made(model: MarDini, dtype: torch.dtype = torch.float32) -> Tensor:
    frames = torch.rand(1, 2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with precision(model, dtype):
        given = model.look(frames, MASK, TIMES)
        sampler = SamplerConfig(steps=2, guidance=2.0)
        return paint(model, given, model.plan(given), sampler, [[1, 2]]).float()


@pytest.mark.parametrize("preset", ["nano", "nano-vae"])
def test_a_settled_model_makes_the_same_frames(preset: str) -> None:
    plain, settled = made(model_of(preset)), made(settle(model_of(preset), torch.float32))

    torch.testing.assert_close(settled, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("preset", ["nano", "nano-vae"])
def test_short_numbers_change_frames_by_no_more_than_their_rounding(preset: str) -> None:
    plain = made(model_of(preset))

    short = made(settle(model_of(preset), torch.bfloat16), torch.bfloat16)

    assert (short - plain).abs().mean() < 0.02
    assert short.isfinite().all()


def test_picture_latents_take_the_short_type_and_keep_their_statistics() -> None:
    settled = settle(MarDini(nano_vae()), torch.bfloat16)

    assert {p.dtype for p in settled.parameters()} == {torch.bfloat16}
    assert {b.dtype for b in settled.buffers()} == {torch.float32}
    assert {p.dtype for p in settle(MarDini(nano()), torch.bfloat16).parameters()} == {
        torch.float32
    }


@pytest.mark.parametrize("preset", ["nano", "nano-vae"])
def test_names_and_values_of_weights_stay(preset: str) -> None:
    before = {key: value.clone() for key, value in model_of(preset).state_dict().items()}

    after = settle(model_of(preset), torch.float32).state_dict()

    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_compiled_blocks_make_what_eager_ones_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graphs alone are taken here; what the compiler makes of them is its own affair (slow)."""
    graphs = list[torch.fx.GraphModule]()
    compile = torch.compile

    def keep(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    def traced(function: Callable[..., object]) -> Callable[..., object]:
        return compile(function, backend=keep)

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", traced)
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda block: setattr(block, "forward", traced(block.forward))
    )
    eager = made(nano_model())

    compiled = made(compile_blocks(nano_model()))

    torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-4)
    assert len(graphs) == 4  # planner, references with the signal and without, made frames


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch left
def test_what_the_compiler_makes_of_the_blocks_gives_the_same_within_rounding() -> None:
    torch.compiler.reset()
    eager = made(nano_model())

    compiled = made(compile_blocks(nano_model()))

    torch.testing.assert_close(compiled, eager, rtol=1e-3, atol=1e-3)
