"""FID and FVD: the published networks on whatever weights one has, and a word where none are."""

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from mardini_cli.errors import ShapeError, WeightsLayoutError
from mardini_cli.evaluation.excerpts import excerpts_of
from mardini_cli.evaluation.i3d import I3d, even, pooled
from mardini_cli.evaluation.inception import Inception
from mardini_cli.evaluation.judges import Features, Judges
from mardini_cli.evaluation.protocols import CROP, PROTOCOLS
from mardini_cli.evaluation.request import EvaluateRequest
from mardini_cli.evaluation.run import evaluate
from mardini_cli.events import Warned
from mardini_cli.weights.layout import sha256
from tests.evaluation.conftest import WriteClip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of chance: every layer says something, none explodes."""
    place = tmp_path_factory.mktemp("judges")
    for name, network in (("fid", Inception()), ("fvd", I3d())):
        torch.manual_seed(0)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight)
            if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
                nn.init.uniform_(layer.weight, 0.5, 1)
                nn.init.normal_(layer.bias, std=0.1)
        state = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
        save_file(state, place / f"{name}.safetensors")
    return place


@pytest.fixture(scope="module")
def inception(folder: Path) -> Inception:
    return Inception.of(str(folder / "fid.safetensors"))


@pytest.fixture(scope="module")
def i3d(folder: Path) -> I3d:
    return I3d.of(str(folder / "fvd.safetensors"))


def picture(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def unit(
    state: Mapping[str, Tensor], key: str, x: Tensor, pad: tuple[int, ...] | int = 0
) -> Tensor:
    """A convolution with its norm, by hand."""
    kind = "conv3d" if f"{key}.conv3d.weight" in state else "conv"
    convolve = F.conv3d if kind == "conv3d" else F.conv2d
    x = convolve(x, state[f"{key}.{kind}.weight"], padding=pad)
    mean, spread, scale, shift = (
        state[f"{key}.bn.{part}"].view(-1, *(1,) * (x.dim() - 2))
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / (spread + 1e-3).sqrt() * scale + shift).clamp(min=0)


@pytest.mark.parametrize(
    ("network", "count"), [(Inception, 21_785_568), (I3d, 12_697_264)], ids=["fid", "fvd"]
)
def test_the_networks_are_of_the_published_size(network: type[nn.Module], count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in network().parameters()) == count


def test_the_networks_have_the_keys_that_others_store() -> None:
    """Those of pytorch-fid's release, and of the usual I3D in PyTorch."""
    fid, fvd = Inception().state_dict(), I3d().state_dict()

    assert fid["Mixed_6e.branch7x7dbl_4.conv.weight"].shape == (192, 192, 7, 1)
    assert fid["Mixed_7c.branch3x3dbl_3b.bn.running_var"].shape == (384,)
    assert fid["Mixed_6a.branch3x3.conv.weight"].shape == (384, 288, 3, 3)
    assert fvd["Conv3d_1a_7x7.conv3d.weight"].shape == (64, 3, 7, 7, 7)
    assert fvd["Mixed_4f.b2b.bn.weight"].shape == (128,)
    assert fvd["logits.conv3d.bias"].shape == (400,)


def test_fids_first_and_last_blocks_are_the_published_arithmetic(inception: Inception) -> None:
    state, x = inception.state_dict(), picture(1, 192, 9, 8)
    ones = F.conv2d(torch.ones(1, 1, 9, 8), torch.ones(1, 1, 3, 3), padding=1)
    mean = F.conv2d(x.transpose(0, 1), torch.ones(1, 1, 3, 3), padding=1).transpose(0, 1) / ones
    at = "Mixed_5b."
    wanted = torch.cat(
        [
            unit(state, f"{at}branch1x1", x),
            unit(state, f"{at}branch5x5_2", unit(state, f"{at}branch5x5_1", x), 2),
            unit(state, f"{at}branch3x3dbl_3", unit(state, f"{at}branch3x3dbl_2",
                 unit(state, f"{at}branch3x3dbl_1", x), 1), 1),
            unit(state, f"{at}branch_pool", mean),
        ], 1,
    )  # fmt: skip
    torch.testing.assert_close(inception.Mixed_5b(x), wanted, rtol=1e-4, atol=1e-4)

    x, at = picture(1, 2048, 4, 4), "Mixed_7c."
    largest = F.unfold(F.pad(x, (1, 1, 1, 1), value=-9), 3).view(1, 2048, 9, 4, 4).amax(2)
    second = unit(state, f"{at}branch3x3_1", x)
    third = unit(state, f"{at}branch3x3dbl_2", unit(state, f"{at}branch3x3dbl_1", x), 1)
    wanted = torch.cat(
        [
            unit(state, f"{at}branch1x1", x),
            unit(state, f"{at}branch3x3_2a", second, (0, 1)),
            unit(state, f"{at}branch3x3_2b", second, (1, 0)),
            unit(state, f"{at}branch3x3dbl_3a", third, (0, 1)),
            unit(state, f"{at}branch3x3dbl_3b", third, (1, 0)),
            unit(state, f"{at}branch_pool", largest),
        ], 1,
    )  # fmt: skip
    torch.testing.assert_close(inception.Mixed_7c(x), wanted, rtol=1e-4, atol=1e-4)


def test_a_block_of_i3d_is_the_published_arithmetic(i3d: I3d) -> None:
    state, x, at = i3d.state_dict(), picture(1, 192, 3, 5, 6), "Mixed_3b."
    around = F.max_pool3d(x, 3, 1, 1)
    wanted = torch.cat(
        [
            unit(state, f"{at}b0", x),
            unit(state, f"{at}b1b", unit(state, f"{at}b1a", x), 1),
            unit(state, f"{at}b2b", unit(state, f"{at}b2a", x), 1),
            unit(state, f"{at}b3b", around),
        ], 1,
    )  # fmt: skip

    torch.testing.assert_close(i3d.get_submodule("Mixed_3b")(x), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(9, 7, 2), (224, 7, 2), (3, 2, 2), (56, 3, 2)]
)
def test_every_stride_begins_a_window_and_the_odd_place_is_behind(
    size: int, kernel: int, stride: int
) -> None:
    """As TensorFlow pads, whose network it is."""
    x = torch.ones(1, 1, size, 1, 1)

    padded = even(x, (kernel, 1, 1), (stride, 1, 1))

    row = padded.flatten().tolist()
    before, after = row.index(1), row[::-1].index(1)
    assert 0 <= after - before <= 1
    assert (len(row) - kernel) // stride + 1 == math.ceil(size / stride)
    assert pooled(x, (kernel, 1, 1), (stride, 1, 1)).shape[2] == math.ceil(size / stride)


@torch.no_grad()
def test_features_do_not_depend_on_the_batch_or_the_scale_of_the_picture(
    inception: Inception, i3d: I3d
) -> None:
    frames = picture(2, 3, 3, 24, 32)
    larger = F.interpolate(frames[0], scale_factor=2)

    found = inception(frames)

    assert found.shape == (2, 3, 2048)
    torch.testing.assert_close(found[1, 2], inception(frames[1, 2]), rtol=1e-3, atol=1e-4)
    assert inception(larger).shape == (3, 2048)
    assert i3d(picture(1, 9, 3, 40, 24)).shape == (1, 400)
    with pytest.raises(ShapeError, match="windows of 8 frames"):
        i3d(picture(1, 8, 3, 32, 32))


@pytest.mark.parametrize("network", [Inception, I3d])
def test_what_is_no_such_network_is_one_line(
    network: type[Inception | I3d], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as archive:
        archive.writestr("program/constants.pkl", b"")
        archive.writestr("program/code/network.py", "print('run')")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")

    for name, words in (("program.pt", "a program"), ("other.safetensors", "lacks ")):
        with pytest.raises(WeightsLayoutError, match=words) as caught:
            network.of(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def run(folder: Path, **more: Any) -> tuple[list[str], dict[str, Any]]:
    plain: dict[str, Any] = {
        "folder": folder, "output": folder / "out", "model": "none", "protocols": ("fill",),
        "baselines": ("repeat",), "sheets": False, "device": "cpu",
    }  # fmt: skip
    events = list(evaluate(EvaluateRequest(**plain | more)))
    told = json.loads((folder / "out" / "results.json").read_text())
    return [event.message for event in events if isinstance(event, Warned)], told


def test_a_run_compares_sets_with_weights_and_goes_on_where_it_was(
    write_clip: WriteClip, folder: Path, tmp_path: Path
) -> None:
    write_clip("pan.mkv", frames=20, speed=4)
    named = {name: str(folder / f"{name}.safetensors") for name in ("fid", "fvd")}

    warned, told = run(tmp_path, **named)
    seen = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/features").iterdir()}
    (tmp_path / "out" / "results.json").unlink()
    _, again = run(tmp_path, **named)

    assert list(told["not_measured"]) == ["LPIPS"]
    (line,) = [m for m in told["means"] if m["third"] == "all"]
    assert line["sets"]["fid"] > 0
    assert line["sets"]["fvd"] > 0
    assert told["settings"]["fid"] == sha256(folder / "fid.safetensors")
    assert any("FID of 6 samples" in message for message in warned)
    assert any("FVD of 2 samples" in message for message in warned)
    assert len(seen) == 8  # two windows of the truth and of a method, each seen by two networks
    assert again["reused"] == 2
    assert again["means"] == told["means"]
    assert seen == {p: p.stat().st_mtime_ns for p in (tmp_path / "out/features").iterdir()}
    for file in ("report.html", "table.md"):
        page = (tmp_path / "out" / file).read_text()
        assert "FVD" in page
        assert "FID of 6 samples" in page


def test_the_truth_is_at_0_and_shuffled_frames_are_far_away(
    inception: Inception, write_clip: WriteClip, tmp_path: Path
) -> None:
    path, fill = write_clip("pan.mkv"), PROTOCOLS["fill"]
    read = excerpts_of(path, 0, CROP, path.parent)
    assert isinstance(read, list)
    true = torch.stack([excerpt.frames for excerpt in read])
    pixels = torch.randperm(256 * 256, generator=torch.Generator().manual_seed(0))
    judges = Judges(fid=inception)
    features = Features(tmp_path, (), judges.of_sets | {"fid": "weights"})

    for name, windows in (
        ("true", true), ("soft", F.avg_pool3d(true, (1, 3, 3), 1, (0, 1, 1))),
        ("shuffled", true.flatten(-2)[..., pixels].view_as(true)),
    ):  # fmt: skip
        for place, samples in enumerate(judges.see(windows, fill)["fid"]):
            features.put(f"{name} {place}", {"fid": samples})
    keys = {name: [f"{name} 0", f"{name} 1"] for name in ("true", "soft", "shuffled")}

    same = features.distance("fid", keys["true"], keys["true"][::-1])
    soft, far = (
        features.distance("fid", keys[name], keys["true"]) for name in ("soft", "shuffled")
    )

    assert same is not None
    assert soft is not None
    assert far is not None
    assert same[0] < 1e-6 * soft[0]
    assert same[1] == 6
    assert 10 * soft[0] < far[0]
