"""The published schemas are those of the code, and real output keeps them."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from PIL import Image
from typer.testing import CliRunner

from mardini_cli.cli.app import app
from tests.pipeline.clips import even_times, nano_weights, picture, write_clip

ROOT = Path(__file__).parents[2]
MAKER = runpy.run_path(str(ROOT / "docs" / "make_schema.py"))
MAKERS = {"events.schema.json": "events_schema", "record.schema.json": "record_schema"}


def strict(schema: Any) -> Any:
    """The same schema without room for what it does not name."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    tight = {key: strict(value) for key, value in schema.items()}
    return {**tight, "additionalProperties": False} if "properties" in schema else tight


def validator(page: str) -> Draft202012Validator:
    schema = strict(json.loads((ROOT / "docs" / page).read_text(encoding="utf-8")))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize(("page", "maker"), sorted(MAKERS.items()))
def test_the_published_schema_is_that_of_the_code(page: str, maker: str) -> None:
    made: Any = MAKER["text"](MAKER[maker]())

    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == made, "run: just reference"


def test_all_that_real_commands_tell_keeps_the_schema(tmp_path: Path) -> None:
    nano = str(nano_weights(tmp_path / "nano"))
    clip = str(write_clip(tmp_path / "walk.mkv", even_times(6), sound=True))
    still = str(tmp_path / "boat.png")
    Image.fromarray(picture(0, (48, 64))).save(still)
    (tmp_path / "text.mkv").write_text("no film", encoding="utf-8")
    making = ["--model", nano, "--json"]
    schema = validator("events.schema.json")
    told: list[Any] = []

    for words in (
        ["interpolate", clip, *making, "--preview", "--sidecar", "--show-plan"],
        ["interpolate", clip, *making, "--skip-existing"],
        ["interpolate", clip, str(tmp_path / "text.mkv"), *making, "--workers", "0"],
        ["extend", clip, *making, "--frames", "3"],
        ["animate", still, *making, "--frames", "3", "--steps", "1"],
        ["fill", clip, *making, "--missing", "2"],
        ["rerun", f"{tmp_path}/walk.x2.mkv.json", "--json"],
        ["verify", clip, f"{tmp_path}/walk.x2.mkv", "--json"],
        ["probe", clip, "--json"],
        ["weights", "where", "mardini-tiny", "--json"],
        ["weights", "list", "--json"],
    ):
        result = CliRunner().invoke(app, words, catch_exceptions=True)
        lines = result.stdout.splitlines()
        assert lines, (words, result.output)
        told += map(json.loads, lines)

    for line in told:
        (shape,) = [s for s in schema.schema["oneOf"] if s["title"] == line["event"]]
        Draft202012Validator(shape).validate(line)
    assert {line["event"] for line in told} >= {
        *("planned", "window", "progress", "verified", "finished", "drawn", "recorded", "joined"),
        *("skipped", "began", "failed", "batched", "reproduced", "probed", "located"),
    }


def test_a_record_keeps_its_schema(tmp_path: Path) -> None:
    nano = str(nano_weights(tmp_path / "nano"))
    clip = str(write_clip(tmp_path / "walk.mkv", even_times(4)))
    words = ["interpolate", clip, "--model", nano, "--sidecar", "--quiet"]

    CliRunner().invoke(app, words, catch_exceptions=False)

    record = json.loads((tmp_path / "walk.x2.mkv.json").read_text(encoding="utf-8"))
    validator("record.schema.json").validate(record)
    assert record["verified"]["passed"] is True
