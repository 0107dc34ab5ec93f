"""Results are proved before they get their name."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from mardini_cli import api
from mardini_cli.errors import DamagedMediaError, ProofError
from mardini_cli.events import Event, Finished, Verified
from mardini_cli.media.writer import Writer
from tests.media.clips import Recipe, make_clip, with_broken_packets
from tests.pipeline.clips import even_times, write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "in.mkv", even_times(5), sound=True)


def run(clip: Path, nano: str, **settings: Any) -> list[Event]:
    request = api.InterpolateRequest(clip=clip, model=nano, device="cpu", **settings)
    return list(api.interpolate(request))


def spoil_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame comes four milliseconds late, as from a writer with a fault."""
    original = Writer._take

    def late(self: Writer, picture: Any, time: Any) -> None:
        original(self, picture, time + 4 * self._clock.base)

    monkeypatch.setattr(Writer, "_take", late)


def test_a_result_is_proved_and_then_told(clip: Path, nano: str) -> None:
    events = run(clip, nano)

    verified, finished = events[-2:]
    assert isinstance(verified, Verified)
    assert isinstance(finished, Finished)
    assert verified.passed
    assert verified.frames == 9
    assert verified.output == finished.output
    assert "tracks of sound" in [check.name for check in verified.checks]


def test_plain_samples_may_be_cut_otherwise(clip: Path, nano: str, tmp_path: Path) -> None:
    """MP4 cuts PCM into packets of its own; what is heard is the same."""
    *_, verified, _ = run(clip, nano, output=tmp_path / "out.mp4")

    assert isinstance(verified, Verified)
    (sound,) = (check for check in verified.checks if check.name.startswith("sound"))
    assert sound.passed, sound.found


def test_a_lossless_result_has_its_given_frames_bit_for_bit(clip: Path, nano: str) -> None:
    verified = next(e for e in run(clip, nano, codec="ffv1") if isinstance(e, Verified))

    assert verified.psnr == (None, None, None)


@pytest.mark.parametrize(
    "settings",
    [
        {"fps": Fraction(60)},
        {"slow_motion": Fraction(3)},
        {"slow_motion": Fraction(2), "audio": "stretch"},
        {"speed": "0:1,0.1:0.5"},
        {"start": "0.04", "end": "4f"},
        {"range": "0.05..0.15"},
        {"duplicates": "smooth", "factor": 3},
        {"crf": 40},
        {"bitrate": "50k"},
        {"lossless": True},
    ],
    ids=str,
)
def test_every_way_of_interpolating_proves_right(
    clip: Path, nano: str, settings: dict[str, Any]
) -> None:
    verified = next(e for e in run(clip, nano, **settings) if isinstance(e, Verified))

    assert verified.passed


def test_a_result_that_is_wrong_never_gets_its_name(
    clip: Path, nano: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_times(monkeypatch)
    before = set(clip.parent.iterdir())

    with pytest.raises(ProofError, match="given frames' times") as error:
        run(clip, nano)

    assert "--no-verify" in error.value.do
    assert set(clip.parent.iterdir()) == before


def damaged_clip(path: Path) -> Path:
    """Frame 5 ends in the middle of its picture, and FFmpeg says nothing of it."""
    make_clip(path, Recipe(codec="mjpeg", pixel_format="yuvj420p", options={}))
    whole = bytearray(path.read_bytes())
    begin = -1
    for _ in range(6):
        begin = whole.index(b"\xff\xd8", begin + 1)
    pixels = whole.index(b"\xff\xda", begin)
    middle = (pixels + whole.index(b"\xff\xd9", pixels)) // 2
    whole[middle : middle + 2] = b"\xff\xd9"
    path.write_bytes(whole)
    return path


def test_a_frame_that_decodes_otherwise_every_time_is_the_inputs_fault(
    tmp_path: Path, nano: str
) -> None:
    """What its decoder leaves of it is what the memory held; no report of ours would help."""
    clip = damaged_clip(tmp_path / "in.avi")

    with pytest.raises(DamagedMediaError) as error:
        run(clip, nano, codec="ffv1", output=tmp_path / "out.mkv")

    assert "frame 5 at 0.200 s is another picture each time it is decoded" in error.value.found
    assert "given frames' pictures" in error.value.found
    assert "(worst at 0.200 s)" in error.value.found
    assert "--no-verify" in error.value.do
    assert "report" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.avi"]


def test_known_damage_is_told_where_the_proof_fails(
    tmp_path: Path, nano: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_times(monkeypatch)
    options = {"bf": "0", "g": "1", "preset": "ultrafast"}
    clip = with_broken_packets(make_clip(tmp_path / "in.mp4", Recipe(options=options)), [3])

    with pytest.raises(DamagedMediaError, match="1 of 8 packets are damaged and were skipped"):
        run(clip, nano)


def test_without_proof_the_result_is_kept_as_it_is(
    clip: Path, nano: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_times(monkeypatch)

    events = run(clip, nano, verify=False)

    assert not any(isinstance(event, Verified) for event in events)
    assert isinstance(events[-1], Finished)
    assert events[-1].output.exists()


def test_an_animation_is_not_proved(clip: Path, nano: str, tmp_path: Path) -> None:
    """Its colours are those of a palette, its times hundredths of seconds."""
    events = run(clip, nano, output=tmp_path / "out.gif")

    assert not any(isinstance(event, Verified) for event in events)
    assert (tmp_path / "out.gif").exists()


def test_who_stops_listening_while_it_is_proved_leaves_no_file(clip: Path, nano: str) -> None:
    request = api.InterpolateRequest(clip=clip, model=nano, device="cpu")
    before = set(clip.parent.iterdir())
    events = api.interpolate(request)

    for event in events:
        if isinstance(event, Verified):
            events.close()

    assert set(clip.parent.iterdir()) == before


def test_a_part_of_film_speed_proves_right_in_whole_milliseconds(tmp_path: Path, nano: str) -> None:
    """Its end lies between two ticks: time and duration of the last frame are both rounded."""
    times = even_times(8, Fraction(24_000, 1001))
    film = write_clip(tmp_path / "in.mp4", times, codec="libx264", base=Fraction(1, 24_000))

    events = run(film, nano, output=tmp_path / "out.mkv", range="0..0.1")

    assert any(isinstance(event, Verified) and event.passed for event in events)
