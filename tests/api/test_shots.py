"""Cuts and repeated frames, from the file to the file."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mardini_cli import api
from mardini_cli.errors import ConfigError, MissingFileError, OutputExistsError
from mardini_cli.events import Drawn, Event, Planned
from tests.media.clips import raw_frames
from tests.media.shot_set import Shot, generated_shot

CUT = 5
"""Frame of ``two_shots`` that begins the second shot."""


@pytest.fixture(scope="module")
def two_shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    frames = np.concatenate([generated_shot(rng, CUT), generated_shot(rng, 5)])
    return write(tmp_path_factory.mktemp("shots") / "in.mkv", frames)


def write(path: Path, frames: Shot) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def run(clip: Path, output: Path, nano: str, **settings: Any) -> list[Event]:
    request = api.InterpolateRequest(
        clip=clip, output=output, model=nano, device="cpu", codec="ffv1", **settings
    )
    return list(api.interpolate(request))


def planned(events: list[Event]) -> Planned:
    return next(event for event in events if isinstance(event, Planned))


def test_cuts_are_found_and_the_last_frame_is_held_up_to_them(
    two_shots: Path, tmp_path: Path, nano: str
) -> None:
    output = tmp_path / "out.mkv"

    events = run(two_shots, output, nano, at_cuts="hold", factor=3)

    frames, given = raw_frames(output), raw_frames(two_shots)
    assert planned(events).cuts == 1
    assert frames[::3] == given
    last = 3 * (CUT - 1)
    assert frames[last + 1] == frames[last + 2] == frames[last]


def test_nothing_of_the_next_shot_is_seen_before_the_cut(
    tmp_path: Path, two_shots: Path, nano: str
) -> None:
    """With another second shot, all frames before the cut are the same, predicted ones too."""
    rng = np.random.default_rng(1)
    first = generated_shot(rng, CUT)
    other = generated_shot(np.random.default_rng(77), 5)
    changed = write(tmp_path / "changed.mkv", np.concatenate([first, other]))

    for clip, name in ((two_shots, "one.mkv"), (changed, "two.mkv")):
        assert planned(run(clip, tmp_path / name, nano)).cuts == 1

    one, two = raw_frames(tmp_path / "one.mkv"), raw_frames(tmp_path / "two.mkv")
    assert one[: 2 * CUT] == two[: 2 * CUT]
    assert one[2 * CUT] != two[2 * CUT]
    assert one[2 * CUT - 1] != one[2 * CUT - 2]  # made, not held


def test_without_cuts_the_frame_between_is_made_from_both_sides(
    two_shots: Path, tmp_path: Path, nano: str
) -> None:
    run(two_shots, tmp_path / "auto.mkv", nano)
    events = run(two_shots, tmp_path / "off.mkv", nano, cuts="off")

    assert planned(events).cuts == 0
    between = 2 * CUT - 1
    assert raw_frames(tmp_path / "off.mkv")[between] != raw_frames(tmp_path / "auto.mkv")[between]


def test_the_list_of_cuts_is_written_edited_and_read_back(
    two_shots: Path, tmp_path: Path, nano: str
) -> None:
    cuts = tmp_path / "cuts.txt"

    events = run(two_shots, tmp_path / "a.mkv", nano, write_cuts=cuts, dry_run=True)
    assert Drawn(output=cuts, what="list of cuts") in events
    assert f"\n{CUT}  # at 0.200 s\n" in cuts.read_text()
    cuts.write_text(cuts.read_text() + "0.32 # by hand\n")

    assert planned(run(two_shots, tmp_path / "b.mkv", nano, cuts=str(cuts))).cuts == 2


def test_a_list_that_stands_is_not_overwritten_unasked(
    two_shots: Path, tmp_path: Path, nano: str
) -> None:
    cuts = tmp_path / "cuts.txt"
    cuts.write_text("7\n")

    with pytest.raises(OutputExistsError, match=r"cuts\.txt exists"):
        run(two_shots, tmp_path / "a.mkv", nano, write_cuts=cuts, dry_run=True)

    assert cuts.read_text() == "7\n"
    run(two_shots, tmp_path / "a.mkv", nano, write_cuts=cuts, dry_run=True, overwrite=True)
    assert cuts.read_text() != "7\n"


def test_a_list_that_is_not_there_is_told_before_any_work(
    two_shots: Path, tmp_path: Path, nano: str
) -> None:
    with pytest.raises(MissingFileError, match=r"auto, off, or a file"):
        run(two_shots, tmp_path / "a.mkv", nano, cuts="aut")


def test_a_threshold_without_looking_is_refused(two_shots: Path) -> None:
    with pytest.raises(ConfigError, match="cut threshold"):
        api.InterpolateRequest(clip=two_shots, cuts="off", cut_threshold=0.3)


def test_a_still_gap_is_filled_with_the_frame_itself(tmp_path: Path, nano: str) -> None:
    frames = generated_shot(np.random.default_rng(3), 4, 3)
    clip = write(tmp_path / "in.mkv", frames[[0, 1, 1, 1, 2, 3]])

    events = run(clip, tmp_path / "out.mkv", nano, factor=4)

    found = raw_frames(tmp_path / "out.mkv")
    assert planned(events).held == 2
    assert planned(events).made == 9
    assert all(frame == found[4] for frame in found[4:13])


def test_repeated_frames_are_made_anew_and_the_clip_stays_as_long(
    tmp_path: Path, nano: str
) -> None:
    drawings = generated_shot(np.random.default_rng(3), 4, 3)
    clip = write(tmp_path / "in.mkv", drawings.repeat(2, 0))

    events = run(clip, tmp_path / "out.mkv", nano, duplicates="smooth")

    found, given = raw_frames(tmp_path / "out.mkv"), raw_frames(clip)
    assert len(found) == 15
    assert planned(events).end == Fraction(7, 25)
    assert found[0::4] == given[0::2]
    for before, between in ((0, 2), (4, 6), (8, 10)):
        assert found[between] != found[before]
    assert found[13] == found[14] == given[-1]  # the last drawing has nowhere to go
