"""Weights that make what is no picture: no task leaves a file, and all of them say why."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mardini_cli import api, weights
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import LimitError, MadeFrameError
from mardini_cli.events import Event, Finished, Warned
from mardini_cli.pipeline import Maker
from tests.media.clips import make_clip, picture
from tests.pipeline.clips import nano_model

SAMPLER = SamplerConfig(steps=1)
Pair = tuple[Path, Path]
TASKS: dict[str, Callable[[Path, Pair, dict[str, Any]], Iterator[Event]]] = {
    "interpolate": lambda clip, _, said: api.interpolate(api.InterpolateRequest(clip=clip, **said)),
    "animate": lambda _, pair, said: api.animate(
        api.AnimateRequest(image=pair[0], frames=4, sampler=SAMPLER, **said)
    ),
    "extend": lambda clip, _, said: api.extend(api.ExtendRequest(clip=clip, frames=4, **said)),
    "fill": lambda clip, _, said: api.fill(api.FillRequest(clip=clip, missing="2-3", **said)),
    "keyframes": lambda _, pair, said: api.keyframes(
        api.KeyframesRequest(images=pair, between=3, **said)
    ),
}


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], str]:
    """Weights that add a number to the red of all that they make."""
    made: dict[float, str] = {}

    def place(bias: float) -> str:
        if bias not in made:
            model = nano_model()
            with torch.no_grad():
                model.autoencoder.get_parameter("residual.leave.bias")[:] = bias
            folder = tmp_path_factory.mktemp("weights") / "spoilt"
            weights.save(model, folder, storage="fp32")
            made[bias] = str(folder)
        return made[bias]

    return place


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of it moves: what stands still is taken from the given frames, not made."""
    return make_clip(tmp_path_factory.mktemp("clips") / "in.mkv")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for number in (0, 4):
        code = picture(number, (64, 48), "yuv444p").to_ndarray(format="rgb24")
        Image.fromarray(code).save(folder / f"{number}.png")
    return folder / "0.png", folder / "4.png"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("bias", "told"), [(float("nan"), "NaN or infinity"), (9.0, "black or white all over")]
)
def test_no_task_writes_what_cannot_be_right(
    task: str,
    bias: float,
    told: str,
    tmp_path: Path,
    clip: Path,
    pictures: tuple[Path, Path],
    spoilt: Callable[[float], str],
) -> None:
    said = {"output": tmp_path / "out.mkv", "model": spoilt(bias), "device": "cpu"}

    with pytest.raises(MadeFrameError, match=rf"^window 0: {told} in made frames \d"):
        list(TASKS[task](clip, pictures, said))

    assert names(tmp_path) == []


def test_who_wants_them_all_the_same_gets_them_with_a_warning(
    tmp_path: Path, clip: Path, spoilt: Callable[[float], str]
) -> None:
    request = api.InterpolateRequest(
        clip=clip,
        output=tmp_path / "out.mkv",
        model=spoilt(9.0),
        device="cpu",
        faults="warn",
        verify=False,
    )

    events = list(api.interpolate(request))

    warned = [e for e in events if isinstance(e, Warned) and e.code == "made-frame"]
    assert warned
    assert all("kept" in event.message for event in warned)
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert names(tmp_path) == ["out.mkv"]


def test_healthy_weights_of_the_same_size_pass(tmp_path: Path, pictures: tuple[Path, Path]) -> None:
    """The healthy weights of the same size pass: what is refused above is the spoiling."""
    folder = tmp_path / "weights"
    weights.save(nano_model(), folder, storage="fp32")
    request = api.KeyframesRequest(
        at=((Fraction(0), pictures[0]), (Fraction(1, 4), pictures[1])),
        output=tmp_path / "out.mkv",
        model=str(folder),
        device="cpu",
    )

    events = list(api.keyframes(request))

    assert not [e for e in events if isinstance(e, Warned) and e.code == "made-frame"]


def test_a_cure_is_told_as_a_warning(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that only short numbers spoil are made in float32, and the file is written."""
    folder = tmp_path / "weights"
    weights.save(nano_model(), folder, storage="fp32")
    make = Maker._make

    def spoilt(self: Maker, *told: Any) -> torch.Tensor:
        made = make(self, *told)
        return made * torch.nan if self.settings.dtype == torch.bfloat16 else made

    monkeypatch.setattr(Maker, "_make", spoilt)
    request = api.InterpolateRequest(
        clip=clip, output=tmp_path / "out.mkv", model=str(folder), device="cpu", dtype="bf16"
    )

    events = list(api.interpolate(request))

    warned = [e.message for e in events if isinstance(e, Warned) and e.code == "made-frame"]
    assert len(warned) == 2
    assert warned[0].startswith("window 0: NaN or infinity in made frames 1, 3, 5, 7")
    assert warned[0].endswith("cured by making it in float32")
    assert sum(isinstance(event, Finished) for event in events) == 1


def test_raw_video_of_absurd_size_is_refused_with_the_request() -> None:
    with pytest.raises(LimitError, match="99999x99999"):
        api.InterpolateRequest(
            clip=Path("-"),
            output=Path("out.mkv"),
            input_format="rawvideo",
            input_size="99999x99999",
        )


@pytest.mark.parametrize(
    "request_of",
    [
        lambda clip, said: api.interpolate(
            api.InterpolateRequest(clip=clip, fps=Fraction(900), **said)
        ),
        lambda clip, said: api.interpolate(api.InterpolateRequest(clip=clip, factor=64, **said)),
        lambda clip, said: api.animate(api.AnimateRequest(image=clip, frames=10**9, **said)),
        lambda clip, said: api.animate(
            api.AnimateRequest(image=clip, seconds=Fraction(10**9), **said)
        ),
        lambda clip, said: api.extend(api.ExtendRequest(clip=clip, frames=10**9, **said)),
        lambda clip, said: api.extend(
            api.ExtendRequest(clip=clip, seconds=Fraction(10**9), loop=True, **said)
        ),
        lambda clip, said: api.keyframes(
            api.KeyframesRequest(images=(clip, clip), between=10**9, **said)
        ),
        lambda clip, said: api.keyframes(
            api.KeyframesRequest(at=((Fraction(0), clip), (Fraction(10**9), clip)), **said)
        ),
    ],
)
@pytest.mark.timeout(30)
def test_no_task_plans_more_frames_than_are_allowed(
    request_of: Callable[[Path, dict[str, Any]], Iterator[Event]], tmp_path: Path, clip: Path
) -> None:
    folder = tmp_path / "weights"
    weights.save(nano_model(), folder, storage="fp32")
    said = {"output": tmp_path / "out.mkv", "model": str(folder), "device": "cpu"}

    with pytest.raises(LimitError, match=r"the result: \d+ frames; needs at most 200"):
        list(request_of(clip, {**said, "max_frames": 200}))

    assert names(tmp_path) == ["weights"]
