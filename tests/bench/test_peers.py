"""``docs/measure_peers.py`` without a GPU and without diffusers: its loops, its table, its ends."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from docs import measure_peers as script
from mardini_cli.bench.measuring import unwatched
from tests.model.tape import Tape

CPU, FLOAT = torch.device("cpu"), torch.float32


class PlainVae(nn.Module):
    """Keeps every 32nd pixel of a video, every 8th of a picture; shows latents as they are."""

    def __init__(self, **_: object) -> None:
        super().__init__()

    def encode(self, frame: Tensor) -> SimpleNamespace:
        every = 32 if frame.dim() == 5 else 8
        latent = frame[..., ::every, ::every]
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: latent))

    def decode(self, latent: Tensor, **_: object) -> tuple[Tensor]:
        return (latent,)


class FlowOracle(nn.Module):
    """Knows that the clean tokens are all 7, and says so as a velocity."""

    def __init__(self, **_: object) -> None:
        super().__init__()
        self.heard: list[dict[str, Any]] = []

    def forward(self, **heard: Any) -> tuple[Tensor]:
        self.heard.append(heard)
        time = heard["timestep"].unsqueeze(-1) / 1000
        return (torch.where(time > 0, (heard["hidden_states"] - 7) / time, 99.0),)


class LevelOracle(nn.Module):
    """Knows that the clean latents are all 0.5, and says so as v."""

    def __init__(self, **_: object) -> None:
        super().__init__()
        self.heard: list[Tensor] = []

    def forward(self, sample: Tensor, timestep: Tensor, **_: Any) -> tuple[Tensor]:
        self.heard.append(sample)
        sigma = (4 * timestep.double()).exp()
        alpha = (1 + sigma**2).rsqrt()
        noise = (sample[:, :, :3] / alpha - 0.5) / sigma
        return (alpha * noise - alpha * sigma * 0.5,)


def diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {
        "AutoencoderKLLTXVideo": PlainVae,
        "LTXVideoTransformer3DModel": FlowOracle,
        "AutoencoderKLTemporalDecoder": PlainVae,
        "UNetSpatioTemporalConditionModel": LevelOracle,
    }
    monkeypatch.setitem(sys.modules, "diffusers", SimpleNamespace(**classes))


def test_ltx_samples_what_its_network_knows_beside_a_given_frame_that_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    diffusers(monkeypatch)
    model = script.Ltx(script.small_sizes(), 17, CPU, FLOAT)

    made = model.run(unwatched)

    assert made.shape == (1, 3, 3, 2, 2)
    torch.testing.assert_close(made[:, :, 0], model.frame[:, :, 0, ::32, ::32])
    torch.testing.assert_close(made[:, :, 1:], torch.full((1, 3, 2, 2, 2), 7.0))
    heard = model.network.heard
    assert len(heard) == 40
    assert heard[0]["encoder_hidden_states"].shape == (2, 128, 64)
    assert heard[0]["timestep"].tolist() == [[0.0] * 4 + [1000.0] * 8] * 2


def test_svd_samples_what_its_network_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    diffusers(monkeypatch)
    model = script.Svd(script.small_sizes(), 14, CPU, FLOAT)

    made = model.run(unwatched) * model.scale

    torch.testing.assert_close(made, torch.full((14, 3, 8, 8), 0.5), rtol=0, atol=1e-3)
    heard = model.network.heard
    assert len(heard) == 25
    assert heard[0].shape == (2, 14, 6, 8, 8)
    assert not heard[0][0, :, 3:].any()  # the row without the picture
    assert heard[0][1, :, 3:].any()


def test_a_recorded_step_makes_what_a_plain_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    diffusers(monkeypatch)
    made, tape = [], Tape()
    for kind in (script.Ltx, script.Svd):
        model = kind(script.small_sizes(), 17, CPU, FLOAT)
        for step in (model.network, script.Recorded(model.network, tape)):
            model.step = step
            torch.manual_seed(0)
            made.append(model.run(unwatched, 3))

    assert torch.equal(made[0], made[1])
    assert torch.equal(made[2], made[3])
    assert [one.replays for one in tape.recorded] == [3, 3]
    broken = script.Recorded(model.network, Tape(RuntimeError("waits for the device\nhere")))
    model.step = broken
    torch.manual_seed(0)
    assert torch.equal(model.run(unwatched, 3), made[3])
    assert broken.trouble == "waits for the device"


def test_what_is_missing_is_told_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)

    script.main([str(tmp_path / "out.json"), "small", "plain"])

    lines = json.loads((tmp_path / "out.json").read_text())["lines"]
    assert [line["name"] for line in lines] == [*script.OURS, "LTX-Video 2B", *["SVD-XT"] * 3]
    assert [bool(line["failed"]) for line in lines] == [False, False, True, True, True, True]
    assert "diffusers" in lines[2]["failed"]
    assert all(len(line["runs"]) == 3 and line["parameters"] for line in lines[:2])
    assert 1.5 < lines[1]["flops"]["denoise"] / lines[0]["flops"]["denoise"] < 2
    assert (tmp_path / "out.md").read_text().count("ModuleNotFoundError") == 4
    late = script.contenders(small=True, ways=[False])[0]
    assert script.measured(late, CPU, FLOAT, until=0.0).failed == "not run: out of time"


def line(name: str, frames: int, denoise: float, decode: float) -> script.Line:
    seconds = {"look": 0.0, "plan": 0.0, "denoise": denoise, "decode": decode}
    return script.Line(name=name, frames=frames, steps=25, compiled=False, seconds=seconds)


def test_made_frames_are_set_beside_ours_like_with_like() -> None:
    ours, longer = line("l-t", 17, 1.0, 1.0), line("SVD-XT", 25, 6.0, 3.0)
    compiled = line("SVD-XT", 17, 2.0, 1.0)
    compiled.compiled = True

    assert longer.times(ours) == (4.0, 3.0)  # 24 made frames beside 16
    longer.flops = {"denoise": 12 * 10**12}
    told = script.table([ours, longer, compiled], best=4e12)
    rows = [row.split(" | ") for row in told.splitlines()]
    assert [row[10] for row in rows[2:]] == ["1.00 / 1.00", "4.00 / 3.00", ""]
    assert rows[3][2:5] == ["6.000", "9.000", "0.3750"]
    assert rows[3][7:9] == ["12.0", "50%"]
