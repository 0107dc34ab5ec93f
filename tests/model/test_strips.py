"""Strips: large pictures pass the VAE in parts, and nobody can tell."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mardini_cli.config import VaeConfig, nano_vae
from mardini_cli.model.kl import AutoencoderKL
from mardini_cli.model.strips import LEAST, MARGIN, by_strips, normed
from mardini_cli.model.vae import Vae

Awake = Callable[..., AutoencoderKL]
AwakeVae = Callable[..., Vae]
SIZES = [(208, 48), (96, 160), (32, 16)]
"""Heights that strips do not divide, and one that is a single strip at most levels."""


def pictures(high: int, wide: int) -> Tensor:
    """Brighter to the right and below, so that parts of it have other means than the whole."""
    rng = torch.Generator().manual_seed(1)
    light = torch.linspace(-1, 1, wide) * torch.linspace(-1, 1, high)[:, None]
    return (torch.randn(2, 3, high, wide, generator=rng) * 0.2 + light).clamp(-1, 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("quant", [False, True])
@torch.inference_mode()
def test_strips_give_what_the_whole_gives(size: tuple[int, int], quant: bool, awake: Awake) -> None:
    config = nano_vae().vae
    assert config is not None
    network = awake(AutoencoderKL(replace(config, quant=quant)))
    frames = pictures(*size)
    latents = network.encode(frames)[:, :16]

    for places in (1, 2000, 10**6):
        encoded, decoded = network.encode(frames, places), network.decode(latents.clone(), places)

        torch.testing.assert_close(encoded[:, :16], latents, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(decoded, network.decode(latents), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_strips_keep_the_layout_and_leave_the_input_alone(awake: Awake) -> None:
    network = awake(AutoencoderKL(VaeConfig(widths=(8, 8, 16, 16), blocks=1, groups=4)))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a stub's gap
    latents = torch.randn(1, 16, 12, 8).contiguous(memory_format=torch.channels_last)
    before = latents.clone()

    decoded = network.decode(latents, 1)

    assert torch.equal(latents, before)
    torch.testing.assert_close(decoded, network.decode(latents), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_no_convolution_sees_more_than_a_strip(awake: AwakeVae) -> None:
    model = awake(Vae(nano_vae()))
    seen = list[int]()
    for layer in model.kl.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2]))
    model.pixels_at_once = 1
    frames = torch.rand(1, 2, 3, 160, 48)
    mask, times = torch.tensor([[False, True, False]]), torch.arange(3.0)[None]

    given = model.look(frames, mask, times)
    model.decode(torch.randn(1, 1, *given.latent_shape), None, given, None)

    # An upsampled strip has twice the rows, margins too.
    assert max(seen) <= 2 * (LEAST + 2 * MARGIN)


def test_a_norm_of_strips_is_that_of_the_whole_in_short_numbers_too() -> None:
    norm, x = nn.GroupNorm(2, 4), pictures(64, 16).repeat(1, 2, 1, 1)[:, :4]
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        short = x.to(dtype)

        by_parts = by_strips(normed(norm, short, 1), short, 1)

        whole = norm(short.float()).to(dtype)
        torch.testing.assert_close(by_parts, whole, rtol=tolerance, atol=tolerance)
