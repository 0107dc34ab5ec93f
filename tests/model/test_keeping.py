"""What sampling keeps of a window: the made frames alone give what the whole window gives."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

import pytest
import torch
from torch import Tensor

from mardini_cli.config import ModelConfig, nano, nano_vae
from mardini_cli.errors import ShapeError
from mardini_cli.model.attention import Identity, Over
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.positions import Grid

Awake = Callable[..., MarDini]
Preset = Callable[[], ModelConfig]

MASKS = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 1, 1, 0]]).bool()
TIMES = torch.tensor([[0.0, 1, 2, 3, 4], [0, 0.5, 2, 3.5, 4]])
T = torch.tensor([1000, 120])


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def config_of(
    preset: Preset, over: Over = "st", identity: Identity = "token", positions: str = "real"
) -> ModelConfig:
    kind: Literal["real", "counted"] = "counted" if positions == "counted" else "real"
    small = preset()
    denoiser = replace(small.denoiser, attention=over)
    return replace(small, denoiser=denoiser, identity=identity, positions=kind)


@pytest.mark.parametrize("preset", [nano, nano_vae])
@pytest.mark.parametrize("over", get_args(Over))
@pytest.mark.parametrize("identity", get_args(Identity))
@pytest.mark.parametrize("positions", ["real", "counted"])
@torch.no_grad()
def test_made_frames_alone_give_what_whole_windows_give(
    preset: Preset, over: Over, identity: Identity, positions: str, awake: Awake
) -> None:
    model = awake(MarDini(config_of(preset, over, identity, positions)))
    given = model.look(torch.rand(2, 2, 3, 32, 48), MASKS, TIMES)
    signal, noisy = model.plan(given), normal(2, 3, *given.latent_shape)
    plain = [model.velocity(noisy, T, given, heard) for heard in (signal, None)]

    both = model.velocities(noisy, T, model.keep(given, [signal, None]))
    alone = [model.velocities(noisy, T, model.keep(given, [heard])) for heard in (signal, None)]

    assert not torch.allclose(plain[0], plain[1], atol=1e-2)  # the signal says something
    torch.testing.assert_close(both, torch.stack(plain), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.cat(alone), torch.stack(plain), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "config", [replace(nano(), identity="off"), replace(nano(), reference="shared")]
)
@torch.no_grad()
def test_where_noise_reaches_given_frames_every_step_asks_anew(
    config: ModelConfig, awake: Awake
) -> None:
    model = awake(MarDini(config))
    given = model.look(torch.rand(2, 2, 3, 320, 272), MASKS, TIMES)
    signal, noisy = model.plan(given), normal(2, 3, *given.latent_shape)
    plain = [model.velocity(noisy, T, given, heard, tile=256) for heard in (signal, None)]

    kept = model.keep(given, [signal, None], tile=256)

    assert len(kept) > 1
    assert torch.equal(model.velocities(noisy, T, kept), torch.stack(plain))


@torch.no_grad()
def test_what_is_kept_serves_every_step_and_every_tile(awake: Awake) -> None:
    model = awake(MarDini(nano()))
    given = model.look(torch.rand(2, 2, 3, 320, 272), MASKS, TIMES)
    signal = model.plan(given)
    kept = model.keep(given, [signal], tile=256)
    assert len(kept) > 1

    for step, t in enumerate(torch.tensor([[1000, 700], [500, 2]])):
        noisy = normal(2, 3, *given.latent_shape, seed=step)
        plain = model.velocity(noisy, t, given, signal, tile=256)
        torch.testing.assert_close(model.velocities(noisy, t, kept)[0], plain, rtol=1e-4, atol=1e-4)


def test_windows_that_make_unequally_many_frames_are_not_kept_together(awake: Awake) -> None:
    model, grid = awake(MarDini(nano())), Grid.of_frame(2, 3, (32, 48))
    masks = torch.tensor([[0, 1, 1], [0, 0, 1]]).bool()
    reference = torch.zeros(2, 3, 6, model.config.reference_channels)

    with pytest.raises(ShapeError, match=r"windows that make \[1, 2\] frames"):
        model.denoiser.keep(reference, masks, TIMES[:, :3], grid, [None], grid)
