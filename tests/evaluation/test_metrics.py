"""Metrics against second implementations, and at the ends of their scales."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from skimage import metrics as second_metrics
from torch import Tensor

from mardini_cli.errors import ShapeError
from mardini_cli.evaluation import metrics

Array = NDArray[np.float64]
SECOND: Any = second_metrics  # without types of its own
Metric = Callable[[Tensor, Tensor], Tensor]


def pictures(seed: int = 0, height: int = 40, width: int = 52) -> tuple[Tensor, Tensor]:
    """A smooth picture with texture, and a spoilt copy."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 8, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")[0]
    true = (0.8 * smooth + 0.2 * torch.rand(3, height, width, generator=rng)).clamp(0, 1)
    made = (true.roll(1, -1) + 0.05 * torch.randn(3, height, width, generator=rng)).clamp(0, 1)
    return made, true


def matlab_same(x: Array, kernel: Array) -> Array:
    """``conv2(x, kernel, 'same')``, as the authors' code runs it."""
    rows, columns = kernel.shape
    around = ((rows - 1) // 2, rows // 2), ((columns - 1) // 2, columns // 2)
    patches = sliding_window_view(np.pad(x, around), kernel.shape)
    return np.asarray(np.einsum("hwij,ij->hw", patches, kernel[::-1, ::-1]))


def grey(frame: Tensor) -> Array:
    return np.asarray(np.tensordot([0.299, 0.587, 0.114], frame.double().numpy(), axes=1))


def gmsd_by_hand(made: Tensor, true: Tensor) -> float:
    prewitt = np.array([[1, 0, -1]] * 3) / 3
    sizes = []
    for frame in (made, true):
        half = matlab_same(255 * grey(frame), np.full((2, 2), 0.25))[::2, ::2]
        sizes.append(np.hypot(matlab_same(half, prewitt), matlab_same(half, prewitt.T)))
    similar = (2 * sizes[0] * sizes[1] + 170) / (sizes[0] ** 2 + sizes[1] ** 2 + 170)
    return float(similar.std(ddof=1))


def haarpsi_by_hand(made: Tensor, true: Tensor) -> float:
    turn = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    box = np.full((2, 2), 0.25)
    a, b = (
        [matlab_same(plane, box)[::2, ::2] for plane in np.tensordot(turn, 255 * f.numpy(), 1)]
        for f in (made, true)
    )

    def like(x: Array, y: Array) -> Array:
        return (2 * x * y + 30) / (x**2 + y**2 + 30)

    def wavelet(plane: Array, scale: int, down: bool) -> Array:
        kernel = np.full((2**scale, 2**scale), 2.0**-scale)
        kernel[: 2 ** (scale - 1)] *= -1
        return np.abs(matlab_same(plane, kernel if down else kernel.T))

    maps, weights = [], []
    for down in (True, False):
        maps.append(sum(like(wavelet(a[0], s, down), wavelet(b[0], s, down)) for s in (1, 2)) / 2)
        weights.append(np.maximum(wavelet(a[0], 3, down), wavelet(b[0], 3, down)))
    tints = [like(np.abs(matlab_same(a[i], box)), np.abs(matlab_same(b[i], box))) for i in (1, 2)]
    maps.append((tints[0] + tints[1]) / 2)
    weights.append((weights[0] + weights[1]) / 2)
    squashed = 1 / (1 + np.exp(-4.2 * np.stack(maps)))
    score = (squashed * np.stack(weights)).sum() / np.stack(weights).sum()
    return float((np.log(score / (1 - score)) / 4.2) ** 2)


def test_psnr_equals_a_second_implementation() -> None:
    made, true = pictures()

    value = metrics.psnr(made, true).item()

    expected = SECOND.peak_signal_noise_ratio(true.numpy(), made.numpy(), data_range=1)
    assert value == pytest.approx(expected, abs=1e-4)


def test_ssim_equals_a_second_implementation() -> None:
    made, true = pictures()

    value = metrics.ssim(made, true).item()

    expected = SECOND.structural_similarity(
        grey(true),
        grey(made),
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert value == pytest.approx(expected, abs=1e-5)


def ms_ssim_by_hand(made: Tensor, true: Tensor) -> float:
    """Wang et al. 2003, with filters and halvings written out."""
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    taps /= taps.sum()
    total, a, b = 1.0, grey(made), grey(true)
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):

        def mean(x: Array) -> Array:
            rows = np.apply_along_axis(np.convolve, 0, x, taps, "valid")
            return np.apply_along_axis(np.convolve, 1, rows, taps, "valid")

        ma, mb = mean(a), mean(b)
        contrast = (2 * (mean(a * b) - ma * mb) + 0.03**2) / (
            mean(a * a) - ma**2 + mean(b * b) - mb**2 + 0.03**2
        )
        light = (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2)
        total *= float((contrast * light if scale == 4 else contrast).mean()) ** weight
        a, b = ((x[0::2, 0::2] + x[1::2, 0::2] + x[0::2, 1::2] + x[1::2, 1::2]) / 4 for x in (a, b))
    return total


def test_ms_ssim_equals_the_published_steps() -> None:
    made, true = pictures(3, 192, 224)

    assert metrics.ms_ssim(made, true).item() == pytest.approx(
        ms_ssim_by_hand(made, true), abs=1e-5
    )


def test_ms_ssim_is_1_for_equal_pictures_and_asks_for_room() -> None:
    _, true = pictures(3, 192, 224)

    assert metrics.ms_ssim(true, true).item() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ShapeError, match="176 pixels each way"):
        metrics.ms_ssim(true[:, :160], true[:, :160])


@pytest.mark.parametrize("size", [(40, 52), (32, 32)])
def test_gmsd_equals_the_published_steps(size: tuple[int, int]) -> None:
    made, true = pictures(1, *size)

    assert metrics.gmsd(made, true).item() == pytest.approx(gmsd_by_hand(made, true), abs=1e-5)


def test_haarpsi_equals_the_published_steps() -> None:
    made, true = pictures(2)

    value = metrics.haarpsi(made, true).item()

    assert value == pytest.approx(haarpsi_by_hand(made, true), abs=1e-4)


@pytest.mark.parametrize(
    ("metric", "perfect"),
    [
        (metrics.psnr, metrics.PSNR_CEILING),
        (metrics.ssim, 1.0),
        (metrics.gmsd, 0.0),
        (metrics.haarpsi, 1.0),
    ],
)
def test_equal_pictures_score_perfectly_and_shuffled_ones_badly(
    metric: Metric, perfect: float
) -> None:
    _, true = pictures()
    order = torch.randperm(true[0].numel(), generator=torch.Generator().manual_seed(0))
    shuffled = true.flatten(1)[:, order].reshape(true.shape)

    same, worse = metric(true, true).item(), metric(shuffled, true).item()

    assert same == pytest.approx(perfect, abs=1e-5)
    if metric is metrics.gmsd:
        assert worse > 0.2
    else:
        assert worse < 0.5 * perfect


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim, metrics.gmsd, metrics.haarpsi])
def test_a_batch_scores_as_its_frames_one_by_one(metric: Metric) -> None:
    pairs = [pictures(seed) for seed in range(4)]
    made, true = (torch.stack(x).reshape(2, 2, *x[0].shape) for x in zip(*pairs, strict=True))

    together = metric(made, true)

    alone = torch.stack([metric(a, b) for a, b in pairs]).reshape(2, 2)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_metrics_stay_in_float32_inside_autocast() -> None:
    made, true = pictures()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = [f(made, true) for f in (metrics.ssim, metrics.gmsd, metrics.haarpsi)]

    outside = [f(made, true) for f in (metrics.ssim, metrics.gmsd, metrics.haarpsi)]
    assert inside == outside


def test_flat_pictures_are_alike() -> None:
    flat = torch.full((3, 32, 32), 0.4)

    assert metrics.haarpsi(flat, flat).item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("shape", [(3, 32, 40), (1, 32, 32), (3, 8, 32)])
def test_frames_that_cannot_be_compared_are_named(shape: tuple[int, ...]) -> None:
    other = (3, 32, 32) if shape[-1] == 40 else shape

    with pytest.raises(ShapeError, match=str(shape[-1])):
        metrics.ssim(torch.rand(shape), torch.rand(other))
