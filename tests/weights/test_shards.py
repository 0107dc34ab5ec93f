"""Shards, single files, digests, and headers that promise what no file holds."""

import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from mardini_cli import config, weights
from mardini_cli.errors import DamagedWeightsError, WeightsError, WeightsLayoutError
from mardini_cli.model.mardini import MarDini
from mardini_cli.weights import layout
from mardini_cli.weights.pretrained import Pretrained
from mardini_cli.weights.sources import RELEASES, releases

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model() -> MarDini:
    torch.manual_seed(1)
    return MarDini(config.nano())


@pytest.fixture
def folder(model: MarDini, tmp_path: Path) -> Path:
    """Weights in several shards."""
    weights.save(model, tmp_path / "nano", storage="fp32", shard_bytes=200_000)
    return tmp_path / "nano"


def loaded(path: Path | str) -> dict[str, torch.Tensor]:
    return weights.load(path, CPU, torch.float32).state_dict()


def refused(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        loaded(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(shard_bytes=st.integers(1, 3_000_000))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_save_shard_load_is_equal_to_the_bit_at_any_shard_size(
    model: MarDini, tmp_path: Path, shard_bytes: int
) -> None:
    weights.save(model, tmp_path / "w", storage="fp32", shard_bytes=shard_bytes)

    found = loaded(tmp_path / "w")

    for key, tensor in model.state_dict().items():
        assert torch.equal(found[key], tensor), key


def test_a_matrix_and_its_scale_may_lie_in_different_shards(model: MarDini, tmp_path: Path) -> None:
    weights.save(model, tmp_path / "one", storage="int8")
    weights.save(model, tmp_path / "many", storage="int8", shard_bytes=5_000)

    whole, parts = loaded(tmp_path / "one"), loaded(tmp_path / "many")

    assert len(layout.tensor_files(tmp_path / "many")) > 20
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_shards_and_index_are_the_hubs_own(folder: Path) -> None:
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    index = json.loads((folder / layout.INDEX).read_text())

    assert names[0] == f"model-00001-of-{len(names):05d}.safetensors"
    assert sorted(set(index["weight_map"].values())) == names
    assert index["weight_map"].keys() == loaded(folder).keys()
    assert index["metadata"]["total_size"] == sum(
        tensor.nbytes for name in names for tensor in load_file(folder / name).values()
    )


def test_saving_in_one_file_takes_the_old_shards_away(model: MarDini, folder: Path) -> None:
    (folder / "README.md").write_text("card")

    weights.save(model, folder, storage="fp32")

    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_a_single_file_with_its_config_beside_it_is_enough(model: MarDini, tmp_path: Path) -> None:
    weights.save(model, tmp_path / "w", storage="fp32")
    file = tmp_path / "w" / layout.TENSORS

    assert loaded(file).keys() == loaded(tmp_path / "w").keys()
    assert weights.digest(file) == weights.digest(tmp_path / "w")
    assert weights.locate(str(file)).kind == "file"


def test_a_shard_that_is_missing_doubled_or_not_listed_is_named(folder: Path) -> None:
    first, second, *_ = sorted(folder.glob("model-*.safetensors"))
    content = second.read_bytes()
    second.write_bytes(first.read_bytes())
    assert " lies in " in refused(folder)

    second.unlink()
    assert f"{folder} lacks {second.name}; needs all " in refused(folder)

    second.write_bytes(content)
    index = json.loads((folder / layout.INDEX).read_text())
    index["weight_map"] = {
        key: name for key, name in index["weight_map"].items() if name != second.name
    }
    (folder / layout.INDEX).write_text(json.dumps(index))
    assert "does not fit its config.json: missing " in refused(folder)


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "x.bin", 3, None]
)
def test_an_index_reaches_for_no_file_outside_its_folder(folder: Path, name: Any) -> None:
    (folder / layout.INDEX).write_text(json.dumps({"weight_map": {"x": name}}))

    assert f"names {name!r}; needs files of tensors beside it" in refused(folder)


@pytest.mark.parametrize("text", ["{}", "[]", '{"weight_map": {}}', "no json"])
def test_an_index_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / layout.INDEX).write_text(text)

    assert layout.INDEX in refused(folder)


def header(told: Any) -> bytes:
    text = told if isinstance(told, bytes) else json.dumps(told).encode()
    return struct.pack("<Q", len(text)) + text


def tensor(*shape: int, kind: str = "F32", at: tuple[int, int] = (0, 4)) -> dict[str, Any]:
    return {"x": {"dtype": kind, "shape": list(shape), "data_offsets": list(at)}}


ABSURD = {
    "length of 2^63": struct.pack("<Q", 2**63) + b"{}",
    "length of 2^64 - 1": struct.pack("<Q", 2**64 - 1) + b"{}",
    "length past the end": struct.pack("<Q", 10**6) + b"{}",
    "no json": header(b"\x80\x02pickle"),
    "not utf-8": header(b'{"\xff": 1}'),
    "a tower of brackets": header(b"[" * 50_000),
    "a shape that overflows": header(tensor(2**62, 2**62)) + b"\0" * 4,
    "a negative shape": header(tensor(-1)) + b"\0" * 4,
    "offsets backwards": header(tensor(1, at=(4, 0))) + b"\0" * 4,
    "offsets past the end": header(tensor(9, at=(0, 36))),
    "another size than the shape": header(tensor(2)) + b"\0" * 4,
    "an unknown type": header(tensor(1, kind="PICKLE")) + b"\0" * 4,
    "tensors that overlap": header(
        {**tensor(1), "y": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    )
    + b"\0" * 4,
    "bytes that no tensor owns": header(tensor(1)) + b"\0" * 400,
}


@pytest.mark.parametrize("content", ABSURD.values(), ids=ABSURD)
def test_an_absurd_header_is_called_damaged(model: MarDini, tmp_path: Path, content: bytes) -> None:
    weights.save(model, tmp_path / "w")
    (tmp_path / "w" / layout.TENSORS).write_bytes(content)

    assert "model.safetensors is damaged: " in refused(tmp_path / "w")


def test_no_pickle_is_ever_loaded(model: MarDini, tmp_path: Path) -> None:
    """A pickle that would tell on itself, under every name that we open."""
    weights.save(model, tmp_path / "w")
    bomb = b"cmardini_bomb\nwent_off\n."
    sys.modules.pop("mardini_bomb", None)

    for name in (layout.TENSORS, layout.CONFIG):
        (tmp_path / "w" / name).write_bytes(bomb)
        assert refused(tmp_path / "w")

    assert "mardini_bomb" not in sys.modules


def test_the_config_tells_size_and_digest_of_every_file(folder: Path) -> None:
    told = weights.read_card(folder).files

    assert list(told) == sorted(path.name for path in folder.glob("*.safetensors"))
    assert weights.check_files(folder) == sum(file.size for file in told.values())


def test_a_changed_cut_missing_or_foreign_file_is_found_by_its_digest(folder: Path) -> None:
    shard = sorted(folder.glob("model-*.safetensors"))[0]
    content = shard.read_bytes()

    for spoilt in (content[:-1], content[:-1] + b"\x01"):
        shard.write_bytes(spoilt)
        with pytest.raises(DamagedWeightsError, match=shard.name):
            weights.check_files(folder)
    save_file({"x": torch.zeros(1)}, folder / layout.TENSORS)
    with pytest.raises(DamagedWeightsError, match=r"is missing|is not listed"):
        weights.check_files(folder)


def test_the_first_format_is_still_read(folder: Path) -> None:
    """Format 1 told no digests; everything else was the same."""
    path = folder / layout.CONFIG
    card = json.loads(path.read_text())
    del card["files"]
    path.write_text(json.dumps({**card, "format": 1}))

    migrated = weights.read_card(folder)

    assert (migrated.config, dict(migrated.files)) == (config.nano(), {})
    assert weights.check_files(folder) == 0
    assert loaded(folder)


def test_every_older_format_has_a_step_to_the_next() -> None:
    assert sorted(layout._STEPS) == list(range(1, layout.FORMAT))


def test_a_config_must_be_ours(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / layout.CONFIG).write_text('{"format": 0}')

    with pytest.raises(WeightsLayoutError, match="has format 0; needs format 1 to 2; pass --model"):
        weights.read_card(tmp_path / "w")


def test_from_pretrained_and_save_pretrained_are_each_others_inverse(
    model: MarDini, tmp_path: Path
) -> None:
    weights.save(model, tmp_path / "w", storage="fp32")

    found = Pretrained.from_pretrained(tmp_path / "w")
    saved = found.save_pretrained(tmp_path / "again", storage="fp32", facts={"steps": 1})

    assert isinstance(found, Pretrained)
    assert weights.read_card(saved).facts == {"steps": 1}
    assert (saved / "README.md").read_text().startswith("---\nlicense: other\n")
    for key, tensor in loaded(saved).items():
        assert torch.equal(tensor, model.state_dict()[key]), key


def test_the_table_of_releases_is_what_is_there() -> None:
    """After new weights: put their digest, as told here, into ``RELEASES``."""
    assert {name: told.digest for name, told in RELEASES.items()} == {
        name: weights.digest(path) for name, path in releases().items()
    }


def test_the_page_of_releases_is_the_table() -> None:
    page = (ROOT / "weights" / "README.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]

    assert rows == [
        f"| `{name}` | {told.about} | `{told.digest}` |" for name, told in RELEASES.items()
    ]


def test_every_release_has_a_model_card_with_front_matter() -> None:
    for path in releases().values():
        _, front, text = (path / "README.md").read_text(encoding="utf-8").split("---\n", 2)
        assert "license: apache-2.0\n" in front
        assert "library_name: mardini\n" in front
        for told in ("Not for", "## Data", "## Limits", "## Figures"):
            assert told in text
