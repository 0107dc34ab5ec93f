"""Tiles: they cover all, one is none, and nobody sees where two meet."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mardini_cli import config
from mardini_cli.config import SamplerConfig
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.positions import Grid
from mardini_cli.model.tiles import OVERLAP, TOKEN, Box, blended, boxes, side_for
from mardini_cli.pipeline import paint

SIDE = 2 * OVERLAP * TOKEN
"""The smallest tiles."""


def grid_of(rows: int, cols: int) -> Grid:
    return Grid.of_frame(rows, cols, (rows * TOKEN, cols * TOKEN))


@given(st.integers(1, 70), st.integers(1, 70), st.integers(256, 900))
def test_tiles_cover_the_frame_and_overlap(rows: int, cols: int, side: int) -> None:
    covered = torch.zeros(rows, cols)
    found = boxes(grid_of(rows, cols), side)

    for box in found:
        box.of(covered, 1).add_(1)
        assert max(box.rows, box.cols) <= max(side // TOKEN, 2 * OVERLAP)
    assert covered.min() >= 1
    tops = sorted({box.top for box in found})
    for left, right in pairwise(tops):
        assert right - left <= found[0].rows - OVERLAP


@given(st.integers(17, 50), st.integers(17, 50), st.integers(1, 3))
def test_tiles_that_agree_are_blended_to_what_they_say(rows: int, cols: int, k: int) -> None:
    grid = grid_of(rows, cols)
    whole = torch.rand(2, rows * k, cols * k)

    mixed = blended(((box, box.of(whole, k)) for box in boxes(grid, SIDE)), grid, k)

    torch.testing.assert_close(mixed, whole)


def test_a_tile_knows_its_place_in_the_whole_frame() -> None:
    whole = grid_of(20, 40)

    part = Box(5, 10, 10, 20).grid(whole)

    assert (part.rows, part.cols) == (10, 20)
    assert part.top == pytest.approx(whole.height / 4)
    assert part.left == pytest.approx(whole.width / 4)
    assert part.width == pytest.approx(whole.width / 2)


def test_auto_makes_tiles_of_very_large_frames_alone() -> None:
    assert side_for(grid_of(32, 57)) is None  # 512 x 910
    assert side_for(grid_of(135, 240)) is not None


def moving(preset: str, spread: float) -> MarDini:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        made = MarDini(config.preset(preset)).eval()
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(spread * torch.randn_like(parameter))
    return made


@pytest.fixture(scope="module")
def model() -> MarDini:
    """Random weights that move things by more than half a pixel, and paint a little."""
    return moving("nano", 0.0015)


def scene(rows: int, cols: int) -> Tensor:
    """Two given frames, ``1 2 3 h w``: a soft texture, and the same moved."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        rough = torch.rand(1, 3, rows // 8 + 4, cols // 8 + 4)
    soft = torch.nn.functional.interpolate(rough, scale_factor=8, mode="bicubic").clamp(0, 1)
    return torch.stack(
        (soft[..., 4 : 4 + rows, 4 : 4 + cols], soft[..., 7 : 7 + rows, 10 : 10 + cols]), 1
    )


@torch.inference_mode()
def painted(model: MarDini, frames: Tensor, steps: int, tile: int | None, work: int) -> Tensor:
    mask = torch.tensor([[False, True, True, False]])
    times = torch.arange(4.0).unsqueeze(0)
    seen = model.look(frames, mask, times, work=work)
    sampler = SamplerConfig(steps=steps, guidance=2.0)
    return paint(model, seen, model.plan(seen), sampler, [[1, 2]], tile)


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("work", [96, 40])
def test_one_tile_equals_no_tiles(steps: int, work: int, model: MarDini) -> None:
    frames = scene(96, 120)

    whole, tiled = (painted(model, frames, steps, tile, work) for tile in (None, SIDE))

    assert torch.equal(whole, tiled)


@pytest.mark.parametrize(("preset", "steps"), [("nano", 0), ("nano", 2), ("nano-vae", 2)])
def test_no_seam_is_seen_where_tiles_meet(preset: str, steps: int) -> None:
    """Steps between neighbouring pixels across the tiles' borders are as large as elsewhere."""
    model = moving(preset, 0.0015 if preset == "nano" else 0.02)
    frames = scene(320, 480)
    columns = [box.left for box in boxes(grid_of(20, 30), SIDE)]
    borders = sorted(
        {c * TOKEN for c in columns if c} | {c * TOKEN + SIDE for c in columns if c < 14}
    )

    whole, tiled = (painted(model, frames, steps, tile, 320) for tile in (None, SIDE))

    def share(picture: Tensor) -> float:
        steps = picture.diff(dim=-1).abs().mean((0, 1, 2, 3))  # a mean for each column's border
        return float(steps[[border - 1 for border in borders]].mean() / steps.mean())

    assert len(borders) >= 2
    assert 0 < float((whole - tiled).abs().mean()) < 2e-3
    assert share(tiled) / share(whole) == pytest.approx(1, abs=0.02)
