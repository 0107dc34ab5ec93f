"""Windows from clips and photographs, and the batches made of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mardini_cli.errors import ConfigError
from mardini_cli.training import clips, synthetic
from mardini_cli.training.batches import Batch, Batches
from mardini_cli.training.stages import StageConfig
from tests.training.runs import (
    CPU,
    SIDE,
    batches,
    clip_of,
    data_folder,
    moving_clip,
    photo_folder,
    stage,
    write_film,
)

SLOTS = 9


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photo_windows(folder: Path) -> synthetic.PhotoWindows:
    return synthetic.PhotoWindows(synthetic.load([photo_folder(folder)])[0], SLOTS, SIDE)


# Clips


def test_no_window_crosses_a_cut() -> None:
    first, second = moving_clip(12).frames, 255 - moving_clip(15, seed=1).frames // 4
    cut = clip_of(torch.cat((first, second)))
    (source,) = clips.usable([cut], SLOTS, SIDE)
    windows = clips.ClipWindows([source], SLOTS, SIDE)
    rng = chance()

    drawn = [windows.stretch(source, rng) for _ in range(300)]

    assert all(int(w[-1]) < 12 or int(w[0]) >= 12 for w in drawn)
    assert {int(w[0]) for w in drawn} >= {0, 3, 12, 18}


def test_a_window_looks_at_frames_a_thirtieth_of_a_second_apart_or_a_multiple() -> None:
    (source,) = clips.usable([moving_clip(80, rate=60)], SLOTS, SIDE)
    windows = clips.ClipWindows([source], SLOTS, SIDE)
    rng = chance()

    strides = {int(windows.stretch(source, rng)[1:].diff()[0]) for _ in range(200)}

    assert strides == {2, 4, 6, 8}


def test_still_clips_are_left_out_while_others_move() -> None:
    still = clip_of(moving_clip().frames[:1].expand(20, -1, -1, -1).contiguous())

    sources = clips.usable([still, moving_clip()], SLOTS, SIDE)

    assert [source.moves for source in sources] == [True]


def test_still_clips_alone_still_give_windows() -> None:
    still = clip_of(moving_clip().frames[:1].expand(20, -1, -1, -1).contiguous())
    windows = clips.ClipWindows(clips.usable([still], SLOTS, SIDE), SLOTS, SIDE)

    drawn = windows.draw(2, torch.arange(SLOTS), chance()).frames

    assert drawn.shape == (2, SLOTS, 3, SIDE, SIDE)
    assert bool((drawn == drawn[:, :1]).all())


@pytest.mark.parametrize(("slots", "side"), [(17, SIDE), (SLOTS, 96)])
def test_clips_too_short_or_too_small_are_an_error(slots: int, side: int) -> None:
    with pytest.raises(ConfigError, match="no clip has"):
        clips.usable([moving_clip(16)], slots, side)


def test_a_damaged_clip_is_skipped_and_named(tmp_path: Path) -> None:
    folder = data_folder(tmp_path)
    (folder / "broken.mp4").write_bytes(b"this is no film" * 50)
    (folder / "empty.mov").touch()

    found, skipped = clips.load([folder], 72)

    assert [clip.name for clip in found] == ["clip0", "clip1", "clip2"]
    assert skipped == ["broken.mp4", "empty.mov"]


def test_clips_are_scaled_to_their_short_side(tmp_path: Path) -> None:
    found, _ = clips.load([data_folder(tmp_path, 1)], 36)

    assert found[0].frames.shape == (20, 3, 36, 44)
    assert found[0].rate == 25


def shots(*frames: torch.Tensor) -> clips.Clip:
    """A film of several shots, cuts found as in a file."""
    planes = torch.cat(frames)
    return replace(clip_of(planes), cuts=(len(frames[0]),))


def test_no_window_crosses_a_cut_that_only_the_picture_shows() -> None:
    """Two shots of the same brightness: the mean step says nothing."""
    first, second = moving_clip(12).frames // 8, moving_clip(15, seed=1).frames // 8
    film = shots(first, second)
    (source,) = clips.usable([film], SLOTS, SIDE)
    windows = clips.ClipWindows([source], SLOTS, SIDE)
    rng = chance()

    drawn = [windows.stretch(source, rng) for _ in range(200)]

    assert float(film.change[11]) < clips._CUT
    assert all(int(w[-1]) < 12 or int(w[0]) >= 12 for w in drawn)


def test_cuts_are_found_in_files(tmp_path: Path) -> None:
    frames = torch.cat((moving_clip(14).frames, moving_clip(16, seed=1).frames))
    write_film(tmp_path / "two.mkv", frames)

    (clip,), _ = clips.load([tmp_path], 72)

    assert clip.cuts == (14,)


def test_black_stretches_are_left_out_while_others_are_seen() -> None:
    dark = moving_clip(20).frames // 60
    film = shots(dark, moving_clip(20).frames)
    (source,) = clips.usable([film], SLOTS, SIDE)

    starts = torch.cat([starts for _, starts in source.starts])

    assert source.moves
    assert int(starts.min()) >= 20 - 8


def test_slots_of_a_second_are_as_many_as_asked() -> None:
    (source,) = clips.usable([moving_clip(80, rate=60)], SLOTS, SIDE, fps=8)

    assert {stride for stride, _ in source.starts} == {8}  # 7.5 a second


def test_jitter_moves_slots_and_says_where_they_stand() -> None:
    sources = clips.usable([moving_clip(80, rate=60)], SLOTS, SIDE, fps=8)
    windows = clips.ClipWindows(sources, SLOTS, SIDE, jitter=0.4)
    index = 3 + 8 * torch.arange(SLOTS)

    drawn = windows.draw(40, torch.arange(SLOTS), chance())
    moved, times = clips.jittered(index, 8, 0.4, chance())

    assert drawn.times.shape == (40, SLOTS)
    assert bool((drawn.times.diff() > 0).all())
    assert bool((drawn.times[:, 0] == 0).all())
    assert bool((drawn.times[:, -1] == SLOTS - 1).all())
    assert len(drawn.times.unique()) > 20
    assert float((drawn.times - torch.arange(SLOTS)).abs().max()) <= 0.4
    assert torch.equal(moved.float(), 3 + 8 * times)


def test_without_jitter_chance_is_not_asked() -> None:
    rng = chance()
    before = rng.get_state()

    clips.jittered(torch.arange(SLOTS), 1, 0.0, rng)

    assert torch.equal(rng.get_state(), before)


def test_groups_are_drawn_alike_if_asked() -> None:
    many = [replace(moving_clip(30, seed=n), group="many") for n in range(4)]
    sources = clips.usable([*many, replace(moving_clip(30), group="one")], SLOTS, SIDE)

    plain, alike = (clips.weights(sources, balance=balance) for balance in (False, True))

    assert plain.tolist() == pytest.approx([30**0.5 / 5] * 5)
    assert alike.tolist() == pytest.approx([0.25] * 4 + [1.0])


def test_a_list_names_clips_beside_it(tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "clips.txt").write_text("# mine\nb/clip1.mkv  # the second\n\nb/clip0.mkv\n")

    from_list = clips.listed([tmp_path / "a" / "clips.txt"])
    from_folder = clips.listed([tmp_path / "a"])
    alone = clips.listed([folder / "clip2.mkv"])

    assert [(e.path.name, e.group) for e in from_list] == [("clip0.mkv", "b"), ("clip1.mkv", "b")]
    assert [e.group for e in from_folder] == ["a/b"] * 3
    assert [e.path.name for e in alone] == ["clip2.mkv"]


def test_too_many_damaged_clips_are_an_error_that_names_them(tmp_path: Path) -> None:
    folder = data_folder(tmp_path)
    for name in ("x.mp4", "y.mp4"):
        (folder / name).write_bytes(b"no film")

    with pytest.raises(ConfigError, match=r"2 of 5 clips do not decode: x.mp4, y.mp4; needs .*30%"):
        clips.load([folder], 72, bad=0.3)
    assert clips.load([folder], 72, bad=0.4)[1] == ["x.mp4", "y.mp4"]


# Photographs


def test_photographs_give_the_same_windows_for_the_same_chance(tmp_path: Path) -> None:
    windows, kept = photo_windows(tmp_path), torch.arange(SLOTS)

    drawn = [windows.draw(2, kept, chance(seed)).frames for seed in (1, 1, 2)]

    assert drawn[0].shape == (2, SLOTS, 3, SIDE, SIDE)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_slots_left_out_do_not_change_the_others(tmp_path: Path) -> None:
    windows = photo_windows(tmp_path)

    whole = windows.draw(2, torch.arange(SLOTS), chance()).frames
    part = windows.draw(2, torch.tensor([0, 3, 8]), chance()).frames

    assert torch.equal(part, whole[:, [0, 3, 8]])


def test_a_camera_that_moves_shifts_the_picture(tmp_path: Path) -> None:
    windows = photo_windows(tmp_path)
    picture = windows.photos[0]
    path = np.array([[1, 0, 30], [0, 1, 50]], np.float32)

    seen = windows.see(picture, path)

    np.testing.assert_array_equal(seen, picture[50 : 50 + SIDE, 30 : 30 + SIDE])


def test_a_file_that_is_no_photograph_is_skipped_and_named(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path)
    (folder / "no.jpg").write_text("no picture")

    photos, skipped = synthetic.load([folder])

    assert [photo.shape for photo in photos] == [(400, 400, 3)] * 2
    assert skipped == ["no.jpg"]


# Batches


def same(one: Batch, other: Batch) -> bool:
    pairs = [(getattr(one, n), getattr(other, n)) for n in ("given", "made", "mask", "flow")]
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_batch_depends_on_seed_stage_and_step_alone() -> None:
    wanted = batches(stage())[3]
    again = batches(stage())
    list(again.run(0, 0, CPU))

    assert same(again[3], wanted)
    assert not same(again[2], wanted)
    assert not same(batches(stage(), seed=1)[3], wanted)
    assert not same(batches(stage(name="other"))[3], wanted)


# On Python 3.12 and later a fork beside threads warns; torch's loader forks on Linux.
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_worker_processes_make_the_same_batches() -> None:
    made = batches(stage())

    beside = list(made.run(1, 2, CPU))

    assert len(beside) == 3
    assert all(same(batch, made[step]) for step, batch in enumerate(beside, 1))


def test_a_batch_takes_its_share_of_photographs() -> None:
    class Marked:
        def __init__(self, value: int) -> None:
            self.value = value

        def draw(
            self, count: int, kept: torch.Tensor, rng: torch.Generator, first: int = 0
        ) -> clips.Drawn:
            del rng, first
            frames = torch.full((count, len(kept), 3, 32, 32), self.value, dtype=torch.uint8)
            return clips.Drawn(frames, kept.float().expand(count, -1))

    mixed = stage("vae", batch=8, photos=0.25, side=32)

    batch = Batches((Marked(1), Marked(2)), mixed, 0)[0]

    assert batch.made[:, 0, 0, 0, 0].tolist() == [1] * 6 + [2] * 2


@pytest.mark.parametrize("config", [stage(batch=4), stage("vae", batch=4)])
def test_shares_of_a_batch_make_the_whole(config: StageConfig) -> None:
    whole = batches(config)[0]

    shares = [whole.share(rank, 2) for rank in range(2)]

    assert torch.equal(torch.stack([s.made for s in shares], 1).flatten(0, 1), whole.made)
    if whole.target is not None:
        each = [share.target for share in shares if share.target is not None]
        m = whole.made.shape[1]
        joined = torch.stack([t.unflatten(0, (2, m)) for t in each], 1).flatten(0, 2)
        assert torch.equal(joined, whole.target)
