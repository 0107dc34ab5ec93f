"""``mardini weights`` without a network; ``tests/weights/test_hub.py`` has the Hub."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mardini_cli import weights
from mardini_cli.weights.sources import RELEASES

ROOT = Path(__file__).parents[2]


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mardini_cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HOME": str(folder / "hf")},
    )


def test_list_shows_the_releases(tmp_path: Path) -> None:
    shown = run("weights", "list", "--json", folder=tmp_path)

    told = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [one["name"] for one in told] == list(RELEASES)
    assert told[0]["revision"] == RELEASES["mardini-tiny"].digest
    assert told[0]["preset"] == "tiny"
    assert told[0]["size"] > 10**6


def test_where_shows_the_way_of_each_form_of_name(tmp_path: Path) -> None:
    embedded = weights.find("mardini-tiny")
    (tmp_path / "mardini-tiny").symlink_to(embedded)

    kinds = {
        name: json.loads(run("weights", "where", name, "--json", folder=tmp_path).stdout)
        for name in (
            "mardini-tiny",
            "./mardini-tiny",
            "mardini-tiny/model.safetensors",
            "some/where",
            "hub:some/where@v1",
        )
    }

    assert [told["kind"] for told in kinds.values()] == ["release", "folder", "file", "hub", "hub"]
    assert kinds["mardini-tiny"]["path"] == str(embedded)
    assert kinds["./mardini-tiny"]["path"] == "mardini-tiny"
    assert kinds["some/where"]["path"] is None


def test_where_for_eyes_says_what_to_do_next(tmp_path: Path) -> None:
    shown = run("weights", "where", "hub:some/where", folder=tmp_path)

    assert shown.stdout == (
        "hub:some/where  on the Hub, not here: mardini weights download hub:some/where\n"
    )


def test_where_shows_the_order_in_which_it_was_looked_for(tmp_path: Path) -> None:
    shown = run("weights", "where", "some/where", folder=tmp_path)

    assert shown.stderr.splitlines() == [
        "does it begin with the word hub: no",
        "is it a release (mardini-tiny): no",
        "is it a folder here: no",
        "is it a .safetensors file here: no",
        "has it the form ORG/NAME[@REVISION]: yes",
    ]


def test_a_folder_goes_before_the_hub(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "where").symlink_to(weights.find("mardini-tiny"))

    shown = run("weights", "where", "some/where", "--json", folder=tmp_path)

    assert json.loads(shown.stdout)["kind"] == "folder"


def test_verify_compares_the_default_weights_with_the_release_table(tmp_path: Path) -> None:
    shown = run("weights", "verify", folder=tmp_path)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("mardini-tiny  whole: ")
    assert " compared  " in shown.stdout


def test_verify_finds_a_changed_byte(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    weights.save(weights.load("mardini-tiny", "cpu", torch.float32), folder)
    whole = run("weights", "verify", "mine", folder=tmp_path)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")

    shown = run("weights", "verify", "mine", folder=tmp_path)

    assert whole.returncode == 0
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith("mardini: mine/model.safetensors has SHA-256 ")


def test_card_shows_the_model_card(tmp_path: Path) -> None:
    shown = run("weights", "card", folder=tmp_path)

    assert shown.stdout == (ROOT / "weights" / "mardini-tiny" / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["where", "hub:nothing"], 2, "'hub:nothing' is no place on the Hub; needs hub:ORG/NAME["),
        (["where", "hub:a/b@"], 2, "'hub:a/b@' is no place on the Hub"),
        (["where", "nowhere"], 1, "no weights 'nowhere'; needs a release (mardini-tiny), a path"),
        (["remove", "mardini-tiny"], 2, "mardini-tiny is a release, not in the Hub's cache"),
        (["remove", "hub:a/b"], 1, "hub:a/b@main is not in the cache"),
        (["push", "nowhere", "a/b"], 1, "nowhere is no folder"),
        (["push", "nowhere"], 1, "'hub' without MARDINI_HUB_REPO"),
        (["card", "hub:a/b"], 1, "hub:a/b is not here"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: list[str], status: int, told: str, tmp_path: Path
) -> None:
    shown = run("weights", *words, folder=tmp_path)

    assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (status, "", 1)
    assert shown.stderr.startswith(f"mardini: {told}")
