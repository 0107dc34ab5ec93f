"""How near made frames come to the true ones, frame by frame.

Room: evaluation. Tensor arithmetic only: no files, no model, no randomness. Everything is worked
out in float32 outside autocast, and filters are sums of shifted pictures or means over boxes:
a convolution on CUDA may run in bf16 or TF32, which moved SSIM by 0.09.
Sources: SSIM, Wang et al. 2004; MS-SSIM, Wang et al. 2003; GMSD, Xue et al. 2014; HaarPSI,
Reisenhofer et al. 2018.

Dimension key
    ...  any leading dimensions     h, w  pixels     frames are ``... 3 h w``, RGB in [0, 1]
"""

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mardini_cli.errors import ShapeError

LUMA: Final = (0.299, 0.587, 0.114)
"""Weights of R, G, B (BT.601)."""
PSNR_CEILING: Final = 100.0
"""dB given to equal pictures, so that means stay finite."""
GMSD_CONSTANT: Final = 170.0
"""Stabiliser of the gradient similarity for luma in [0, 255] (Xue et al.)."""
HAAR_CONSTANT: Final = 30.0
HAAR_SLOPE: Final = 4.2
"""C and alpha of HaarPSI for colours in [0, 255] (Reisenhofer et al.)."""
MS_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of MS-SSIM, the finest scale first (Wang et al. 2003, section 3.2)."""
SMALLEST_MS_SIDE: Final = 11 * 2 ** (len(MS_WEIGHTS) - 1)
"""Pixels; below it the window has no room at the coarsest scale of MS-SSIM."""
SMALLEST_SIDE: Final = 16
"""Pixels; below it the windows of SSIM and HaarPSI have no room."""


def luma(frames: Tensor) -> Tensor:
    """Weigh ``... 3 h w`` into ``... h w``, float32, [0, 1]."""
    red, green, blue = frames.float().unbind(-3)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def psnr(made: Tensor, true: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each frame over all its RGB values, dB; ``...``."""
    made, true = pair(made, true)
    error = (made - true).square().mean(dim=(-3, -2, -1))
    floor = 10 ** (-PSNR_CEILING / 10)
    return -10 * torch.log10(error.clamp_min(floor))


def ssim(made: Tensor, true: Tensor) -> Tensor:
    """Structural similarity of luma, 11 x 11 Gaussian of sigma 1.5, valid region only; ``...``."""
    made, true = pair(made, true)
    light, shape = _similar(luma(made), luma(true))
    return (light * shape).mean(dim=(-2, -1))


def ms_ssim(made: Tensor, true: Tensor) -> Tensor:
    """Structural similarity over five scales, each half as large as the last; ``...``.

    Contrast and structure at every scale, light at the coarsest; pictures halved by 2 x 2 means.

    Raises:
        ShapeError: a side too short for the window at the coarsest scale.
    """
    made, true = pair(made, true)
    if min(made.shape[-2:]) < SMALLEST_MS_SIDE:
        raise ShapeError(
            f"frames of {made.shape[-1]} x {made.shape[-2]}",
            needed=f"{SMALLEST_MS_SIDE} pixels each way",
            do="leave MS-SSIM out",
        )
    a, b = luma(made), luma(true)
    total = torch.ones((), device=a.device)
    for scale, weight in enumerate(MS_WEIGHTS):
        light, shape = _similar(a, b)
        coarsest = scale == len(MS_WEIGHTS) - 1
        value = (light * shape if coarsest else shape).mean(dim=(-2, -1))
        total = total * value.clamp_min(0) ** weight  # a negative base has no such power
        if not coarsest:
            a, b = _halved(a), _halved(b)
    return total


def _similar(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of the light term, and of contrast and structure, of luma ``... h w``."""
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance_a = _blurred(a * a) - mean_a.square()
    variance_b = _blurred(b * b) - mean_b.square()
    covariance = _blurred(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    light = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    return light, (2 * covariance + c2) / (variance_a + variance_b + c2)


def gmsd(made: Tensor, true: Tensor) -> Tensor:
    """Gradient magnitude similarity deviation of luma, less is better, 0 is equal; ``...``.

    As published: pictures halved by 2 x 2 means, Prewitt gradients with zeros outside, deviation
    with n - 1.
    """
    made, true = pair(made, true)
    a, b = (_gradient_size(_halved(255 * luma(x))) for x in (made, true))
    similarity = _similarity(a, b, GMSD_CONSTANT)
    return similarity.flatten(-2).std(dim=-1)


def haarpsi(made: Tensor, true: Tensor) -> Tensor:
    """Haar wavelet perceptual similarity index in colour, 1 is equal; ``...``."""
    made, true = pair(made, true)
    (y_a, i_a, q_a), (y_b, i_b, q_b) = (_yiq(x) for x in (made, true))
    similar, weight = [], []
    for across in (False, True):
        fine, middle, coarse = (
            (_haar(y_a, size, across).abs(), _haar(y_b, size, across).abs()) for size in (2, 4, 8)
        )
        both = _similarity(*fine, HAAR_CONSTANT) + _similarity(*middle, HAAR_CONSTANT)
        similar.append(both / 2)
        weight.append(torch.maximum(*coarse))
    colour = [_similarity(_box(a), _box(b), HAAR_CONSTANT) for a, b in ((i_a, i_b), (q_a, q_b))]
    similar.append((colour[0] + colour[1]) / 2)
    weight.append((weight[0] + weight[1]) / 2)
    local, weights = torch.stack(similar), torch.stack(weight)  # 3 ... h w
    total = weights.sum(dim=(0, -2, -1))
    score = (torch.sigmoid(HAAR_SLOPE * local) * weights).sum(dim=(0, -2, -1)) / total
    # Two flat pictures have no wavelet to weigh by; they are alike.
    return torch.where(total > 0, (torch.logit(score) / HAAR_SLOPE).square(), 1.0)


def pair(made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Check two pictures at the door, and make float32 of them."""
    if made.shape != true.shape or made.dim() < 3 or made.shape[-3] != 3:
        raise ShapeError(
            f"made {tuple(made.shape)}, true {tuple(true.shape)}",
            needed="equal shapes ... 3 h w",
            do="pass RGB frames of one size",
        )
    if min(made.shape[-2:]) < SMALLEST_SIDE:
        raise ShapeError(
            f"frames of {made.shape[-1]} x {made.shape[-2]}",
            needed=f"{SMALLEST_SIDE} pixels each way",
            do="measure larger frames",
        )
    return made.float(), true.float()


def _similarity(a: Tensor, b: Tensor, constant: float) -> Tensor:
    return (2 * a * b + constant) / (a.square() + b.square() + constant)


def _blurred(x: Tensor) -> Tensor:
    """Gaussian of sigma 1.5 over 11 x 11, valid region: ``... h w`` to ``... h-10 w-10``."""
    taps = [math.exp(-0.5 * (i / 1.5) ** 2) for i in range(-5, 6)]
    weights = [tap / sum(taps) for tap in taps]
    for dim in (-1, -2):
        length = x.shape[dim] - 10
        x = sum(
            (weight * x.narrow(dim, i, length) for i, weight in enumerate(weights)),
            start=torch.zeros((), device=x.device),
        )
    return x


def _halved(x: Tensor) -> Tensor:
    """Means of 2 x 2; an odd last row or column is dropped."""
    return F.avg_pool2d(x.reshape(-1, 1, *x.shape[-2:]), 2).reshape(
        *x.shape[:-2], x.shape[-2] // 2, x.shape[-1] // 2
    )


def _gradient_size(x: Tensor) -> Tensor:
    """Length of the Prewitt gradient, zeros outside the picture: ``... h w`` to the same."""
    padded = F.pad(x, (1, 1, 1, 1))
    rows, columns = x.shape[-2:]
    across = sum(
        padded[..., i : i + rows, :columns] - padded[..., i : i + rows, 2:] for i in range(3)
    )
    down = sum(
        padded[..., :rows, i : i + columns] - padded[..., 2:, i : i + columns] for i in range(3)
    )
    assert isinstance(across, Tensor)
    assert isinstance(down, Tensor)
    return ((across / 3).square() + (down / 3).square()).sqrt()


def _yiq(frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Halved Y, I and Q in [0, 255] scale, each ``... h w``."""
    red, green, blue = (_halved(255 * x) for x in frames.unbind(-3))
    return (
        0.299 * red + 0.587 * green + 0.114 * blue,
        0.596 * red - 0.274 * green - 0.322 * blue,
        0.211 * red - 0.523 * green + 0.312 * blue,
    )


def _box(x: Tensor, rows: int = 2, columns: int = 2) -> Tensor:
    """Size of the mean over a box, zeros outside; output as large as the input."""
    return _box_mean(x, rows, columns).abs()


def _box_mean(x: Tensor, rows: int, columns: int) -> Tensor:
    pad = ((columns - 1) // 2, columns // 2, (rows - 1) // 2, rows // 2)
    flat = F.pad(x.reshape(-1, 1, *x.shape[-2:]), pad)
    return F.avg_pool2d(flat, (rows, columns), stride=1).reshape(x.shape)


def _haar(x: Tensor, size: int, across: bool) -> Tensor:
    """Haar response over size x size: second half of the box minus the first, summed, over size."""
    dim = -1 if across else -2
    half = size // 2
    rows, columns = (size, half) if across else (half, size)
    before, after = (size - 1) // 2, size // 2
    pad = (before, after, before, after)
    flat = F.pad(x.reshape(-1, 1, *x.shape[-2:]), pad)
    means = F.avg_pool2d(flat, (rows, columns), stride=1)
    length = x.shape[dim]
    first, second = means.narrow(dim, 0, length), means.narrow(dim, half, length)
    return ((second - first) * (rows * columns / size)).reshape(x.shape)
