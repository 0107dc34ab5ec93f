"""Picture latents: the diffusers layout, two sizes of a look, and frames that come back."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mardini_cli.config import ModelConfig, VaeConfig, nano, nano_vae, s_st
from mardini_cli.errors import ConfigError
from mardini_cli.model.denoiser import patchify
from mardini_cli.model.kl import AutoencoderKL, Downsampler
from mardini_cli.model.vae import Vae

Awake = Callable[..., Vae]

MASK = torch.tensor([[0, 1, 0], [0, 0, 1]]).bool()
TIMES = torch.tensor([[0.0, 1, 2], [0, 0.5, 2]])


def frames_of(count: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Pictures ``2 count 3 h w`` in [0, 1]."""
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(2, count, 3, *size, generator=rng)


def diffusers_keys(config: VaeConfig) -> Iterator[str]:
    """The names in the file of a diffusers AutoencoderKL, written down level by level."""

    def layer(name: str) -> Iterator[str]:
        yield from (f"{name}.weight", f"{name}.bias")

    def resnet(name: str, shortcut: bool) -> Iterator[str]:
        for part in ("norm1", "conv1", "norm2", "conv2", *["conv_shortcut"] * shortcut):
            yield from layer(f"{name}.{part}")

    levels = len(config.widths)
    for side, way, blocks, widths in (
        ("encoder", "down", config.blocks, config.widths),
        ("decoder", "up", config.blocks + 1, config.widths[::-1]),
    ):
        for part in ("conv_in", "conv_norm_out", "conv_out"):
            yield from layer(f"{side}.{part}")
        for level in range(levels):
            for block in range(blocks):
                wider = block == 0 and level > 0 and widths[level] != widths[level - 1]
                yield from resnet(f"{side}.{way}_blocks.{level}.resnets.{block}", wider)
            if level < levels - 1:
                yield from layer(f"{side}.{way}_blocks.{level}.{way}samplers.0.conv")
        for block in range(2):
            yield from resnet(f"{side}.mid_block.resnets.{block}", shortcut=False)
        for part in ("group_norm", "to_q", "to_k", "to_v", "to_out.0"):
            yield from layer(f"{side}.mid_block.attentions.0.{part}")


@pytest.mark.parametrize("preset", [nano_vae, s_st])
def test_the_key_names_are_those_of_diffusers(preset: Callable[[], ModelConfig]) -> None:
    config = preset().vae
    assert config is not None

    with torch.device("meta"):
        keys = AutoencoderKL(config).state_dict()

    assert sorted(keys) == sorted(diffusers_keys(config))


def test_the_full_size_is_that_of_the_public_f8_16_channel_vaes() -> None:
    """SD3's and FLUX's files hold 83.8 million values in 244 tensors."""
    with torch.device("meta"):
        network = AutoencoderKL(VaeConfig())

    assert len(network.state_dict()) == 244
    assert sum(p.numel() for p in network.parameters()) == 83_819_683
    assert network.encoder.conv_out.weight.shape == (32, 512, 3, 3)
    assert network.decoder.conv_in.weight.shape == (512, 16, 3, 3)


def test_given_frames_are_seen_at_their_own_size_and_at_the_planners(awake: Awake) -> None:
    model, frames = awake(Vae(nano_vae())), frames_of(2, (70, 100))

    given = model.look(frames, MASK, TIMES)

    assert given.size == (70, 100)
    assert given.latent_shape == (16, 10, 14)  # 80 x 112 pixels: whole tokens of 16
    assert given.reference_tokens.shape == (2, 3, 35, 64)
    assert (given.token_grid.rows, given.token_grid.cols) == (5, 7)
    assert given.token_grid.height == pytest.approx(80 / 7000**0.5)
    assert given.planner_tokens.shape == (2, 3, 2 * 3, 64)  # 32 x 48 pixels
    assert given.planner_grid.height * given.planner_grid.width == pytest.approx(1)
    for tokens in (given.reference_tokens, given.planner_tokens):
        assert not tokens[MASK].any()
        assert bool(tokens[~MASK].abs().sum((1, 2)).gt(0).all())


def test_references_are_the_normalised_means_of_the_padded_frames(awake: Awake) -> None:
    model, frames = awake(Vae(nano_vae())), frames_of(2, (70, 96))
    model.mean.fill_(0.3)
    model.std.fill_(2.0)

    given = model.look(frames, MASK, TIMES)

    padded = torch.cat((frames, frames[..., -1:, :].expand(-1, -1, -1, 10, -1)), dim=-2)
    moments = model.kl.encoder(padded[1, 1][None] * 2 - 1)
    expected = patchify((moments[:, :16] - 0.3) / 2, 2)
    torch.testing.assert_close(given.reference_tokens[1, 1], expected[0], rtol=1e-4, atol=1e-5)


def test_small_frames_are_not_enlarged_for_the_planner(awake: Awake) -> None:
    model = awake(Vae(replace(nano_vae(), low_resolution=256)))

    given = model.look(frames_of(2, (32, 48)), MASK, TIMES)

    assert (given.planner_grid.rows, given.planner_grid.cols) == (2, 3)
    torch.testing.assert_close(given.planner_tokens, given.reference_tokens, rtol=1e-3, atol=1e-4)


def test_fine_stripes_shrink_to_their_mean_and_not_to_other_stripes() -> None:
    model = Vae(nano_vae())
    stripes = (torch.arange(320) % 10 < 3).float().expand(1, 1, 3, 320, 320)

    small = model._small(stripes)

    assert small.shape == (1, 1, 3, 32, 32)
    assert small[..., 2:-2].sub(0.3).abs().max() < 0.05


def test_halving_pads_the_lower_and_right_edge_alone_as_diffusers_does() -> None:
    halve = Downsampler(1)
    for parameter in halve.parameters():
        torch.nn.init.zeros_(parameter)
    halve.conv.weight.data[..., 0, 0] = 1  # the kernel's upper left corner
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)

    assert torch.equal(halve(picture), picture[..., ::2, ::2])


@pytest.mark.parametrize("size", [(32, 32), (70, 100), (16, 33)])
def test_made_frames_come_back_at_the_frames_size(size: tuple[int, int], awake: Awake) -> None:
    model, frames = awake(Vae(nano_vae())), frames_of(2, size)
    given = model.look(frames, MASK, TIMES)
    latent = torch.randn(2, 1, *given.latent_shape, generator=torch.Generator().manual_seed(1))

    pictures = model.decode(latent, torch.zeros(2), given, None)

    assert pictures.shape == (2, 1, 3, *size)
    assert bool(pictures.isfinite().all())


def test_stored_statistics_cancel_between_encoding_and_decoding(awake: Awake) -> None:
    model, frames = awake(Vae(nano_vae())), frames_of(2, (32, 32))
    given = model.look(frames, MASK, TIMES)
    mean, log_variance = model.encode(frames[:, :1], given)
    before = model.decode(model.normalise(mean), None, given, None)

    model.mean.copy_(torch.arange(16.0).view(1, 1, -1, 1, 1))
    model.std.mul_(3)
    after = model.decode(model.normalise(mean), None, given, None)

    assert mean.shape == log_variance.shape == (2, 1, 16, 4, 4)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


def test_each_frame_is_painted_from_its_own_latent(awake: Awake) -> None:
    model = awake(Vae(nano_vae()))
    mask = torch.tensor([[0, 1, 1]]).bool()
    given = model.look(frames_of(1, (32, 32))[:1], mask, TIMES[:1])
    latent = torch.randn(1, 2, 16, 4, 4, generator=torch.Generator().manual_seed(2))
    other = torch.cat((latent[:, :1], 5 + latent[:, 1:]), dim=1)

    first, second = (model.decode(x, None, given, None) for x in (latent, other))

    assert torch.equal(first[:, 0], second[:, 0])
    assert not torch.equal(first[:, 1], second[:, 1])


def test_without_gradients_frames_pass_a_few_at_a_time_with_the_same_result(
    awake: Awake,
) -> None:
    model, frames = awake(Vae(nano_vae())), frames_of(3, (32, 32))
    sizes = list[int]()
    model.kl.encoder.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    model.pixels_at_once = 4 * 32 * 32

    whole = model._encoded(frames)
    with torch.no_grad():
        parts = model._encoded(frames)

    assert sizes == [6, 4, 2]
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_the_planners_target_is_what_it_would_read_of_the_frame(awake: Awake) -> None:
    model, frames = awake(Vae(nano_vae())), frames_of(2, (70, 100))
    given = model.look(frames, MASK, TIMES)

    target = model.planner_target(frames, given)

    torch.testing.assert_close(
        target.flatten(0, 1), given.planner_tokens[~MASK], rtol=1e-4, atol=1e-5
    )


def test_picture_latents_have_no_draft_mode(awake: Awake) -> None:
    model = awake(Vae(nano_vae()))
    given = model.look(frames_of(2, (32, 32)), MASK, TIMES)

    with pytest.raises(ConfigError, match="steps = 0 with picture latents"):
        model.decode(None, None, given, None)


@pytest.mark.parametrize(
    "config",
    [nano(), replace(nano_vae(), vae=VaeConfig(widths=(8, 8, 8), groups=4))],
    ids=["motion latents", "three widths"],
)
def test_configs_that_are_no_f8_vae_are_refused(config: ModelConfig) -> None:
    with pytest.raises(ConfigError, match="four widths"):
        Vae(config)


def test_it_learns_to_give_a_picture_back() -> None:
    torch.manual_seed(0)
    model = Vae(nano_vae())
    ramp = torch.linspace(0, 1, 32)
    picture = torch.stack((ramp.expand(32, 32), ramp[:, None].expand(32, 32), ramp.outer(ramp)))
    frames = picture.expand(1, 1, 3, 32, 32)
    given = model.look(frames, torch.tensor([[0, 1]]).bool(), torch.tensor([[0.0, 1.0]]))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)

    losses = []
    for _ in range(40):
        mean, _ = model.encode(frames, given)
        loss = (model.decode(model.normalise(mean), None, given, None) - frames).abs().mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(loss.item())

    assert losses[-1] < 0.4 * losses[0]
