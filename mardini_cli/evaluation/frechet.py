"""How far two sets of samples are apart, each taken as one Gaussian: the Frechet distance.

Room: evaluation. Plain linear algebra in float64 on the CPU; knows no network.
Source: Frechet distance of Gaussians, Dowson & Landau 1982; of features of pictures (FID), Heusel
et al. 2017; of videos (FVD), Unterthiner et al. 2018.

    d = |mean_1 - mean_2|^2 + tr(C_1) + tr(C_2) - 2 tr((C_1 C_2)^(1/2))

With samples as rows, centred and over the root of their number less one, ``C = A^T A``; then the
eigenvalues of ``C_1 C_2`` are the squared singular values of ``A_1 A_2^T``, and the last trace is
their sum. No covariance is built and no root of a matrix taken, so that nothing turns complex, and
sets of fewer samples than features do no harm.

Dimension key
    n  samples of a set    d  features of a sample
"""

from math import sqrt

import torch
from torch import Tensor

from mardini_cli.errors import ShapeError


def distance(one: Tensor, other: Tensor) -> float:
    """The squared Frechet distance, as FID and FVD are told; 0 for the same set, in any order.

    Args:
        one: samples, ``n d``, at least two.
        other: samples, ``n' d``.

    Raises:
        ShapeError: too few samples, or features that are not the same ones.
    """
    if min(one.dim(), other.dim()) < 2 or one.shape[1:] != other.shape[1:] or one.dim() != 2:
        raise ShapeError(
            f"samples {tuple(one.shape)} and {tuple(other.shape)}",
            needed="n d, with the same d",
            do="compare features of one network",
        )
    if min(len(one), len(other)) < 2:
        raise ShapeError(
            f"{len(one)} and {len(other)} samples",
            needed="two at least, for a covariance",
            do="measure more windows",
        )
    one, other = (x.detach().cpu().double() for x in (one, other))
    apart = (one.mean(0) - other.mean(0)).square().sum()
    first, second = _root(one), _root(other)
    shared = torch.linalg.svdvals(first @ second.T).sum()
    found = apart + first.square().sum() + second.square().sum() - 2 * shared
    return max(0.0, float(found))


def _root(samples: Tensor) -> Tensor:
    """A matrix whose product with itself is the covariance: ``k d``, with k at most d."""
    n, d = samples.shape
    centred = (samples - samples.mean(0)) / sqrt(n - 1)
    if n <= d:
        return centred
    root: Tensor = torch.linalg.qr(centred, mode="r").R
    return root
