"""The denoiser: references that nothing disturbs, and made frames that read everything."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mardini_cli.config import ModelConfig, nano, nano_vae
from mardini_cli.errors import ShapeError
from mardini_cli.model.denoiser import Denoiser, patchify, unpatchify
from mardini_cli.model.positions import Grid

Awake = Callable[..., Denoiser]

GRID = Grid.of_frame(4, 6, (64, 96))
LOW = Grid.of_frame(2, 3, (64, 96))
EQUAL = torch.tensor([[0, 1, 1, 1], [1, 1, 0, 1]]).bool()
RAGGED = torch.tensor([[0, 1, 1, 1], [0, 1, 0, 0]]).bool()
TIMES = torch.tensor([[0.0, 1, 2, 3], [0, 0.5, 2, 3.5]])
T = torch.tensor([300, 1000])


def temporal(config: ModelConfig) -> ModelConfig:
    """The T form of a config."""
    return replace(config, denoiser=replace(config.denoiser, attention="t"))


CONFIGS = {
    "st": nano(),
    "t": temporal(nano()),
    "picture latents": nano_vae(),
    "counted": replace(nano(), positions="counted"),
    "counted t": replace(temporal(nano()), positions="counted"),
    "reading B": replace(nano(), identity="frame"),
}
OPEN = {
    "no identity attention": replace(nano(), identity="off"),
    "shared time": replace(nano(), reference="shared"),
}
"""Configs whose given frames the noise reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one pass reads."""

    noisy: Tensor
    reference: Tensor
    mask: Tensor
    signal: Tensor | None
    times: Tensor = TIMES
    t: Tensor = T
    drop: Tensor | None = None

    @classmethod
    def of(cls, config: ModelConfig, mask: Tensor = EQUAL, seed: int = 0) -> "Batch":
        rng = torch.Generator().manual_seed(seed)
        made, n = int(mask.sum(1).max()), GRID.tokens
        return cls(
            noisy=torch.randn(2, made, n, config.noisy_channels, generator=rng),
            reference=torch.randn(2, 4, n, config.reference_channels, generator=rng),
            mask=mask,
            signal=torch.randn(2, 4, LOW.tokens, config.planner.width, generator=rng),
        )

    def through(self, network: Denoiser) -> Tensor:
        v: Tensor = network(
            self.noisy,
            self.reference,
            self.mask,
            self.times,
            self.t,
            GRID,
            self.signal,
            LOW,
            self.drop,
        )
        return v

    def window(self, index: int) -> "Batch":
        one = slice(index, index + 1)
        made = int(self.mask[index].sum())
        return replace(
            self,
            noisy=self.noisy[one, :made],
            reference=self.reference[one],
            mask=self.mask[one],
            signal=None if self.signal is None else self.signal[one],
            times=self.times[one],
            t=self.t[one],
        )


def features(network: Denoiser, batch: Batch) -> list[Tensor]:
    """What every block gives, each ``b f ...``."""
    found: list[Tensor] = []

    def keep(_: nn.Module, __: object, out: Tensor) -> None:
        found.append(out.reshape(*batch.mask.shape, *out.shape[1:]))

    hooks = [block.register_forward_hook(keep) for block in network.blocks]
    batch.through(network)
    for hook in hooks:
        hook.remove()
    return found


@pytest.fixture(params=(CONFIGS | OPEN).values(), ids=list(CONFIGS | OPEN))
def config(request: pytest.FixtureRequest) -> ModelConfig:
    chosen: ModelConfig = request.param
    return chosen


@given(
    lead=st.lists(st.integers(1, 3), max_size=3),
    patch=st.integers(1, 3),
    cells=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    channels=st.integers(1, 5),
)
def test_cutting_into_tokens_and_back_loses_nothing(
    lead: list[int], patch: int, cells: tuple[int, int], channels: int
) -> None:
    rows, cols = cells
    shape = (*lead, channels, rows * patch, cols * patch)
    latent = torch.arange(torch.Size(shape).numel()).reshape(shape)

    tokens = patchify(latent, patch)

    assert tokens.shape == (*lead, rows * cols, patch**2 * channels)
    assert torch.equal(unpatchify(tokens, patch, rows, cols), latent)


def test_a_token_holds_one_patch_rows_first() -> None:
    latent = torch.arange(16).reshape(1, 4, 4)

    tokens = patchify(latent, 2)

    assert tokens.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_latents_that_the_patch_does_not_divide_are_refused() -> None:
    with pytest.raises(ShapeError, match="3 x 4"):
        patchify(torch.zeros(1, 3, 4), 2)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_references_are_blind_to_noise_other_frames_and_diffusion_time(
    config: ModelConfig, awake: Awake
) -> None:
    """Bit-equal in every layer: so their keys and values may be kept over the sampler."""
    network, batch = awake(Denoiser(config)), Batch.of(config)
    other = Batch.of(config, seed=1)
    reference = other.reference.clone()
    reference[0, 0] = batch.reference[0, 0]  # this frame stays, all else changes
    signal = other.signal
    assert signal is not None
    assert batch.signal is not None
    signal[0, 0] = batch.signal[0, 0]
    other = replace(other, reference=reference, signal=signal, t=torch.tensor([999, 1]))

    before, after = features(network, batch), features(network, other)

    assert len(before) == config.denoiser.depth
    for first, second in zip(before, after, strict=True):
        assert torch.equal(second[0, 0], first[0, 0])
        assert not torch.equal(second[0, 1], first[0, 1])


def test_without_identity_attention_a_given_frame_sees_the_noise(awake: Awake) -> None:
    config = OPEN["no identity attention"]
    network, batch = awake(Denoiser(config)), Batch.of(config)
    batch.noisy.requires_grad_()

    first, *_ = features(network, batch)
    seen = torch.autograd.grad(first[0, 0].square().sum(), batch.noisy)[0].abs().amax((2, 3)) > 0

    assert not bool(batch.mask[0, 0])
    assert seen.tolist() == [[True] * 3, [False] * 3]


def test_with_a_shared_time_a_given_frame_knows_it_and_no_noise(awake: Awake) -> None:
    config = OPEN["shared time"]
    network, batch = awake(Denoiser(config)), Batch.of(config)
    noisier = replace(batch, noisy=batch.noisy + 1)
    later = replace(batch, t=torch.tensor([300, 400]))

    before, other, after = (features(network, one)[0] for one in (batch, noisier, later))

    assert torch.equal(other[0, 0], before[0, 0])
    assert not torch.allclose(after[1, 0], before[1, 0], atol=1e-4)


def test_references_in_made_slots_are_never_read(config: ModelConfig, awake: Awake) -> None:
    network, batch = awake(Denoiser(config)), Batch.of(config)
    filled = batch.reference.masked_fill(batch.mask[..., None, None], float("nan"))

    assert torch.equal(replace(batch, reference=filled).through(network), batch.through(network))


def test_a_made_frame_reads_its_whole_window_and_its_own_signal(
    config: ModelConfig, awake: Awake
) -> None:
    network, batch = awake(Denoiser(config)), Batch.of(config)
    assert batch.signal is not None
    read = (batch.noisy, batch.reference, batch.signal)
    for tensor in read:
        tensor.requires_grad_()

    v = batch.through(network)
    gradients = torch.autograd.grad(v[0, 1].square().sum(), read)

    noisy, reference, signal = (grad.abs().amax((2, 3)) > 0 for grad in gradients)
    assert noisy.tolist() == [[True] * 3, [False] * 3]
    assert reference.tolist() == [[True, False, False, False], [False] * 4]
    assert bool(signal[0, 2])  # the second made frame stands in slot 2
    assert not bool(signal[1].any())


def test_in_one_block_a_frame_reads_the_signal_of_no_other_frame(awake: Awake) -> None:
    shallow = replace(nano(), denoiser=replace(nano().denoiser, depth=1))
    network, batch = awake(Denoiser(shallow)), Batch.of(shallow)
    assert batch.signal is not None
    batch.signal.requires_grad_()

    v = batch.through(network)
    seen = torch.autograd.grad(v[0, 1].square().sum(), batch.signal)[0].abs().amax((2, 3)) > 0

    assert seen.tolist() == [[False, False, True, False], [False] * 4]


def test_diffusion_time_matters_to_made_frames(config: ModelConfig, awake: Awake) -> None:
    network, batch = awake(Denoiser(config)), Batch.of(config)

    first = batch.through(network)
    second = replace(batch, t=torch.tensor([300, 400])).through(network)

    torch.testing.assert_close(first[0], second[0])
    assert not torch.allclose(first[1], second[1], atol=1e-4)


def test_whole_and_real_diffusion_times_mean_the_same(awake: Awake) -> None:
    network, batch = awake(Denoiser(nano())), Batch.of(nano())

    assert torch.equal(replace(batch, t=T.float()).through(network), batch.through(network))


def test_no_signal_is_the_dropped_signal_whatever_it_says(
    config: ModelConfig, awake: Awake
) -> None:
    network, batch = awake(Denoiser(config)), Batch.of(config)

    without = replace(batch, signal=None).through(network)
    dropped = replace(batch, drop=torch.tensor([True, True])).through(network)
    half = replace(batch, drop=torch.tensor([True, False])).through(network)

    torch.testing.assert_close(dropped, without, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(half[0], without[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(half[1], batch.through(network)[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(half[1], without[1], atol=1e-3)


def test_fresh_blocks_are_the_identity_and_a_fresh_denoiser_says_zero(
    config: ModelConfig,
) -> None:
    torch.manual_seed(0)
    network, batch = Denoiser(config), Batch.of(config)

    first, *others = features(network, batch)

    assert all(torch.equal(other, first) for other in others)
    assert first.abs().sum() > 0
    assert not batch.through(network).any()


def test_a_fresh_denoiser_can_learn(config: ModelConfig) -> None:
    """Zero at the start must not mean zero for ever."""
    torch.manual_seed(0)
    network, batch = Denoiser(config), Batch.of(config)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)

    losses = []
    for _ in range(12):
        loss = (batch.through(network) - batch.noisy[..., :1]).square().mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(loss.item())

    assert losses[-1] < 0.8 * losses[0]


def test_every_weight_learns(config: ModelConfig, awake: Awake) -> None:
    network, batch = awake(Denoiser(config)), Batch.of(config)
    batch = replace(batch, drop=torch.tensor([True, False]))

    gradients = torch.autograd.grad(
        batch.through(network).square().sum(), list(network.parameters())
    )

    names = [name for name, _ in network.named_parameters()]
    still = [name for name, grad in zip(names, gradients, strict=True) if not grad.abs().sum()]
    assert still == []


def test_windows_that_make_unequally_many_come_out_as_they_do_alone(
    config: ModelConfig, awake: Awake
) -> None:
    network, batch = awake(Denoiser(config)), Batch.of(config, RAGGED)
    unread = batch.noisy.clone()
    unread[1, 1:] = float("nan")

    together = replace(batch, noisy=unread).through(network)

    assert not together[1, 1:].any()
    for window, made in enumerate((3, 1)):
        alone = batch.window(window).through(network)
        torch.testing.assert_close(together[window, :made], alone[0], rtol=1e-4, atol=1e-5)


def test_both_forms_take_each_others_weights() -> None:
    spatio_temporal, other = Denoiser(nano()), Denoiser(temporal(nano()))

    other.load_state_dict(spatio_temporal.state_dict())

    assert list(other.state_dict()) == list(spatio_temporal.state_dict())


def test_the_forms_differ(awake: Awake) -> None:
    first, second = (awake(Denoiser(CONFIGS[form])) for form in ("st", "t"))

    assert not torch.allclose(
        Batch.of(nano()).through(first), Batch.of(nano()).through(second), atol=1e-3
    )


def test_noisy_frames_and_references_share_an_embedding_where_both_are_latents() -> None:
    assert Denoiser(nano_vae()).embed_reference is None
    assert Denoiser(nano()).embed_reference is not None


@pytest.mark.parametrize("form", ["st", "t"])
def test_pure_noise_gives_finite_numbers_in_bfloat16(form: str, awake: Awake) -> None:
    network = awake(Denoiser(CONFIGS[form])).bfloat16()
    batch = Batch.of(nano())
    assert batch.signal is not None
    low = replace(
        batch,
        noisy=batch.noisy.bfloat16(),
        reference=batch.reference.bfloat16(),
        signal=batch.signal.bfloat16(),
        t=torch.tensor([1000, 1000]),
    )

    v = low.through(network)

    assert v.dtype == torch.bfloat16
    assert bool(v.isfinite().all())


def test_autocast_stays_near_float32(awake: Awake) -> None:
    network, batch = awake(Denoiser(nano())), Batch.of(nano())

    with torch.autocast("cpu", torch.bfloat16):
        v = batch.through(network)

    exact = batch.through(network)
    assert v.dtype == torch.bfloat16
    assert (v - exact).abs().mean() < 0.03 * exact.abs().mean()


@pytest.mark.parametrize(
    "wrong",
    [
        {"noisy": torch.zeros(2, 2, GRID.tokens, nano().noisy_channels)},
        {"noisy": torch.zeros(2, 3, 5, nano().noisy_channels)},
        {"reference": torch.zeros(2, 3, GRID.tokens, nano().reference_channels)},
        {"signal": torch.zeros(2, 4, 5, nano().planner.width)},
    ],
    ids=["too few", "noisy grid", "reference", "signal grid"],
)
def test_tensors_that_are_not_of_one_batch_are_refused(wrong: dict[str, Tensor]) -> None:
    with pytest.raises(ShapeError):
        replace(Batch.of(nano()), **wrong).through(Denoiser(nano()))
