"""The whole model: four verbs, one window's life, whatever the batch and the precision."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch import Tensor

from mardini_cli.config import ModelConfig, nano, nano_vae
from mardini_cli.diffusion.sampler import sample
from mardini_cli.errors import ConfigError, ShapeError
from mardini_cli.model.guided import Guided
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.vae import Vae

Awake = Callable[..., MarDini]
Preset = Callable[[], ModelConfig]

MASKS = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 1, 1, 0]]).bool()
TIMES = torch.tensor([[0.0, 1, 2, 3, 4], [0, 0.5, 2, 3.5, 4]])
BOTH = pytest.mark.parametrize("preset", [nano, nano_vae])


def frames_of(windows: int = 2, given: int = 2, size: tuple[int, int] = (32, 48)) -> Tensor:
    return torch.rand(windows, given, 3, *size, generator=torch.Generator().manual_seed(0))


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def life_of(
    model: MarDini, frames: Tensor, masks: Tensor, times: Tensor, noises: Tensor
) -> dict[str, Tensor]:
    """Every verb's answer for a batch of windows, at different diffusion times."""
    given = model.look(frames, masks, times)
    signal = model.plan(given)
    t = (masks[:, 0].long() + 1) * 400  # a window's own, not its place in the batch
    v = model.velocity(noises, t, given, signal)
    null = model.velocity(noises, t, given, None)
    pictures = model.decode(noises, t / 1000, given, signal)
    return {"signal": signal, "velocity": v, "null": null, "frames": pictures}


@BOTH
def test_a_batch_of_windows_equals_its_windows_one_by_one(preset: Preset, awake: Awake) -> None:
    model, frames = awake(MarDini(preset())), frames_of()
    noises = noise(2, 3, *model.look(frames, MASKS, TIMES).latent_shape)
    batch = (frames, MASKS, TIMES, noises)

    together = life_of(model, *batch)

    for window in range(2):
        alone = life_of(model, *(part[window : window + 1] for part in batch))
        for verb, answer in alone.items():
            torch.testing.assert_close(
                together[verb][window], answer[0], rtol=1e-3, atol=1e-3, msg=f"{verb}, {window}"
            )


@BOTH
def test_the_order_of_windows_in_a_batch_changes_nothing(preset: Preset, awake: Awake) -> None:
    model, frames = awake(MarDini(preset())), frames_of()
    noises = noise(2, 3, *model.look(frames, MASKS, TIMES).latent_shape)
    batch = (frames, MASKS, TIMES, noises)

    forward, turned = life_of(model, *batch), life_of(model, *(part.flip(0) for part in batch))

    for verb, answer in forward.items():
        torch.testing.assert_close(turned[verb].flip(0), answer, rtol=1e-3, atol=1e-3, msg=verb)


@BOTH
def test_dropped_windows_get_the_null_signal_and_no_other_does(
    preset: Preset, awake: Awake
) -> None:
    model, frames = awake(MarDini(preset())), frames_of()
    given = model.look(frames, MASKS, TIMES)
    noisy, t = noise(2, 3, *given.latent_shape), torch.tensor([300, 700])
    ask = partial(model.velocity, noisy, t, given)
    signal = model.plan(given)

    dropped = ask(signal, drop=torch.tensor([True, False]))

    torch.testing.assert_close(dropped[0], ask(None)[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(dropped[1], ask(signal)[1], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(ask(None), ask(signal), atol=1e-2)


@BOTH
@pytest.mark.parametrize("size", [(32, 48), (37, 53)])
def test_a_window_goes_from_look_to_frames_in_two_steps(
    preset: Preset, size: tuple[int, int], awake: Awake
) -> None:
    model, frames = awake(MarDini(preset()), std=0.05), frames_of(size=size)
    with torch.no_grad():
        given = model.look(frames, MASKS, TIMES)
        signal = model.plan(given)
        ask = partial(model.velocity, given=given, signal=signal)

        latent = sample(lambda noisy, t: ask(noisy, t), noise(2, 3, *given.latent_shape), 2)
        made = model.decode(latent, torch.zeros(2), given, signal)

    assert latent.shape == (2, 3, *given.latent_shape)
    assert made.shape == (2, 3, 3, *size)
    assert bool(made.isfinite().all())
    assert float(made.std()) > 0.01


def test_without_steps_motion_latents_decode_and_the_noise_is_not_asked_for() -> None:
    torch.manual_seed(0)
    model, flat = MarDini(nano()).eval(), torch.full((2, 2, 3, 37, 53), 0.6)
    given = model.look(flat, MASKS, TIMES)

    made = model.decode(None, None, given, model.plan(given))

    torch.testing.assert_close(made, torch.full((2, 3, 3, 37, 53), 0.6), rtol=0, atol=1e-4)


def test_without_steps_picture_latents_say_that_they_have_no_draft() -> None:
    model = MarDini(nano_vae())
    given = model.look(frames_of(), MASKS, TIMES)

    with pytest.raises(ConfigError, match="steps = 0 with picture latents; needs 1 or more"):
        model.decode(None, None, given, None)


@BOTH
def test_bfloat16_autocast_stays_finite_at_pure_noise(preset: Preset, awake: Awake) -> None:
    model, frames = awake(MarDini(preset()), std=0.05), frames_of()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        given = model.look(frames, MASKS, TIMES)
        signal = model.plan(given)
        noisy = noise(2, 3, *given.latent_shape)
        v = model.velocity(noisy, torch.tensor([1000, 1000]), given, signal)
        made = model.decode(v, torch.ones(2), given, signal)

    assert bool(v.isfinite().all())
    assert bool(made.isfinite().all())
    assert made.shape == (2, 3, 3, 32, 48)


def test_bfloat16_autocast_makes_the_untrained_frames_of_float32() -> None:
    torch.manual_seed(0)
    model, frames = MarDini(nano()).eval().requires_grad_(False), frames_of()

    plain = model.decode(None, None, model.look(frames, MASKS, TIMES), None)
    with torch.autocast("cpu", torch.bfloat16):
        short = model.decode(None, None, model.look(frames, MASKS, TIMES), None)

    torch.testing.assert_close(short.float(), plain, rtol=0, atol=2e-2)


@BOTH
@drawn(seed=st.integers(0, 2**31), count=st.integers(2, 6))
def test_any_mask_with_given_and_made_frames_is_a_window(
    preset: Preset, seed: int, count: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    made = int(torch.randint(1, count, (1,), generator=rng))
    mask = torch.zeros(1, count, dtype=torch.bool)
    mask[0, torch.randperm(count, generator=rng)[:made]] = True
    times = torch.rand(1, count, generator=rng).add(0.1).cumsum(1)
    torch.manual_seed(seed)
    model = MarDini(preset()).eval().requires_grad_(False)

    given = model.look(frames_of(1, count - made, (16, 16)), mask, times)
    signal = model.plan(given)
    v = model.velocity(noise(1, made, *given.latent_shape), torch.tensor([500]), given, signal)

    assert signal.shape == (1, count, given.planner_grid.tokens, preset().planner.width)
    assert v.shape == (1, made, *given.latent_shape)
    assert bool(signal.isfinite().all())
    assert bool(v.isfinite().all())


def _wrong() -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    frames, unequal = frames_of(), torch.tensor([[0, 1, 1, 0, 1], [1, 0, 1, 0, 0]]).bool()
    none, every = torch.zeros(2, 5, dtype=torch.bool), torch.ones(2, 5, dtype=torch.bool)
    return {
        "no windows axis": (frames[0], MASKS, TIMES),
        "grey pictures": (frames[:, :, :1], MASKS, TIMES),
        "all frames instead of the given": (frames_of(given=5), MASKS, TIMES),
        "a given frame too few": (frames[:, :1], MASKS, TIMES),
        "windows that make unequally many": (frames, unequal, TIMES),
        "nothing to make": (frames_of(given=5), none, TIMES),
        "nothing given": (frames[:, :0], every, TIMES),
        "times of another window": (frames, MASKS, TIMES[:, :4]),
        "a mask without windows": (frames, MASKS[0], TIMES[0]),
        "frames of one window, masks of two": (frames[:1], MASKS, TIMES),
        "no window at all": (frames[:0], MASKS[:0], TIMES[:0]),
    }


@pytest.mark.parametrize("wrong", _wrong().values(), ids=list(_wrong()))
def test_look_refuses_what_is_no_batch_of_windows_and_says_what_it_met(
    wrong: tuple[Tensor, Tensor, Tensor],
) -> None:
    frames, mask, times = wrong

    with pytest.raises(ShapeError) as refused:
        MarDini(nano()).look(frames, mask, times)

    assert str(refused.value) == (
        f"frames {tuple(frames.shape)}, mask {tuple(mask.shape)} with"
        f" {mask.sum(-1).flatten().tolist()} made, times {tuple(times.shape)};"
        " needs b g 3 h w, b f and b f, with g given and at least one made frame a window;"
        " pass the given frames alone, and windows that make as many"
    )


def test_the_working_size_reaches_motion_latents_and_picture_latents_ignore_it() -> None:
    frames = frames_of(size=(64, 96))
    motion, picture = MarDini(nano()), MarDini(nano_vae())

    coarse, fine = (motion.look(frames, MASKS, TIMES, work) for work in (32, None))
    same = [picture.look(frames, MASKS, TIMES, work) for work in (32, None)]

    assert (coarse.latent_shape, fine.latent_shape) == ((4, 4, 6), (4, 8, 12))
    assert coarse.size == fine.size == (64, 96)
    assert torch.equal(same[0].reference_tokens, same[1].reference_tokens)


def test_the_preset_chooses_the_autoencoder() -> None:
    assert isinstance(MarDini(nano()).autoencoder, Guided)
    assert isinstance(MarDini(nano_vae()).autoencoder, Vae)


@BOTH
def test_weights_come_back_through_the_state_dict_to_the_bit(preset: Preset, awake: Awake) -> None:
    config = replace(preset(), positions="counted")
    first, second = awake(MarDini(config)), MarDini(config).eval()
    frames = frames_of()

    second.load_state_dict(first.state_dict(), strict=True)

    signals = [model.plan(model.look(frames, MASKS, TIMES)) for model in (first, second)]
    assert torch.equal(signals[0], signals[1])
