"""Photographs that the device sets in motion."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from mardini_cli.events import Trained
from mardini_cli.model.prior import between_neighbours
from mardini_cli.model.warping import warp
from mardini_cli.training import clips, darkroom, synthetic
from mardini_cli.training.batches import Batch, Batches, developed
from mardini_cli.training.crew import Own
from mardini_cli.training.darkroom import Darkroom, Drafts, Negatives
from tests.training.runs import (
    CPU,
    SIDE,
    moving_clip,
    photo_folder,
    run,
    run_until_save,
    saved,
    settings,
    stage,
)

SLOTS = 5


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photos() -> list[synthetic.Picture]:
    """Smooth ones: resamplers agree on them."""
    waves = np.mgrid[0:400, 0:400] / 400
    return [
        np.stack([127 + 100 * np.sin(k * waves[0] + c * waves[1]) for c in (3, 7, 11)], -1).astype(
            np.uint8
        )
        for k in (9, 17, 26)
    ]


def drafted(photos: list[synthetic.Picture], count: int, layers: int = 3) -> Negatives:
    mask = torch.tensor([False, True, True, True, False])
    drafts = Drafts(photos, SLOTS, SIDE, layers)
    return drafts.draft(count, mask, torch.arange(SLOTS), chance())


def sharp(negatives: Negatives) -> Negatives:
    """The same without motion blur."""
    middle = darkroom.EXPOSURES // 2
    return replace(negatives, paths=negatives.paths[:, :, :, middle : middle + 1])


def test_the_device_shows_what_workers_show(photos: list[synthetic.Picture]) -> None:
    by_workers = synthetic.PhotoWindows(photos, SLOTS, SIDE).draw(6, torch.arange(SLOTS), chance())

    sheet = Darkroom(photos, SIDE, CPU).develop(sharp(drafted(photos, 6)), target=True)

    apart = (sheet.frames - by_workers.frames.float() / 255).abs()
    assert float(apart.mean()) < 0.004
    assert sheet.target is not None
    assert sheet.target.shape == (6 * 3, 4, SIDE // 2, SIDE // 2)


def test_the_true_motion_explains_what_is_seen(photos: list[synthetic.Picture]) -> None:
    """One layer, even light: a made frame is its neighbour, moved."""
    negatives = drafted(photos, 8, layers=1)
    negatives = replace(sharp(negatives), light=torch.ones(8, SLOTS))

    sheet = Darkroom(photos, SIDE, CPU).develop(negatives, target=True)

    half = torch.nn.functional.avg_pool2d(sheet.frames.flatten(0, 1), 2).unflatten(0, (8, SLOTS))
    assert sheet.target is not None
    for slot in (1, 2, 3):
        toward = sheet.target.unflatten(0, (8, 3))[:, slot - 1]
        for end, flow in ((0, toward[:, :2]), (SLOTS - 1, toward[:, 2:])):
            moved = warp(half[:, end], flow / 2)
            inner = (..., slice(8, -8), slice(8, -8))
            there = inside(flow)[inner]
            error = ((moved - half[:, slot])[inner].abs().mean(1) * there).sum() / there.sum()
            still = ((half[:, end] - half[:, slot])[inner].abs().mean(1) * there).sum()
            assert float(error) < 0.02
            assert float(error) < 0.3 * float(still / there.sum())


def grey(frames: Tensor) -> Tensor:
    return (frames * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(-3)


def test_workers_see_of_given_frames_what_the_device_shows(
    photos: list[synthetic.Picture],
) -> None:
    """Some of them are blurred, or have changing light."""
    negatives = drafted(photos, 12)

    seen = torch.from_numpy(Drafts(photos, SLOTS, SIDE).given(negatives)) / 255
    shown = Darkroom(photos, SIDE, CPU).develop(negatives, target=False).frames

    assert float((seen - grey(shown[:, [0, SLOTS - 1]])).abs().mean((1, 2, 3)).max()) < 0.01


def test_the_prior_is_what_a_search_finds_in_the_frames_that_the_device_shows() -> None:
    """The truth would be far better than what films give, and a decoder would lean on it."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 80, 80, 3), dtype=np.uint8)
    photos = [cv2.resize(picture, (400, 400)) for picture in noise]
    whole = complete(batches(photos)[0], photos)

    found = between_neighbours(whole.given[4:])  # the last four are photographs
    found = torch.nn.functional.avg_pool2d(found.flatten(0, 2), 2).view(4, 1, 2, 2, 32, 32)

    assert whole.flow is not None
    assert float((whole.flow[4:] - found).norm(dim=3).median()) < 0.2
    assert float(found.norm(dim=3).median()) > 2


def inside(flow: Tensor) -> Tensor:
    """Where a flow at half size, pixels, leads into the picture: ``b h w``."""
    half = flow.shape[-1]
    y, x = torch.meshgrid(torch.arange(half), torch.arange(half), indexing="ij")
    at = torch.stack((x, y)) + flow / 2
    return ((at > 1) & (at < half - 2)).all(1).float()


def test_a_layer_before_another_has_its_own_motion(photos: list[synthetic.Picture]) -> None:
    negatives = sharp(drafted(photos, 1, layers=2))
    away = torch.tensor([[1.0, 0, 170], [0, 1, 170]])
    paths = away.expand(1, 2, SLOTS, 1, 2, 3).clone()
    paths[0, 1, :, 0, 0, 2] -= 2.0 * torch.arange(SLOTS)  # the cut-out goes right, the rest stays
    scene = darkroom._Scene(
        Darkroom(photos, SIDE, CPU).photos,
        replace(
            negatives,
            paths=paths,
            there=torch.ones(1, 2, dtype=torch.bool),
            rough=torch.zeros(1, 2, 7, 7),
            middle=torch.zeros(1, 2, 2),
            reach=torch.full((1, 2), 0.1),
        ),
        SIDE,
    )

    flow = scene.flow(torch.tensor([0]), torch.tensor([4]))[0]

    assert float(flow[0, 15, 15]) == pytest.approx(8, abs=1e-3)  # middle: the cut-out
    assert float(flow[:, 0, 0].abs().max()) == pytest.approx(0, abs=1e-3)


def test_blur_averages_moments_and_leaves_the_middle_where_it_was(
    photos: list[synthetic.Picture],
) -> None:
    negatives = drafted(photos, 24, layers=1)
    room = Darkroom(photos, SIDE, CPU)

    blurred = room.develop(negatives, target=False).frames
    plain = room.develop(sharp(negatives), target=False).frames

    changed = (blurred != plain).flatten(1).any(1)
    assert 2 <= int(changed.sum()) <= 12  # a quarter of them
    assert float((blurred - plain).abs().mean()) < 0.02


def batches(photos: list[synthetic.Picture], own: Own | None = None) -> Batches:
    windows = clips.ClipWindows(clips.usable([moving_clip()], SLOTS, SIDE), SLOTS, SIDE)
    one = stage("guided", batch=8, slots=SLOTS, photos=0.5, tasks=(("ends", 1.0),))
    return Batches((windows, Drafts(photos, SLOTS, SIDE)), one, 0, own)


def complete(batch: Batch, photos: list[synthetic.Picture]) -> Batch:
    return developed(batch.to(CPU), Darkroom(photos, SIDE, CPU))


@pytest.mark.parametrize("alone", [False, True])
def test_shares_of_a_batch_make_the_whole(alone: bool, photos: list[synthetic.Picture]) -> None:
    """Three processes of a batch of eight would not divide; two, and two parts of each, do."""
    whole = complete(batches(photos)[1], photos)
    shares = []
    for rank in range(2):
        batch = batches(photos, Own(2 * rank, 2, 4) if alone else None)[1]
        for part in range(2):
            share = (part, 2) if alone else (2 * rank + part, 4)
            shares.append(complete(batch.share(*share), photos))

    assert whole.made.shape[:2] == (8, 3)
    for name in ("given", "made", "times", "flow"):
        parts = [getattr(share, name) for share in shares]
        joined = torch.stack(parts, 1).flatten(0, 1)
        torch.testing.assert_close(joined, getattr(whole, name), atol=1e-4, rtol=0)


def test_a_run_with_photographs_on_the_device_goes_on_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(photo_folder(tmp_path / "photos"))
    stages = (stage("guided", photos=0.5), stage("joint", photos=1.0))
    config = settings(tmp_path, *stages, photos=(folder,), photos_on="device")
    unbroken = replace(config, out=str(tmp_path / "unbroken"))

    *_, trained = run(unbroken)
    run_until_save(config, 1, monkeypatch)
    run(config)

    assert isinstance(trained, Trained)
    wanted, found = saved(unbroken.out), saved(config.out)
    assert all(torch.equal(wanted[name], value) for name, value in found.items())


def test_a_stage_without_photographs_leaves_the_device_nothing(tmp_path: Path) -> None:
    folder = str(photo_folder(tmp_path / "photos"))
    config = settings(tmp_path, stage("joint"), photos=(folder,), photos_on="device")

    *_, trained = run(config)

    assert isinstance(trained, Trained)
    assert trained.steps == 4
