"""Clips to the frames of windows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mardini_cli.errors import ConfigError, MissingFileError, TooFewFramesError
from mardini_cli.evaluation.excerpts import clips_of, excerpts_of
from mardini_cli.evaluation.fitting import crop, linear_light, squash
from mardini_cli.evaluation.protocols import CROP, DAVIS, NATIVE, UCF101
from mardini_cli.media.pictures import write_png

WriteClip = Callable[..., Path]


def test_windows_hold_the_clip_s_own_frames_at_both_strides(
    write_clip: WriteClip, texture: Tensor
) -> None:
    path = write_clip("pan.mkv", frames=20, speed=2)

    found = excerpts_of(path, 3, CROP, path.parent)

    assert isinstance(found, list)
    assert [(e.stride, e.start, e.ordinal) for e in found] == [(1, 5, 6), (2, 1, 7)]
    for excerpt in found:
        assert excerpt.frames.shape == (9, 3, 256, 256)
        for slot in range(9):
            shift = 2 * (excerpt.start + slot * excerpt.stride)
            true = texture[:, 16:272, 16 + shift : 272 + shift]
            assert (excerpt.frames[slot] - true).abs().max() < 0.02  # 8-bit YUV


def test_a_clip_too_short_for_stride_2_still_serves_stride_1(write_clip: WriteClip) -> None:
    path = write_clip("short.mkv", frames=12)
    found = excerpts_of(path, 0, CROP, path.parent)

    assert isinstance(found, list)
    assert [e.stride for e in found] == [1]


def test_clips_that_cannot_serve_say_why(write_clip: WriteClip, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no film")

    tiny, broken = (
        excerpts_of(path, 0, CROP, tmp_path) for path in (write_clip("tiny.mkv", frames=8), text)
    )

    assert isinstance(tiny, TooFewFramesError)
    assert str(tiny).startswith("tiny.mkv holds 8 frames; needs at least 9; ")
    assert isinstance(broken, Exception)
    assert "text.mp4" in str(broken)


def test_clips_come_by_name_and_other_files_are_not_clips(tmp_path: Path) -> None:
    for name in ("b.MP4", "a.mkv", "c.webm", "sources.csv", "README.md"):
        (tmp_path / name).touch()

    assert [path.name for path in clips_of(tmp_path)] == ["a.mkv", "b.MP4", "c.webm"]
    assert [path.name for path in clips_of(tmp_path, 2)] == ["a.mkv", "b.MP4"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_clips_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(MissingFileError, match=name):
        clips_of(tmp_path / name)


def test_a_frame_of_the_right_size_is_cropped_and_nothing_else(texture: Tensor) -> None:
    frame = texture[:, :288, :400]

    assert torch.equal(crop(frame), frame[:, 16:272, 72:328])


@pytest.mark.parametrize("size", [(576, 800), (144, 200), (300, 288)])
def test_other_sizes_are_scaled_to_the_same_picture(size: tuple[int, int], texture: Tensor) -> None:
    frame = texture[:, :288, : round(288 * size[1] / size[0])] if size[0] != 300 else texture
    scaled = torch.nn.functional.interpolate(
        frame[None], size=size, mode="bicubic", antialias=True
    )[0]

    result = crop(scaled)

    assert result.shape == (3, 256, 256)
    if size[0] != 300:
        assert (result - crop(frame)).abs().mean() < 0.01


def test_linear_light_means_light_and_not_numbers() -> None:
    """A fine black and white grid is half the light: 0.5 ** (1 / 2.2), not 0.5."""
    board = torch.zeros(3, 512, 600)
    board[:, ::2, ::2] = board[:, 1::2, 1::2] = 1

    small = linear_light(board)

    assert small.shape == (3, 256, 256)
    expected = np.round(0.5 ** (1 / 2.2) * 255) / 255
    torch.testing.assert_close(small, torch.full_like(small, expected))


def test_linear_light_keeps_the_mean_of_light_at_an_odd_ratio(texture: Tensor) -> None:
    small = linear_light(texture)  # 320 to 256

    inside = texture[:, :, 80:400].double().pow(2.2).mean()
    assert small.double().pow(2.2).mean().item() == pytest.approx(inside.item(), abs=1e-3)


def test_linear_light_does_not_enlarge() -> None:
    with pytest.raises(ConfigError, match="256 pixels each way"):
        linear_light(torch.zeros(3, 240, 320))


def write_folder(folder: Path, texture: Tensor, frames: int, side: int = 260) -> Path:
    """Frames as pictures: a pan by one pixel a frame."""
    folder.mkdir(parents=True)
    for number in range(frames):
        view = texture[:, :side, number : number + side + 20]
        write_png(folder / f"{number:05d}.png", view.permute(1, 2, 0).numpy())
    return folder


def test_folders_of_pictures_at_any_depth_are_clips(tmp_path: Path, texture: Tensor) -> None:
    """As DAVIS comes: a folder a sequence; outputs of earlier evaluations are no clips."""
    write_folder(tmp_path / "480p/bear", texture, 20)
    write_folder(tmp_path / "480p/swan", texture, 9)
    write_folder(tmp_path / "out", texture, 9)
    (tmp_path / "out/rows.jsonl").touch()

    clips = clips_of(tmp_path)
    windows = [excerpts_of(clip, n, DAVIS, tmp_path) for n, clip in enumerate(clips)]

    found = [e for some in windows if isinstance(some, list) for e in some]
    assert [(e.clip, e.start, e.frames.shape) for e in found] == [
        ("480p/bear", 0, (9, 3, 256, 256)),
        ("480p/bear", 9, (9, 3, 256, 256)),
        ("480p/swan", 0, (9, 3, 256, 256)),
    ]
    true = linear_light((texture[:, :260, 9:289] * 255).round() / 255)
    assert (found[1].frames[0] - true).abs().max() < 1e-6


def test_a_list_says_which_clips_and_in_what_order(tmp_path: Path) -> None:
    for name in ("Walk/v_a.avi", "Walk/v_b.avi", "Run/v_c.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "testlist01.txt").write_text("Walk/v_b.avi 1\n\nRun/v_c.avi 2\n")

    assert [clip.name for clip in clips_of(tmp_path)] == ["v_b.avi", "v_c.avi"]


def test_native_frames_are_kept_and_squashed_ones_are_square(
    write_clip: WriteClip, tmp_path: Path
) -> None:
    path = write_clip("pan.mkv", frames=12)

    native, square = (excerpts_of(path, 0, cut, tmp_path) for cut in (NATIVE, UCF101))

    assert isinstance(native, list)
    assert isinstance(square, list)
    assert native[0].frames.shape == (9, 3, 288, 288)
    assert square[0].frames.shape == (9, 3, 256, 256)
    assert torch.equal(squash(square[0].frames[0]), square[0].frames[0])


def test_an_excerpt_s_digest_follows_its_pixels(write_clip: WriteClip, tmp_path: Path) -> None:
    first, again = (
        excerpts_of(write_clip(name, frames=12), 0, CROP, tmp_path) for name in ("a.mkv", "b.mkv")
    )
    other = excerpts_of(write_clip("c.mkv", frames=12, speed=3), 0, CROP, tmp_path)

    assert isinstance(first, list)
    assert isinstance(again, list)
    assert isinstance(other, list)
    assert first[0].digest() == again[0].digest() != other[0].digest()
