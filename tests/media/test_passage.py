"""Parts of a clip and other speeds: sound, words and chapters go along at the right time."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from mardini_cli.media.passage import Passage, Sound
from mardini_cli.media.probe import ClipInfo, probe
from mardini_cli.media.reader import read
from mardini_cli.media.timing import common_time_base
from mardini_cli.media.writer import Writer
from tests.media.clips import Recipe, even_times, make_clip, packets_of


def rewritten(info: ClipInfo, output: Path, times: dict[int, Fraction], end: Fraction) -> list[str]:
    """Write some frames of a clip at other times."""
    base = common_time_base([*times.values(), end])
    with Writer(output, info, base, end, None, tuple(times.values())) as writer:
        for number, frame in enumerate(read(info)):
            if number in times:
                writer.original(replace(frame, time=times[number]))
    return list(writer.notices)


def slowed(clip: Path, output: Path, slowness: Fraction, sound: Sound) -> list[str]:
    info = probe(clip)
    passage = Passage(slowness=slowness, sound=sound)
    times = {number: passage.moved(time) for number, time in enumerate(info.times)}
    return rewritten(replace(info, passage=passage), output, times, passage.moved(info.end))


def part(clip: Path, output: Path, first: int, end: int) -> list[str]:
    info = probe(clip)
    start, stop = info.times[first], info.times[end]
    info = replace(info, passage=Passage(start=start, end=stop, anchor=start))
    times = {number: info.times[number] - start for number in range(first, end)}
    return rewritten(info, output, times, stop - start)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_part_takes_the_packets_of_its_time(ending: str, tmp_path: Path) -> None:
    recipe = Recipe(times=even_times(50, 25), audio=("aac",), audio_seconds=Fraction(2))
    clip = make_clip(tmp_path / "a.mp4", recipe)

    part(clip, tmp_path / f"b.{ending}", 10, 30)

    before, after = packets_of(clip, "audio")[0], packets_of(tmp_path / f"b.{ending}", "audio")[0]
    length = Fraction(1024, 48_000)
    wanted = [
        data
        for time, data in before
        if time is not None and -length < time - Fraction(2, 5) < Fraction(4, 5)
    ]
    assert [data for _, data in after] == wanted
    old = {data: time for time, data in before}
    for time, data in after:
        moved = old[data]
        assert time is not None
        assert moved is not None
        assert abs(time - (moved - Fraction(2, 5))) <= Fraction(1, 1000)


def test_chapters_and_words_move_with_the_part(tmp_path: Path) -> None:
    recipe = Recipe(times=even_times(20, 25), subtitles=True, chapters=True)
    clip = make_clip(tmp_path / "a.mkv", recipe)

    part(clip, tmp_path / "b.mkv", 3, 19)

    words = packets_of(tmp_path / "b.mkv", "subtitle")[0]
    assert words == [(Fraction(30, 1000), b"two")]
    with av.open(str(tmp_path / "b.mkv")) as container:
        spans = [
            (c["start"] * (c["time_base"] or 0), c["end"] * (c["time_base"] or 0))
            for c in container.chapters()
        ]
    assert spans == [(Fraction(0), Fraction(18, 100))]


@pytest.mark.parametrize("slowness", [Fraction(4), Fraction(5, 2), Fraction(1, 3)])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm"])
def test_stretched_sound_is_as_long_and_keeps_its_pitch(
    ending: str, slowness: Fraction, tmp_path: Path
) -> None:
    clip = tone(tmp_path / "a.mkv", 440, 3)

    assert slowed(clip, tmp_path / f"b.{ending}", slowness, "stretch") == []

    samples, rate = heard(tmp_path / f"b.{ending}")
    assert abs(len(samples) / rate - 3 * slowness) < 0.1
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    pitch = np.argmax(spectrum) * rate / len(middle)
    assert abs(pitch - 440) < 6


def test_dropped_sound_is_told(tmp_path: Path) -> None:
    clip = tone(tmp_path / "a.mkv", 440, 1)

    notices = slowed(clip, tmp_path / "b.mp4", Fraction(2), "drop")

    assert notices[0].startswith("left out: audio stream 1")
    assert packets_of(tmp_path / "b.mp4", "audio") == []


def test_words_keep_to_the_pictures_in_slow_motion(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", Recipe(subtitles=True))

    slowed(clip, tmp_path / "b.mkv", Fraction(3), "drop")

    words = packets_of(tmp_path / "b.mkv", "subtitle")[0]
    assert words == [(Fraction(0), b"one"), (Fraction(45, 100), b"two")]


def tone(path: Path, pitch: float, seconds: int) -> Path:
    """A clip whose sound is one tone; pictures at ten a second."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("ffv1", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        voice = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for number in range(10 * seconds):
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(pictures.encode(frame))
            at = np.arange(4800 * number, 4800 * (number + 1)) / 48_000
            wave = (9000 * np.sin(2 * np.pi * pitch * at)).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            sound.sample_rate, sound.pts = 48_000, 4800 * number
            sound.time_base = Fraction(1, 48_000)
            container.mux(voice.encode(sound))
        container.mux(pictures.encode(None))
        container.mux(voice.encode(None))
    return path


def heard(path: Path) -> tuple[npt.NDArray[Any], int]:
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        parts = [frame.to_ndarray()[0].astype(float) for frame in container.decode(audio=0)]
    return np.concatenate(parts), rate
