"""What a person, a pipe and a program see of a job's events."""

import dataclasses
import io
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest

from mardini_cli.cli.screen import Screen, as_json, visible
from mardini_cli.errors import TooFewFramesError
from mardini_cli.events import (
    Check,
    Drawn,
    Event,
    Finished,
    Joined,
    Measured,
    Planned,
    Probed,
    Progress,
    Resumed,
    Skipped,
    Trained,
    Verified,
    Warned,
)

PLANNED = Planned(
    source=Path("walk.mp4"),
    output=Path("out/walk.x4.mp4"),
    task="interpolate",
    given=3,
    made=6,
    windows=1,
    width=456,
    height=256,
    start=Fraction(0),
    end=Fraction(1001, 12000),
    steps=8,
    seed=0,
    weights="mardini-tiny",
    device="cpu",
)
WARNED = Warned(code="damaged-frames", message="2 frames are damaged")
FINISHED = Finished(
    output=Path("out/walk.x4.mp4"),
    frames=9,
    made=6,
    duration=Fraction(1, 8),
    elapsed=4.25,
    size=20480,
)
MEASURED = Measured(
    output=Path("out/report.md"), clips=2, windows=5, table="| method |", elapsed=4.0
)
TRAINED = Trained(output=Path("runs/mine/weights"), steps=120, elapsed=30.0)
DRAWN = Drawn(output=Path("out/walk.x4.preview.png"), what="preview")
JOINED = Joined(time=Fraction(1, 2), step=0.01, usual=0.02, colour=0.001, sharpness=0.97)
JOB: list[Event] = [
    PLANNED,
    WARNED,
    *(Progress(done=done, total=9, elapsed=done / 2) for done in range(1, 10)),
    FINISHED,
]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def screen(**settings: Any) -> Screen:
    return Screen(**{"out": io.StringIO(), "err": io.StringIO(), **settings})


def text(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_a_log_gets_plain_lines_and_a_pipe_gets_the_path_alone() -> None:
    job = [JOB[0], JOB[1], JOB[5], FINISHED]
    seen = screen()

    seen.follow(iter(job))

    assert text(seen.out) == "out/walk.x4.mp4\n"
    assert text(seen.err).splitlines() == [
        "interpolate: walk.mp4, 456x256, 3 given + 6 made = 9 frames in 1 window; "
        "mardini-tiny on cpu, steps 8, seed 0; to out/walk.x4.mp4",
        "mardini: warning: 2 frames are damaged",
        "4 of 9 frames, 2 s, about 2 s left",
        "made 6 of 9 frames, 0.12 s of video, 20 KiB, in 4.2 s",
    ]


def test_a_long_job_writes_at_most_eleven_progress_lines_to_a_log() -> None:
    ticks = [Progress(done=done, total=5000, elapsed=done) for done in range(1, 5001)]
    seen = screen()

    seen.follow(iter(ticks))

    lines = text(seen.err).splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("5000 of 5000 frames")


def test_the_time_left_goes_by_what_is_made_in_this_run() -> None:
    seen = screen()

    seen.follow(iter([Progress(done=60, total=100, elapsed=10, restored=40)]))

    assert text(seen.err) == "60 of 100 frames, 10 s, about 20 s left\n"


def test_work_that_goes_on_and_work_that_is_skipped_are_told() -> None:
    seen = screen()
    resumed = Resumed(folder=Path(".out.mardini"), kept=40, made=90, other=("device",))

    seen.follow(iter([resumed, Skipped(output=Path("out.mp4"))]))

    assert text(seen.out) == "out.mp4\n"
    assert text(seen.err) == (
        "goes on from earlier work: 40 of 90 made frames are there; they were made with another"
        " device\nout.mp4 is there already: skipped\n"
    )


def test_quiet_leaves_the_path_and_the_warnings() -> None:
    seen = screen(quiet=True)

    seen.follow(iter(JOB))

    assert text(seen.out) == "out/walk.x4.mp4\n"
    assert text(seen.err) == "mardini: warning: 2 frames are damaged\n"


def test_a_measurement_shows_its_table_to_eyes_and_its_report_to_pipes() -> None:
    seen = screen()

    seen.follow(iter([MEASURED]))

    assert text(seen.out) == "out/report.md\n"
    assert text(seen.err).startswith("| method |\n")


def test_pictures_to_look_at_are_results_and_joins_are_told_to_eyes() -> None:
    seen = screen()

    seen.follow(iter([JOINED, DRAWN]))

    assert text(seen.out) == "out/walk.x4.preview.png\n"
    assert text(seen.err) == (
        "join at 0.50 s: step 0.0100 (usual up to 0.0200), colour 0.0010, sharpness 0.97\n"
        "to look at: preview\n"
    )


def test_json_puts_one_object_a_line_on_standard_output_and_nothing_elsewhere() -> None:
    seen = screen(json=True)

    seen.follow(iter(JOB))

    told = [json.loads(line) for line in text(seen.out).splitlines()]
    assert [line["event"] for line in told] == [
        "planned",
        "warned",
        *["progress"] * 9,
        "finished",
    ]
    assert text(seen.err) == ""


def test_an_event_in_json_reads_whole() -> None:
    assert json.loads(as_json(PLANNED)) == {
        "event": "planned",
        "schema": 1,
        "source": "walk.mp4",
        "output": "out/walk.x4.mp4",
        "task": "interpolate",
        "given": 3,
        "made": 6,
        "windows": 1,
        "width": 456,
        "height": 256,
        "start": "0/1",
        "end": "1001/12000",
        "steps": 8,
        "seed": 0,
        "weights": "mardini-tiny",
        "device": "cpu",
        "cuts": 0,
        "held": 0,
        "drawing": "",
        "estimate": 0.0,
    }


SCHEMAS = {
    "planned": "cuts device drawing end estimate event given height held made output seed source "
    "start steps task weights width windows",
    "progress": "done elapsed event restored total unit",
    "resumed": "event folder kept made other",
    "window": "elapsed event times",
    "recorded": "address event output",
    "reproduced": "event output recorded same sha256",
    "skipped": "event output",
    "warned": "code event message",
    "finished": "address duration elapsed event frames made output size",
    "measured": "clips elapsed event output table windows",
    "benched": "calibration elapsed event report table written",
    "trained": "elapsed event output steps",
    "exported": "event output run size stage step",
    "paused": "elapsed event output stage step",
    "cached": "elapsed event output size stage steps",
    "priced": "device event expected_hours least_hours parameters preset processes rate stages",
    "located": "event kind name path preset revision size ways",
    "fetched": "elapsed event files name output revision size",
    "intact": "digest event name path size tensors",
    "removed": "event name path size",
    "pushed": "address dry_run event files name private revision size",
    "examined": "do event found name state",
    "drawn": "address event output what",
    "failed": "code do event found needed",
    "began": "attempt event items source task",
    "batched": "done elapsed event failed items outcomes skipped stopped",
    "joined": "colour event sharpness step time usual",
    "verified": "checks elapsed event frames output passed psnr source",
    "probed": "aspect bits chapters clock codec container cuts duration end even event frames "
    "height held interlaced longest matrix notices path pixel_format primaries range rate rotation "
    "shortest start streams times transfer transparent width",
}


def test_every_kind_of_event_has_a_schema() -> None:
    assert {kind.__name__.lower() for kind in get_args(Event)} == SCHEMAS.keys()


@pytest.mark.parametrize(
    "event",
    [PLANNED, JOB[2], WARNED, FINISHED, MEASURED, TRAINED, DRAWN, JOINED],
    ids=lambda e: type(e).__name__,
)
def test_a_line_of_json_has_the_keys_of_its_schema_and_plain_values(event: Event) -> None:
    told = json.loads(as_json(event))

    assert sorted(told) == sorted([*SCHEMAS[told["event"]].split(), "schema"])
    assert all(isinstance(value, str | int | float) for value in told.values())


VERIFIED = Verified(
    source=Path("walk.mp4"),
    output=Path("out/walk.x4.mp4"),
    passed=False,
    checks=(
        Check(name="frames", passed=True, found="9", needed="9"),
        Check(name="sound (stream 1)", passed=False, found="100 ms off", needed="0.02 ms"),
    ),
    frames=9,
    psnr=(41.5, None, 48.0),
    elapsed=1.5,
)


def test_what_was_verified_is_a_table_where_it_is_the_result_and_a_line_elsewhere() -> None:
    asked, beside = screen(), screen()

    asked.follow(iter([VERIFIED]), dry_run=True)
    beside.follow(iter([VERIFIED]))

    assert text(asked.out).splitlines() == [
        "ok    frames            9",
        "FAIL  sound (stream 1)  100 ms off; needs 0.02 ms",
        "verified 9 frames in 1.5 s: 1 of 2 checks failed",
    ]
    assert text(beside.out) == ""
    assert text(beside.err) == "verified 9 frames in 1.5 s: 1 of 2 checks failed\n"


def test_checks_in_json_are_objects_of_a_list() -> None:
    told = json.loads(as_json(VERIFIED))

    assert told["checks"][1] == {
        "name": "sound (stream 1)",
        "passed": False,
        "found": "100 ms off",
        "needed": "0.02 ms",
    }
    assert told["psnr"] == [41.5, None, 48.0]
    assert sorted(told) == sorted([*SCHEMAS["verified"].split(), "schema"])


PROBED = Probed(
    path=Path("walk.mkv"),
    container="matroska,webm",
    codec="h264",
    frames=240,
    start=Fraction(0),
    end=Fraction(1001, 100),
    duration=Fraction(1001, 100),
    rate=Fraction(24000, 1001),
    even=True,
    shortest=Fraction(1001, 24000),
    longest=Fraction(1001, 24000),
    clock=Fraction(1, 1000),
    width=720,
    height=1280,
    rotation=90,
    aspect=Fraction(4, 3),
    pixel_format="yuv420p10le",
    bits=10,
    transparent=False,
    interlaced=False,
    matrix="BT.2020",
    primaries="BT.2020",
    transfer="PQ",
    range="limited",
    cuts=(48, 100),
    held=3,
    streams=("audio: aac, eng, stream 1",),
    chapters=2,
    notices=("2 frames decode with errors",),
    times=(),
)


def test_what_a_clip_holds_is_told_in_lines() -> None:
    seen = screen()

    seen.follow(iter([PROBED]))

    assert text(seen.out).splitlines() == [
        "walk.mkv",
        "file      matroska,webm, h264",
        "frames    240, from 0.000 to 10.010 s (10.010 s)",
        "rate      24000/1001 = 23.976 frames a second, even",
        "clock     ticks of 1/1000 s",
        "picture   720 x 1280 upright, turned by 90 degrees, pixels 4:3",
        "pixels    yuv420p10le, 10 bits",
        "colour    matrix BT.2020, primaries BT.2020, transfer PQ, range limited",
        "cuts      2, at frames 48, 100",
        "held      3 frames repeat the one before",
        "streams   audio: aac, eng, stream 1",
        "chapters  2",
        "notice    2 frames decode with errors",
    ]
    assert sorted(json.loads(as_json(PROBED))) == sorted([*SCHEMAS["probed"].split(), "schema"])


def test_a_failure_in_json_tells_its_code_and_its_three_parts() -> None:
    seen = screen(json=True)

    seen.fail(TooFewFramesError("still.mp4 holds 1 frame", needed="2", do="use another clip"))

    assert json.loads(text(seen.out)) == {
        "event": "failed",
        "schema": 1,
        "code": "too-few-frames",
        "found": "still.mp4 holds 1 frame",
        "needed": "2",
        "do": "use another clip",
    }
    assert text(seen.err) == "mardini: still.mp4 holds 1 frame; needs 2; use another clip\n"


def test_a_failure_is_one_line_whatever_the_file_is_called() -> None:
    seen = screen()

    seen.fail(TooFewFramesError("a\nb\x1b[2J.mp4 holds 1 frame", needed="2", do="use another"))

    assert text(seen.out) == ""
    assert text(seen.err) == "mardini: a\\nb\\x1b[2J.mp4 holds 1 frame; needs 2; use another\n"


def test_a_path_goes_untouched_into_a_pipe_and_escaped_onto_a_terminal() -> None:
    result = dataclasses.replace(FINISHED, output=Path("a\x1b[31m\udcff.mp4"))
    pipe, terminal = screen(quiet=True), screen(quiet=True, out=Terminal())

    pipe.follow(iter([result]))
    terminal.follow(iter([result]))

    assert text(pipe.out) == "a\x1b[31m\udcff.mp4\n"
    assert text(terminal.out) == "a\\x1b[31m\\udcff.mp4\n"


def test_ordinary_names_of_any_language_are_shown_as_they_are() -> None:
    assert visible("Übung 東京 · naïve.mp4") == "Übung 東京 · naïve.mp4"
    assert visible("left\u202eright\u2028") == "left\\u202eright\\u2028"


def test_the_plan_is_the_result_of_a_dry_run_even_when_quiet() -> None:
    seen = screen(quiet=True)

    seen.follow(iter([PLANNED]), dry_run=True)

    assert text(seen.out).startswith("interpolate: walk.mp4")
    assert text(seen.err) == ""


def test_a_terminal_gets_a_bar_that_makes_room_for_lines_and_goes_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    seen = screen(err=Terminal())

    seen.follow(iter([*JOB[:6], WARNED, *JOB[6:]]))

    drawn = text(seen.err)
    assert "9/9" in drawn
    assert drawn.count("mardini: warning: 2 frames are damaged\n") == 2
    assert drawn.endswith("\x1b[2Kmade 6 of 9 frames, 0.12 s of video, 20 KiB, in 4.2 s\n")


def test_no_color_takes_the_colours_out_of_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured, plain = screen(err=Terminal()), screen(err=Terminal())

    coloured.follow(iter(JOB))
    monkeypatch.setenv("NO_COLOR", "1")
    plain.follow(iter(JOB))

    assert "\x1b[38;5;" in text(coloured.err)
    assert "\x1b[38;5;" not in text(plain.err)


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    seen = screen(err=Terminal())

    seen.follow(iter(JOB))

    assert "\x1b" not in text(seen.err)
    assert "9 of 9 frames" in text(seen.err)


def test_the_bar_is_gone_when_a_job_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    seen = screen(err=Terminal())

    def job() -> Iterator[Event]:
        yield JOB[3]
        raise TooFewFramesError("x", needed="y", do="z")

    with pytest.raises(TooFewFramesError):
        seen.follow(job())

    assert text(seen.err).endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # cursor shown, line wiped
