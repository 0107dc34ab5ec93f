"""The Frechet distance against closed forms."""

from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mardini_cli.errors import ShapeError
from mardini_cli.evaluation.frechet import distance


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def white(n: int, d: int, seed: int = 0) -> Tensor:
    """Samples whose mean is 0 and whose covariance is the unit matrix, both exactly."""
    centred = normal(n, d, seed)
    centred = centred - centred.mean(0)
    exact: Tensor = torch.linalg.qr(centred).Q * sqrt(n - 1)
    return exact


@pytest.mark.parametrize(("n", "d"), [(50, 6), (8, 6)])
def test_gaussians_along_the_same_axes_have_the_published_distance(n: int, d: int) -> None:
    wide = torch.arange(1, d + 1, dtype=torch.float64)
    one, other = white(n, d) * wide, white(n, d, seed=1) * 3 + 2

    found = distance(one, other)

    assert found == pytest.approx(float((wide - 3).square().sum() + 4 * d), rel=1e-9)


def test_gaussians_along_other_axes_have_it_too() -> None:
    turn, other_turn = normal(5, 5, 2), normal(5, 5, 3)
    one, other = white(40, 5) @ turn.T, white(60, 5, 1) @ other_turn.T + 1
    first, second = (turn @ turn.T).numpy(), (other_turn @ other_turn.T).numpy()
    root = np.sqrt(np.linalg.eigvals(first @ second).real).sum()

    found = distance(one, other)

    assert found == pytest.approx(5 + first.trace() + second.trace() - 2 * root, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), n=st.integers(2, 30), d=st.integers(1, 12))
def test_it_is_the_same_both_ways_in_any_order_and_0_for_the_same_samples(
    seed: int, n: int, d: int
) -> None:
    one, other = normal(n, d, seed), normal(n + 3, d, seed + 1)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))

    assert distance(one, one[order]) == pytest.approx(0, abs=1e-9)
    assert distance(one[order], other) == pytest.approx(distance(other, one), rel=1e-9)


def test_fewer_samples_than_features_are_told_as_exactly() -> None:
    one, other = normal(4, 9), normal(5, 9, 1)
    first, second = (np.cov(x.numpy().T) for x in (one, other))
    root = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0)).sum()
    apart = float((one.mean(0) - other.mean(0)).square().sum())

    assert distance(one, other) == pytest.approx(
        apart + first.trace() + second.trace() - 2 * root, rel=1e-6
    )


@pytest.mark.parametrize("shapes", [((1, 4), (9, 4)), ((9, 4), (9, 5)), ((9,), (9,))])
def test_sets_that_have_no_distance_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    one, other = (torch.zeros(shape) for shape in shapes)

    with pytest.raises(ShapeError):
        distance(one, other)
