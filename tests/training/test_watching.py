"""A run that is watched: its journal, its sheets, its page."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mardini_cli.errors import ConfigError
from mardini_cli.training import curves, journal, loop, views
from mardini_cli.training.pace import Pace
from mardini_cli.training.reading import read_config
from tests.training.runs import model, run, settings, stage


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three stages with everything switched on."""
    folder = tmp_path_factory.mktemp("watched")
    stages = (stage("guided", steps=4), stage("planner", steps=2), stage("joint", steps=2))
    run(settings(folder, *stages, sheets=2, tensorboard=True))
    return folder / "run"


def test_every_row_has_its_stage_and_step_and_is_of_one_kind(watched: Path) -> None:
    rows = journal.read(watched)

    found = [(row["stage"], row["step"], journal.kind_of(row)) for row in rows]
    assert sorted(found) == sorted(
        [
            *(("guided", 2, "views"), ("guided", 4, "views")),
            *(("guided", 4, "losses"), ("guided", 4, "held"), ("guided", 4, "end")),
            *(("planner", 2, "losses"), ("planner", 2, "held"), ("planner", 2, "end")),
            *(("joint", 2, "views"), ("joint", 2, "losses"), ("joint", 2, "held")),
            ("joint", 2, "end"),
        ]
    )


def test_the_end_of_a_stage_tells_what_it_cost(watched: Path) -> None:
    ends = [row for row in journal.read(watched) if journal.kind_of(row) == "end"]

    assert [(row["stage"], row["windows"], row["processes"]) for row in ends] == [
        ("guided", 8, 1), ("planner", 4, 1), ("joint", 4, 1),
    ]  # fmt: skip
    assert all(row["took"] > 0 and row["device"] == "CPU" for row in ends)


def test_sheets_lie_where_something_can_be_seen(watched: Path) -> None:
    sheets = sorted(path.name for path in (watched / views.FOLDER).iterdir())

    assert sheets == ["guided-000002.jpg", "guided-000004.jpg", "joint-000002.jpg"]
    with Image.open(watched / views.FOLDER / sheets[0]) as sheet:
        assert sheet.size[0] > 9 * 64  # nine slots
        assert sheet.size[1] > 3 * 4 * 64  # of three windows the truth and three views


def test_tensorboard_reads_the_same_figures(watched: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    scalars: dict[str, dict[int, float]] = {}
    pictures = set()
    for record in _records(next((watched / journal.BOARD).iterdir())):
        event = Event.FromString(record)
        for value in event.summary.value:
            if value.HasField("image"):
                pictures.add((value.tag, event.step))
            else:
                scalars.setdefault(value.tag, {})[event.step] = value.simple_value

    losses = [row for row in journal.read(watched) if journal.kind_of(row) == "losses"]
    for row in losses:
        assert scalars[f"{row['stage']}/total"][row["step"]] == pytest.approx(row["total"])
    assert {"guided/average_psnr", "guided/extend_ssim", "joint/raw_loss_ends"} <= scalars.keys()
    assert pictures == {("guided/sheet", 2), ("guided/sheet", 4), ("joint/sheet", 2)}


def _records(path: Path) -> Iterator[bytes]:
    """The records of a TensorBoard file: length, its sum, content, its sum."""
    content = path.read_bytes()
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "little")
        yield content[at + 12 : at + 12 + size]
        at += 16 + size


def test_without_its_writer_tensorboard_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)

    with pytest.raises(ConfigError, match="tensorboard = true without its writer"):
        loop.Run(settings(tmp_path, stage("denoiser"), tensorboard=True))


def test_watching_changes_nothing_of_what_is_learnt(tmp_path: Path, watched: Path) -> None:
    stages = (stage("guided", steps=4), stage("planner", steps=2), stage("joint", steps=2))
    data = (str(watched.parent / "data"),)
    run(settings(tmp_path, *stages, sheets=0, data=data, out=str(tmp_path / "run")))

    plain, seen = (folder / "checkpoint.safetensors" for folder in (tmp_path / "run", watched))
    assert plain.read_bytes() == seen.read_bytes()
    assert not (tmp_path / "run" / views.FOLDER).exists()


class _Page(HTMLParser):
    """What a page loads, and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.charts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.charts += tag == "svg"
        if src := told.get("src"):
            self.loaded.append(src[:22])
        if href := told.get("href"):
            self.links.append(href)

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_settings_beside_the_page_are_those_of_the_run(watched: Path) -> None:
    found = read_config(watched / "train.toml")

    assert found.stages[0] == stage("guided", steps=4)
    assert (found.preset, found.sheets, found.tensorboard) == ("nano", 2, True)
    assert "mardini train " in (watched / "report.html").read_text()


def test_the_page_holds_curves_sheets_and_cost_and_loads_nothing(watched: Path) -> None:
    page = _Page()
    page.feed((watched / "report.html").read_text())

    assert page.loaded == ["data:image/jpeg;base64"] * 3
    assert sorted(page.links) == sorted(
        path.relative_to(watched).as_posix() for path in (watched / views.FOLDER).iterdir()
    )
    assert page.charts > 15
    for words in ("Training: run", "device hours", "guided (guided)", "held out by task: psnr"):
        assert words in page.words


def test_the_later_word_on_a_step_counts_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    rows = [
        {"stage": "a", "step": 50, "total": 1.0},
        {"stage": "a", "step": 50, "raw_loss": 2.0},
        {"stage": "a", "step": 50, "total": 3.0},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"stage": "a", "st'
    (tmp_path / journal.NAME).write_text(text)

    assert journal.read(tmp_path) == [rows[2], rows[1]]
    assert journal.read(tmp_path / "nowhere") == []


def test_a_perfect_model_scores_perfectly_on_the_fixed_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = torch.rand(2, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    viewer = views.Viewer(windows, seed=0)
    view = {view.name: view for view in views.VIEWS}
    monkeypatch.setattr(
        viewer, "_made", lambda _m, _k, view: windows[:, viewer._mask(view)].clone()
    )

    looked = viewer.look(model(), "joint", tmp_path / "sheets" / "a.jpg")

    assert looked is not None
    assert looked.figures == {
        f"{name}_{key}": best for name in view for key, best in (("psnr", 100.0), ("ssim", 1.0))
    }


def test_given_frames_on_a_sheet_are_the_true_ones(tmp_path: Path) -> None:
    windows = torch.zeros(1, 9, 3, 64, 64)
    windows[:, ::2] = 1.0  # black and white by turns: whatever is made lies between
    viewer = views.Viewer(windows, seed=0)

    looked = viewer.look(model(), "guided", tmp_path / "sheets" / "a.jpg")

    assert looked is not None
    side = 64 + 2 * 4
    for row, given_slots in enumerate([range(9), (0, 8), (0, 1), (0,)]):
        for slot in given_slots:
            cell = looked.sheet[row * side + 4 : (row + 1) * side - 4, slot * side + 4 :][:, :64]
            assert np.array_equal(cell, np.full_like(cell, 255 * (slot % 2 == 0)))


@pytest.mark.parametrize("kind", ["vae", "denoiser", "sharp", "joint"])
def test_every_kind_that_paints_is_shown(kind: str, tmp_path: Path) -> None:
    windows = torch.rand(1, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    preset = "nano-vae" if kind == "vae" else "nano"
    net = model(preset)
    before = {name: value.clone() for name, value in net.state_dict().items()}

    looked = views.Viewer(windows, seed=0).look(net, stage(kind).kind, tmp_path / "s" / "a.jpg")

    assert looked is not None
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert len(looked.figures) == (2 if kind == "vae" else 6)


@given(low=st.floats(-1e6, 1e6), room=st.floats(1e-6, 1e6))
def test_ticks_are_few_rising_and_inside(low: float, room: float) -> None:
    high = low + room
    if not high > low:
        return

    found = curves.ticks(low, high)

    assert 1 <= len(found) <= 9
    assert all(low <= tick <= high for tick in found)
    assert all(b > a for a, b in pairwise(found))


def test_a_chart_leaves_out_what_is_no_number_and_is_empty_of_nothing() -> None:
    drawn = curves.chart("loss <b>", {"a": [(1, 2.0), (2, float("nan")), (3, 1.0)], "b": []})

    assert drawn.count("<polyline") == 1
    assert "nan" not in drawn
    assert "loss &lt;b&gt;" in drawn
    assert curves.chart("nothing", {"a": [(1, float("inf"))]}) == ""


def test_minutes_are_foreseen_in_steps() -> None:
    stages = (stage("guided", steps=100), stage("joint", steps=10**6, minutes=2.0))
    pace = Pace(stages)

    begun = pace.at(stages[0], 50, 0.5, 25.0)
    over = pace.at(stages[0], 100, 1.0, 50.0)
    half = pace.at(stages[1], 30, 0.5, 60.0)
    ended = pace.at(stages[1], 61, 1.0, 121.0)

    assert begun == (50, 100 + 240)  # two steps a second for two minutes
    assert over == (100, 340)
    assert half == (130, 160)
    assert ended == (161, 161)
