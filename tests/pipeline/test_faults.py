"""Made frames that cannot be right, and scenes that only look as if."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given as for_all
from hypothesis import strategies as st
from torch import Tensor

from mardini_cli import config
from mardini_cli.errors import MadeFrameError
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import Maker, MakeSettings, faults
from mardini_cli.pipeline.settling import settle
from mardini_cli.tasks.plan import Slot, Window
from tests.pipeline.clips import nano_model, picture

SIZE = (96, 128)


def window_of(mask: str) -> Window:
    """``G`` given, ``M`` made."""
    return Window(
        tuple(
            Slot(n, Fraction(n, 25), n if letter == "G" else None) for n, letter in enumerate(mask)
        )
    )


def scene(number: float, *, level: float = 0.5, swing: float = 0.3) -> Tensor:
    """A pattern that moves two pixels a frame, ``3 h w``."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    planes = [
        level + swing * np.sin((x - 2 * number) / (5 + c)) * np.cos(y / 9 + c) for c in range(3)
    ]
    return torch.from_numpy(np.stack(planes)).float()


def judge(mask: str, frames: Sequence[Tensor]) -> list[str]:
    """Of all frames of a window, in slot order."""
    window = window_of(mask)
    given = torch.stack([f for f, letter in zip(frames, mask, strict=True) if letter == "G"])
    made = torch.stack([f for f, letter in zip(frames, mask, strict=True) if letter == "M"])
    return [str(fault) for fault in faults.find(window, given.clamp(0, 1), made)]


NOISE = torch.rand((3, *SIZE), generator=torch.Generator().manual_seed(0))

HONEST = {
    "a moving pattern": [scene(n) for n in range(7)],
    "a still": [scene(0)] * 7,
    "a black scene": [torch.zeros(3, *SIZE)] * 7,
    "a black scene with values just below": [torch.full((3, *SIZE), -0.01)] * 7,
    "a white scene": [torch.full((3, *SIZE), 1.02)] * 7,
    "a flat grey card": [torch.full((3, *SIZE), 0.4)] * 7,
    "a pure red card": [torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, *SIZE)] * 7,
    "a night": [scene(n, level=0.02, swing=0.02) for n in range(7)],
    "a glare": [scene(n, level=0.98, swing=0.05) for n in range(7)],
    "a fade to black": [scene(n) * (1 - n / 6) for n in range(7)],
    "a fade from white": [scene(n) * n / 6 + 1 - n / 6 for n in range(7)],
    "grain": [scene(n) + 0.1 * NOISE.roll(n, 2) for n in range(7)],
    "quick motion": [scene(8 * n) for n in range(7)],
}


MASKS = ("GMMGMMG", "GMMMMMG", "GGMMMMM", "MMMGGGG", "GMMMMMM", "MMMGMMM")


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        (name, mask)
        for name in HONEST
        for mask in MASKS
        if "fade" not in name or mask.count("G") > 1  # one picture alone tells of no fade
    ],
)
def test_what_is_there_in_truth_is_no_fault(name: str, mask: str) -> None:
    """The true frames of scenes that are black, white, flat, still, fading, grainy or quick."""
    assert judge(mask, HONEST[name]) == []


def with_made(wrong: Tensor, mask: str = "GMMMG") -> list[Tensor]:
    """A moving pattern whose frame 2 is another."""
    return [wrong if n == 2 else scene(3 * n) for n in range(len(mask))]


@pytest.mark.parametrize("mask", ["GMMMG", "GGMMM"])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (torch.zeros(3, *SIZE), "black or white all over"),
        (torch.full((3, *SIZE), 1.0), "black or white all over"),
        (40 * (NOISE - 0.5), "black or white all over"),
        (torch.full((3, *SIZE), 0.5), "nothing to see"),
        (torch.full((3, *SIZE), torch.inf), "NaN or infinity"),
        (scene(6).index_fill(1, torch.tensor([3]), torch.nan), "NaN or infinity"),
    ],
    ids=["black", "white", "exploding", "flat", "infinite", "a row of NaN"],
)
def test_what_cannot_be_right_is_found_and_named(wrong: Tensor, told: str, mask: str) -> None:
    found = judge(mask, with_made(wrong, mask))

    assert f"{told} in made frames 2" in found


def test_copies_while_the_clip_moves_are_found() -> None:
    frames = [scene(0), scene(0), scene(0), scene(0), scene(5)]

    assert judge("GMMMG", frames) == ["no motion in made frames 1, 2, 3"]


def test_frames_beyond_the_given_ones_may_stand_still() -> None:
    """One picture alone does not move without sampling; that is no fault."""
    assert judge("GMMMM", [scene(0)] * 5) == []


@pytest.mark.parametrize("mask", ["GMMMG", "GGMMM"])
def test_another_picture_than_the_given_ones_is_found(mask: str) -> None:
    bright = (scene(0, level=0.9, swing=0.1)).clamp(0, 1)
    dark = [scene(3 * n, level=0.15, swing=0.1) for n in range(5)]

    found = judge(mask, [bright if n == 2 else frame for n, frame in enumerate(dark)])

    assert "no likeness to given frames in made frames 2" in found


def test_the_frames_of_a_window_are_named_by_their_places_in_the_job() -> None:
    window = Window(
        (Slot(40, Fraction(0), 7), Slot(41, Fraction(1), None), Slot(42, Fraction(2), 8))
    )
    given = torch.stack([scene(0), scene(2)])

    (found,) = faults.find(window, given, torch.full((1, 3, *SIZE), torch.nan))

    assert found.frames == (41,)


@for_all(
    share=st.floats(0.05, 0.95),
    level=st.floats(0, 1),
    swing=st.floats(0, 0.4),
    step=st.floats(-12, 12),
)
def test_a_frame_between_two_is_no_fault_at_any_brightness_and_speed(
    share: float, level: float, swing: float, step: float
) -> None:
    ends = [scene(n * step, level=level, swing=swing).clamp(0, 1) for n in (0, 1)]
    between = scene(share * step, level=level, swing=swing).clamp(0, 1)

    assert judge("GMG", [ends[0], between, ends[1]]) == []


def given_pictures(window: Window) -> list[list[np.ndarray]]:
    return [[(picture(s.index, SIZE) / 255).astype(np.float32) for s in window.given]]


def fails_in(broken: Sequence[torch.dtype], monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """The model makes white frames in these number types; gives the types that were tried."""
    make, tried = Maker._make, list[torch.dtype]()

    def spoilt(
        self: Maker, windows: Sequence[Window], frames: Tensor, kind: str = "colour"
    ) -> Tensor:
        tried.append(self.settings.dtype)
        made = make(self, windows, frames, kind)
        return torch.ones_like(made) if self.settings.dtype in broken else made

    monkeypatch.setattr(Maker, "_make", spoilt)
    return tried


def test_a_fault_of_short_numbers_is_cured_by_float32_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    window = window_of("GMMMG")
    healthy = Maker(nano_model(), MakeSettings())([window], given_pictures(window))
    tried = fails_in([torch.bfloat16], monkeypatch)
    maker = Maker(nano_model(), MakeSettings(dtype=torch.bfloat16))

    made = maker([window], given_pictures(window))

    assert tried == [torch.bfloat16, torch.float32]
    for (_, frame), (_, right) in zip(made, healthy, strict=True):
        np.testing.assert_array_equal(frame, right)
    (notice,) = (told.message for told in maker.notices)
    assert notice.startswith("window 0: black or white all over in made frames 1, 2, 3")
    assert notice.endswith("cured by making it in float32")


def test_only_the_window_that_is_at_fault_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = window_of("GMMMG"), window_of("GMMMG")
    sizes: list[int] = []
    make = Maker._make

    def spoilt(
        self: Maker, windows: Sequence[Window], frames: Tensor, kind: str = "colour"
    ) -> Tensor:
        sizes.append(len(windows))
        made = make(self, windows, frames, kind)
        if len(sizes) == 1:
            made[1] = 1
        return made

    monkeypatch.setattr(Maker, "_make", spoilt)
    maker = Maker(nano_model(), MakeSettings())

    maker([first, second], given_pictures(first) * 2)

    assert sizes == [2, 1]
    assert [notice.message.partition(":")[0] for notice in maker.notices] == ["window 1"]


def test_what_is_wrong_twice_stops_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    window = window_of("GMMMG")
    tried = fails_in([torch.bfloat16, torch.float32], monkeypatch)
    maker = Maker(nano_model(), MakeSettings(dtype=torch.bfloat16))

    with pytest.raises(MadeFrameError, match=r"window 0: .* made frames 1, 2, 3.*, twice"):
        maker([window], given_pictures(window))

    assert tried == [torch.bfloat16, torch.float32]


def test_faults_may_be_let_pass_but_never_numbers_that_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    window = window_of("GMMMG")
    with monkeypatch.context() as patch:
        fails_in([torch.float32], patch)
        maker = Maker(nano_model(), MakeSettings(strict=False))
        made = maker([window], given_pictures(window))
        assert all(frame.min() == 1 for _, frame in made)
        assert "kept" in maker.notices[0].message
    broken = nano_model()
    with torch.no_grad():
        broken.autoencoder.get_parameter("residual.leave.bias")[0] = float("nan")

    with pytest.raises(MadeFrameError, match="NaN"):
        Maker(broken, MakeSettings(strict=False))([window], given_pictures(window))


def test_short_weights_are_long_for_the_second_try_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Picture latents keep their weights in the number type that they run in."""
    window = window_of("GMMMG")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = settle(MarDini(config.preset("nano-vae")).eval(), torch.bfloat16)
    seen: list[torch.dtype] = []

    def spoilt(
        self: Maker, windows: Sequence[Window], frames: Tensor, _kind: str = "colour"
    ) -> Tensor:
        seen.append(next(self.model.parameters()).dtype)
        made = frames[:, :1].expand(-1, len(windows[0].made), -1, -1, -1).clone()
        return made + torch.nan if self.settings.dtype == torch.bfloat16 else made

    monkeypatch.setattr(Maker, "_make", spoilt)
    maker = Maker(model, MakeSettings(dtype=torch.bfloat16, strict=False))

    maker([window], given_pictures(window))

    assert seen == [torch.bfloat16, torch.float32]
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
