import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av import VideoFrame

from mardini_cli.media.made import MadeWatch
from mardini_cli.media.probe import probe
from mardini_cli.media.source import ClipSource
from mardini_cli.media.verify import Promise, Report, inferred, verify
from tests.media.clips import UNEVEN, Recipe, even_times, make_clip
from tests.media.forging import Forgery, Pictures, forge

FILM = Fraction(24000, 1001)
BT709 = (1, 1, 1, 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    times = even_times(12, FILM)
    recipe = Recipe(
        times=times, time_base=Fraction(1, 24000), audio=("aac",), tags=BT709, size=(96, 64)
    )
    return make_clip(tmp_path_factory.mktemp("verify") / "in.mp4", recipe)


def proved(source: Path, output: Path) -> Report:
    info = probe(source)
    return verify(ClipSource(info), output, inferred(info, len(probe(output).times)))


def failures(source: Path, output: Path) -> list[str]:
    return [check.name for check in proved(source, output).checks if not check.passed]


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_a_good_result_passes(source: Path, tmp_path: Path, factor: int) -> None:
    report = proved(source, forge(source, tmp_path / "out.mp4", Forgery(factor=factor)))

    assert [check for check in report.checks if not check.passed] == []
    assert report.passed
    assert report.frames == 11 * factor + 1
    assert min(report.psnr) > 40


def test_a_good_result_of_uneven_times_passes_in_matroska_too(tmp_path: Path) -> None:
    """Whole milliseconds are one tick there."""
    clip = make_clip(tmp_path / "in.mp4", Recipe(times=UNEVEN, audio=("aac",)))

    assert failures(clip, forge(clip, tmp_path / "out.mkv")) == []


def _without_last(pictures: Pictures) -> Pictures:
    return pictures[:-1]


def _without_third(pictures: Pictures) -> Pictures:
    return pictures[:2] + pictures[3:]


def _at_23(pictures: Pictures) -> Pictures:
    return [(Fraction(n, 46), picture) for n, (_, picture) in enumerate(pictures)]


def _in_a_wrong_matrix(pictures: Pictures) -> Pictures:
    """Read as BT.601, written as BT.709: the fault of tools that forget the matrix."""
    found = []
    for time, picture in pictures:
        rgb = picture.reformat(format="rgb24", src_colorspace="ITU601")
        found.append((time, rgb.reformat(format="yuv420p", dst_colorspace="ITU709")))
    return found


def _with_black(pictures: Pictures) -> Pictures:
    black = np.full_like(pictures[5][1].to_ndarray(), 16)
    black[64:] = 128
    return _with(pictures, 5, VideoFrame.from_ndarray(black, format="yuv420p"))


def _frozen(pictures: Pictures) -> Pictures:
    return _with(pictures, 5, pictures[4][1])


def _given_made_anew(pictures: Pictures) -> Pictures:
    """The frame before stands in the place of a given one."""
    return _with(pictures, 6, pictures[4][1])


def _with(pictures: Pictures, place: int, picture: VideoFrame) -> Pictures:
    return [*pictures[:place], (pictures[place][0], picture), *pictures[place + 1 :]]


BROKEN = {
    "shifted sound": (Forgery(sound_late=Fraction(1, 10)), "sound (stream 1)"),
    "sound an eighth of a frame late": (Forgery(sound_late=Fraction(1, 192)), "sound (stream 1)"),
    "a spoilt packet of sound": (Forgery(spoilt_packet=7), "sound (stream 1)"),
    "no sound": (Forgery(sound=False), "tracks of sound"),
    "the last frame dropped": (Forgery(change=_without_last), "frames"),
    "a given frame dropped": (Forgery(change=_without_third), "given frames' times"),
    "another rate": (Forgery(change=_at_23), "given frames' times"),
    "a wrong matrix": (Forgery(change=_in_a_wrong_matrix), "given frames' colour"),
    "wrong tags": (Forgery(tags=(6, 1, 1, 1)), "colour tags"),
    "another size": (Forgery(size=(94, 64)), "size"),
    "a longer last frame": (Forgery(lasts=Fraction(1, 5)), "duration"),
    "a black made frame": (Forgery(change=_with_black), "no blank made frame"),
    "a frozen made frame": (Forgery(change=_frozen), "no copied made frame"),
    "a given frame made anew": (Forgery(change=_given_made_anew), "given frames' pictures"),
}


@pytest.mark.parametrize(("forgery", "check"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_result_fails_where_it_is_broken(
    source: Path, tmp_path: Path, forgery: Forgery, check: str
) -> None:
    assert check in failures(source, forge(source, tmp_path / "out.mp4", forgery))


def test_a_lossy_result_does_not_pass_for_a_lossless_one(source: Path, tmp_path: Path) -> None:
    output = forge(source, tmp_path / "out.mp4")
    info = probe(source)
    promise = inferred(info, 23)

    report = verify(ClipSource(info), output, replace(promise, faithful=float("inf")))

    assert [c.name for c in report.checks if not c.passed] == ["given frames' pictures"]


def test_copies_in_a_still_gap_are_right(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", Recipe(flat=(90, 120, 140)))

    assert failures(clip, forge(clip, tmp_path / "out.mp4")) == []


def test_frames_are_told_as_they_pass_and_what_the_listener_raises_ends_the_work(
    source: Path, tmp_path: Path
) -> None:
    output = forge(source, tmp_path / "out.mp4")
    info = probe(source)
    told: list[int] = []

    def listener(count: int) -> None:
        told.append(count)
        if count == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(ClipSource(info), output, inferred(info, 23), listener)

    assert told == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("count", [1, 21, 22, 23, 24, 34])
def test_the_factor_is_inferred_from_about_as_many_frames(source: Path, count: int) -> None:
    promise = inferred(probe(source), count)

    assert len(promise.times) == 11 * max(1, round((count - 1) / 11)) + 1
    assert [n for n in promise.given if n is not None] == list(range(12))


def test_what_is_held_does_not_grow_with_a_gap_without_given_frames() -> None:
    """As in a result of a rate that meets the clip's frames almost never."""
    watch = MadeWatch()
    frame = VideoFrame.from_ndarray(np.zeros((240, 320), np.uint8), format="gray")
    watch(frame, given=True)
    sizes = []
    tracemalloc.start()
    for number in range(200):
        watch(frame, given=False)
        if number in (99, 199):
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()

    assert sizes[1] - sizes[0] < 20_000  # a frame is 76,800


def test_a_promise_is_plain_data(source: Path) -> None:
    info = probe(source)

    assert inferred(info, 23) == inferred(info, 23)
    assert isinstance(inferred(info, 23), Promise)
