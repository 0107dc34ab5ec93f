"""A whole evaluation: clips and weights in, a folder of results out."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from mardini_cli import weights
from mardini_cli.config import SamplerConfig, nano
from mardini_cli.errors import (
    ConfigError,
    MadeFrameError,
    MissingFileError,
    OutputExistsError,
    UnwritableError,
    WeightsError,
)
from mardini_cli.evaluation.excerpts import Excerpt, excerpts_of
from mardini_cli.evaluation.measures import DRIFT
from mardini_cli.evaluation.ours import Maker
from mardini_cli.evaluation.protocols import CROP, PROTOCOLS
from mardini_cli.evaluation.request import EvaluateRequest
from mardini_cli.evaluation.run import evaluate
from mardini_cli.evaluation.score import score
from mardini_cli.events import Event, Measured, Progress, Warned
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import Maker as PipelineMaker
from mardini_cli.pipeline import MakeSettings
from mardini_cli.tasks.extend import extend

WriteClip = Callable[..., Path]
X8 = PROTOCOLS["x8"]


@pytest.fixture
def model() -> MarDini:
    """Untrained, but not silent: its last layers do something."""
    torch.manual_seed(0)
    made = MarDini(nano()).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)
    return made


@pytest.fixture
def found(write_clip: WriteClip) -> list[Excerpt]:
    path = write_clip("pan.mkv")
    read = excerpts_of(path, 0, CROP, path.parent)
    assert isinstance(read, list)
    return read


def run(**settings: Any) -> tuple[list[Event], dict[str, Any]]:
    plain: dict[str, Any] = {"model": "none", "device": "cpu", "sheets": False}
    request = EvaluateRequest(**plain | settings)
    events = list(evaluate(request))
    return events, json.loads((request.output / "results.json").read_text())


def test_the_truth_scores_perfectly_and_shuffled_frames_badly(found: list[Excerpt]) -> None:
    true = torch.stack([excerpt.frames[1:8] for excerpt in found])
    pixels = torch.randperm(256 * 256, generator=torch.Generator().manual_seed(0))
    shuffled = true.flatten(-2)[..., pixels].view_as(true)

    perfect = score(found, [0.0, 0.0], true, X8, "truth")
    bad = score(found, [0.0, 0.0], shuffled, X8, "shuffled")

    for one, other in zip(perfect, bad, strict=True):
        good, poor = one.figures, other.figures
        assert (good["psnr"], good["gmsd"]) == pytest.approx((100, 0), abs=1e-4)
        for name in ("ssim", "ms_ssim", "haarpsi", "motion", "warp"):
            assert good[name] == pytest.approx(1, abs=1e-4)
        assert good["sharpness"] == pytest.approx(1, abs=0.1)
        assert good["flicker"] < 0.1
        assert (good["frozen"], good["blank"], good["exploding"]) == (0, 0, 0)
        assert poor["psnr"] < 20
        assert poor["ssim"] < 0.3
        assert poor["ms_ssim"] < 0.6
        assert poor["gmsd"] > 0.1
        assert poor["haarpsi"] < 0.5
        assert poor["sharpness"] > 3
        assert poor["exploding"] == 1


def test_frames_in_the_wrong_order_are_found_out(found: list[Excerpt]) -> None:
    backwards = found[1].frames[1:8].flip(0)[None]

    line = score(found[1:], [0.0], backwards, X8, "backwards")[0]

    assert line.figures["psnr"] < 30
    assert line.figures["motion"] > 1.2


def test_made_frames_depend_on_seed_and_window_and_not_on_the_batch(
    model: MarDini, found: list[Excerpt]
) -> None:
    maker = Maker(model=model, device=torch.device("cpu"), dtype=torch.float32, seed=3)

    together = maker.make(found, X8, (0, 2))
    alone = maker.make(found[1:], X8, (2,))
    again = Maker(model=model, device=torch.device("cpu"), dtype=torch.float32, seed=4).make(
        found[1:], X8, (0, 2)
    )

    assert together["ours-2"].shape == (2, 7, 3, 256, 256)
    torch.testing.assert_close(together["ours-2"][1:], alone["ours-2"], rtol=0, atol=1e-4)
    torch.testing.assert_close(together["ours-0"][1:], again["ours-0"], rtol=0, atol=1e-4)
    assert (alone["ours-2"] - again["ours-2"]).abs().max() > 1e-3


def test_a_broken_model_is_named(model: MarDini, found: list[Excerpt]) -> None:
    with torch.no_grad():
        for parameter in model.autoencoder.parameters():
            parameter.fill_(float("nan"))
    maker = Maker(model=model, device=torch.device("cpu"), dtype=torch.float32, seed=0)

    with pytest.raises(MadeFrameError, match="NaN or infinity in made frames of ours-0"):
        maker.make(found, X8, (0,))


def test_a_run_measures_every_method_on_every_window(
    write_clip: WriteClip, model: MarDini, tmp_path: Path
) -> None:
    write_clip("pan.mkv")
    weights.save(model, tmp_path / "nano")

    events, told = run(
        folder=tmp_path,
        output=tmp_path / "out",
        model=str(tmp_path / "nano"),
        steps=(0, 1),
        protocols=("x8", "extend"),
        baselines=("repeat", "blend", "dis", "constant-velocity"),
    )

    methods = {
        "x8": ["repeat", "blend", "dis", "ours-0", "ours-1", "ceiling"],
        "extend": ["repeat", "constant-velocity", "ours-0", "ours-1", "ceiling"],
    }
    expected = {
        (protocol, method, stride)
        for protocol, names in methods.items()
        for method in names
        for stride in (1, 2)
    }
    assert {(r["protocol"], r["method"], r["stride"]) for r in told["rows"]} == expected
    assert len(told["rows"]) == len(expected)
    progress = [event for event in events if isinstance(event, Progress)]
    assert [p.done for p in progress] == sorted(p.done for p in progress)
    assert progress[-1].done == progress[-1].total == 100
    last = events[-1]
    assert isinstance(last, Measured)
    assert (last.clips, last.windows) == (1, 2)
    assert "| ours, 1 step |" in last.table


def test_the_report_holds_pictures_and_films_and_loads_nothing(
    write_clip: WriteClip, model: MarDini, tmp_path: Path
) -> None:
    write_clip("pan.mkv", frames=12)
    weights.save(model, tmp_path / "nano")

    _, told = run(
        folder=tmp_path,
        output=tmp_path / "out",
        model=str(tmp_path / "nano"),
        protocols=("x2",),
        baselines=("repeat",),
        ceiling=False,
        sheets=True,
    )

    page = (tmp_path / "out/report.html").read_text()
    shown = len(told["sheets"])
    assert shown == 4  # the one window is the best, the worst, the median and the hardest
    assert page.count("data:image/jpeg;base64,") == page.count("data:video/webm;base64,") == shown
    assert page.count("<table>") == 1 + 1 + 1 + 1  # all, its third, differences, by window
    assert "://" not in page
    for file in told["sheets"].values():
        assert (tmp_path / "out" / file).stat().st_size > 10_000


def test_the_same_run_gives_the_same_figures(
    write_clip: WriteClip, model: MarDini, tmp_path: Path
) -> None:
    write_clip("pan.mkv", frames=12)
    weights.save(model, tmp_path / "nano")
    settings = {
        "folder": tmp_path,
        "model": str(tmp_path / "nano"),
        "steps": (1,),
        "protocols": ("x4",),
        "baselines": ("dis",),
    }

    _, first = run(**settings, output=tmp_path / "a")
    _, second = run(**settings, output=tmp_path / "b")

    assert first["rows"] == second["rows"]
    assert first["means"] == second["means"]


def test_a_clip_that_cannot_serve_is_told_and_counted(
    write_clip: WriteClip, tmp_path: Path
) -> None:
    write_clip("pan.mkv", frames=12)
    (tmp_path / "broken.mp4").write_bytes(b"no film")

    events, told = run(folder=tmp_path, output=tmp_path / "out", baselines=("repeat",))

    warned = [event for event in events if isinstance(event, Warned)]
    assert len(warned) == len(told["skipped"]) == 1
    assert "broken.mp4" in warned[0].message
    assert {r["clip"] for r in told["rows"]} == {"pan.mkv"}


def test_a_folder_in_which_no_clip_serves_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no film")

    with pytest.raises(MissingFileError, match="none of 1 clips"):
        run(folder=tmp_path, output=tmp_path / "out")


def test_results_are_not_replaced_unless_asked(write_clip: WriteClip, tmp_path: Path) -> None:
    write_clip("pan.mkv", frames=12)
    settings = {"folder": tmp_path, "output": tmp_path / "out", "baselines": ("repeat",)}
    run(**settings, protocols=("x8",))

    with pytest.raises(OutputExistsError, match="out holds results"):
        run(**settings, protocols=("x4",))
    _, told = run(**settings, protocols=("x4",), overwrite=True)

    assert {r["protocol"] for r in told["rows"]} == {"x4"}
    assert not list((tmp_path / "out").glob(".*"))


def test_an_output_that_is_a_file_is_refused_before_the_work(
    write_clip: WriteClip, tmp_path: Path
) -> None:
    write_clip("pan.mkv", frames=12)
    (tmp_path / "out").write_text("mine")

    with pytest.raises(UnwritableError, match="out cannot be written"):
        run(folder=tmp_path, output=tmp_path / "out")

    assert (tmp_path / "out").read_text() == "mine"


def test_missing_weights_are_an_error_and_not_a_zero(write_clip: WriteClip, tmp_path: Path) -> None:
    write_clip("pan.mkv", frames=12)

    with pytest.raises(WeightsError, match="nowhere"):
        run(folder=tmp_path, output=tmp_path / "out", model=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocols": ("x3",)}, "unknown protocol 'x3'"),
        ({"baselines": ("rife",)}, "unknown baseline 'rife'"),
        ({"steps": (-1,)}, "steps = -1"),
        ({"limit": 0}, "limit = 0"),
        ({"model": "none", "baselines": ()}, "nothing to measure"),
        ({"protocols": ()}, "nothing to measure"),
    ],
)
def test_wrong_words_are_refused_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluateRequest(folder=Path(), **settings)


def interrupted(request: EvaluateRequest, after: int) -> None:
    """Start a run, and leave it after so many words from it."""
    running = evaluate(request)
    for _ in range(after):
        next(running)
    running.close()


def test_an_interrupted_run_goes_on_and_ends_as_if_nothing_had_been(
    write_clip: WriteClip, model: MarDini, tmp_path: Path
) -> None:
    for name in ("a.mkv", "b.mkv"):
        write_clip(name, frames=12, speed=len(name))
    weights.save(model, tmp_path / "nano")
    settings: dict[str, Any] = {
        "folder": tmp_path,
        "model": str(tmp_path / "nano"),
        "steps": (1,),
        "protocols": ("x4",),
        "baselines": ("repeat", "blend"),
    }
    _, whole = run(**settings, output=tmp_path / "whole")
    request = EvaluateRequest(device="cpu", sheets=False, output=tmp_path / "cut", **settings)

    interrupted(request, after=4)
    ledger = tmp_path / "cut/rows.jsonl"
    written = len(ledger.read_text().splitlines())
    ledger.write_text(ledger.read_text() + '{"key": "torn')
    _, again = run(**settings, output=tmp_path / "cut")

    assert 3 <= written < len(whole["rows"])
    assert again["reused"] == written
    assert again["rows"] == whole["rows"]
    assert again["means"] == whole["means"]


def test_rows_of_an_earlier_run_are_reused_where_nothing_that_decides_them_changed(
    write_clip: WriteClip, model: MarDini, tmp_path: Path
) -> None:
    write_clip("pan.mkv", frames=12)
    weights.save(model, tmp_path / "nano")
    settings: dict[str, Any] = {
        "folder": tmp_path,
        "model": str(tmp_path / "nano"),
        "steps": (1,),
        "protocols": ("x4",),
        "baselines": ("blend",),
        "ceiling": False,
    }
    run(**settings, output=tmp_path / "first")

    _, same = run(**settings, output=tmp_path / "same", reuse=(tmp_path / "first",))
    _, other = run(**settings, output=tmp_path / "other", reuse=(tmp_path / "first",), seed=1)

    assert (same["reused"], other["reused"]) == (2, 1)
    with pytest.raises(MissingFileError, match="nowhere holds no rows"):
        run(**settings, output=tmp_path / "x", reuse=(tmp_path / "nowhere",))


def test_differences_are_told_to_every_other_line(write_clip: WriteClip, tmp_path: Path) -> None:
    write_clip("pan.mkv", frames=12)

    _, told = run(folder=tmp_path, output=tmp_path / "out", baselines=("repeat", "blend", "dis"))

    line = next(m for m in told["means"] if (m["method"], m["third"]) == ("dis", "all"))
    assert list(line["over"]) == ["repeat", "blend"]
    assert line["over"]["blend"]["psnr"]["low"] > 0


def test_what_is_not_measured_is_said_and_never_zero(write_clip: WriteClip, tmp_path: Path) -> None:
    write_clip("pan.mkv", frames=12)

    _, told = run(folder=tmp_path, output=tmp_path / "out", baselines=("repeat",))

    assert list(told["not_measured"]) == ["LPIPS", "FID", "FVD"]
    table = (tmp_path / "out/table.md").read_text()
    assert all(f"Not measured: {name}: " in table for name in told["not_measured"])
    assert not {"lpips", "fid", "fvd"} & set(told["rows"][0])


def test_a_benchmark_without_its_data_set_is_measured_and_said_to_be_another(
    write_clip: WriteClip, tmp_path: Path
) -> None:
    write_clip("pan.mkv", frames=20)

    events, told = run(
        folder=tmp_path, output=tmp_path / "out", protocols=("davis-7",), baselines=("blend",)
    )

    warned = [event.message for event in events if isinstance(event, Warned)]
    assert warned == [
        "davis: 2 windows where the benchmark's data set gives 357;"
        " the figures are not those of the benchmark"
    ]
    assert [row["start"] for row in told["rows"]] == [0, 9]
    assert {"psnr_middle", "ssim_middle"} <= set(told["rows"][0])


def test_the_ceiling_tells_the_decoder_the_truth(model: MarDini, found: list[Excerpt]) -> None:
    maker = Maker(model=model, device=torch.device("cpu"), dtype=torch.float32, seed=0)

    made = maker.make(found, X8, (), ceiling=True)
    swapped = [replace(e, frames=e.frames[[0, 2, 1, *range(3, 9)]]) for e in found]
    other = maker.make(swapped, X8, (), ceiling=True)

    assert list(made) == ["ceiling"]
    assert (made["ceiling"][:, 0] - other["ceiling"][:, 0]).abs().max() > 1e-5
    torch.testing.assert_close(made["ceiling"][:, 2:], other["ceiling"][:, 2:])


def test_still_pixels_are_held_as_in_every_command(model: MarDini, found: list[Excerpt]) -> None:
    maker = Maker(model=model, device=torch.device("cpu"), dtype=torch.float32, seed=0)
    still = [replace(e, frames=e.frames[[*range(8), 0]]) for e in found]

    made = maker.make(still, X8, (0,))["ours-0"]

    for row, one in zip(made, still, strict=True):
        torch.testing.assert_close(row, one.frames[:1].expand(7, -1, -1, -1))


def test_drift_is_measured_of_what_extend_makes(model: MarDini, write_clip: WriteClip) -> None:
    drift = replace(PROTOCOLS["drift"], cut=replace(PROTOCOLS["drift"].cut, slots=18))
    path = write_clip("pan.mkv", frames=20)
    read = excerpts_of(path, 0, drift.cut, path.parent)
    assert isinstance(read, list)
    (excerpt,) = read
    maker = Maker(model=model, device=torch.device("cpu"), dtype=torch.float32, seed=0)

    made = maker.make(read, drift, (0,))
    (row,) = score(read, [0.0], made["ours-0"], drift, "ours-0")

    settings = MakeSettings(sampler=SamplerConfig(steps=0), match=True, strict=False)
    make = PipelineMaker(model, settings)
    times = [Fraction(0), Fraction(1)]
    pictures = {n: excerpt.frames[n].permute(1, 2, 0).numpy() for n in (0, 1)}
    for window in extend(times, Fraction(2), model.config.window, after=16).windows:
        given = [pictures[slot.index] for slot in window.given]
        pictures |= {slot.index: picture for slot, picture in make([window], [given])}
    wanted = torch.stack([torch.from_numpy(pictures[n]).permute(2, 0, 1) for n in drift.made])
    torch.testing.assert_close(made["ours-0"][0], wanted, rtol=0, atol=1e-4)
    assert {f"{name}@{last}" for name in DRIFT for last in (8, 16)} <= set(row.figures)


def test_a_drift_table_tells_every_stretch(write_clip: WriteClip, tmp_path: Path) -> None:
    write_clip("pan.mkv", frames=52, speed=1)

    _, told = run(
        folder=tmp_path, output=tmp_path / "out", protocols=("drift",), baselines=("repeat",),
        sheets=True,
    )  # fmt: skip

    table = (tmp_path / "out/table.md").read_text()
    assert "| frames away | 1-8 | 9-16 | 17-24 | 25-32 | 33-40 | 41-48 |" in table
    assert "41-48" in (tmp_path / "out/report.html").read_text()
    line = next(m for m in told["means"] if m["third"] == "all")
    assert line["drift"]["motion@48"]["value"] == 0
    assert list((tmp_path / "out/sheets").glob("drift-*.jpg"))
