"""Settings of a run: what a file may say, and what it is told when it may not."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mardini_cli import config
from mardini_cli.errors import ConfigError, MissingFileError
from mardini_cli.training.reading import read_config, to_toml
from mardini_cli.training.recipes import recipe, tiny_stages
from mardini_cli.training.stages import StageConfig, TrainConfig

ROOT = Path(__file__).parents[2]
STAGE = '[[stages]]\nname = "a"\nkind = "guided"\nsteps = 3\n'


def read(folder: Path, text: str, *changes: str) -> TrainConfig:
    path = folder / "train.toml"
    path.write_text(text)
    return read_config(path, changes)


def test_a_file_without_stages_takes_the_recipe_of_the_default_weights(tmp_path: Path) -> None:
    assert read(tmp_path, "") == TrainConfig(stages=tiny_stages())


def test_a_stage_is_a_table(tmp_path: Path) -> None:
    text = STAGE + "latents = [0.5, 0.25, 0.25]\nrate = 1\ntasks = { ends = 0.5, animate = 0.5 }\n"

    (found,) = read(tmp_path, text).stages

    assert found == StageConfig(
        name="a",
        kind="guided",
        steps=3,
        latents=(0.5, 0.25, 0.25),
        rate=1,
        tasks=(("ends", 0.5), ("animate", 0.5)),
    )


def test_changes_go_on_top_of_the_file(tmp_path: Path) -> None:
    found = read(
        tmp_path, 'out = "runs/file"\nseed = 1', "seed=7", "out=runs/mine", "data=my_clips",
        'photos=["a", "b"]',
    )  # fmt: skip

    assert (found.seed, found.out, found.data) == (7, "runs/mine", ("my_clips",))
    assert found.photos == ("a", "b")


@pytest.mark.parametrize(
    ("text", "changes", "told"),
    [
        ("sead = 1", [], "unknown key 'sead' in .*train.toml; .* did you mean seed"),
        ("", ["sead=1"], "unknown key 'sead' in 'sead=1'; .* did you mean seed"),
        ("", ["zzz=1"], "unknown key 'zzz' in .* keys; try preset, data, "),
        ("", ["seed"], "'seed' changes nothing; needs key=value"),
        ("seed = ", [], "is not TOML"),
        ('seed = "many"', [], "seed = 'many'; needs a whole number"),
        ("seed = true", [], "seed = True; needs a whole number"),
        ("seed = -1", [], "seed = -1; needs 0 or more"),
        ("data = 3", [], "data = 3; needs a list of folders"),
        ("stages = 3", [], "stages is no list of tables"),
        (STAGE + "stepps = 3", [], "unknown key 'stepps' in stage a; .* did you mean steps"),
        (STAGE + "tasks = { between = 1.0 }", [], "task 'between'; needs tasks among ends, middle"),
        (STAGE + "tasks = { ends = 0.5 }", [], "needs shares that sum to 1"),
        (STAGE + "tasks = { ends = 2.0, middle = -1.0 }", [], "needs shares that sum to 1"),
        (STAGE + 'tasks = "ends"', [], "needs a table of shares"),
        (STAGE + "latents = [0.5, 0.5]", [], "needs a list of 3 numbers"),
        (STAGE + "latents = [0.5, 0.5, 0.5]", [], "needs three shares that sum to 1"),
        (STAGE + "photos = 1.5", [], "photos = 1.5; needs a share from 0 to 1"),
        (STAGE + "keep = [0.6, 0.1]", [], "needs two rising shares"),
        (STAGE + "slots = 3", [], "slots = 3; needs 4 or more"),
        (STAGE + "batch = 0", [], "batch below 1; needs 1 or more"),
        ('[[stages]]\nname = "a"\nkind = "gided"\nsteps = 3', [], "kind 'gided'; needs one of"),
        ('[[stages]]\nname = "a"\nkind = "vae"', [], "stage a lacks a key"),
    ],
)
def test_what_means_nothing_is_one_line(
    text: str, changes: list[str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        read(tmp_path, text, *changes)

    assert "\n" not in str(raised.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="is no file"):
        read_config(tmp_path / "none.toml")


def test_a_folder_stands_for_the_usual_settings(tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    plain = read_config(folder)
    (folder / "beach.JPG").touch()
    with_photos = read_config(folder, ["seed=3"])

    assert plain == TrainConfig(data=(str(folder),), out="runs/holiday", stages=tiny_stages())
    assert (with_photos.photos, with_photos.seed) == ((str(folder),), 3)


def test_stages_may_be_named(tmp_path: Path) -> None:
    by_file = read(tmp_path, 'preset = "s-st"\nstages = "paper"')
    by_change = read(tmp_path, STAGE, "preset=s-st", "stages=paper")

    assert by_file.stages == by_change.stages == recipe("paper", config.preset("s-st"))


def test_steps_shorten_the_whole_run(tmp_path: Path) -> None:
    assert sum(stage.steps for stage in read(tmp_path, "", "steps=105").stages) == 105


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("examples/train.toml", []),
        ("weights/mardini-tiny/train.toml", ['out="a \\"b\\" é"']),
        ("examples/train.toml", ["preset=l-t", "stages=paper", "steps=500"]),
    ],
)
def test_settings_that_are_printed_are_the_settings_of_the_run(
    path: str, changes: list[str], tmp_path: Path
) -> None:
    wanted = read_config(ROOT / path, changes)

    assert read(tmp_path, to_toml(wanted)) == replace(wanted, steps=0)


@pytest.mark.parametrize("path", ["examples/train.toml", "weights/mardini-tiny/train.toml"])
def test_the_files_we_ship_are_read(path: str) -> None:
    found = read_config(ROOT / path)

    sizes: Any = config.preset(found.preset)
    assert all(stage.slots <= sizes.window for stage in found.stages)


def test_the_recipe_of_the_paper_in_the_docs_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "recipes.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)

    found = read(tmp_path, text)

    assert [stage.name for stage in found.stages][-1] == "J-T5"
    assert found.shard
    assert found.recompute
