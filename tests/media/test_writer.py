"""What goes in comes out: times, planes, tags, sound; and nothing half-made stays."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mardini_cli.errors import EncoderError, MadeFrameError, ShapeError, UnwritableError
from mardini_cli.media.encoders import EncodeSettings
from mardini_cli.media.probe import ClipInfo, probe
from mardini_cli.media.reader import read, rgb
from mardini_cli.media.timing import common_time_base
from mardini_cli.media.writer import Writer
from tests.media.clips import UNEVEN, Recipe, even_times, make_clip, packets_of, raw_frames

MILLISECOND = Fraction(1, 1000)
LOSSLESS = EncodeSettings(codec="ffv1")
Plan = list[tuple[Fraction, bool]]  # time, whether it is given


def doubled(times: Sequence[Fraction]) -> Plan:
    """Every frame, and one between each pair."""
    plan: Plan = []
    for now, after in zip(times, [*times[1:], None], strict=True):
        plan.append((now, True))
        if after is not None:
            plan.append(((now + after) / 2, False))
    return plan


def write(
    info: ClipInfo, output: Path, plan: Plan, encode: EncodeSettings | None = None
) -> tuple[str, ...]:
    """Write a plan whose made frames repeat the given one before them."""
    base = common_time_base([*(time for time, _ in plan), info.end])
    frames = read(info)
    with Writer(output, info, base, info.end, encode) as writer:
        for time, is_given in plan:
            if is_given:
                frame = next(frames)
                writer.original(frame)
            else:
                writer.made(rgb(frame, info), time)
    return writer.notices


def copied(clip: Path, output: Path, encode: EncodeSettings | None = None) -> tuple[str, ...]:
    info = probe(clip)
    return write(info, output, [(time, True) for time in info.times], encode)


@pytest.mark.parametrize("times", [even_times(9, Fraction(24_000, 1001)), UNEVEN])
@pytest.mark.parametrize(
    ("ending", "tolerance"),
    [("mp4", 0), ("mov", 0), ("m4v", 0), ("mkv", MILLISECOND / 2), ("webm", MILLISECOND / 2)],
)
def test_every_time_and_the_end_are_kept(
    ending: str, tolerance: Fraction, times: tuple[Fraction, ...], tmp_path: Path
) -> None:
    """To the tick where the container stores ticks, to the millisecond where it rounds."""
    base = common_time_base(times)
    recipe = Recipe(times=times, end=times[-1] + 5 * base, time_base=base)
    info = probe(make_clip(tmp_path / "a.mp4", recipe))
    plan = doubled(info.times)

    write(info, tmp_path / f"b.{ending}", plan)

    out = probe(tmp_path / f"b.{ending}")
    assert len(out.times) == len(plan)
    assert all(abs(a - b) <= tolerance for a, (b, _) in zip(out.times, plan, strict=True))
    assert abs(out.end - info.end) <= 2 * tolerance
    assert (out.width, out.height) == (info.width, info.height)


gaps = st.lists(st.integers(1, 9_000), min_size=1, max_size=12)


@settings(max_examples=15)
@given(start=st.integers(0, 500), gaps=gaps, last=st.integers(1, 20_000))
def test_any_uneven_times_pass_through_mp4_exactly(
    start: int, gaps: list[int], last: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("uneven")
    ticks = np.cumsum([start, *gaps]).tolist()
    times = tuple(Fraction(tick, 90_000) for tick in ticks)
    end = times[-1] + Fraction(last, 90_000)
    recipe = Recipe(times=times, end=end, options={"bf": "0", "preset": "ultrafast"})
    info = probe(make_clip(folder / "a.mp4", recipe))

    copied(folder / "a.mp4", folder / "b.mp4")

    out = probe(folder / "b.mp4")
    assert out.times == info.times
    assert out.end == info.end


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_a_clip_that_starts_late_starts_at_that_very_tick(ending: str, tmp_path: Path) -> None:
    """MP4's usual clock for the wait before a stream counts milliseconds only."""
    info = probe(make_clip(tmp_path / "a.mp4"))
    times = [Fraction(1001 * n, 30_000) for n in (2, 3, 4)]
    end = Fraction(1001 * 5, 30_000)
    picture = np.full((48, 64, 3), 0.5, np.float32)

    with Writer(tmp_path / f"b.{ending}", info, Fraction(1001, 30_000), end) as writer:
        for time in times:
            writer.made(picture, time)

    out = probe(tmp_path / f"b.{ending}")
    assert list(out.times) == times
    assert out.end == end


@pytest.mark.parametrize("factor", [2, 4, 7])
def test_even_clips_end_on_time_although_frames_are_reordered(factor: int, tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", Recipe(times=even_times(8, 30))))
    step = Fraction(1, 30 * factor)
    plan = [(n * step, n % factor == 0) for n in range(7 * factor + 1)]

    write(info, tmp_path / "b.mp4", plan)

    out = probe(tmp_path / "b.mp4")
    assert out.times == tuple(time for time, _ in plan)
    assert out.end == info.end
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_context.has_b_frames
        assert container.duration == round(info.end * 1_000_000)


@pytest.mark.parametrize(
    ("pixel_format", "codec", "written"),
    [
        ("yuv420p", "libx264", "yuv420p"),
        ("yuv420p10le", "libx264", "yuv420p10le"),
        ("yuv444p", "libx264", "yuv444p"),
        ("yuv422p10le", "ffv1", "yuv422p10le"),
        ("yuvj420p", "mjpeg", "yuv420p"),
        ("gbrp10le", "ffv1", "gbrp10le"),
        ("bgr0", "ffv1", "bgr0"),
        ("gray16le", "ffv1", "gray16le"),
    ],
)
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_given_frames_are_bit_identical_through_ffv1(
    pixel_format: str, codec: str, written: str, size: tuple[int, int], tmp_path: Path
) -> None:
    if codec == "libx264" and size[0] % 2 and "444" not in pixel_format:
        codec = "ffv1"  # H.264 holds no odd sizes in 4:2:0
    recipe = Recipe(pixel_format=pixel_format, codec=codec, options={}, size=size)
    if codec == "mjpeg":
        recipe = replace(recipe, time_base=Fraction(1, 25), tags=(5, 2, 2, 2))
    clip = make_clip(tmp_path / "a.mkv", recipe)
    info = probe(clip)
    plan = doubled(info.times)

    write(info, tmp_path / "b.mkv", plan, LOSSLESS)

    out = probe(tmp_path / "b.mkv")
    frames = raw_frames(tmp_path / "b.mkv")
    assert out.pixel_format == written
    assert len(frames) == len(plan)
    assert [f for f, (_, given) in zip(frames, plan, strict=True) if given] == raw_frames(clip)


@pytest.mark.parametrize("tags", [(6, 6, 6, 1), (1, 1, 1, 1), (9, 9, 16, 1), (1, 1, 1, 2), None])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_made_cards_have_the_codes_of_given_ones(
    tags: tuple[int, int, int, int] | None, ending: str, tmp_path: Path
) -> None:
    """Whatever the matrix and range say, or do not say, a copy of a card is the same card."""
    recipe = Recipe(flat=(140, 110, 150), tags=tags)
    info = probe(make_clip(tmp_path / "a.mp4", recipe))

    write(info, tmp_path / f"b.{ending}", doubled(info.times))

    out = probe(tmp_path / f"b.{ending}")
    assert out.colour == info.colour
    for planes in raw_frames(tmp_path / f"b.{ending}"):
        means = [np.frombuffer(plane, np.uint8).mean() for plane in planes]
        np.testing.assert_allclose(means, (140, 110, 150), atol=0.5)


def test_untagged_stays_untagged(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4"))

    copied(info.path, tmp_path / "b.mp4")

    colour = probe(tmp_path / "b.mp4").colour
    assert (colour.matrix, colour.primaries, colour.transfer) == (None, None, None)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_pixel_shape_and_metadata_survive(ending: str, tmp_path: Path) -> None:
    recipe = Recipe(aspect=Fraction(16, 11), title="a walk", chapters=True)
    clip = make_clip(tmp_path / "a.mkv", recipe)

    copied(clip, tmp_path / f"b.{ending}")

    assert probe(tmp_path / f"b.{ending}").sample_aspect == Fraction(16, 11)
    with av.open(str(tmp_path / f"b.{ending}")) as container:
        assert container.metadata["title"] == "a walk"
        assert [c["metadata"]["title"] for c in container.chapters()] == ["a", "b"]


def test_a_lost_pixel_shape_is_told(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", Recipe(aspect=Fraction(16, 11)))

    assert "16/11" in copied(clip, tmp_path / "b.mkv", LOSSLESS)[0]


@pytest.mark.parametrize("rotation", [90, -90, 180])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_rotation_is_carried_and_made_frames_lie_as_given_ones_do(
    rotation: int, ending: str, tmp_path: Path
) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", Recipe(rotation=rotation)))

    write(info, tmp_path / f"b.{ending}", doubled(info.times), EncodeSettings(crf=4))

    out = probe(tmp_path / f"b.{ending}")
    assert out.quarter_turns == info.quarter_turns
    frames = raw_frames(tmp_path / f"b.{ending}")
    given = np.frombuffer(frames[0][0], np.uint8).astype(float)
    made = np.frombuffer(frames[1][0], np.uint8).astype(float)
    assert np.abs(given - made).mean() < 1.5


@pytest.mark.parametrize(("ending", "written"), [("mp4", "yuv444p"), ("webm", "yuv420p")])
def test_odd_sizes_come_out_at_exactly_that_size(ending: str, written: str, tmp_path: Path) -> None:
    recipe = Recipe(size=(43, 23), codec="ffv1", options={})
    info = probe(make_clip(tmp_path / "a.mkv", recipe))

    write(info, tmp_path / f"b.{ending}", doubled(info.times))

    out = probe(tmp_path / f"b.{ending}")
    assert (out.width, out.height, out.pixel_format) == (43, 23, written)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("start", [Fraction(0), Fraction(3, 8)], ids=["at once", "late"])
def test_sound_is_copied_bit_for_bit_at_its_times(
    ending: str, start: Fraction, tmp_path: Path
) -> None:
    recipe = Recipe(audio=("aac", "aac"), audio_start=start, audio_seconds=Fraction(2))
    clip = make_clip(tmp_path / "a.mp4", recipe)

    assert copied(clip, tmp_path / f"b.{ending}") == ()

    before, after = packets_of(clip, "audio"), packets_of(tmp_path / f"b.{ending}", "audio")
    tolerance = MILLISECOND / 2 if ending == "mkv" else 0
    assert len(before) == len(after) == 2
    for old, new in zip(before, after, strict=True):
        assert [data for _, data in old] == [data for _, data in new]
        assert all(
            a is not None and b is not None and abs(a - b) <= tolerance
            for (a, _), (b, _) in zip(old, new, strict=True)
        )
    assert probe(tmp_path / f"b.{ending}").times[0] == 0


def test_languages_subtitles_and_both_tracks_stay_in_matroska(tmp_path: Path) -> None:
    recipe = Recipe(audio=("libopus", "pcm_s16le"), subtitles=True)
    clip = make_clip(tmp_path / "a.mkv", recipe)

    assert copied(clip, tmp_path / "b.mkv") == ()

    for kind in ("audio", "subtitle"):
        assert packets_of(clip, kind) == packets_of(tmp_path / "b.mkv", kind)
    assert probe(tmp_path / "b.mkv").streams == probe(clip).streams


def test_what_the_container_does_not_hold_is_named_with_a_home_for_it(tmp_path: Path) -> None:
    recipe = Recipe(audio=("aac",), subtitles=True)
    clip = make_clip(tmp_path / "a.mkv", recipe)

    notices = copied(clip, tmp_path / "b.webm")

    assert notices == (
        "left out: audio stream 1 (aac), which this container does not hold"
        " (.mp4 and .m4v and .mov and .mkv would)",
        "left out: subtitle stream 2 (subrip), which this container does not hold (.mkv would)",
    )


def test_streams_are_interleaved_in_time_order(tmp_path: Path) -> None:
    """So that nothing has to be held in memory, here or by a player."""
    recipe = Recipe(times=even_times(100, 25), audio=("aac",), audio_seconds=Fraction(4))
    clip = make_clip(tmp_path / "a.mp4", recipe)

    copied(clip, tmp_path / "b.mp4")

    places = []
    with av.open(str(tmp_path / "b.mp4")) as container:
        for packet in container.demux():
            if packet.size and packet.dts is not None:
                places.append((packet.pos, float(packet.dts * packet.time_base)))
    latest = 0.0
    for _, time in sorted(places):
        assert time > latest - 1.1
        latest = max(latest, time)


def test_sound_is_written_along_the_way_and_not_held_to_the_end(tmp_path: Path) -> None:
    recipe = Recipe(
        times=even_times(15, 1), audio=("pcm_s16le",), audio_seconds=Fraction(15), codec="ffv1"
    )
    info = probe(make_clip(tmp_path / "a.mkv", replace(recipe, options={})))

    with Writer(tmp_path / "b.mkv", info, Fraction(1), info.end, LOSSLESS) as writer:
        for frame in read(info):
            writer.original(frame)
        part = next(path for path in tmp_path.iterdir() if path.name.startswith("."))
        assert part.stat().st_size > 8 * 96_000  # seconds, bytes a second


def test_the_sources_key_frames_do_not_bind_the_encoder(tmp_path: Path) -> None:
    options = {"g": "1", "preset": "ultrafast"}
    clip = make_clip(tmp_path / "a.mp4", Recipe(times=even_times(20, 25), options=options))

    copied(clip, tmp_path / "b.mp4")

    with av.open(str(tmp_path / "b.mp4")) as container:
        keys = sum(packet.is_keyframe for packet in container.demux(video=0))
    assert keys == 2  # the first, and the last for the sake of its duration


def test_mp4_starts_with_its_index(tmp_path: Path) -> None:
    copied(make_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4")

    data = (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_the_file_has_no_name_before_it_is_whole(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4"))
    output = tmp_path / "b.mp4"

    with Writer(output, info, Fraction(1, 25), info.end) as writer:
        for frame in read(info):
            writer.original(frame)
            assert not output.exists()
        assert all(path.name.startswith(".") for path in tmp_path.iterdir() if path != info.path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def stopped(info: ClipInfo, output: Path, kind: type[BaseException]) -> None:
    with Writer(output, info, Fraction(1, 25), info.end) as writer:
        writer.original(next(read(info)))
        raise kind("stop")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_whatever_ends_the_work_early_leaves_nothing_behind(
    kind: type[BaseException], tmp_path: Path
) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", Recipe(audio=("aac",))))
    (tmp_path / "b.mp4").write_bytes(b"old")

    with pytest.raises(kind, match="stop"):
        stopped(info, tmp_path / "b.mp4", kind)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]
    assert (tmp_path / "b.mp4").read_bytes() == b"old"


def test_a_folder_that_vanished_is_an_error_of_ours(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4"))

    with (
        pytest.raises(UnwritableError),
        Writer(tmp_path / "gone" / "b.mp4", info, Fraction(1, 25), info.end),
    ):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_source_that_vanished_leaves_nothing_behind(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4"))
    info.path.unlink()

    with (
        pytest.raises(Exception, match="No such file"),
        Writer(tmp_path / "b.mp4", info, Fraction(1, 25), info.end),
    ):
        pass

    assert list(tmp_path.iterdir()) == []


def test_made_frames_are_checked_at_the_door(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", Recipe(rotation=90)))
    good = np.full((64, 48, 3), 0.5, np.float32)
    bad = good.copy()
    bad[3, 4, 1] = np.nan

    with Writer(tmp_path / "b.mp4", info, Fraction(1, 25), info.end) as writer:
        writer.made(good, Fraction(0))
        with pytest.raises(ShapeError):
            writer.made(good.swapaxes(0, 1), Fraction(1, 25))
        with pytest.raises(MadeFrameError, match=r"0\.040 s"):
            writer.made(bad, Fraction(1, 25))

    assert probe(tmp_path / "b.mp4").times == (Fraction(0),)


def write_twice(info: ClipInfo, output: Path, times: tuple[Fraction, Fraction]) -> None:
    picture = np.full((48, 64, 3), 0.5, np.float32)
    with Writer(output, info, Fraction(1, 10_000), info.end) as writer:
        for time in times:
            writer.made(picture, time)


def test_frames_out_of_order_are_a_bug(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4"))

    with pytest.raises(ValueError, match="comes after"):
        write_twice(info, tmp_path / "b.mp4", (Fraction(1, 25), Fraction(1, 25)))


def test_frames_closer_than_matroska_can_tell_are_refused(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4"))

    with pytest.raises(EncoderError, match=r"write \.mp4"):
        write_twice(info, tmp_path / "b.mkv", (Fraction(1, 10_000), Fraction(3, 10_000)))

    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_h264_states_a_level_that_players_take(tmp_path: Path) -> None:
    """A fine time base must not pass for a rate of 90,000 frames a second."""
    recipe = Recipe(times=UNEVEN, size=(320, 180))
    info = probe(make_clip(tmp_path / "a.mp4", recipe))

    write(info, tmp_path / "b.mp4", doubled(info.times))

    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_context.level <= 40
