"""Attention kernels on CUDA against float64, values and gradients.

Run on a machine with a CUDA device: ``python -m pytest -m gpu tests/model``. Needs torch, pytest,
xformers and the package only.
"""

from typing import get_args

import pytest
import torch
from torch import Tensor

from mardini_cli.model.fastest import sdpa
from mardini_cli.model.kernels import (
    Backend,
    Groups,
    _varlen,
    attention,
    dense_kernels,
    require_xformers,
)

pytestmark = pytest.mark.gpu

RAGGED = Groups(queries=(7, 300, 1, 64), keys=(500, 300, 33, 64))
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}
BACKENDS = get_args(Backend)


def packed(channels: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of ``RAGGED``, on the device, wanting gradients."""
    rng = torch.Generator().manual_seed(1)
    lengths = (sum(RAGGED.queries), sum(RAGGED.keys), sum(RAGGED.keys))
    drawn = [torch.randn(n, 3, channels, generator=rng) for n in lengths]
    q, k, v = (x.to("cuda", dtype).requires_grad_() for x in drawn)
    return q, k, v


def exact(q: Tensor, k: Tensor, v: Tensor, groups: Groups) -> Tensor:
    """Softmax attention, set by set, in float64."""
    sets = []
    for parts in zip(
        q.double().split_with_sizes(list(groups.queries)),
        k.double().split_with_sizes(list(groups.keys)),
        v.double().split_with_sizes(list(groups.keys)),
        strict=True,
    ):
        one_q, one_k, one_v = (x.transpose(0, 1) for x in parts)  # h n d
        scores = one_q @ one_k.transpose(1, 2) * q.shape[-1] ** -0.5
        sets.append((scores.softmax(-1) @ one_v).transpose(0, 1))
    return torch.cat(sets)


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Compare relative to the size of what is expected."""
    scale = expected.abs().max().item()
    torch.testing.assert_close(found.double(), expected.double(), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("channels", [16, 64, 128])
def test_packed_sets_give_the_float64_values_and_gradients(
    backend: Backend, dtype: torch.dtype, channels: int
) -> None:
    q, k, v = packed(channels, dtype)
    weights = torch.randn(q.shape, device="cuda", dtype=torch.float64)
    expected = exact(q, k, v, RAGGED)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), (q, k, v))

    found = attention(q, k, v, groups=RAGGED, backend=backend)
    gradients = torch.autograd.grad((found.double() * weights).sum(), (q, k, v))

    close(found, expected, TOLERANCE[dtype])
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        close(gradient, expected_gradient, 2 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_torchs_own_packed_kernel_stands_in_for_xformers(dtype: torch.dtype) -> None:
    q, k, v = packed(64, dtype)

    found = _varlen(q, k, v, RAGGED)

    close(found, exact(q, k, v, RAGGED), TOLERANCE[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_dense_sets_give_the_float64_values_and_gradients(
    backend: Backend, dtype: torch.dtype
) -> None:
    rng = torch.Generator().manual_seed(2)
    drawn = [torch.randn(2, n, 3, 64, generator=rng) for n in (65, 130, 130)]
    q, k, v = (x.to("cuda", dtype).requires_grad_() for x in drawn)
    weights = torch.randn(q.shape, device="cuda", dtype=torch.float64)
    groups = Groups((65, 65), (130, 130))
    flat_q, flat_k, flat_v = (x.flatten(0, 1) for x in (q, k, v))
    expected = exact(flat_q, flat_k, flat_v, groups).reshape(q.shape)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), (q, k, v))

    found = attention(q, k, v, backend=backend)
    gradients = torch.autograd.grad((found.double() * weights).sum(), (q, k, v))

    close(found, expected, TOLERANCE[dtype])
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        close(gradient, expected_gradient, 2 * TOLERANCE[dtype])


def test_a_window_without_made_frames_does_not_disturb_packed_sets() -> None:
    groups = Groups(queries=(0, 12, 0), keys=(8, 8, 8))
    rng = torch.Generator().manual_seed(3)
    q, k, v = (
        torch.randn(n, 2, 32, generator=rng).to("cuda", torch.bfloat16) for n in (12, 24, 24)
    )

    found = attention(q, k, v, groups=groups)

    close(found, exact(q, k, v, groups), TOLERANCE[torch.bfloat16])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(40, 16, 17), (2, 130, 517)], ids=["short", "long"])
def test_every_dense_kernel_that_takes_a_shape_gives_the_float64_values(
    shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    sets, queries, keys = shape
    rng = torch.Generator().manual_seed(4)
    q, k, v = (
        torch.randn(sets, n, 2, 64, generator=rng).to("cuda", dtype) for n in (queries, keys, keys)
    )
    groups = Groups(queries=(queries,) * sets, keys=(keys,) * sets)
    flat_q, flat_k, flat_v = (x.flatten(0, 1) for x in (q, k, v))
    expected = exact(flat_q, flat_k, flat_v, groups).reshape(q.shape)
    require_xformers(q.device, dtype, 64)
    ran = list[str]()

    for name, kernel in dense_kernels(q).items():
        try:
            found = kernel(q, k, v)
        except RuntimeError:  # not every kernel takes every shape; which do is told below
            continue
        ran.append(name)
        close(found, expected, TOLERANCE[dtype])

    assert {"sdpa", "flash", "efficient", "xformers"} <= set(ran)
    assert ("plain" in ran) == (keys <= 64)


def test_the_chosen_kernel_changes_nothing_but_rounding() -> None:
    q, k, v = (torch.randn(30, n, 2, 64, device="cuda", dtype=torch.bfloat16) for n in (16, 17, 17))

    with torch.inference_mode():
        found = attention(q, k, v)

    close(found, sdpa(q, k, v), TOLERANCE[torch.bfloat16])
