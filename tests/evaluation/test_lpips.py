"""LPIPS: the published arithmetic on whatever weights one has, and a word where none are."""

import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mardini_cli.errors import MardiniError
from mardini_cli.evaluation.excerpts import excerpts_of
from mardini_cli.evaluation.lpips import Lpips
from mardini_cli.evaluation.protocols import PROTOCOLS
from mardini_cli.evaluation.request import EvaluateRequest
from mardini_cli.evaluation.run import evaluate
from mardini_cli.evaluation.score import score
from mardini_cli.weights.layout import sha256
from tests.evaluation.conftest import WriteClip

CUTS = (2, 5, 8, 10, 12)
"""Ends of the parts of AlexNet's list, behind each activation."""


def alexnet(seed: int = 0) -> nn.Sequential:
    """AlexNet's convolutions as its authors list them, with weights of chance."""
    torch.manual_seed(seed)
    layers = [
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    ]  # fmt: skip
    return nn.Sequential(*layers)


def state(form: str = "package", seed: int = 0) -> dict[str, Tensor]:
    """A state as the ``lpips`` package names it, or as AlexNet's own and the channel weights'."""
    network, rng = alexnet(seed), torch.Generator().manual_seed(seed)
    parts = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
    found = OrderedDict[str, Tensor]()
    for place, part in parts.items():
        for kind in ("weight", "bias"):
            name = f"net.slice{part}.{place}" if form == "package" else f"features.{place}"
            found[f"{name}.{kind}"] = getattr(network[place], kind).detach()
    for part, width in enumerate((64, 192, 384, 256, 256)):
        found[f"lin{part}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=rng)
    return dict(found)


def by_hand(a: Tensor, b: Tensor) -> Tensor:
    """The distance of two pictures ``3 h w``, place by place, as published."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    known, network = state(), alexnet()
    total = torch.zeros(())
    seen = [((2 * x - 1).permute(1, 2, 0) - shift) / scale for x in (a, b)]
    maps = [x.permute(2, 0, 1)[None] for x in seen]
    for part, (start, end) in enumerate(zip((0, *CUTS[:-1]), CUTS, strict=True)):
        maps = [network[start:end](x) for x in maps]
        line = known[f"lin{part}.model.1.weight"].flatten()
        u, v = (x[0].flatten(1).T for x in maps)  # places, channels
        u, v = (x / (x.norm(dim=1, keepdim=True) + 1e-10) for x in (u, v))
        total = total + ((u - v) ** 2 @ line).mean()
    return total.detach()


@pytest.fixture
def weights(tmp_path: Path) -> str:
    save_file(state(), tmp_path / "lpips.safetensors")
    return str(tmp_path / "lpips.safetensors")


def test_it_is_the_published_arithmetic(weights: str) -> None:
    rng = torch.Generator().manual_seed(1)
    a, b = torch.rand(2, 2, 3, 80, 64, generator=rng), torch.rand(2, 2, 3, 80, 64, generator=rng)

    found = Lpips.of(weights)(a, b)

    pairs = zip(a.flatten(0, 1), b.flatten(0, 1), strict=True)
    wanted = torch.stack([by_hand(x, y) for x, y in pairs])
    assert found.shape == (2, 2)
    torch.testing.assert_close(found.flatten(), wanted, rtol=1e-4, atol=1e-6)


def test_equal_pictures_are_at_0_and_a_little_noise_is_nearer_than_much(weights: str) -> None:
    network, rng = Lpips.of(weights), torch.Generator().manual_seed(1)
    picture, noise = torch.rand(3, 64, 64, generator=rng), torch.rand(3, 64, 64, generator=rng)

    none, little, much = (network(picture + s * noise, picture) for s in (0, 0.1, 0.5))

    assert float(none) == 0
    assert 0 < float(little) < float(much)


@pytest.mark.parametrize("form", ["package", "alexnet"])
@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_weights_come_in_either_form_and_file(form: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{ending}"
    if ending == ".pth":
        torch.save(OrderedDict(state(form)), path)
    else:
        save_file(state(form), path)

    network = Lpips.of(f"{path}#{sha256(path)[:12]}")

    assert network.digest == sha256(path)
    assert torch.equal(network.state_dict()["layers.1.weight"], state()["net.slice2.3.weight"])


class Code:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run",))


def test_what_is_no_such_network_is_one_line(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"net.slice1.0.weight": Code()}, tmp_path / "code.pth")
    torch.save({"a": {"b": torch.zeros(1)}}, tmp_path / "nested.pth")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(Path(weights).read_bytes()[:5000])
    told = {
        "nowhere.pth": ("weights-missing", "no file nowhere.pth"),
        f"{weights}#0123456789": ("weights-damaged", "has SHA-256 "),
        f"{weights}#{sha256(Path(weights))[:7]}": ("weights-damaged", "at least 8 signs"),
        str(tmp_path / "code.pth"): ("weights-layout", "a pickle that runs code"),
        str(tmp_path / "nested.pth"): ("weights-layout", "more than tensors by name"),
        str(tmp_path / "other.safetensors"): ("weights-layout", "lacks layers.0.bias"),
        str(tmp_path / "torn.safetensors"): ("weights-damaged", "is damaged"),
    }

    for name, (code, words) in told.items():
        with pytest.raises(MardiniError, match=words) as caught:
            Lpips.of(name)
        assert caught.value.code == code
        assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_the_middle_frame_has_a_figure_of_its_own_where_the_benchmark_has_one(
    weights: str, write_clip: WriteClip
) -> None:
    path, davis = write_clip("pan.mkv", frames=9), PROTOCOLS["davis-7"]
    read = excerpts_of(path, 0, davis.cut, path.parent)
    assert isinstance(read, list)
    true = torch.stack([excerpt.frames[1:8] for excerpt in read])
    made = true.clone()
    made[:, 3] = true[:, 0]  # slot 4 stands still, all others are right

    (row,) = score(read, [0.0], made, davis, "spoilt", Lpips.of(weights))

    assert row.figures["lpips_middle"] == pytest.approx(7 * row.figures["lpips"], rel=1e-4)
    assert row.figures["lpips_middle"] > 0


def run(folder: Path, **more: object) -> dict[str, object]:
    request = EvaluateRequest(
        folder=folder, output=folder / "out", model="none", protocols=("x8",),
        baselines=("repeat", "blend"), sheets=False, device="cpu", **more,  # type: ignore[arg-type]  # by name
    )  # fmt: skip
    *_, _ = evaluate(request)
    told: dict[str, object] = json.loads((folder / "out" / "results.json").read_text())
    return told


def test_a_run_measures_it_with_weights_and_says_so_without(
    write_clip: WriteClip, weights: str, tmp_path: Path
) -> None:
    write_clip("pan.mkv", frames=12)

    without = run(tmp_path)
    measured = run(tmp_path, lpips=weights, overwrite=True)

    assert "LPIPS" in str(without["not_measured"])
    assert "lpips" not in str(without["rows"])
    assert list(measured["not_measured"]) == ["FID", "FVD"]  # type: ignore[call-overload]  # a mapping
    assert all(row["lpips"] > 0 for row in measured["rows"])  # type: ignore[attr-defined]  # a list
    assert sha256(Path(weights)) in str(measured["settings"])
    assert "LPIPS" in (tmp_path / "out" / "report.html").read_text()
