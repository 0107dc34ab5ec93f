"""A request in, events out: what is told, what is written, and what is refused."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from mardini_cli import api
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import ConfigError, EncoderError, FactorError
from mardini_cli.events import Finished, Planned, Progress, Verified, Warned, Window
from tests.pipeline.clips import even_times, read_back, write_clip


@pytest.fixture
def request_for_nano(nano: str, tmp_path: Path) -> api.InterpolateRequest:
    """A clip of four frames, in Matroska."""
    clip = write_clip(tmp_path / "walk.mkv", even_times(4))
    return api.InterpolateRequest(clip=clip, model=nano, device="cpu", dtype="fp32")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_events_tell_the_plan_the_progress_and_the_result(
    request_for_nano: api.InterpolateRequest, nano: str, tmp_path: Path
) -> None:
    request = replace(request_for_nano, factor=3, sampler=SamplerConfig(steps=1, seed=5))

    planned, *progress, verified, finished = list(api.interpolate(request))

    output = tmp_path / "walk.x3.mkv"
    assert planned == Planned(
        source=tmp_path / "walk.mkv",
        output=output,
        task="interpolate",
        given=4,
        made=6,
        windows=2,
        width=64,
        height=48,
        start=Fraction(0),
        end=Fraction(3, 25),
        steps=1,
        seed=5,
        weights=nano,
        device="cpu",
    )
    assert progress
    assert all(isinstance(event, Progress | Window) for event in progress)
    assert isinstance(verified, Verified)
    assert isinstance(finished, Finished)
    assert finished == Finished(
        output=output,
        frames=10,
        made=6,
        duration=Fraction(4, 25),
        elapsed=finished.elapsed,
        size=output.stat().st_size,
    )
    assert len(read_back(output)) == 10


def test_a_dry_run_plans_and_writes_nothing(
    request_for_nano: api.InterpolateRequest, tmp_path: Path
) -> None:
    (event,) = api.interpolate(replace(request_for_nano, dry_run=True))

    assert isinstance(event, Planned)
    assert names(tmp_path) == ["walk.mkv"]


def test_what_the_result_lacks_is_told_before_it_is_made(
    request_for_nano: api.InterpolateRequest, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "deep.mkv", even_times(3), pixel_format="yuv420p10le")
    request = replace(request_for_nano, clip=clip, output=tmp_path / "a.webm", codec="vp9")

    events = list(api.interpolate(request))

    told = "10-bit pictures are written with 8 bits"
    assert events[1] == Warned(code="output", message=told)


@pytest.mark.parametrize(
    ("clip", "output", "expected"),
    [
        ("walk.mkv", None, "walk.x2.mkv"),
        ("Walk.2.MKV", None, "Walk.2.x2.mkv"),
        ("walk.avi", None, "walk.x2.mp4"),
        ("walk.mkv", "there", "there/walk.x2.mkv"),
        ("walk.mkv", "there/other.mp4", "there/other.mp4"),
    ],
)
def test_the_result_has_a_name_beside_the_clip_or_as_asked(
    clip: str,
    output: str | None,
    expected: str,
    request_for_nano: api.InterpolateRequest,
    tmp_path: Path,
) -> None:
    (tmp_path / "there").mkdir()
    source = write_clip(tmp_path / clip, even_times(3), base=Fraction(1, 25))
    request = replace(
        request_for_nano, clip=source, output=tmp_path / output if output else None, dry_run=True
    )

    (planned,) = api.interpolate(request)

    assert isinstance(planned, Planned)
    assert planned.output == tmp_path / expected


def test_a_film_rate_is_kept_exactly_in_mp4(
    request_for_nano: api.InterpolateRequest, tmp_path: Path
) -> None:
    times = even_times(4, Fraction(24_000, 1001))
    clip = write_clip(tmp_path / "film.mp4", times, codec="libx264", base=Fraction(1, 24_000))

    *_, finished = api.interpolate(replace(request_for_nano, clip=clip, factor=4))

    assert isinstance(finished, Finished)
    assert finished.duration == Fraction(4 * 1001, 24_000)
    assert [time for time, _ in read_back(tmp_path / "film.x4.mp4")] == [
        Fraction(n * 1001, 96_000) for n in range(13)
    ]


def test_closing_the_events_leaves_no_file(
    request_for_nano: api.InterpolateRequest, tmp_path: Path
) -> None:
    events = api.interpolate(request_for_nano)
    assert isinstance(next(events), Planned)
    assert isinstance(next(events), Window)

    events.close()

    assert names(tmp_path) == ["walk.mkv"]


def test_an_output_that_stands_there_is_replaced_only_when_asked(
    request_for_nano: api.InterpolateRequest, tmp_path: Path
) -> None:
    output = tmp_path / "walk.x2.mkv"
    output.write_bytes(b"precious")

    *_, finished = api.interpolate(replace(request_for_nano, overwrite=True))

    assert isinstance(finished, Finished)
    assert len(read_back(output)) == 7


def test_a_container_whose_clock_cannot_tell_the_frames_apart_is_refused_before_the_work(
    request_for_nano: api.InterpolateRequest, tmp_path: Path
) -> None:
    with pytest.raises(EncoderError) as caught:
        list(api.interpolate(replace(request_for_nano, factor=64)))

    assert str(caught.value) == (
        f"{tmp_path}/walk.x64.mkv: frames 0.625 ms apart; "
        "needs at least 1 ms between frames in this container; "
        "try -o walk.x64.mp4, or a smaller --factor"
    )
    assert names(tmp_path) == ["walk.mkv"]


@pytest.mark.parametrize("factor", [1, 0, -4, 65])
def test_a_factor_out_of_range_is_refused_with_the_request(factor: int) -> None:
    with pytest.raises(FactorError):
        api.InterpolateRequest(clip=Path("walk.mp4"), factor=factor)


def test_settings_out_of_range_are_refused_with_the_request() -> None:
    with pytest.raises(ConfigError) as kernels:
        api.InterpolateRequest(clip=Path("walk.mp4"), attention="flash")
    with pytest.raises(ConfigError) as size:
        api.InterpolateRequest(clip=Path("walk.mp4"), resolution=8)

    assert str(kernels.value) == (
        "unknown attention 'flash'; needs one of auto, xformers, sdpa; choose one"
    )
    assert str(size.value) == (
        "resolution 8; needs a short side of at least 32 pixels; "
        "leave it out to let the model choose"
    )


def test_the_names_that_are_promised_are_there() -> None:
    commands = {"animate", "extend", "fill", "interpolate", "keyframes"}

    assert commands | {"train"} <= set(api.__all__)
    assert {f"{name.title()}Request" for name in commands} <= set(api.__all__)
    assert all(hasattr(api, name) for name in api.__all__)


def test_importing_the_api_loads_nothing_slow() -> None:
    asks = (
        "import sys, mardini_cli.api;"
        "print(sorted({'torch', 'av', 'numpy', 'cv2'} & set(sys.modules)))"
    )

    answer = subprocess.run(
        [sys.executable, "-c", asks], capture_output=True, text=True, check=True
    )

    assert answer.stdout == "[]\n"
