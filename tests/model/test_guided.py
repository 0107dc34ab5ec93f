"""The guided autoencoder: classical until it learns, true to any size, deaf where it must be."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from mardini_cli.config import ModelConfig, nano, tiny
from mardini_cli.model import prior
from mardini_cli.model.guided import Guided
from mardini_cli.model.motion import GuidedGiven
from mardini_cli.model.warping import resize, twice, volume

Awake = Callable[..., Guided]

MASK = torch.tensor([[0, 1, 1, 1, 0]]).bool()
TIMES = torch.arange(5.0)[None]
ABSENT = torch.tensor([2.0])


def without_prior() -> ModelConfig:
    """A config whose prior says that nothing moves."""
    config = nano()
    assert config.guided is not None
    return replace(config, guided=replace(config.guided, prior="none"))


def fresh(config: ModelConfig | None = None) -> Guided:
    """An untrained autoencoder, the same every time."""
    torch.manual_seed(0)
    return Guided(config or nano()).eval().requires_grad_(False)


def pan(count: int, size: tuple[int, int], step: tuple[int, int], grain: int = 6) -> Tensor:
    """Views ``1 count 3 h w`` of one texture that moves on by ``step`` (down, right) a frame."""
    (height, width), (down, right) = size, step
    whole = (height + (count - 1) * down, width + (count - 1) * right)
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, whole[0] // grain + 3, whole[1] // grain + 3, generator=rng)
    picture = F.interpolate(coarse, whole, mode="bicubic", align_corners=False)[0].clamp(0, 1)
    corners = [((count - 1 - i) * down, (count - 1 - i) * right) for i in range(count)]
    return torch.stack([picture[:, y : y + height, x : x + width] for y, x in corners])[None]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def even_flow(x: float, y: float, size: tuple[int, int]) -> Tensor:
    """The same motion everywhere between two given frames, ``1 1 2 2 h w``."""
    forward = torch.tensor([x, y], dtype=torch.float32).view(1, 1, 2, 1, 1).expand(1, 1, 2, *size)
    return torch.stack((forward, -forward), 2)


def inner(pictures: Tensor, edge: int = 16) -> Tensor:
    return pictures[..., edge:-edge, edge:-edge]


def quiet(*layers: nn.Conv2d) -> None:
    """Set last layers back to zero."""
    for layer in layers:
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


# Untrained -----------------------------------------------------------------------------------


def test_untrained_it_warps_both_sides_by_the_prior_and_blends_them_by_time() -> None:
    """By hand, with whole-pixel shifts: the first frame moved on, the second moved back."""
    model = fresh()
    frames = torch.rand(1, 2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    given = model.look(frames, MASK, TIMES, flow=even_flow(8, -4, (48, 64)))

    made = model.decode(None, None, given, None)

    for slot in (1, 2, 3):
        first = frames[:, 0].roll((-slot, 2 * slot), (-2, -1))
        second = frames[:, 1].roll((4 - slot, 2 * slot - 8), (-2, -1))
        expected = (4 - slot) / 4 * first + slot / 4 * second
        torch.testing.assert_close(
            inner(made[:, slot - 1]), inner(expected), rtol=0, atol=2e-4, msg=f"slot {slot}"
        )


def test_untrained_it_follows_a_pan_that_the_prior_finds() -> None:
    clip = pan(5, (96, 128), (2, 3))
    model = fresh()

    made = model.decode(None, None, model.look(clip[:, ::4], MASK, TIMES), None)

    error = inner(made - clip[:, 1:4], 24).abs()
    cross_fade = inner(clip[:, :1].lerp(clip[:, 4:], 0.5) - clip[:, 2:3], 24).abs()
    assert float(error.mean()) < 0.01
    assert float(cross_fade.mean()) > 10 * float(error.mean())


def test_untrained_it_believes_the_priors_finer_detail_by_a_trust_near_one() -> None:
    """By hand: each finer level adds what the prior says there beyond its coarser self."""
    model, flow = fresh(), noise(1, 1, 2, 2, 48, 64) * 4
    given = model.look(pan(2, (48, 64), (0, 0)), MASK, TIMES, flow=flow)

    flows = model.trace(None, None, given, None).flows

    held = [resize(given.flow, (48 // cell, 64 // cell)) for cell in (16, 8, 4, 2)]
    trust, expected = torch.sigmoid(torch.tensor(3.0)), held[0]
    for coarser, finer in pairwise(held):
        expected = twice(expected) + trust * (finer - twice(coarser))
    torch.testing.assert_close(flows[-1], twice(expected), rtol=0, atol=1e-4)
    assert [tuple(level.shape[-2:]) for level in flows] == [(3, 4), (6, 8), (12, 16), (48, 64)]


def test_without_a_prior_it_is_a_cross_fade_inside_and_holds_the_last_frame_beyond() -> None:
    frames = torch.rand(1, 2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 0, 1, 0, 1]]).bool()
    model = fresh(without_prior())

    made = model.decode(None, None, model.look(frames, mask, TIMES), None)

    shares = torch.tensor([0.98, 0.5, 0.02]).view(1, 3, 1, 1, 1)
    expected = shares * frames[:, :1] + (1 - shares) * frames[:, 1:]
    torch.testing.assert_close(made, expected, rtol=0, atol=2e-4)


def test_from_one_picture_untrained_frames_are_that_picture() -> None:
    frames = torch.rand(1, 1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 0, 1, 1]]).bool()
    model = fresh()

    made = model.decode(None, None, model.look(frames, mask, TIMES[:, :4]), None)

    torch.testing.assert_close(made, frames.expand(-1, 3, -1, -1, -1), rtol=0, atol=2e-4)


def test_time_reversed_it_makes_the_mirrored_frames() -> None:
    clip = pan(5, (64, 96), (1, 3))
    model, times = fresh(), torch.tensor([[0.0, 0.5, 1.5, 3.5, 4.0]])

    there = model.decode(None, None, model.look(clip[:, ::4], MASK, times), None)
    back = model.decode(None, None, model.look(clip[:, ::4].flip(1), MASK, 4 - times.flip(1)), None)

    torch.testing.assert_close(back.flip(1), there, rtol=0, atol=1e-3)


def test_a_later_time_uses_the_gap_that_it_falls_in() -> None:
    """Three given frames of flat grey: each made frame mixes its own two."""
    greys = torch.tensor([0.1, 0.5, 0.9]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 32, 32)
    mask = torch.tensor([[0, 1, 0, 1, 0]]).bool()
    model = fresh()

    made = model.decode(None, None, model.look(greys, mask, TIMES), None)

    torch.testing.assert_close(made.mean((2, 3, 4)), torch.tensor([[0.3, 0.7]]))


# Sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "work"), [((37, 53), None), ((239, 427), 64), ((427, 239), 64), ((16, 16), 8)]
)
def test_odd_sizes_come_out_at_the_frames_own(
    size: tuple[int, int], work: int | None, awake: Awake
) -> None:
    model, clip = awake(Guided(nano())), pan(2, size, (1, 2))

    with torch.no_grad():
        given = model.look(clip, MASK, TIMES, work)
        latent = noise(1, 3, *given.latent_shape)
        made = model.decode(latent, torch.tensor([0.5]), given, None)

    assert made.shape == (1, 3, 3, *size)
    assert bool(made.isfinite().all())
    assert given.latent_shape[1:] == (given.small.shape[-2] // 8, given.small.shape[-1] // 8)


@drawn(height=st.integers(1, 40), width=st.integers(1, 40), work=st.integers(1, 48))
def test_any_size_comes_out_and_flat_pictures_stay_flat(height: int, width: int, work: int) -> None:
    frames = torch.full((1, 2, 3, height, width), 0.25)
    model = fresh()

    made = model.decode(None, None, model.look(frames, MASK, TIMES, work), None)

    torch.testing.assert_close(made, torch.full((1, 3, 3, height, width), 0.25), rtol=0, atol=1e-4)


def test_a_working_size_below_the_frames_finds_the_motion_and_keeps_the_full_size() -> None:
    clip = pan(5, (128, 192), (4, 4), grain=24)
    model = fresh()

    plain = model.look(clip[:, ::4], MASK, TIMES)
    reduced = model.look(clip[:, ::4], MASK, TIMES, work=64)
    full, small = (model.decode(None, None, given, None) for given in (plain, reduced))

    assert reduced.work == (64, 96)
    assert reduced.flow.shape == (3, 4, 32, 48)
    assert small.shape == full.shape == (1, 3, 3, 128, 192)
    assert float(inner(small - full, 24).abs().mean()) < 0.005
    assert float(inner(small - clip[:, 1:4], 24).abs().mean()) < 0.01


def test_frames_are_never_enlarged_to_work_on() -> None:
    given = fresh().look(pan(2, (40, 60), (1, 2)), MASK, TIMES, work=400)

    assert given.work == (40, 60)
    assert given.small.shape[-2:] == (48, 64)


# What the latent may say ---------------------------------------------------------------------


def looked_at(model: Guided, work: int | None = None) -> GuidedGiven:
    return model.look(pan(2, (48, 64), (4, 8)), MASK, TIMES, work)


def test_a_level_above_one_stands_for_no_latent_to_the_bit(awake: Awake) -> None:
    model = awake(Guided(nano()))
    given = looked_at(model)
    latent = noise(1, 3, *given.latent_shape)

    absent = model.decode(latent, ABSENT, given, None)

    assert torch.equal(absent, model.decode(None, None, given, None))
    assert not torch.allclose(absent, model.decode(latent, torch.ones(1), given, None), atol=1e-3)


def test_the_latent_moves_flow_and_mask_and_never_reaches_the_residual(awake: Awake) -> None:
    """With the corrections silenced, all that is left to a latent would be the residual."""
    model = awake(Guided(nano()))
    given = looked_at(model)
    latent, level = noise(1, 3, *given.latent_shape), torch.zeros(1)
    loud = model.trace(latent, level, given, None), model.trace(-latent, level, given, None)
    blocks = (model.refine16, model.refine8, model.refine4, model.refine2)
    quiet(*(block.leave for block in blocks))
    silenced = model.trace(latent, level, given, None), model.trace(-latent, level, given, None)

    assert not torch.allclose(loud[0].frames, loud[1].frames, atol=1e-2)
    assert not torch.allclose(loud[0].flows[-1], loud[1].flows[-1], atol=1e-2)
    assert torch.equal(silenced[0].frames, silenced[1].frames)
    assert not torch.allclose(silenced[0].frames, silenced[0].merged, atol=1e-2)  # it does paint


def test_the_coarsest_level_comes_before_the_latent(awake: Awake) -> None:
    model = awake(Guided(nano()))
    given = looked_at(model)
    told = [
        model.trace(noise(1, 3, *given.latent_shape, seed=seed), torch.zeros(1), given, None)
        for seed in (0, 1)
    ]

    assert torch.equal(told[0].flows[0], told[1].flows[0])
    assert not torch.equal(told[0].flows[1], told[1].flows[1])


def test_one_made_frames_latent_leaves_the_others_alone(awake: Awake) -> None:
    model = awake(Guided(nano()))
    given = looked_at(model)
    latent, level = noise(1, 3, *given.latent_shape), torch.zeros(1)
    other = latent.clone()
    other[:, 1] += 1

    before, after = (model.decode(one, level, given, None) for one in (latent, other))

    torch.testing.assert_close(after[:, ::2], before[:, ::2], rtol=0, atol=1e-5)
    assert not torch.allclose(after[:, 1], before[:, 1], atol=1e-2)


# The planner's signal ------------------------------------------------------------------------


def test_the_signal_is_silent_at_the_start_and_counts_once_its_weight_does(awake: Awake) -> None:
    model = awake(Guided(nano()))
    quiet(model.planned)
    given = looked_at(model)
    signal = noise(1, 5, given.planner_grid.tokens, nano().planner.width)

    silent = model.decode(None, None, given, signal)
    nn.init.constant_(model.planned.weight, 0.1)
    heard = model.decode(None, None, given, signal)

    assert not fresh().planned.weight.any()
    assert torch.equal(silent, model.decode(None, None, given, None))
    assert not torch.allclose(heard, silent, atol=1e-3)


def test_a_made_frame_hears_its_own_signal_alone(awake: Awake) -> None:
    model = awake(Guided(nano()))
    given = looked_at(model)
    signal = noise(1, 5, given.planner_grid.tokens, nano().planner.width)
    other = signal.clone()
    other[:, (0, 2, 4)] += 1  # both given slots, and the second made one

    before, after = (model.decode(None, None, given, one) for one in (signal, other))

    torch.testing.assert_close(after[:, ::2], before[:, ::2], rtol=0, atol=1e-5)
    assert not torch.allclose(after[:, 1], before[:, 1], atol=1e-3)


# What planner and denoiser read --------------------------------------------------------------


def test_given_frames_are_read_alone_and_made_slots_hold_nothing(awake: Awake) -> None:
    """Made frames are not passed; moving them about in time changes no given frame's tokens."""
    model, clip = awake(Guided(nano())), pan(3, (48, 64), (2, 3))
    mask = torch.tensor([[0, 1, 0, 1, 0]]).bool()

    before = model.look(clip, mask, TIMES)
    after = model.look(clip, mask, torch.tensor([[0.0, 0.25, 2, 3.75, 4]]))

    for tokens in (before.planner_tokens, before.reference_tokens):
        assert not tokens[mask].any()
        assert bool(tokens[~mask].abs().sum((1, 2)).gt(0).all())
    assert torch.equal(before.planner_tokens, after.planner_tokens)
    assert torch.equal(before.reference_tokens, after.reference_tokens)
    assert all(map(torch.equal, before.features, after.features))
    assert not torch.equal(before.place_tokens, after.place_tokens)


def test_a_given_frames_reference_depends_on_itself_alone(awake: Awake) -> None:
    model, clip = awake(Guided(nano())), pan(2, (48, 64), (4, 8))
    before = model.look(clip, MASK, TIMES)
    clip[:, 1] = 1 - clip[:, 1]

    after = model.look(clip, MASK, TIMES)

    torch.testing.assert_close(after.reference_tokens[:, 0], before.reference_tokens[:, 0])
    assert not torch.allclose(
        after.reference_tokens[:, 4], before.reference_tokens[:, 4], atol=1e-3
    )


@pytest.mark.parametrize("size", [(48, 64), (37, 91)])
def test_tokens_fit_the_networks_that_read_them(size: tuple[int, int], awake: Awake) -> None:
    config = nano()
    model = awake(Guided(config))

    given = model.look(pan(2, size, (1, 2)), MASK, TIMES)
    noisy = model.noisy_tokens(noise(1, 3, *given.latent_shape), given)

    tokens = given.token_grid.tokens
    assert given.planner_tokens.shape == (1, 5, given.planner_grid.tokens, config.planner_channels)
    assert given.reference_tokens.shape == (1, 5, tokens, config.reference_channels)
    assert noisy.shape == (1, 3, tokens, config.noisy_channels)


def test_the_planner_reads_flow_to_the_given_frames_beside_in_shares_of_the_frame() -> None:
    model, frames = fresh(), pan(2, (48, 64), (0, 0))

    given = model.look(frames, MASK, TIMES, flow=even_flow(16, -12, (48, 64)))

    moved = given.planner_tokens[0, :, :, -4:] / 8
    expected = torch.tensor([0.25, -0.25, 0, 0])  # of the frame's width and height
    torch.testing.assert_close(moved[0], expected.expand_as(moved[0]))
    torch.testing.assert_close(moved[4], -expected[[2, 3, 0, 1]].expand_as(moved[4]))


def test_flow_that_is_handed_in_is_that_which_it_would_find() -> None:
    """The loader works flow out ahead; the model must not be able to tell."""
    model, frames = fresh(), pan(2, (48, 64), (4, 8))

    own = model.look(frames, MASK, TIMES)
    handed = model.look(frames, MASK, TIMES, flow=prior.between_neighbours(frames))

    assert torch.equal(own.flow, handed.flow)
    assert float(own.flow.abs().max()) > 1


# Training's side -----------------------------------------------------------------------------


def test_the_encoder_tells_true_frames_in_latents_of_the_right_shape(awake: Awake) -> None:
    model, clip = awake(Guided(nano())), pan(5, (48, 64), (1, 2))
    given = model.look(clip[:, ::4], MASK, TIMES)

    with torch.no_grad():
        mean, spread = model.encode(clip[:, 1:4], given)
        other, _ = model.encode(clip[:, 1:4].flip(1), given)

    assert mean.shape == spread.shape == (1, 3, *given.latent_shape)
    assert float(spread.min()) >= -12
    assert float(spread.max()) <= 4
    assert not torch.allclose(mean[:, 0], other[:, 0], atol=1e-3)


def test_the_planners_target_is_what_it_would_read_were_the_frame_given(awake: Awake) -> None:
    model, clip = awake(Guided(nano())), pan(5, (48, 64), (1, 2))
    given = model.look(clip[:, ::4], MASK, TIMES)
    all_but_one = model.look(clip[:, (0, 1, 2, 4)], torch.tensor([[0, 0, 0, 1, 0]]).bool(), TIMES)

    target = model.planner_target(clip[:, 1:4], given)

    torch.testing.assert_close(target[:, :2], all_but_one.planner_tokens[:, 1:3, :, :-4])


def test_watched_latents_become_normal() -> None:
    model = fresh()
    latent = noise(4, 3, 4, 8, 8) * 3 + torch.tensor([1.0, -2, 0, 5]).view(1, 1, 4, 1, 1)

    for _ in range(600):
        model.watch(latent)

    normal = model.normalise(latent)
    torch.testing.assert_close(normal.mean((0, 1, 3, 4)), torch.zeros(4), rtol=0, atol=0.02)
    torch.testing.assert_close(normal.std((0, 1, 3, 4)), torch.ones(4), rtol=0, atol=0.02)


def test_every_decoder_weight_learns_from_a_made_frame(awake: Awake) -> None:
    model = awake(Guided(nano()))
    given = looked_at(model)
    latent = noise(1, 3, *given.latent_shape)
    signal = noise(1, 5, given.planner_grid.tokens, nano().planner.width)

    model.decode(latent, torch.zeros(1), given, signal).square().mean().backward()

    for name, parameter in model.named_parameters():
        if not name.startswith("encoder."):
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name
            assert bool(parameter.grad.any()), name


def test_features_keep_their_size_on_the_way_down() -> None:
    """Else the deep ones are all but constant, and nothing behind them sees the picture."""
    torch.manual_seed(0)

    for level in Guided(tiny()).pyramid(pan(2, (128, 128), (0, 8))[0]):
        assert 0.1 < float(level.detach().std()) < 2


def test_untrained_keys_already_tell_where_things_have_moved() -> None:
    """A pan by one cell of 1/16, two of 1/8, found with no prior."""
    torch.manual_seed(0)
    config = tiny()
    guided = Guided(config).eval().requires_grad_(False)
    assert config.guided is not None
    radius = config.guided.radius
    frames = pan(2, (128, 192), (0, 16), grain=5)

    given = guided.look(frames, torch.tensor([[False, True, False]]), TIMES[:, :3])

    for keys, cells in zip(given.keys, (2, 1), strict=True):
        found = volume(keys[:, 0], keys[:, 1], radius)[0, :, 2:-2, 4:-4]
        right = found.argmax(0) == radius * (2 * radius + 1) + radius + cells
        assert float(right.float().mean()) > 0.9
