"""Work that was stopped goes on: every task, every way to stop, and what does not fit."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mardini_cli import api, stopping
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import ConfigError, MardiniError, ResumeError, StoppedError
from mardini_cli.events import Event, Progress, Resumed, Warned
from mardini_cli.media import segments
from mardini_cli.media.workplace import hidden_folder
from mardini_cli.pipeline import keeping
from mardini_cli.pipeline.making import Maker
from mardini_cli.stopping import Reason
from tests.pipeline.clips import even_times, picture, write_clip


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every batch is a segment, nothing is asked of this process, and no thread is left."""
    monkeypatch.setattr(keeping, "SEGMENT_SECONDS", 0.0)
    stopping.begin()
    before = set(threading.enumerate())
    yield
    stopping.begin()
    assert set(threading.enumerate()) <= before


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with and without sound, and two pictures."""
    folder = tmp_path_factory.mktemp("shelf")
    write_clip(folder / "walk.mkv", even_times(14), sound=True)
    write_clip(folder / "mute.mkv", even_times(14))
    for number in range(2):
        Image.fromarray(picture(5 * number, (48, 64))).save(folder / f"{number}.png")
    return folder


Work = Callable[..., Iterator[Event]]


def works(shelf: Path, nano: str, clip: str = "walk.mkv") -> dict[str, Work]:
    """Every task, as a function of the settings that all share."""
    common = {"model": nano, "device": "cpu", "dtype": "fp32", "resume": "force"}
    slow = SamplerConfig(steps=1)

    def interpolate(**told: Any) -> Iterator[Event]:
        return api.interpolate(api.InterpolateRequest(**{"clip": shelf / clip, **common, **told}))

    def beyond(**told: Any) -> Iterator[Event]:
        """Level by level: windows see what earlier ones made."""
        part = {"clip": shelf / clip, "factor": 20, "end": "3f"}
        return api.interpolate(api.InterpolateRequest(**{**part, **common, **told}))

    def animate(**told: Any) -> Iterator[Event]:
        request = api.AnimateRequest(
            image=shelf / "0.png", frames=25, smooth=Fraction(16), **{**common, **told}
        )
        return api.animate(replace(request, sampler=slow))

    def extend(**told: Any) -> Iterator[Event]:
        request = api.ExtendRequest(
            clip=shelf / clip, frames=16, direction="both", **{**common, **told}
        )
        return api.extend(request)

    def fill(**told: Any) -> Iterator[Event]:
        return api.fill(
            api.FillRequest(clip=shelf / clip, missing="2,5-7,11", **{**common, **told})
        )

    def keyframes(**told: Any) -> Iterator[Event]:
        images = (shelf / "0.png", shelf / "1.png")
        return api.keyframes(api.KeyframesRequest(images=images, between=40, **{**common, **told}))

    return {
        "interpolate": interpolate,
        "beyond": beyond,
        "animate": animate,
        "extend": extend,
        "fill": fill,
        "keyframes": keyframes,
    }


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def stopped_after(batches: int, events: Iterator[Event]) -> StoppedError | None:
    """Ask for the end while so many batches are made; None where the work was over before."""
    make, begun = Maker.__call__, 0

    def counted(self: Maker, windows: Any, pictures: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == batches:
            stopping.ask(Reason.INTERRUPT)
        return make(self, windows, pictures)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Maker, "__call__", counted)
        try:
            list(events)
        except StoppedError as error:
            return error
        finally:
            stopping.begin()
    return None


def segments_of(output: Path) -> Path:
    return hidden_folder(output) / "segments"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "task", ["interpolate", "beyond", "animate", "extend", "fill", "keyframes"]
)
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_every_task_goes_on_batch_by_batch_to_the_same_bytes(
    task: str, ending: str, shelf: Path, nano: str, tmp_path: Path
) -> None:
    """Stopped after every batch, over and over, until the work is done."""
    work = works(shelf, nano, "mute.mkv" if ending == ".mp4" else "walk.mkv")[task]
    whole, parts = tmp_path / f"whole{ending}", tmp_path / f"parts{ending}"
    list(work(output=whole))

    runs = 1
    while stopped_after(1, work(output=parts)) is not None:
        runs += 1
        assert runs < 60

    assert runs > 1
    assert digest(parts) == digest(whole)
    assert names(tmp_path) == sorted([whole.name, parts.name])


def test_work_goes_on_in_a_gif_and_in_numbered_pictures(
    shelf: Path, nano: str, tmp_path: Path
) -> None:
    """Neither could be joined from encoded parts."""
    work = works(shelf, nano)["interpolate"]
    for first, second in (("a.gif", "b.gif"), ("a/%03d.png", "b/%03d.png")):
        list(work(output=tmp_path / first))
        assert stopped_after(2, work(output=tmp_path / second)) is not None
        list(work(output=tmp_path / second))

    assert digest(tmp_path / "a.gif") == digest(tmp_path / "b.gif")
    assert names(tmp_path) == ["a", "a.gif", "b", "b.gif"]
    for name in names(tmp_path / "a"):
        assert digest(tmp_path / "a" / name) == digest(tmp_path / "b" / name)


def test_what_is_kept_is_not_made_again(
    shelf: Path, nano: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    make = Maker.__call__

    def counted(self: Maker, windows: Any, pictures: Any) -> Any:
        made.extend(slot.index for window in windows for slot in window.made)
        return make(self, windows, pictures)

    monkeypatch.setattr(Maker, "__call__", counted)
    work = works(shelf, nano)["beyond"]

    stopped_after(5, work(output=tmp_path / "out.mkv"))
    events = list(work(output=tmp_path / "out.mkv"))

    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    assert 0 < resumed.kept < resumed.made
    assert len(made) == len(set(made))


def test_the_message_says_what_is_kept_and_how_to_go_on(
    shelf: Path, nano: str, tmp_path: Path
) -> None:
    error = stopped_after(2, works(shelf, nano)["interpolate"](output=tmp_path / "out.mkv"))

    assert str(error) == (
        "stopped by Ctrl-C; 8 of 13 made frames are kept; needs the rest to be made;"
        " start the same command again to go on"
    )


def test_closing_the_events_keeps_what_is_made(shelf: Path, nano: str, tmp_path: Path) -> None:
    """What a program, or an exception in it, does to stop."""
    work = works(shelf, nano)["interpolate"]
    events = work(output=tmp_path / "out.mkv")
    while not isinstance(next(events), Progress):
        pass
    events.close()  # type: ignore[attr-defined]  # a generator

    assert names(tmp_path) == [".out.mkv.mardini"]
    assert any(isinstance(event, Resumed) for event in work(output=tmp_path / "out.mkv"))


def test_short_work_is_not_kept_unless_that_is_asked_for(
    shelf: Path, nano: str, tmp_path: Path
) -> None:
    work = works(shelf, nano)["interpolate"]

    error = stopped_after(1, work(output=tmp_path / "out.mkv", resume="auto"))

    assert error is not None
    assert error.found == "stopped by Ctrl-C; nothing is kept"
    assert names(tmp_path) == []


def test_work_that_takes_long_is_kept(
    shelf: Path, nano: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "LONG_SECONDS", 0.0)

    stopped_after(1, works(shelf, nano)["interpolate"](output=tmp_path / "o.mkv", resume="auto"))

    assert names(tmp_path) == [".o.mkv.mardini"]


def test_never_keeps_nothing_and_takes_away_what_was_kept(
    shelf: Path, nano: str, tmp_path: Path
) -> None:
    work = works(shelf, nano)["interpolate"]
    stopped_after(1, work(output=tmp_path / "out.mkv"))

    events = list(work(output=tmp_path / "out.mkv", resume="never"))

    assert not any(isinstance(event, Resumed) for event in events)
    assert names(tmp_path) == ["out.mkv"]


def test_time_that_is_up_stops_the_work_and_the_rest_is_made_later(
    shelf: Path, nano: str, tmp_path: Path
) -> None:
    work = works(shelf, nano)["beyond"]
    list(work(output=tmp_path / "whole.mkv"))

    with pytest.raises(StoppedError, match="stopped by the time limit") as stopped:
        list(work(output=tmp_path / "out.mkv", resume="auto", max_minutes=1e-4))
    stopping.begin()
    while True:
        try:
            list(work(output=tmp_path / "out.mkv", resume="auto", max_minutes=1e-2))
            break
        except StoppedError:
            stopping.begin()

    assert stopped.value.exit_code == 130
    assert digest(tmp_path / "out.mkv") == digest(tmp_path / "whole.mkv")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sampler": SamplerConfig(steps=2)}, "steps was 0, is 2"),
        ({"sampler": SamplerConfig(seed=5)}, "seed was 0, is 5"),
        ({"resolution": 32}, "resolution was None, is 32"),
        ({"factor": 3}, "the frames to make, or their times, are others"),
        ({"pix_fmt": "yuv444p"}, "the pixel format or colour of the result is another one"),
    ],
)
def test_a_changed_setting_begins_anew_and_says_why_or_is_refused(
    change: dict[str, Any], why: str, shelf: Path, nano: str, tmp_path: Path
) -> None:
    work = works(shelf, nano)["interpolate"]
    stopped_after(1, work(output=tmp_path / "out.mkv"))

    with pytest.raises(ResumeError, match=f"does not fit: {why}"):
        list(work(output=tmp_path / "out.mkv", **change))
    assert segments.are_in(segments_of(tmp_path / "out.mkv"))
    events = list(work(output=tmp_path / "out.mkv", resume="auto", **change))

    (warned,) = [e for e in events if isinstance(e, Warned) and e.code == "resume"]
    assert warned.message == f"begins anew, since earlier work does not fit: {why}"
    assert names(tmp_path) == ["out.mkv"]


def test_another_input_under_the_same_name_begins_anew(
    shelf: Path, nano: str, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "in.mkv", even_times(14))
    work = works(shelf, nano)["interpolate"]
    stopped_after(1, work(clip=clip, output=tmp_path / "out.mkv"))
    write_clip(clip, even_times(14), size=(48, 64), pixel_format="yuv444p")

    events = list(work(clip=clip, output=tmp_path / "out.mkv", resume="auto"))

    (warned,) = [e for e in events if isinstance(e, Warned) and e.code == "resume"]
    assert "the input is another one" in warned.message


def test_another_encoder_goes_on_with_the_same_frames(
    shelf: Path, nano: str, tmp_path: Path
) -> None:
    work = works(shelf, nano)["interpolate"]
    list(work(output=tmp_path / "whole.mkv", crf=30))
    stopped_after(2, work(output=tmp_path / "out.mkv", crf=10))

    events = list(work(output=tmp_path / "out.mkv", crf=30))

    assert any(isinstance(event, Resumed) for event in events)
    assert digest(tmp_path / "out.mkv") == digest(tmp_path / "whole.mkv")


def test_another_version_is_no_hindrance_to_who_insists(
    shelf: Path, nano: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = works(shelf, nano)["interpolate"]
    monkeypatch.setattr("mardini_cli.__version__", "0.0.1")
    stopped_after(2, work(output=tmp_path / "out.mkv"))
    monkeypatch.setattr("mardini_cli.__version__", "0.0.2")

    events = list(work(output=tmp_path / "out.mkv"))

    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    assert resumed.other == ("program",)


def test_frames_of_compiled_networks_are_gone_on_with_by_who_insists(
    shelf: Path, nano: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, facts_of = works(shelf, nano)["interpolate"], segments.facts_of
    stopped_after(2, work(output=tmp_path / "out.mkv"))

    def compiled(folder: Path) -> dict[str, str]:
        facts = facts_of(folder) or {}
        return {name: "True" if "compil" in name else told for name, told in facts.items()}

    monkeypatch.setattr(segments, "facts_of", compiled)
    events = list(work(output=tmp_path / "out.mkv"))

    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    assert resumed.other == ("compile",)


def test_segments_go_where_they_are_sent_and_vanish_there(
    shelf: Path, nano: str, tmp_path: Path
) -> None:
    work, scratch = works(shelf, nano)["interpolate"], tmp_path / "scratch"
    scratch.mkdir()
    output = tmp_path / "out.mkv"

    stopped_after(1, work(output=output, work_dir=scratch))
    assert names(tmp_path) == ["scratch"]
    assert len(names(scratch)) == 1
    events = list(work(output=output, work_dir=scratch))

    assert any(isinstance(event, Resumed) for event in events)
    assert names(scratch) == []


def test_work_goes_on_from_another_working_folder(
    shelf: Path, nano: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = works(shelf, nano)["interpolate"]
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    stopped_after(1, work(output=Path("../out.mkv")))
    monkeypatch.chdir(tmp_path)

    events = list(work(output=Path("out.mkv")))

    assert any(isinstance(event, Resumed) for event in events)


def test_a_second_run_on_one_output_is_refused_and_the_first_is_not_harmed(
    shelf: Path, nano: str, tmp_path: Path
) -> None:
    work = works(shelf, nano)["interpolate"]
    first = work(output=tmp_path / "out.mkv")
    while not isinstance(next(first), Progress):
        pass

    with pytest.raises(MardiniError, match=r"out\.mkv is being written by another run"):
        list(work(output=tmp_path / "out.mkv"))
    list(first)

    list(work(output=tmp_path / "whole.mkv"))
    assert digest(tmp_path / "out.mkv") == digest(tmp_path / "whole.mkv")
    assert names(tmp_path) == ["out.mkv", "whole.mkv"]


@pytest.mark.parametrize(
    "told", [{"resume": "maybe"}, {"until": "25:00"}, {"until": "soon"}, {"max_minutes": 0.0}]
)
def test_words_that_mean_nothing_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        api.InterpolateRequest(clip=Path("a.mkv"), **told)
