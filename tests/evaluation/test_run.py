"""A whole evaluation: clips and weights in, a folder of results out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mardini_cli import weights
from mardini_cli.config import nano
from mardini_cli.errors import (
    ConfigError,
    MadeFrameError,
    MissingFileError,
    OutputExistsError,
    UnwritableError,
    WeightsError,
)
from mardini_cli.evaluation.excerpts import Excerpt, excerpts_of
from mardini_cli.evaluation.ours import Maker
from mardini_cli.evaluation.protocols import PROTOCOLS
from mardini_cli.evaluation.request import EvaluateRequest
from mardini_cli.evaluation.run import evaluate
from mardini_cli.evaluation.score import score
from mardini_cli.events import Event, Measured, Progress, Warned
from mardini_cli.model.mardini import MarDini

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
    read = excerpts_of(write_clip("pan.mkv"), 0)
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

    for good, poor in zip(perfect, bad, strict=True):
        assert (good.psnr, good.gmsd) == pytest.approx((100, 0), abs=1e-4)
        assert (good.ssim, good.haarpsi, good.motion) == pytest.approx((1, 1, 1), abs=1e-4)
        assert good.sharpness == pytest.approx(1, abs=0.1)
        assert good.flicker < 0.1
        assert poor.psnr < 20
        assert poor.ssim < 0.3
        assert poor.gmsd > 0.1
        assert poor.haarpsi < 0.5
        assert poor.sharpness > 3


def test_frames_in_the_wrong_order_are_found_out(found: list[Excerpt]) -> None:
    backwards = found[1].frames[1:8].flip(0)[None]

    line = score(found[1:], [0.0], backwards, X8, "backwards")[0]

    assert line.psnr < 30
    assert line.motion > 1.2


def test_made_frames_depend_on_seed_and_window_and_not_on_the_batch(
    model: MarDini, found: list[Excerpt]
) -> None:
    maker = Maker(model=model, device=torch.device("cpu"), dtype=torch.float32, seed=3)

    together = maker.make(found, X8, (0, 2))
    alone = maker.make(found[1:], X8, (2,))
    again = Maker(model=model, device=torch.device("cpu"), dtype=torch.float32, seed=4).make(
        found[1:], X8, (0, 2)
    )

    assert together[2].shape == (2, 7, 3, 256, 256)
    torch.testing.assert_close(together[2][1:], alone[2], rtol=0, atol=1e-4)
    torch.testing.assert_close(together[0][1:], again[0], rtol=0, atol=1e-4)
    assert (alone[2] - again[2]).abs().max() > 1e-3


def test_a_broken_model_is_named(model: MarDini, found: list[Excerpt]) -> None:
    with torch.no_grad():
        for parameter in model.autoencoder.parameters():
            parameter.fill_(float("nan"))
    maker = Maker(model=model, device=torch.device("cpu"), dtype=torch.float32, seed=0)

    with pytest.raises(MadeFrameError, match="NaN or infinity in made frames at 0 steps"):
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
        sheets=True,
    )

    methods = {
        "x8": ["repeat", "blend", "dis", "ours-0", "ours-1"],
        "extend": ["repeat", "constant-velocity", "ours-0", "ours-1"],
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
    assert progress[-1].done == progress[-1].total == 2 * 7 * 9
    page = (tmp_path / "out/report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == len(told["sheets"]) == 8
    assert page.count("<table>") == 2 * 3  # two windows: all, and a third for each
    assert "://" not in page
    for file in told["sheets"].values():
        assert (tmp_path / "out" / file).stat().st_size > 10_000
    last = events[-1]
    assert isinstance(last, Measured)
    assert (last.clips, last.windows) == (1, 2)
    assert "| ours, 1 step |" in last.table


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
