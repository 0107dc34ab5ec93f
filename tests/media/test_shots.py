from itertools import islice

import numpy as np
import pytest
from av import VideoFrame

from mardini_cli.media.shots import Watch
from mardini_cli.tasks.duplicates import find_held
from tests.media.clips import picture
from tests.media.judging import Judgement, oracle, ours
from tests.media.shot_set import CUTS, NO_CUTS, Scene, generated_shot, scenes


@pytest.fixture(scope="module")
def judged() -> tuple[Judgement, Judgement]:
    mine, theirs = Judgement(), Judgement()
    for scene in scenes(generated_shot, each=3):
        mine.add(scene, ours(scene.frames))
        theirs.add(scene, oracle(scene.frames))
    return mine, theirs


def test_cuts_are_found_better_than_by_the_oracle(judged: tuple[Judgement, Judgement]) -> None:
    mine, theirs = judged

    assert mine.whole.f1 >= 0.95
    assert mine.whole.f1 > theirs.whole.f1


def test_the_oracle_knows_its_trade_on_plain_cuts(judged: tuple[Judgement, Judgement]) -> None:
    """Frames reach it as it wants them; a broken oracle would be easy to beat."""
    _, theirs = judged

    assert theirs.kinds["plain"].f1 == 1
    assert theirs.whole.recall >= 0.95


@pytest.mark.parametrize(
    "kind", ["flash", "whiteout", "flicker", "pan", "zoom", "shake", "fade", "dissolve", "on twos"]
)
def test_what_is_no_cut_is_let_pass(judged: tuple[Judgement, Judgement], kind: str) -> None:
    assert judged[0].kinds[kind].wrong == 0


def test_every_kind_makes_cuts_or_none() -> None:
    rng = np.random.default_rng(0)

    assert all(kind(generated_shot, rng).cuts for kind in CUTS)
    assert not any(kind(generated_shot, rng).cuts for kind in NO_CUTS)


def test_the_set_is_the_same_each_time() -> None:
    def firsts() -> list[Scene]:
        return list(islice(scenes(generated_shot, each=1, seed=3), 2))

    for one, other in zip(firsts(), firsts(), strict=True):
        assert np.array_equal(one.frames, other.frames)
        assert one.cuts == other.cuts


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv420p10le", "gray", "rgb24", "bgra", "nv12"]
)
def test_any_pixel_format_gives_the_same_cut(pixel_format: str) -> None:
    rng = np.random.default_rng(5)
    frames = np.concatenate([generated_shot(rng, 6), generated_shot(rng, 6)])
    watch = Watch()

    for frame in frames:
        watch(VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pixel_format))

    assert [step.novelty > 0.15 for step in watch.steps] == [n == 5 for n in range(11)]


def test_steps_are_one_fewer_than_frames_however_few() -> None:
    for count in range(12):
        watch = Watch()
        for number in range(count):
            watch(picture(number, (64, 48), "yuv420p"))

        assert len(watch.steps) == max(0, count - 1)


def test_a_mouth_that_moves_is_no_held_frame() -> None:
    """Sixteen by eight pixels of a large picture: a mean over the whole misses it."""
    still = np.full((240, 424, 3), 120, np.uint8)
    open_mouth = still.copy()
    open_mouth[120:128, 200:216] = 60

    assert _held([still, still, open_mouth, open_mouth]) == (1, 3)


def test_noise_of_a_codec_hides_no_held_frame() -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(60, 190, (96, 96, 1)).repeat(3, 2)
    again = still + rng.integers(-2, 3, (96, 96, 1))

    assert _held([still.astype(np.uint8), again.astype(np.uint8)]) == (1,)


@pytest.mark.parametrize("codes_a_frame", [0.3, 0.5, 1.0])
def test_a_slow_fade_is_no_held_frame(codes_a_frame: float) -> None:
    rng = np.random.default_rng(0)
    still = rng.uniform(60, 190, (96, 96, 1)).repeat(3, 2)

    frames = [(still + codes_a_frame * n).astype(np.uint8) for n in range(8)]

    assert _held(frames) == ()


def _held(frames: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]) -> tuple[int, ...]:
    watch = Watch()
    for frame in frames:
        watch(VideoFrame.from_ndarray(frame, format="rgb24"))
    return find_held(watch.steps)
