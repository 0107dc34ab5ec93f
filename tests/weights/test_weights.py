"""A weights folder: what goes in comes out, and what is wrong is named."""

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from mardini_cli import config, weights
from mardini_cli.errors import WeightsError
from mardini_cli.model.mardini import MarDini
from mardini_cli.weights import reading, sources, writing
from tests.cutting import cut_everywhere

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> MarDini:
    """A small model whose every value is different from what a fresh one starts with."""
    torch.manual_seed(0)
    fresh = MarDini(config.nano())
    with torch.no_grad():
        for tensor in fresh.parameters():
            tensor.copy_(torch.randn_like(tensor))
    return fresh


@pytest.fixture
def folder(model: MarDini, tmp_path: Path) -> Path:
    weights.save(model, tmp_path / "nano", storage="fp32", facts={"steps": 3})
    return tmp_path / "nano"


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Write the folder's tensors anew after an edit."""
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def refused(folder: Path | str) -> str:
    """The message with which weights are refused; always one line."""
    with pytest.raises(WeightsError) as caught:
        weights.load(folder, CPU, torch.float32)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_fp32_storage_gives_every_tensor_back_to_the_bit(model: MarDini, folder: Path) -> None:
    loaded = weights.load(folder, CPU, torch.float32)

    assert loaded.config == model.config
    assert not loaded.training
    for key, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key


def test_bf16_storage_rounds_once_and_loads_for_float32_work(
    model: MarDini, tmp_path: Path
) -> None:
    weights.save(model, tmp_path / "w", storage="bf16")

    loaded = weights.load(tmp_path / "w", CPU, torch.float32)

    for key, tensor in model.state_dict().items():
        expected = tensor.to(torch.bfloat16).float() if tensor.is_floating_point() else tensor
        assert torch.equal(loaded.state_dict()[key], expected), key


def test_int8_storage_stays_within_half_a_step_of_each_channel_and_keeps_small_tensors(
    model: MarDini, tmp_path: Path
) -> None:
    weights.save(model, tmp_path / "w", storage="int8")

    loaded = weights.load(tmp_path / "w", CPU, torch.float32).state_dict()
    large = [key for key, tensor in model.state_dict().items() if _is_large(tensor)]

    assert len(large) > 10
    for key, tensor in model.state_dict().items():
        if key in large:
            step = tensor.flatten(1).abs().amax(1) / 127
            error = (loaded[key] - tensor).flatten(1).abs().amax(1)
            assert (error <= 0.501 * step).all(), key
        else:
            assert torch.equal(loaded[key], tensor), key


def test_int8_storage_takes_about_a_quarter_of_the_space(model: MarDini, tmp_path: Path) -> None:
    weights.save(model, tmp_path / "small", storage="int8")
    weights.save(model, tmp_path / "large", storage="fp32")

    stored = load_file(tmp_path / "small" / "model.safetensors")
    sizes = {
        name: (tmp_path / name / "model.safetensors").stat().st_size for name in ("small", "large")
    }

    assert all(
        tensor.dtype == torch.int8 for key, tensor in stored.items() if key + ".scale" in stored
    )
    assert sizes["small"] < 0.5 * sizes["large"]


def test_a_channel_of_zeros_comes_back_as_zeros(model: MarDini, tmp_path: Path) -> None:
    state = model.state_dict()
    key = next(key for key, tensor in state.items() if _is_large(tensor))
    changed = MarDini(model.config)
    changed.load_state_dict({**state, key: torch.zeros_like(state[key])})

    weights.save(changed, tmp_path / "w", storage="int8")

    assert not weights.load(tmp_path / "w", CPU, torch.float32).state_dict()[key].any()


@given(
    rows=st.lists(
        st.floats(min_value=-(2.0**99), max_value=2.0**99, width=32), min_size=1, max_size=40
    )
)
def test_int8_of_any_finite_channel_is_finite_and_near(rows: list[float]) -> None:
    channel = torch.tensor(rows)[None].expand(writing.LARGE, -1)

    stored = dict(writing._stored({"x": channel}, "int8"))
    back = reading.restored("x", stored["x"], stored["x.scale"], torch.float32)

    assert back.isfinite().all()
    least = torch.finfo(torch.float32).tiny  # steps are no finer than that
    bound = channel.abs().amax(1, keepdim=True) / 127 * 0.51 + least
    assert ((back - channel).abs() <= bound).all()


def test_every_floating_tensor_takes_the_type_asked_for(folder: Path) -> None:
    loaded = weights.load(folder, CPU, torch.bfloat16)

    types = {tensor.dtype for tensor in loaded.state_dict().values() if tensor.is_floating_point()}
    assert types == {torch.bfloat16}


def test_nothing_is_left_on_the_meta_device(folder: Path) -> None:
    loaded = weights.load(folder, CPU, torch.float32)

    assert {tensor.device for tensor in [*loaded.parameters(), *loaded.buffers()]} == {CPU}


def test_equal_weights_give_equal_bytes_in_another_process(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    code = (
        "import sys, torch\nfrom pathlib import Path\nfrom mardini_cli import weights\n"
        "model = weights.load(sys.argv[1], 'cpu', torch.float32)\n"
        "weights.save(model, Path(sys.argv[2]), storage='fp32', facts={'steps': 3})\n"
    )

    subprocess.run([sys.executable, "-c", code, str(folder), str(again)], check=True, timeout=120)

    assert weights.digest(again) == weights.digest(folder)
    for name in ("config.json", "model.safetensors"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_the_card_tells_sizes_and_facts_without_the_tensors(folder: Path) -> None:
    (folder / "model.safetensors").unlink()

    card = weights.read_card(folder)

    assert card.config == config.nano()
    assert card.facts == {"steps": 3}


def test_the_digest_changes_with_either_file(folder: Path) -> None:
    before = weights.digest(folder)

    change(folder, lambda tensors: tensors[next(iter(tensors))].add_(1))
    after_tensors = weights.digest(folder)
    (folder / "config.json").write_text("{}")
    after_both = weights.digest(folder)

    assert len({before, after_tensors, after_both}) == 3


def test_saving_again_keeps_the_model_card_and_leaves_nothing_beside(
    model: MarDini, folder: Path
) -> None:
    (folder / "README.md").write_text("card")

    weights.save(model, folder, storage="bf16", facts={"steps": 4})

    assert (folder / "README.md").read_text() == "card"
    assert weights.read_card(folder).facts == {"steps": 4}
    assert [path.name for path in folder.parent.iterdir()] == ["nano"]


def test_both_files_may_be_read_by_the_same_people(folder: Path) -> None:
    modes = {(folder / name).stat().st_mode for name in ("config.json", "model.safetensors")}

    assert len(modes) == 1


def test_a_save_that_fails_leaves_the_old_weights(
    model: MarDini, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights.digest(folder)
    rename = Path.rename

    def full(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(WeightsError, match="No space left on device"):
        weights.save(model, folder, storage="bf16")

    assert weights.digest(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["nano"]


def test_a_signal_at_any_instruction_leaves_the_old_folder_or_the_new_one(tmp_path: Path) -> None:
    def replaced() -> None:
        for name in ("here", "fresh"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "which").write_text(name)
        writing.exchange(tmp_path / "fresh", tmp_path / "here", tmp_path / "old")

    seen = set()
    for _ in cut_everywhere(replaced, writing):
        seen.add((tmp_path / "here" / "which").read_text())
        shutil.rmtree(tmp_path / "old", ignore_errors=True)

    assert seen == {"here", "fresh"}


def test_a_folder_of_other_things_is_not_replaced(model: MarDini, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")

    with pytest.raises(WeightsError, match="holds other files"):
        weights.save(model, tmp_path)

    assert (tmp_path / "diary.txt").read_text() == "dear diary"


def test_missing_left_over_and_misshapen_tensors_are_named(folder: Path) -> None:
    keys = sorted(load_file(folder / "model.safetensors"))
    lost, bent = keys[0], keys[-1]

    def edit(tensors: dict[str, torch.Tensor]) -> None:
        del tensors[lost]
        tensors[bent] = torch.zeros(1, 2, 3)
        tensors["planner.extra"] = torch.zeros(1)

    change(folder, edit)
    told = refused(folder)

    assert f"missing {lost}, left over planner.extra, misshapen {bent} float32 (1, 2, 3)" in told


def test_many_missing_tensors_are_counted(folder: Path) -> None:
    change(folder, lambda tensors: [tensors.pop(key) for key in sorted(tensors)[:9]])

    assert " and 6 more" in refused(folder)


def test_whole_numbers_without_a_scale_are_not_taken_for_weights(folder: Path) -> None:
    key = sorted(load_file(folder / "model.safetensors"))[0]
    change(folder, lambda tensors: tensors.update({key: tensors[key].to(torch.int8)}))

    assert f"misshapen {key} int8" in refused(folder)


def test_a_scale_of_another_shape_is_refused(model: MarDini, tmp_path: Path) -> None:
    weights.save(model, tmp_path / "w", storage="int8")
    tensors = load_file(tmp_path / "w" / "model.safetensors")
    key = next(key for key in tensors if key.endswith(".scale"))
    change(tmp_path / "w", lambda tensors: tensors.update({key: tensors[key][:1].clone()}))

    assert "with a scale of float32 (1,)" in refused(tmp_path / "w")


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_cut_file_is_called_damaged(folder: Path, kept: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])

    assert f"{path} is damaged" in refused(folder)


def test_a_header_that_points_outside_the_file_is_called_damaged(folder: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)

    assert "is damaged" in refused(folder)


def test_a_pickle_is_named_and_never_opened(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"x": torch.zeros(1)}, folder / "pytorch_model.bin")

    assert "pytorch_model.bin is a pickle, and those are never opened" in refused(folder)


def test_a_pickle_under_our_name_is_called_damaged(folder: Path) -> None:
    torch.save({"x": torch.zeros(1)}, folder / "model.safetensors")

    assert "is damaged" in refused(folder)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("\udcff", "is no JSON"),
        ("[]", "has format None"),
        ('{"_class_name": "AutoencoderKL"}', "has format None"),
        ('{"format": 3}', "has format 3; needs format 1 to 2; use a newer mardini"),
        ('{"format": true}', "has format True"),
        ('{"format": 1}', "has no table of sizes"),
        ('{"format": 2, "config": {}, "files": []}', "lists its files wrongly"),
        ('{"format": 2, "config": {}, "files": {"x": {"size": 1}}}', "lists its files wrongly"),
        ("[" * 100_000, "is no JSON"),
        ('{"format": 1, "config": {"preset": "x", "widnow": 9}}', "did you mean window"),
        ('{"format": 1, "config": {"preset": "x"}}', "lacks a key"),
        ('{"format": 1, "config": {"planner": 3}}', "planner is '3'; needs a table"),
        ('{"format": 1, "config": {"window": {}}}', "window is '{}'; needs a plain value"),
    ],
)
def test_a_config_that_is_not_ours_is_refused(folder: Path, text: str, told: str) -> None:
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))

    assert told in refused(folder)


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    assert "config.json cannot be read (No such file or directory)" in refused(tmp_path)


def test_unknown_names_are_told_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "releases", lambda: {"mardini-tiny": tmp_path})

    assert refused("mardini-large").startswith(
        "no weights 'mardini-large'; needs a release (mardini-tiny), a path or a place on the Hub; "
    )


def test_a_release_goes_before_a_folder_of_its_name_and_a_path_is_always_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert weights.find("nano") == Path("nano")

    monkeypatch.setattr(sources, "releases", lambda: {"nano": Path("embedded")})

    assert weights.find("nano") == Path("embedded")
    assert weights.find("./nano") == Path("./nano")


def _is_large(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dim() > 1 and tensor.numel() >= writing.LARGE
