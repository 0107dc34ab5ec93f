"""Rates, slow motion, ramps and parts of a clip: exact times, and sound that keeps step."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mardini_cli import api
from mardini_cli.errors import ConfigError, TooFewFramesError
from mardini_cli.events import Warned
from mardini_cli.media.probe import probe
from tests.pipeline.clips import (
    even_times,
    picture,
    read_back,
    sound_packets,
    write_clip,
)


@pytest.fixture
def request_for_nano(nano: str, tmp_path: Path) -> api.InterpolateRequest:
    """A clip of one second at 10 frames a second, with sound, in Matroska."""
    clip = write_clip(tmp_path / "walk.mkv", even_times(10, Fraction(10)), sound=True)
    return api.InterpolateRequest(clip=clip, model=nano, device="cpu", codec="ffv1")


def done(request: api.InterpolateRequest, **changes: Any) -> tuple[Path, list[str]]:
    """Run a request; where the result is, and what was warned of."""
    events = list(api.interpolate(replace(request, **changes)))
    warned = [event.message for event in events if isinstance(event, Warned)]
    return events[-1].output, warned  # type: ignore[union-attr]  # the last one is Finished


def test_a_constant_rate_keeps_originals_where_times_coincide(
    request_for_nano: api.InterpolateRequest,
) -> None:
    output, warned = done(request_for_nano, fps=Fraction(25))

    frames = read_back(output)
    assert output.name == "walk.25fps.mkv"
    assert warned == []
    assert [time for time, _ in frames] == [Fraction(n, 25) for n in range(23)]
    assert [frames[n] for n in range(0, 23, 5)] == read_back(request_for_nano.clip)[::2]
    assert sound_packets(output) == sound_packets(request_for_nano.clip)
    assert probe(output).end == probe(request_for_nano.clip).end


def test_broadcast_rates_are_exact_in_mp4(
    request_for_nano: api.InterpolateRequest, tmp_path: Path
) -> None:
    output, _ = done(
        request_for_nano,
        fps=Fraction(60_000, 1001),
        output=tmp_path / "a.mp4",
        codec="h264",
        audio="drop",
    )

    out = probe(output)
    assert out.times == tuple(Fraction(1001 * n, 60_000) for n in range(54))
    assert out.end == Fraction(1)


def test_slow_motion_stretches_every_time_and_drops_sound_with_a_word(
    request_for_nano: api.InterpolateRequest,
) -> None:
    output, warned = done(request_for_nano, slow_motion=Fraction(3))

    assert output.name == "walk.slow3.mkv"
    assert warned[0].startswith("left out: audio stream 1")
    frames, before = read_back(output), read_back(request_for_nano.clip)
    assert [time for time, _ in frames] == [Fraction(n, 10) for n in range(28)]
    assert [data for _, data in frames[::3]] == [data for _, data in before]
    assert probe(output).end == 3


def test_sound_can_be_stretched_with_the_pictures(
    request_for_nano: api.InterpolateRequest,
) -> None:
    output, warned = done(request_for_nano, slow_motion=Fraction(2), audio="stretch")

    assert warned == []
    last = sound_packets(output)[-1][0] + Fraction(1024, 8000)  # a packet of AAC
    assert abs(float(last) - 1.9) < 0.05


def test_slow_motion_by_a_broken_number_keeps_the_clips_rate(
    request_for_nano: api.InterpolateRequest,
) -> None:
    output, _ = done(request_for_nano, slow_motion=Fraction(3, 2))

    assert [time for time, _ in read_back(output)] == [Fraction(n, 10) for n in range(14)]


def test_a_ramp_runs_at_the_clips_rate_and_ends_when_the_clip_does(
    request_for_nano: api.InterpolateRequest,
) -> None:
    output, warned = done(request_for_nano, speed="0:1,0.5:0.25")

    out = probe(output)
    assert output.name == "walk.ramp.mkv"
    assert "would not keep step" in warned[0]
    assert out.times == tuple(Fraction(n, 10) for n in range(len(out.times)))
    # ln 4 / 0.75 of half a second in the ramp, then half a second at a quarter of the speed.
    assert abs(float(out.end) - (0.5 * 1.386294 / 0.75 + 2)) < 0.002


@pytest.mark.parametrize(
    ("start", "end", "numbers"),
    [
        ("0.2", "0.5", range(2, 6)),
        ("0.15", "0.45", range(2, 5)),
        ("3f", "6f", range(3, 7)),
        ("0:00.7", None, range(7, 10)),
        (None, "2f", range(3)),
    ],
)
def test_a_part_of_a_clip_begins_at_nought_with_its_own_sound(
    start: str | None,
    end: str | None,
    numbers: range,
    request_for_nano: api.InterpolateRequest,
) -> None:
    output, _ = done(request_for_nano, start=start, end=end)

    before, after = read_back(request_for_nano.clip), read_back(output)
    assert [data for _, data in after[::2]] == [before[number][1] for number in numbers]
    assert [time for time, _ in after] == [Fraction(n, 20) for n in range(2 * len(numbers) - 1)]
    begin = Fraction(numbers[0], 10)
    heard = {data: time for time, data in sound_packets(request_for_nano.clip)}
    moved = sound_packets(output)
    assert moved
    assert all(heard[data] - time == begin for time, data in moved)


@pytest.mark.parametrize(
    "wrong",
    [
        {"factor": 2, "fps": Fraction(60)},
        {"speed": "0:1,2:0.5", "factor": 2},
        {"speed": "0:1,2:0.5", "audio": "stretch"},
        {"speed": "soon"},
        {"slow_motion": Fraction(-1)},
        {"start": "noon"},
        {"audio": "loud"},
    ],
)
def test_words_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        api.InterpolateRequest(clip=Path("a.mp4"), **wrong)


@pytest.mark.parametrize(("start", "end"), [("0.5", "0.55"), ("0.5", "0.2"), ("9", None)])
def test_a_part_of_fewer_than_two_frames_is_refused(
    start: str, end: str | None, request_for_nano: api.InterpolateRequest
) -> None:
    with pytest.raises(TooFewFramesError):
        done(request_for_nano, start=start, end=end)


def test_a_frame_that_the_clip_lacks_is_refused(
    request_for_nano: api.InterpolateRequest,
) -> None:
    with pytest.raises(ConfigError, match="0 to 9"):
        done(request_for_nano, start="40f")


def test_a_folder_of_pictures_is_a_clip(
    request_for_nano: api.InterpolateRequest, tmp_path: Path
) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(picture(number, (48, 64))).save(folder / f"{number}.png")

    output, warned = done(
        request_for_nano, clip=folder, input_fps=Fraction(8), codec="h264", audio="auto"
    )

    assert output == tmp_path / "shots.x2.mp4"
    assert warned == []
    assert probe(output).times == tuple(Fraction(n, 16) for n in range(5))
    assert probe(output).end == Fraction(3, 8)
