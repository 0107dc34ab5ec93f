"""Animate, extend, fill and keyframes on real files: what comes out, and what stays as it was."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from mardini_cli import api
from mardini_cli.api.looping import closing
from mardini_cli.config import TASK_SAMPLERS, SamplerConfig
from mardini_cli.errors import ConfigError, OutputExistsError, TooFewFramesError
from mardini_cli.events import Drawn, Event, Finished, Joined, Planned, Warned
from mardini_cli.media.probe import probe
from mardini_cli.pipeline.joins import Joins
from tests.pipeline.clips import (
    even_times,
    picture,
    read_back,
    sound_packets,
    write_clip,
)

DRAFT = SamplerConfig(steps=0)


@pytest.fixture
def making(nano: str) -> api.MakeRequest:
    return api.MakeRequest(model=nano, device="cpu", dtype="fp32", sampler=DRAFT, codec="ffv1")


@pytest.fixture
def still(tmp_path: Path) -> Path:
    path = tmp_path / "boat.png"
    Image.fromarray(picture(0, (48, 64))).save(path)
    return path


def finished(events: Iterator[Event]) -> Finished:
    return next(event for event in events if isinstance(event, Finished))


def frame_of(path: Path, number: int) -> np.ndarray:
    with av.open(str(path)) as container:
        for place, frame in enumerate(container.decode(video=0)):
            if place == number:
                return frame.to_ndarray(format="rgb24")
    raise IndexError(number)


# Animate ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("where", "place"), [("first", 0), ("middle", 4), ("last", 8), ("2", 2)])
def test_the_picture_comes_out_untouched_at_its_place(
    where: str, place: int, making: api.MakeRequest, still: Path, tmp_path: Path
) -> None:
    request = api.AnimateRequest(
        image=still, reference_at=where, **api.making_of(replace(making, output=tmp_path / "o.mkv"))
    )

    result = finished(api.animate(request))

    assert (result.frames, result.made, result.duration) == (9, 8, Fraction(9, 8))
    assert_array_equal(frame_of(result.output, place), picture(0, (48, 64)))


def test_smoothing_gives_more_frames_in_the_same_time(
    making: api.MakeRequest, still: Path, tmp_path: Path
) -> None:
    shared = api.making_of(replace(making, output=tmp_path / "o.mkv"))
    request = api.AnimateRequest(image=still, frames=5, smooth=Fraction(24), **shared)

    result = finished(api.animate(request))

    assert result.frames == 13
    assert result.duration == Fraction(13, 24)


def test_variations_are_clips_of_their_own_seeds_and_a_sheet(
    making: api.MakeRequest, still: Path, tmp_path: Path
) -> None:
    sampled = replace(making, sampler=SamplerConfig(steps=1, seed=7), output=tmp_path / "o.mkv")
    request = api.AnimateRequest(image=still, frames=4, variations=2, **api.making_of(sampled))

    events = list(api.animate(request))

    outputs = [event.output.name for event in events if isinstance(event, Finished)]
    assert outputs == ["o.seed7.mkv", "o.seed8.mkv"]
    assert events[-1] == Drawn(output=tmp_path / "o.variations.png", what="variations")
    first, second = ([frame_of(tmp_path / name, n) for n in range(4)] for name in outputs)
    assert_array_equal(first[0], second[0])
    assert any((one != other).any() for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 64)])
def test_pictures_of_any_size_are_animated_with_the_usual_encoder(
    size: tuple[int, int], making: api.MakeRequest, tmp_path: Path
) -> None:
    Image.new("RGB", size, "teal").save(tmp_path / "small.png")
    shared = api.making_of(replace(making, codec=None))
    request = api.AnimateRequest(image=tmp_path / "small.png", frames=3, **shared)

    result = finished(api.animate(request))

    assert result.output == tmp_path / "small.animate.mp4"
    assert frame_of(result.output, 2).shape == (*size[::-1], 3)


def test_one_picture_alone_is_sampled_by_default() -> None:
    assert api.AnimateRequest(image=Path("a.png")).sampler == TASK_SAMPLERS["animate"]
    assert TASK_SAMPLERS["animate"].steps > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 9, "seconds": Fraction(1)},
        {"fps": Fraction(0)},
        {"variations": 0},
        {"smooth": Fraction(12)},
    ],
)
def test_wrong_words_for_an_animation_are_refused(wrong: dict[str, Fraction]) -> None:
    with pytest.raises(ConfigError):
        api.AnimateRequest(image=Path("a.png"), **wrong)  # type: ignore[arg-type]  # by name


# Extend -------------------------------------------------------------------------------------


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "walk.mkv", even_times(8), sound=True)


@pytest.mark.parametrize(
    ("direction", "before", "after"), [("forward", 0, 10), ("backward", 10, 0), ("both", 10, 10)]
)
def test_a_longer_clip_holds_the_old_one_bit_for_bit(
    direction: str, before: int, after: int, making: api.MakeRequest, clip: Path
) -> None:
    request = api.ExtendRequest(
        clip=clip,
        frames=10,
        direction=direction,  # type: ignore[arg-type]  # parametrized
        **api.making_of(making),
    )

    events = list(api.extend(request))

    result = finished(iter(events))
    out, own = read_back(result.output), read_back(clip)
    assert [time for time, _ in out] == even_times(8 + before + after)
    assert [code for _, code in out[before : before + 8]] == [code for _, code in own]
    joins = [event for event in events if isinstance(event, Joined)]
    assert len(joins) == 2 * ((before > 0) + (after > 0))  # the clip's end, and a window's


def test_sound_moves_with_the_clip_or_is_left_out(
    making: api.MakeRequest, clip: Path, tmp_path: Path
) -> None:
    kept, silent = (
        finished(
            api.extend(
                api.ExtendRequest(
                    clip=clip,
                    frames=5,
                    direction="backward",
                    audio=audio,
                    **api.making_of(replace(making, output=tmp_path / f"{audio}.mkv")),
                )
            )
        )
        for audio in ("keep", "none")
    )

    own = sound_packets(clip)
    moved = [(time + Fraction(5, 25), code) for time, code in own]
    assert sound_packets(kept.output) == moved
    with av.open(str(silent.output)) as container:
        assert not container.streams.audio


def test_sound_left_out_as_asked_is_told_so(making: api.MakeRequest, clip: Path) -> None:
    request = api.ExtendRequest(
        clip=clip, frames=2, direction="both", audio="none", **api.making_of(making)
    )

    told = [event.message for event in api.extend(request) if isinstance(event, Warned)]

    assert any(message.endswith("as asked") for message in told)
    assert not any("keep step" in message for message in told)


def test_what_an_edit_list_hides_is_not_heard_before_the_clip(
    making: api.MakeRequest, tmp_path: Path
) -> None:
    """Of sound from before the start, the packet that decoders need to come in is all there is."""
    whole = write_clip(tmp_path / "whole.mov", even_times(20), codec="libx264", sound=True)
    cut, early, lead = tmp_path / "cut.mov", Fraction(2, 5), Fraction(10, 25)
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        copies = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.pts is None or packet.dts is None:
                continue
            if packet.stream.type == "audio":
                shift = int(early / Fraction(packet.time_base))
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copies[packet.stream_index]
            target.mux(packet)
    own = sound_packets(cut)
    longest = max(after - before for (before, _), (after, _) in pairwise(own))
    request = api.ExtendRequest(
        clip=cut,
        frames=10,
        direction="backward",
        **api.making_of(replace(making, codec=None, output=tmp_path / "longer.mov")),
    )

    told = list(api.extend(request))

    heard = sound_packets(finished(iter(told)).output)
    assert own[0][0] < -2 * longest
    assert lead - 2 * longest < heard[0][0] <= lead
    assert heard[-1] == (own[-1][0] + lead, own[-1][1])
    assert not [event for event in told if isinstance(event, Warned) and "sound" in event.message]


def test_sound_may_be_repeated_on_both_sides(making: api.MakeRequest, clip: Path) -> None:
    """The clip lasts 8/25 s; packets of 1/20 s come again a clip's length earlier and later."""
    request = api.ExtendRequest(
        clip=clip, frames=10, direction="both", audio="loop", **api.making_of(making)
    )

    result = finished(api.extend(request))

    length, moved, end = Fraction(8, 25), Fraction(10, 25), Fraction(28, 25)
    own = [(time, code) for time, code in sound_packets(clip) if time < length]
    rounds = [(t + moved + n * length, code) for n in (-2, -1, 0, 1, 2) for t, code in own]
    wanted = [(t, code) for t, code in rounds if 0 <= t < end]
    found = sound_packets(result.output)
    assert [code for _, code in found] == [code for _, code in wanted]
    assert all(
        abs(a - b) <= Fraction(1, 1000) for (a, _), (b, _) in zip(found, wanted, strict=True)
    )


def test_a_bridge_leads_back_and_shows_the_beginning_once(
    making: api.MakeRequest, clip: Path
) -> None:
    request = api.ExtendRequest(clip=clip, frames=5, loop=True, **api.making_of(making))

    result = finished(api.extend(request))

    out = read_back(result.output)
    assert result.output.name == "walk.loop.mkv"
    assert [time for time, _ in out] == even_times(13)
    assert [code for _, code in out[:8]] == [code for _, code in read_back(clip)]


def test_a_still_loop_closes_and_a_jump_is_told(
    making: api.MakeRequest, still: Path, tmp_path: Path
) -> None:
    """Without a latent a picture does not move, so its loop cannot jump."""
    shared = api.making_of(replace(making, output=tmp_path / "still.mkv"))
    quiet = list(api.animate(api.AnimateRequest(image=still, loop=True, frames=8, **shared)))
    joins = Joins(joins=(), usual=1.0, steps=(0.1, 0.2, 0.3), closing=0.25)

    assert not list(closing(replace(joins, closing=0.2)))
    assert [e.code for e in closing(joins) if isinstance(e, Warned)] == ["loop"]
    assert finished(iter(quiet)).frames == 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"direction": "up"},
        {"audio": "loud"},
        {"frames": 3, "seconds": Fraction(1)},
        {"loop": True, "direction": "both"},
    ],
)
def test_wrong_words_for_an_extension_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        api.ExtendRequest(clip=Path("a.mkv"), **wrong)  # type: ignore[arg-type]  # by name


# Fill ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        ({"missing": "2,4-5"}, {2, 4, 5}),
        ({"keep": "0,3,7"}, {1, 2, 4, 5, 6}),
        ({"missing": "0-2"}, {0, 1, 2}),
    ],
)
def test_only_the_frames_that_are_named_change(
    words: dict[str, str], gone: set[int], making: api.MakeRequest, clip: Path
) -> None:
    request = api.FillRequest(clip=clip, **words, **api.making_of(making))  # type: ignore[arg-type]  # by name

    result = finished(api.fill(request))

    before, after = read_back(clip), read_back(result.output)
    assert [time for time, _ in before] == [time for time, _ in after]
    assert {n for n in range(8) if before[n] != after[n]} == gone
    assert sound_packets(result.output) == sound_packets(clip)


def test_dropped_frames_are_told_and_filled(making: api.MakeRequest, tmp_path: Path) -> None:
    times = even_times(12)
    clip = write_clip(tmp_path / "gap.mkv", times[:5] + times[6:])
    request = api.FillRequest(clip=clip, damaged="auto", **api.making_of(making))

    events = list(api.fill(request))

    assert events[0] == Warned(code="damaged", message="dropped frames at 0.200 s")
    assert [time for time, _ in read_back(tmp_path / "gap.filled.mkv")] == times


def test_a_clip_without_damage_is_left_alone(
    making: api.MakeRequest, clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(TooFewFramesError, match="no damaged frames found"):
        list(api.fill(api.FillRequest(clip=clip, damaged="auto", **api.making_of(making))))

    assert [path.name for path in tmp_path.iterdir()] == ["walk.mkv"]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"missing": "1", "keep": "2"}, {"keep": "2", "damaged": "auto"}, {"damaged": "all"}],
)
def test_wrong_words_for_a_filling_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        api.FillRequest(clip=Path("a.mkv"), **wrong)  # type: ignore[arg-type]  # by name


# Keyframes ----------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, ...]:
    paths = tuple(tmp_path / f"{name}.png" for name in "abc")
    for number, path in enumerate(paths):
        Image.fromarray(picture(4 * number, (48, 64))).save(path)
    return paths


def test_the_clip_goes_through_every_picture(
    making: api.MakeRequest, images: tuple[Path, ...], tmp_path: Path
) -> None:
    shared = api.making_of(replace(making, output=tmp_path / "o.mkv"))
    request = api.KeyframesRequest(images=images, between=11, **shared)

    result = finished(api.keyframes(request))

    assert (result.frames, result.made) == (25, 22)
    for number in range(3):
        assert_array_equal(frame_of(result.output, 12 * number), picture(4 * number, (48, 64)))


def test_pictures_stand_at_their_times(
    making: api.MakeRequest, images: tuple[Path, ...], tmp_path: Path
) -> None:
    at = ((Fraction(1, 2), images[1]), (Fraction(0), images[0]))
    shared = api.making_of(replace(making, output=tmp_path / "o.mkv"))
    request = api.KeyframesRequest(at=at, fps=Fraction(8), seconds=Fraction(1), **shared)

    result = finished(api.keyframes(request))

    assert list(probe(result.output).times) == even_times(8, Fraction(8))
    assert_array_equal(frame_of(result.output, 4), picture(4, (48, 64)))


def test_wrong_words_for_keyframes_are_refused() -> None:
    with pytest.raises(ConfigError):
        api.KeyframesRequest()
    with pytest.raises(ConfigError):
        api.KeyframesRequest(images=(Path("a.png"),), at=((Fraction(0), Path("b.png")),))
    with pytest.raises(ConfigError):
        api.KeyframesRequest(images=(Path("a.png"),), fit="stretch")  # type: ignore[arg-type]


# Looking ------------------------------------------------------------------------------------


def test_a_range_gives_the_frames_of_the_whole(
    making: api.MakeRequest, clip: Path, tmp_path: Path
) -> None:
    sampled = replace(making, sampler=SamplerConfig(steps=1, seed=3), batch=1)
    whole, part = (
        finished(
            api.interpolate(
                api.InterpolateRequest(
                    clip=clip,
                    factor=3,
                    **api.making_of(replace(sampled, output=tmp_path / name, range=span)),
                )
            )
        )
        for name, span in (("whole.mkv", None), ("part.mkv", "0.1..0.2"))
    )

    inside = [code for time, code in read_back(whole.output) if 0.1 <= time <= 0.2]
    assert [code for _, code in read_back(part.output)] == inside
    assert read_back(part.output)[0][0] == 0


@pytest.mark.parametrize("span", ["1", "2..1", "a..b", "-1..2", "1..1"])
def test_a_range_of_nothing_is_refused(span: str) -> None:
    with pytest.raises(ConfigError):
        api.MakeRequest(range=span)


@pytest.mark.parametrize("plain", ["repeat", "blend"])
def test_there_is_something_to_look_at(
    plain: str, making: api.MakeRequest, clip: Path, tmp_path: Path
) -> None:
    shared = replace(making, preview=True, show_plan=True, compare=plain)  # type: ignore[arg-type]  # parametrized
    request = api.InterpolateRequest(clip=clip, **api.making_of(shared))

    events = list(api.interpolate(request))

    assert isinstance(events[0], Planned)
    assert "GMGMGMGMG" in events[0].drawing
    drawn = [event.output.name for event in events if isinstance(event, Drawn)]
    assert drawn == ["walk.x2.preview.png", "walk.x2.compare.mkv"]
    wide = frame_of(tmp_path / drawn[1], 1)
    assert wide.shape == (48, 128, 3)
    left, right = frame_of(clip, 0).astype(float), frame_of(clip, 1).astype(float)
    plainly = left if plain == "repeat" else (left + right) / 2
    assert np.abs(wide[:, :64] - plainly).mean() < 8  # colour is halved in its resolution


@pytest.mark.parametrize("name", ["walk.x2.preview.png", "walk.x2.compare.mkv"])
def test_what_stands_beside_the_result_is_not_replaced_unasked(
    name: str, making: api.MakeRequest, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"precious")
    shared = replace(making, preview=True, compare="blend")

    with pytest.raises(OutputExistsError):
        list(api.interpolate(api.InterpolateRequest(clip=clip, **api.making_of(shared))))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["walk.mkv", name]
    assert (tmp_path / name).read_bytes() == b"precious"


def test_a_sample_does_not_take_the_name_of_the_whole(making: api.MakeRequest, clip: Path) -> None:
    shared = api.making_of(replace(making, range="0..0.1"))

    result = finished(api.interpolate(api.InterpolateRequest(clip=clip, **shared)))

    assert result.output.name == "walk.x2.sample.mkv"


@pytest.mark.parametrize("size", [(64, 24), (33, 47), (65, 31)])
def test_portrait_and_odd_sizes_come_out_as_they_went_in(
    size: tuple[int, int], making: api.MakeRequest, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "tall.mkv", even_times(4), size=size, pixel_format="yuv444p")
    request = api.FillRequest(clip=clip, missing="2", **api.making_of(making))

    result = finished(api.fill(request))

    assert frame_of(result.output, 2).shape == (*size, 3)


def test_devices_share_the_windows(making: api.MakeRequest, clip: Path, tmp_path: Path) -> None:
    alone, shared = (
        list(
            api.interpolate(
                api.InterpolateRequest(
                    clip=clip,
                    factor=4,
                    **api.making_of(replace(making, output=tmp_path / name, devices=devices)),
                )
            )
        )
        for name, devices in (("alone.mkv", None), ("shared.mkv", "cpu,cpu"))
    )

    assert isinstance(shared[0], Planned)
    assert shared[0].device == "cpu, cpu"
    assert read_back(tmp_path / "shared.mkv") == read_back(tmp_path / "alone.mkv")
    assert len(alone) > 2


@pytest.mark.parametrize(
    ("devices", "needed"), [("0,,1", "commas"), ("0,1,0", "each card once"), ("0,cuda:0", "once")]
)
def test_devices_without_a_name_or_named_twice_are_refused(
    devices: str, needed: str, making: api.MakeRequest, clip: Path
) -> None:
    request = api.InterpolateRequest(clip=clip, **api.making_of(replace(making, devices=devices)))

    with pytest.raises(ConfigError, match=needed):
        list(api.interpolate(request))
