"""Attention on the CPU: packed sets, Identity Attention against its mask, the choice of kernel."""

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mardini_cli.errors import DeviceError, ShapeError
from mardini_cli.model.attention import (
    Identity,
    IdentityAttention,
    Made,
    Over,
    Places,
    SpatialAttention,
    use_backend,
)
from mardini_cli.model.kernels import Groups, attention, require_xformers
from mardini_cli.model.layers import drop_ends, end_rows
from mardini_cli.model.positions import Grid, window_rotary

WIDTH, HEADS = 32, 2
GRID = Grid.of_frame(2, 3, (20, 30))
EQUAL = torch.tensor([[1, 0, 1, 0], [0, 0, 1, 1]]).bool()
RAGGED = torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]]).bool()
MASKS = {"equal": EQUAL, "ragged": RAGGED, "all made": ~RAGGED[2:], "none made": RAGGED[2:]}

Awake = Callable[..., IdentityAttention]


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Normal noise, float64."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def places_of(mask: Tensor) -> Places:
    """Places on ``GRID`` at uneven times."""
    times = torch.linspace(0, 3, mask.shape[1]).square().expand(mask.shape)
    return Places.of(mask, window_rotary("real", WIDTH // HEADS, GRID, times))


def plain(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Softmax attention ``n h d`` as the formula has it."""
    scores = torch.einsum("qhd,khd->hqk", q, k) * q.shape[-1] ** -0.5
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -torch.inf)
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1), v)


def masked(layer: IdentityAttention, x: Tensor, mask: Tensor) -> Tensor:
    """Identity Attention by the dense mask of the paper's figure, window by window."""
    rotary, n = places_of(mask).rotary, GRID.tokens
    k, v = layer.keys_values(x, rotary)
    q = layer.queries(x, rotary, v.dtype)
    frame = torch.arange(mask.shape[1]).repeat_interleave(n)  # of each token of a window
    place = torch.arange(n).repeat(mask.shape[1])
    out = []
    for window, slots in enumerate(mask):
        made = slots.repeat_interleave(n)
        own = frame if layer.identity == "frame" else frame * n + place
        allowed = made[:, None] | (own[:, None] == own[None])
        if layer.over == "t":
            allowed = allowed & (place[:, None] == place[None])
        frames = slice(window * len(slots), (window + 1) * len(slots))
        one_q, one_k, one_v = (y[frames].flatten(0, 1) for y in (q, k, v))
        attended = plain(one_q, one_k, one_v, allowed)
        out.append(attended.reshape(-1, n, *attended.shape[1:]))
    return layer.merge(torch.cat(out))


lengths = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=5)


@given(sets=lengths, seed=st.integers(0, 2**31))
def test_packed_sets_give_what_each_set_gives_alone(sets: list[tuple[int, int]], seed: int) -> None:
    groups = Groups(*(tuple(column) for column in zip(*sets, strict=True)))
    q = normal(sum(groups.queries), 2, 8, seed=seed).requires_grad_()
    k, v = (normal(sum(groups.keys), 2, 8, seed=seed + i).requires_grad_() for i in (1, 2))
    weights = normal(*q.shape, seed=seed + 3)
    parts = zip(
        q.split_with_sizes(list(groups.queries)),
        k.split_with_sizes(list(groups.keys)),
        v.split_with_sizes(list(groups.keys)),
        strict=True,
    )
    expected = torch.cat([plain(*one) for one in parts])

    found = attention(q, k, v, groups=groups)

    torch.testing.assert_close(found, expected)
    gradients, wanted = (
        torch.autograd.grad((out * weights).sum(), (q, k, v)) for out in (found, expected)
    )
    for gradient, expected_gradient in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, expected_gradient)


@given(tokens=st.tuples(st.integers(1, 9), st.integers(1, 9)), seed=st.integers(0, 2**31))
def test_dense_sets_follow_the_formula(tokens: tuple[int, int], seed: int) -> None:
    queries, keys = tokens
    q = normal(2, queries, 3, 8, seed=seed)
    k, v = (normal(2, keys, 3, 8, seed=seed + i) for i in (1, 2))

    found = attention(q, k, v)

    expected = torch.stack([plain(*one) for one in zip(q, k, v, strict=True)])
    torch.testing.assert_close(found, expected)


def test_lengths_that_do_not_add_up_are_refused() -> None:
    x = normal(5, 1, 8)

    with pytest.raises(ShapeError, match="sets of 5 queries and 4 keys"):
        attention(x, x, x, groups=Groups((2, 3), (2, 2)))


def test_xformers_asked_for_by_name_says_why_it_cannot_run_on_a_cpu() -> None:
    x = torch.zeros(1, 2, 1, 8)

    with pytest.raises(DeviceError, match=r"the device is cpu.*use --attention auto"):
        attention(x, x, x, backend="xformers")
    with pytest.raises(DeviceError, match="the device is cpu"):
        require_xformers(x.device, x.dtype, 8)
    with pytest.raises(DeviceError, match="the device is cpu"):
        use_backend(SpatialAttention(WIDTH, HEADS), "xformers")


def test_the_choice_of_kernel_reaches_every_layer() -> None:
    layers = torch.nn.ModuleList([SpatialAttention(WIDTH, HEADS), IdentityAttention(WIDTH, HEADS)])

    use_backend(layers, "sdpa")

    assert [layer.backend for layer in layers] == ["sdpa", "sdpa"]


@pytest.mark.parametrize("over", get_args(Over))
@pytest.mark.parametrize("identity", get_args(Identity))
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_gathered_queries_give_what_the_dense_mask_gives(
    over: Over, identity: Identity, mask: Tensor, awake: Awake
) -> None:
    layer = awake(IdentityAttention(WIDTH, HEADS, over, identity)).double()
    x = normal(mask.numel(), GRID.tokens, WIDTH)

    found = layer(x, places_of(mask))

    # Rotation is float32 by rule, hence not closer.
    torch.testing.assert_close(found, masked(layer, x, mask), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("over", get_args(Over))
def test_gathered_queries_have_the_dense_masks_gradients(over: Over, awake: Awake) -> None:
    layer = awake(IdentityAttention(WIDTH, HEADS, over)).double()
    x = normal(RAGGED.numel(), GRID.tokens, WIDTH).requires_grad_()
    weights = normal(*x.shape, seed=1)
    wanted = (x, *layer.parameters())

    found, expected = (
        torch.autograd.grad((out * weights).sum(), wanted)
        for out in (layer(x, places_of(RAGGED)), masked(layer, x, RAGGED))
    )

    for gradient, expected_gradient in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("over", get_args(Over))
@pytest.mark.parametrize("identity", get_args(Identity))
@pytest.mark.parametrize("mask", [EQUAL, RAGGED], ids=["equal", "ragged"])
def test_given_frames_do_not_see_other_frames_to_the_bit(
    over: Over, identity: Identity, mask: Tensor, awake: Awake
) -> None:
    layer = awake(IdentityAttention(WIDTH, HEADS, over, identity))
    x = normal(mask.numel(), GRID.tokens, WIDTH).float()
    given_rows = (~mask.flatten()).nonzero()[:, 0]
    before = layer(x, places_of(mask))

    for row in given_rows.tolist():
        others = 1e3 * normal(*x.shape, seed=row).float()
        others[row] = x[row]
        after = layer(others, places_of(mask))

        assert torch.equal(after[row], before[row])


def test_a_given_tokens_output_is_its_own_value(awake: Awake) -> None:
    layer = awake(IdentityAttention(WIDTH, HEADS))
    x = normal(EQUAL.numel(), GRID.tokens, WIDTH).float()
    given_rows = (~EQUAL.flatten()).nonzero()[:, 0]

    out = layer(x, places_of(EQUAL))[given_rows]

    value = layer.to_kv.weight[WIDTH:]
    expected = x[given_rows] @ value.T @ layer.to_out.weight.T
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_made_frames_see_every_other_frame(awake: Awake) -> None:
    layer = awake(IdentityAttention(WIDTH, HEADS))
    x = normal(RAGGED.numel(), GRID.tokens, WIDTH).requires_grad_()
    layer = layer.double()

    out = layer(x, places_of(RAGGED))
    seen = torch.autograd.grad(out[2].square().sum(), x)[0].abs().amax((1, 2)) > 0

    assert seen.tolist() == [True] * 4 + [False] * 8  # its own window, and no other


def test_both_forms_take_each_others_weights() -> None:
    spatio_temporal, temporal = (IdentityAttention(WIDTH, HEADS, over) for over in ("st", "t"))

    temporal.load_state_dict(spatio_temporal.state_dict())

    assert torch.equal(temporal.to_kv.weight, spatio_temporal.to_kv.weight)


@given(rows=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=6))
def test_made_frames_are_found_and_laid_out_by_windows(rows: list[list[bool]]) -> None:
    mask = torch.tensor(rows)
    made = Made.of(mask)
    frames = torch.arange(1, mask.numel() + 1)[:, None]
    taken = frames[made.rows]

    padded = made.pad(taken)

    assert made.counts == tuple(sum(row) for row in rows)
    assert sorted(torch.cat((made.rows, made.given_rows)).tolist()) == list(range(mask.numel()))
    assert torch.equal(made.unpad(padded), taken)
    for window, (row, kept) in enumerate(zip(rows, padded.reshape(len(rows), -1), strict=True)):
        numbers = [5 * window + slot + 1 for slot in range(5) if row[slot]]
        assert kept.tolist() == numbers + [0] * (made.most - len(numbers))


def test_next_tokens_end_each_row_and_can_be_dropped_again() -> None:
    x, end = normal(2, 6, 4), torch.full((4,), 9.0)

    with_ends = end_rows(x, end, Grid(2, 3))

    assert with_ends.shape == (2, 8, 4)
    assert torch.equal(with_ends[:, [3, 7]], torch.full((2, 2, 4), 9.0, dtype=torch.float64))
    assert torch.equal(drop_ends(with_ends, Grid(2, 3)), x)


@pytest.mark.parametrize("over", get_args(Over))
def test_a_compiled_layer_serves_every_mask_of_one_kind(over: Over, awake: Awake) -> None:
    """Lengths of packed sets must not end up in a graph: each batch has others."""
    graphs = list[torch.fx.GraphModule]()

    def count(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    layer = awake(IdentityAttention(WIDTH, HEADS, over))
    compiled = torch.compile(layer, backend=count)
    masks = [
        torch.tensor([[1, 1, 1, 0, 0], first, [0, 1, 0, 0, 1]]).bool()
        for first in ([1, 0, 0, 0, 0], [1, 1, 1, 1, 0], [0, 1, 0, 0, 0], [1, 1, 1, 0, 1])
    ]

    compiled_after = []
    for mask in masks:
        x = normal(mask.numel(), GRID.tokens, WIDTH).float()
        with torch.no_grad():  # where a graph breaks, the compiler touches .grad, which warns
            found, expected = compiled(x, places_of(mask)), layer(x, places_of(mask))
        torch.testing.assert_close(found, expected)
        compiled_after.append(len(graphs))

    assert compiled_after[3] == compiled_after[1]  # once more for other sizes, then never
