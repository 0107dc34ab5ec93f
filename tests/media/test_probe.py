from fractions import Fraction
from pathlib import Path

import av
import pytest

from mardini_cli.errors import (
    DamagedMediaError,
    MardiniError,
    MissingFileError,
    NotMediaError,
    NoVideoError,
)
from mardini_cli.media.colour import Colour
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import read
from tests.media.clips import (
    UNEVEN,
    Recipe,
    even_times,
    make_clip,
    picture,
    sound_only,
    truncated,
    with_broken_packets,
)

FILM = Fraction(24_000, 1001)
B_FRAMES = {"crf": "12", "bf": "3", "preset": "medium"}


@pytest.mark.parametrize(
    ("ending", "times", "base", "options"),
    [
        ("mp4", even_times(12, 25), Fraction(1, 25), {}),
        ("mp4", even_times(12, FILM), 1 / FILM, {}),
        ("mp4", even_times(12, FILM), 1 / FILM, B_FRAMES),
        ("mov", UNEVEN, Fraction(1, 1000), B_FRAMES),
        ("mp4", tuple(t + Fraction(1, 2) for t in UNEVEN), Fraction(1, 1000), {}),
        ("mkv", UNEVEN, Fraction(1, 1000), {}),
        ("mkv", UNEVEN, Fraction(1, 1000), B_FRAMES),
        ("mp4", (Fraction(0),), Fraction(1, 25), {}),
    ],
)
def test_times_are_exact(
    ending: str,
    times: tuple[Fraction, ...],
    base: Fraction,
    options: dict[str, str],
    tmp_path: Path,
) -> None:
    clip = make_clip(tmp_path / f"a.{ending}", Recipe(times=times, time_base=base, options=options))

    info = probe(clip)

    assert info.times == times
    assert info.start == times[0]


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("times", [even_times(6, 25), UNEVEN], ids=["even", "uneven"])
def test_the_last_frame_lasts_as_long_as_the_file_says(
    ending: str, times: tuple[Fraction, ...], tmp_path: Path
) -> None:
    recipe = Recipe(times=times, end=times[-1] + Fraction(7, 25), time_base=Fraction(1, 1000))
    info = probe(make_clip(tmp_path / f"a.{ending}", recipe))

    assert info.last_duration == Fraction(7, 25)
    assert info.end == times[-1] + Fraction(7, 25)


def test_rounded_film_times_keep_their_true_rate(tmp_path: Path) -> None:
    """Matroska stores 0, 42, 83 ms; the mean of those would be another rate."""
    clip = make_clip(tmp_path / "a.mp4", Recipe(times=even_times(24, FILM), time_base=1 / FILM))

    assert probe(clip).rate == FILM


def test_a_stream_without_times_is_counted_at_its_rate(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.h264", Recipe(time_base=Fraction(1, 25))))

    assert info.times == even_times(8, 25)
    assert info.notices == ("8 frames have no time in the file and are counted at its rate",)


def test_a_transport_stream_starts_at_its_own_first_tick(tmp_path: Path) -> None:
    times = tuple(100 + t for t in even_times(8, 25))
    info = probe(make_clip(tmp_path / "a.ts", Recipe(times=times)))

    assert info.origin >= 100  # FFmpeg's muxer may add a wait of its own
    assert info.times == even_times(8, 25)


def test_avi_counts_frames(tmp_path: Path) -> None:
    recipe = Recipe(time_base=Fraction(1, 25), codec="mpeg4", options={})

    assert probe(make_clip(tmp_path / "a.avi", recipe)).times == even_times(8, 25)


def test_frames_that_share_a_time_or_go_back_are_left_out_and_counted(tmp_path: Path) -> None:
    """Three of these fall into the millisecond of the frame before."""
    times = tuple(Fraction(n, 10_000) for n in (0, 1, 2, 400, 401, 800, 1200))
    recipe = Recipe(times=times, time_base=Fraction(1, 10_000), codec="ffv1", options={})
    clip = make_clip(tmp_path / "a.mkv", recipe)

    info = probe(clip)

    assert info.times == tuple(Fraction(n, 25) for n in range(4))
    assert info.notices == ("3 frames share a time with another or go back, and are left out",)
    assert [frame.time for frame in read(info)] == list(info.times)


def test_frames_before_an_edit_list_do_not_count(tmp_path: Path) -> None:
    """A copy that begins between key frames keeps the lead-in, hidden."""
    options = {"g": "8", "bf": "0", "preset": "ultrafast"}
    whole = make_clip(tmp_path / "whole.mp4", Recipe(times=even_times(16, 25), options=options))
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        old = source.streams.video[0]
        new = target.add_stream_from_template(old)
        assert old.time_base is not None
        shift = int(Fraction(3, 25) / Fraction(old.time_base))
        for packet in source.demux(old):
            if packet.size:
                assert packet.pts is not None
                assert packet.dts is not None
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = new
                target.mux(packet)

    info = probe(cut)

    assert info.times == even_times(13, 25)
    assert len(list(read(info))) == 13


def test_picture_facts(tmp_path: Path) -> None:
    info = probe(
        make_clip(
            tmp_path / "a.mp4",
            Recipe(
                size=(50, 34),
                rotation=90,
                aspect=Fraction(16, 11),
                tags=(9, 9, 16, 1),
                pixel_format="yuv420p10le",
            ),
        )
    )

    assert (info.width, info.height, info.upright_size) == (50, 34, (34, 50))
    assert (info.rotation, info.quarter_turns) == (90, 1)
    assert info.display_matrix is not None
    assert info.sample_aspect == Fraction(16, 11)
    assert info.pixel_format == "yuv420p10le"
    assert info.codec == "h264"
    assert info.colour == Colour(matrix=9, primaries=9, transfer=16, range=1)


def test_what_the_file_does_not_tell_is_none(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mkv", Recipe(codec="ffv1", options={})))

    assert info.colour == Colour()
    assert info.display_matrix is None
    assert info.rotation == 0


def test_other_streams_are_listed(tmp_path: Path) -> None:
    recipe = Recipe(audio=("aac", "libopus"), subtitles=True)
    info = probe(make_clip(tmp_path / "a.mkv", recipe))

    assert [(s.kind, s.codec) for s in info.streams] == [
        ("audio", "aac"),
        ("audio", "opus"),
        ("subtitle", "subrip"),
    ]
    assert [s.language for s in info.streams] == ["fra", "eng", None]


def test_a_truncated_matroska_says_that_it_is_short(tmp_path: Path) -> None:
    recipe = Recipe(times=even_times(75, 25), options={"bf": "0"})
    cut = truncated(make_clip(tmp_path / "a.mkv", recipe), 0.5)

    info = probe(cut)

    assert 0 < len(info.times) < 75
    assert any("the file says 3.00 s" in notice for notice in info.notices)
    assert len(list(read(info))) == len(info.times)


def test_a_few_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    options = {"bf": "0", "g": "1", "preset": "ultrafast"}
    recipe = Recipe(times=even_times(40, 25), options=options)
    broken = with_broken_packets(make_clip(tmp_path / "a.mp4", recipe), [10, 20])

    info = probe(broken)

    assert info.notices == ("2 of 40 packets are damaged and were skipped",)
    assert len(info.times) == 38
    assert [frame.time for frame in read(info)] == list(info.times)


def test_a_file_that_is_damaged_throughout_is_refused(tmp_path: Path) -> None:
    options = {"bf": "0", "g": "1", "preset": "ultrafast"}
    recipe = Recipe(times=even_times(20, 25), options=options)
    broken = with_broken_packets(make_clip(tmp_path / "a.mp4", recipe), range(1, 20))

    with pytest.raises(DamagedMediaError):
        probe(broken)


def test_a_picture_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    small = make_clip(tmp_path / "a.ts", Recipe(size=(64, 48)))
    large = make_clip(tmp_path / "b.ts", Recipe(size=(96, 64), times=even_times(16, 25)[8:]))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())

    with pytest.raises(DamagedMediaError, match="64x48 yuv420p to 96x64 yuv420p"):
        probe(both)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(picture(0, (64, 48), "yuvj420p")))
        container.mux(cover.encode(None))

    with pytest.raises(NoVideoError):
        probe(path)


def test_bad_files_end_in_one_clear_line(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no film\n" * 20)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    cut = truncated(make_clip(tmp_path / "whole.mp4"), 0.6)
    bad: list[tuple[Path, type[MardiniError]]] = [
        (tmp_path / "missing.mp4", MissingFileError),
        (tmp_path, NotMediaError),
        (text, NotMediaError),
        (empty, NotMediaError),
        (cut, NotMediaError),
        (sound_only(tmp_path / "sound.m4a"), NoVideoError),
    ]

    for path, kind in bad:
        with pytest.raises(kind) as caught:
            probe(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["-a.mp4", "a b (1).mp4", "日本 é.mp4", "a:b%03d.mp4"])
def test_any_name_can_be_read(name: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "plain.mp4").rename(tmp_path / name)

    assert len(probe(clip).times) == 8
