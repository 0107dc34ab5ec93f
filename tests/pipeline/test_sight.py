"""What neighbouring windows share of given frames is worked out once, and changes no frame."""

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from mardini_cli.config import nano_vae
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline.sight import Sight
from mardini_cli.tasks.interpolate import interpolate
from mardini_cli.tasks.plan import Slot, Window
from tests.pipeline.clips import nano_model

SIZE = (36, 50)


class Counting:
    """Stands before an autoencoder and counts what it is asked."""

    def __init__(self, model: MarDini) -> None:
        self.frames = self.gaps = 0
        see, between = model.autoencoder.see, model.autoencoder.between

        def seeing(frames: Tensor, work: int | None = None) -> tuple[Tensor, ...]:
            self.frames += len(frames)
            return see(frames, work)

        def finding(seen: tuple[Tensor, ...]) -> Tensor | None:
            self.gaps += len(seen[0])
            return between(seen)

        model.autoencoder.see = seeing  # type: ignore[method-assign] # a listener, not a mock
        model.autoencoder.between = finding  # type: ignore[method-assign] # the same


def frames_of(window: Window) -> Tensor:
    """A picture for each given frame, always the same one: ``1 g 3 h w``."""
    numbers = [slot.index for slot in window.given]
    drawn = [torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(n)) for n in numbers]
    return torch.stack(drawn)[None]


def rates(count: int) -> list[Fraction]:
    return [Fraction(n, 25) for n in range(count)]


@pytest.mark.parametrize("preset", ["nano", "nano-vae"])
@torch.no_grad()
def test_a_frame_that_windows_share_is_encoded_once_and_gives_the_same(preset: str) -> None:
    model = nano_model() if preset == "nano" else MarDini(nano_vae()).eval()
    plan = interpolate(rates(9), factor=4, size=9)
    sight, counted = Sight(model), Counting(model)

    for window in plan.windows:
        mask, times = torch.tensor([window.mask]), torch.tensor([window.positions()])
        frames = frames_of(window)
        seen = sight.look([window], frames, mask, times)
        before = (counted.frames, counted.gaps)
        plain = model.look(frames, mask, times)
        counted.frames, counted.gaps = before  # the plain look asks too

        torch.testing.assert_close(seen.planner_tokens, plain.planner_tokens, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            seen.reference_tokens, plain.reference_tokens, rtol=1e-4, atol=1e-5
        )

    assert len(plan.windows) == 4
    assert sum(len(window.given) for window in plan.windows) == 12
    assert counted.frames == 9
    assert counted.gaps == 8


@torch.no_grad()
def test_a_gap_that_windows_share_is_searched_once() -> None:
    model = nano_model()
    slots = [Slot(n, Fraction(n), None if n % 2 else n // 2) for n in range(7)]
    windows = [Window(tuple(slots[n] for n in places)) for places in ((0, 1, 2, 4), (2, 3, 4, 6))]
    sight, counted = Sight(model), Counting(model)

    for window in windows:
        mask, times = torch.tensor([window.mask]), torch.tensor([window.positions()])
        sight.look([window], frames_of(window), mask, times)

    assert counted.gaps == 3  # of two in each window one is the same
    assert counted.frames == 4


@torch.no_grad()
def test_windows_of_one_batch_share_too_and_what_is_past_is_forgotten() -> None:
    model = nano_model()
    plan = interpolate(rates(33), factor=4, size=9)
    sight, counted = Sight(model), Counting(model)

    for first in range(0, 16, 4):
        windows = plan.windows[first : first + 4]
        frames = torch.cat([frames_of(window) for window in windows])
        mask = torch.tensor([window.mask for window in windows])
        times = torch.tensor([window.positions() for window in windows])
        sight.look(windows, frames, mask, times)

    assert counted.frames == 33
    assert len(sight._frames) == 17  # the last two batches'
    assert len(sight._gaps) == 16


@torch.no_grad()
def test_alpha_is_another_picture_of_the_same_frame() -> None:
    model = nano_model()
    (window,) = interpolate(rates(3), factor=4, size=9).windows
    mask, times = torch.tensor([window.mask]), torch.tensor([window.positions()])
    frames, sight = frames_of(window), Sight(model)

    colour = sight.look([window], frames, mask, times)
    alpha = sight.look([window], 1 - frames, mask, times, "alpha")

    assert not torch.allclose(colour.reference_tokens, alpha.reference_tokens)
