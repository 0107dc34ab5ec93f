"""Weights to share, made of a run: averaged, in the Hub's form, with a card to be finished."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mardini_cli import weights
from mardini_cli.errors import MardiniError, MissingFileError, OutputExistsError
from mardini_cli.training import checkpoint, journal
from mardini_cli.training.export import ExportRequest, export
from mardini_cli.training.movers import Averaged
from mardini_cli.weights.layout import check_files, read_card
from tests.training.runs import CPU, run, run_until_save, saved, settings, stage

STAGES = (
    stage("denoiser", rate=1e-2),
    stage("sharp", rate=1e-2, lora=2, critic=True),
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to its end."""
    folder = tmp_path_factory.mktemp("ended")
    run(settings(folder, *STAGES, sheets=0))
    return folder / "run"


def exported(run: Path, **changes: object) -> Path:
    asked = ExportRequest(run=run, storage="fp32", output=run.parent / "shared")
    return export(replace(asked, **changes)).output  # type: ignore[arg-type]  # fields by name


def test_an_ended_run_gives_its_last_weights_in_full(ended: Path, tmp_path: Path) -> None:
    folder = exported(ended, output=tmp_path / "mine")

    kept = checkpoint.part_of(saved(str(ended)), "model")
    found = weights.load(folder, CPU, torch.float32).state_dict()
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[name], value) for name, value in kept.items())
    assert check_files(folder) > 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


@pytest.mark.parametrize("saves", [1, 3])
def test_a_stopped_run_gives_the_average_of_its_checkpoint(
    saves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path, *STAGES, sheets=0)
    run_until_save(config, saves, monkeypatch)
    averages: list[list[torch.Tensor]] = []
    swap = Averaged.swap

    def watched(self: Averaged) -> None:
        averages.append([value.clone() for value in self.values])
        swap(self)

    with monkeypatch.context() as patch:
        patch.setattr(Averaged, "swap", watched)
        told = export(ExportRequest(run=Path(config.out), storage="fp32"))

    raw = checkpoint.part_of(saved(config.out), "model")
    found = weights.load(told.output, CPU, torch.float32).state_dict()
    changed = {name for name in raw if not torch.equal(raw[name], found[name])}
    named = {1: "denoiser.", 3: "autoencoder."}[saves]
    assert changed
    assert all(name.startswith(named) for name in changed)
    if saves == 1:  # whole weights: what was averaged is what came out
        kept = torch.cat([found[name].flatten() for name in raw if name.startswith(named)])
        wanted = torch.cat([value.flatten() for value in averages[0]])
        assert torch.equal(kept.sort().values, wanted.sort().values)
    # Shared-out checkpoints are read through the same door (``keeping.load``).
    assert (told.stage, told.step) == ({1: "denoiser", 3: "sharp"}[saves], 2)
    assert told.output == Path(config.out) / "release"


def test_the_card_and_the_config_tell_what_the_run_knows(ended: Path, tmp_path: Path) -> None:
    folder = exported(ended, output=tmp_path / "mine", licence="cc-by-4.0")

    card, facts = (folder / "README.md").read_text(), read_card(folder).facts
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    assert "# mine\n" in card
    assert "| denoiser | denoiser | 4 | 8 | " in card
    assert "Folders of clips: data. Whose they are" in card
    assert f"- sharp: step 4, psnr {journal.read(ended)[-2]['average_psnr']:g}, sharp " in card
    assert str(ended.parent) not in card
    assert facts["stages"] == ["denoiser", "sharp"]
    held = [row for row in journal.read(ended) if journal.kind_of(row) == "held"]
    assert facts["held_out"]["sharp"]["psnr"] == held[-1]["average_psnr"]
    assert facts["device_hours"] >= 0


def test_a_folder_that_stands_there_is_replaced_when_asked_and_if_it_is_one_of_ours(
    ended: Path, tmp_path: Path
) -> None:
    folder = exported(ended, output=tmp_path / "mine")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")

    with pytest.raises(OutputExistsError, match="stands there already"):
        exported(ended, output=folder)
    assert exported(ended, output=folder, overwrite=True) == folder
    with pytest.raises(OutputExistsError, match="holds something else"):
        exported(ended, output=other, overwrite=True)
    assert (other / "thesis.txt").read_text() == "mine"


def test_what_is_no_run_is_one_line(ended: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"holds no train\.toml"):
        exported(tmp_path)
    (tmp_path / "train.toml").write_text((ended / "train.toml").read_text())
    with pytest.raises(MissingFileError, match="a run that has saved once"):
        exported(tmp_path)


def test_settings_of_another_run_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path, stage("denoiser"), sheets=0)
    run_until_save(config, 1, monkeypatch)
    text = (Path(config.out) / "train.toml").read_text()
    (Path(config.out) / "train.toml").write_text(text.replace('"denoiser"', '"joint"'))

    with pytest.raises(MardiniError, match=r"does not fit .*train\.toml") as caught:
        exported(Path(config.out))

    assert "\n" not in str(caught.value)
