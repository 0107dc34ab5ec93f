"""The denoiser sees a part of the frame that the planner sees whole."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mardini_cli import config
from mardini_cli.errors import ConfigError
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.positions import Grid, frame_rotary
from mardini_cli.model.tiles import Box, boxes
from mardini_cli.training import cost, starting
from mardini_cli.training.crew import Chance, Crew
from mardini_cli.training.crops import draw_crop
from mardini_cli.training.objectives import KINDS, Step, latents
from mardini_cli.training.seen import look, see
from tests.training.runs import CPU, batch, chance, model, stage

WIDE = Grid.of_frame(20, 30, (320, 480))


def crops(share: float = 1.0, grid: Grid = WIDE, count: int = 60) -> list[Box | None]:
    return [draw_crop(grid, share, Chance(seed, CPU, Crew())) for seed in range(count)]


def test_crops_are_half_of_rows_and_columns_and_reach_every_border() -> None:
    found = [box for box in crops() if box]

    assert len(found) == 60
    assert {(box.rows, box.cols) for box in found} == {(10, 15)}
    assert {min(box.top for box in found), max(box.top for box in found)} == {0, 10}
    assert {min(box.left for box in found), max(box.left for box in found)} == {0, 15}


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 20, 40), (1.0, 60, 60)])
def test_a_share_of_steps_has_one(share: float, least: int, most: int) -> None:
    assert least <= sum(box is not None for box in crops(share)) <= most


def test_processes_and_parts_of_a_step_see_the_same_crop() -> None:
    whole = draw_crop(WIDE, 1.0, Chance(3, CPU, Crew()))
    shares = [Chance(3, CPU, Crew(rank, 2), (part, 2)) for rank in range(2) for part in range(2)]

    assert {draw_crop(WIDE, 1.0, share) for share in shares} == {whole}


def test_tokens_of_a_crop_stand_where_the_whole_frame_s_do() -> None:
    whole = frame_rotary(32, WIDE, CPU)
    for box in crops(count=8):
        assert box
        part = frame_rotary(32, box.grid(WIDE), CPU)
        for name in ("cos", "sin"):
            wanted = getattr(whole, name).view(20, 30, -1).movedim(-1, 0)
            wanted = box.of(wanted, 1).movedim(0, -1).flatten(0, 1)
            found = getattr(part, name).flatten(1)
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def grids_of(net: MarDini, places: list[tuple[Grid, Grid]]) -> Any:
    """Watch where the denoiser's tokens and the planner's signal are said to lie."""

    def keep(_module: object, told: tuple[Any, ...]) -> None:
        places.append((told[5], told[7]))

    return net.denoiser.register_forward_pre_hook(keep)


@pytest.mark.parametrize("preset", ["nano", "nano-vae"])
def test_positions_are_those_of_tiles_when_frames_are_made(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same boxes: in training one after the other, in making all of them."""
    net, one = model(preset), stage("joint", crops=1.0)
    windows = batch(one)
    big = torch.nn.functional.interpolate
    larger = {name: big(getattr(windows, name).flatten(0, 1), 320) for name in ("given", "made")}
    b = len(windows.mask)
    given = net.look(larger["given"].unflatten(0, (b, -1)), windows.mask, windows.times)
    tiles = boxes(given.token_grid, 256)
    noisy = torch.zeros(b, int(windows.mask[0].sum()), *given.latent_shape)
    made = list[tuple[Grid, Grid]]()
    hook = grids_of(net, made)
    net.velocity(noisy, torch.ones(b), given, net.plan(given), tile=256)
    hook.remove()

    learnt, objective = list[tuple[Grid, Grid]](), KINDS["joint"](net, one)
    windows = _enlarged(windows, larger, b)
    hook = grids_of(net, learnt)
    for box in tiles:
        monkeypatch.setattr(latents, "draw_crop", lambda *_, box=box: box)
        objective.ask(Step(windows, chance()))
    hook.remove()

    assert len(tiles) == 4
    assert learnt == made


def _enlarged(windows: Any, larger: dict[str, Tensor], b: int) -> Any:
    flow = None if windows.flow is None else torch.zeros(b, windows.flow.shape[1], 2, 2, 160, 160)
    return replace(
        windows, flow=flow, **{name: x.unflatten(0, (b, -1)) for name, x in larger.items()}
    )


@pytest.mark.parametrize("preset", ["nano", "nano-vae"])
def test_the_planner_reads_the_whole_and_the_denoiser_half_each_way(preset: str) -> None:
    net, one = model(preset), stage("joint", crops=1.0)
    read = dict[str, int]()
    net.planner.register_forward_pre_hook(lambda _, told: read.update(planner=told[0].shape[2]))
    net.denoiser.register_forward_pre_hook(lambda _, told: read.update(denoiser=told[1].shape[2]))

    KINDS["joint"](net, one).ask(Step(batch(one), chance())).total.backward()

    whole = look(net, batch(one))
    assert read["planner"] == whole.planner_grid.tokens
    assert read["denoiser"] == whole.token_grid.tokens // 4


def test_crops_of_kept_windows_are_those_of_pixels() -> None:
    net, one = model(), stage("joint", crops=1.0)
    objective, windows = KINDS["joint"](net, one), batch(one)

    pixels = objective.ask(Step(windows, chance())).total
    kept = objective.ask(Step(see(net, windows, "joint"), chance())).total

    assert torch.equal(pixels, kept)


def test_held_out_windows_are_seen_whole() -> None:
    net, windows = model(), batch(stage("joint"))

    plain, cropped = (
        KINDS["joint"](net, stage("joint", crops=share)).score(windows)["loss"]
        for share in (0.0, 1.0)
    )

    assert torch.equal(plain, cropped)


def test_crops_cost_less_and_the_price_says_so() -> None:
    with cost.META:
        net = MarDini(config.preset("nano"))
    mask = torch.tensor([False, True, True, False])
    whole, cropped = (
        cost.count(net, one, cost.window_of(one, mask))
        for one in (stage("joint"), stage("joint", crops=1.0))
    )

    assert cropped.planner_tokens == whole.planner_tokens
    assert cropped.denoiser_tokens == whole.denoiser_tokens // 4
    assert cropped.flops < whole.flops


def test_a_stage_without_a_denoiser_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"crops = 0\.5 in a stage of kind guided"):
        stage("guided", crops=0.5)


def test_counted_positions_are_refused() -> None:
    sizes = replace(config.preset("nano"), positions="counted")

    with pytest.raises(ConfigError, match="counted positions"):
        starting.check_stage(stage("joint", crops=0.5), sizes, 1)
