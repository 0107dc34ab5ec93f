"""Windows of every shape through the whole model on CUDA, several at a time.

Run on a machine with a CUDA device: ``python -m pytest -m gpu tests/model``.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mardini_cli.config import preset
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline.settling import precision, settle

pytestmark = pytest.mark.gpu


def made(model: MarDini, given: tuple[int, ...], slots: int = 5) -> torch.Tensor:
    """Look, plan and decode a window with these slots given."""
    mask = torch.ones(1, slots, dtype=torch.bool, device="cuda")
    mask[0, list(given)] = False
    frames = torch.rand(1, len(given), 3, 90, 150, device="cuda")
    times = torch.arange(slots, device="cuda").float()[None]
    with torch.inference_mode(), precision(model, torch.bfloat16):
        look = model.look(frames, mask, times)
        latent = torch.randn(1, slots - len(given), *look.latent_shape, device="cuda")
        level = torch.zeros(1, device="cuda")
        frames = model.autoencoder.decode(latent, level, look, model.plan(look))
    torch.cuda.synchronize()
    return frames


@pytest.mark.parametrize("name", ["nano", "nano-vae", "tiny"])
@pytest.mark.parametrize("given", [(0,), (2,), (0, 4), (0, 2, 4), (0, 1)])
def test_a_window_of_any_given_frames_is_made(name: str, given: tuple[int, ...]) -> None:
    model = settle(MarDini(preset(name)).eval().cuda(), torch.bfloat16)

    frames = made(model, given)

    assert frames.shape == (1, 5 - len(given), 3, 90, 150)
    assert bool(frames.isfinite().all())


def test_windows_of_several_threads_leave_torch_as_it_was() -> None:
    models = [
        settle(MarDini(preset(name)).eval().cuda(), torch.bfloat16) for name in ("nano", "nano-vae")
    ]
    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(made, models[i % 2], (0, 2 + i % 3)) for i in range(32)]
        for job in jobs:
            job.result()

    assert torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.mem_efficient_sdp_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled()
