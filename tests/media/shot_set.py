"""Cuts to be found and changes to be let pass, made from any shots: the measuring set.

Shots are arrays ``f h w 3``, uint8. A scene is frames and the numbers of the frames that begin a
new shot; whatever else happens in it is no cut. ``generated_shot`` draws footage of its own, so
that tests need no clips; ``docs/measure_cuts.py`` feeds real ones through the same kinds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

Shot = npt.NDArray[np.uint8]
Random = np.random.Generator
SIZE = (96, 168)
"""Rows and columns of every scene."""


@dataclass(frozen=True)
class Scene:
    """Frames, and where new shots begin in them."""

    kind: str
    frames: Shot
    cuts: tuple[int, ...]


class Shots(Protocol):
    """Where shots come from: ``take(rng, length, stride)`` gives another one each time."""

    def __call__(self, rng: Random, length: int, stride: int = 1) -> Shot: ...


def fitted(frames: npt.NDArray[np.uint8]) -> Shot:
    """Scale and crop to the size of the set."""
    rows, columns = SIZE
    scale = max(rows / frames.shape[1], columns / frames.shape[2])
    size = (round(frames.shape[2] * scale), round(frames.shape[1] * scale))
    top, left = (size[1] - rows) // 2, (size[0] - columns) // 2
    whole = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack(whole)[:, top : top + rows, left : left + columns].astype(np.uint8)


def generated_shot(rng: Random, length: int, stride: int = 1) -> Shot:
    """A drifting textured ground with a few things that move over it."""
    rows, columns = SIZE
    ground = _texture(rng, (rows * 2, columns * 2))
    tint = rng.uniform(0.35, 1.0, 3)
    drift = rng.uniform(-1.5, 1.5, 2) * stride
    things = [_Thing.drawn(rng) for _ in range(int(rng.integers(1, 5)))]
    frames = []
    for number in range(length):
        move = np.array(
            [
                [1, 0, -columns / 2 - drift[0] * number],
                [0, 1, -rows / 2 - drift[1] * number],
            ],
            np.float32,
        )
        view = cv2.warpAffine(ground, move, (columns, rows), borderMode=cv2.BORDER_REFLECT)
        picture = view[..., None] * tint
        for thing in things:
            thing.draw(picture, number * stride)
        frames.append(picture + rng.normal(0, 1.5, (rows, columns, 1)))
    return np.stack(frames).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Thing:
    place: npt.NDArray[np.float64]
    speed: npt.NDArray[np.float64]
    radius: int
    colour: tuple[float, float, float]

    @classmethod
    def drawn(cls, rng: Random) -> "_Thing":
        place = rng.uniform(0, 1, 2) * np.array(SIZE[::-1])
        red, green, blue = rng.uniform(0, 255, 3)
        return cls(place, rng.uniform(-3, 3, 2), int(rng.integers(6, 26)), (red, green, blue))

    def draw(self, picture: npt.NDArray[np.float64], number: int) -> None:
        x, y = self.place + self.speed * number
        cv2.circle(picture, (round(x), round(y)), self.radius, self.colour, -1, cv2.LINE_AA)


def _texture(rng: Random, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    total = np.zeros(size, np.float32)
    for scale in (4, 9, 20, 45):
        coarse = rng.normal(0, 1, (size[0] // scale + 2, size[1] // scale + 2)).astype(np.float32)
        total += cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC) * scale**0.5
    total = (total - total.mean()) / total.std()
    grey: npt.NDArray[np.float32] = rng.uniform(70, 180) + rng.uniform(18, 45) * total
    return grey.clip(0, 255)


# Cuts


def _joined(kind: str, parts: Sequence[Shot]) -> Scene:
    starts = np.cumsum([len(part) for part in parts])[:-1]
    return Scene(kind, np.concatenate(parts), tuple(int(s) for s in starts))


def plain_cut(shots: Shots, rng: Random) -> Scene:
    return _joined("plain", [shots(rng, 14), shots(rng, 14)])


def moving_cut(shots: Shots, rng: Random) -> Scene:
    """Both shots move fast."""
    return _joined("moving", [shots(rng, 12, 4), shots(rng, 12, 4)])


def montage(shots: Shots, rng: Random) -> Scene:
    """Shots of a third of a second."""
    return _joined("montage", [shots(rng, 8) for _ in range(4)])


def dark_cut(shots: Shots, rng: Random) -> Scene:
    """Two shots of the night."""
    return _joined(
        "dark", [(shots(rng, 14) * rng.uniform(0.25, 0.4)).astype(np.uint8) for _ in "ab"]
    )


def matched_cut(shots: Shots, rng: Random) -> Scene:
    """The second shot has the brightness, the contrast and the colours of the first."""
    first, second = shots(rng, 14), shots(rng, 14).astype(np.float64)
    flat = (0, 1, 2)
    second = (second - second.mean(flat)) / (second.std(flat) + 1e-6)
    second = second * first.std(flat) + first.mean(flat)
    return _joined("matched", [first, second.clip(0, 255).astype(np.uint8)])


def grainy_cut(shots: Shots, rng: Random) -> Scene:
    scene = _joined("grainy", [shots(rng, 14), shots(rng, 14)])
    return Scene(scene.kind, _grain(scene.frames, rng, 12), scene.cuts)


def still_cut(shots: Shots, rng: Random) -> Scene:
    """Photographs one after the other."""
    return _joined("still", [shots(rng, 1).repeat(10, 0) for _ in range(2)])


def held_cut(shots: Shots, rng: Random) -> Scene:
    """Drawn on twos on both sides."""
    return _joined("held", [shots(rng, 8, 3).repeat(2, 0), shots(rng, 8, 3).repeat(2, 0)])


def flash_then_cut(shots: Shots, rng: Random) -> Scene:
    """A flash in the first shot, a cut a little later."""
    first = _lit(shots(rng, 16), {5: rng.uniform(60, 160)})
    return _joined("flash then cut", [first, shots(rng, 12)])


# No cuts


def flash(shots: Shots, rng: Random) -> Scene:
    at, length = int(rng.integers(8, 14)), int(rng.integers(1, 4))
    light = rng.uniform(60, 220)
    return Scene("flash", _lit(shots(rng, 26), {at + n: light * 0.8**n for n in range(length)}), ())


def whiteout(shots: Shots, rng: Random) -> Scene:
    """One or two frames wholly white."""
    frames = shots(rng, 26).copy()
    at = int(rng.integers(8, 14))
    frames[at : at + int(rng.integers(1, 3))] = 255
    return Scene("whiteout", frames, ())


def flicker(shots: Shots, rng: Random) -> Scene:
    frames = shots(rng, 26)
    gain = rng.uniform(0.55, 1.0, 26)
    return Scene("flicker", (frames * gain[:, None, None, None]).astype(np.uint8), ())


def light_switch(shots: Shots, rng: Random) -> Scene:
    frames = shots(rng, 26).astype(np.float64)
    frames[13:] *= rng.uniform(0.35, 0.6)
    return Scene("light switch", frames.astype(np.uint8), ())


def pan(shots: Shots, rng: Random) -> Scene:
    """A still picture swept past, starting at once, 5 to 22 % of the width a frame."""
    columns = SIZE[1]
    wide = np.concatenate([shots(rng, 1)[0] for _ in range(4)], 1)
    wide = cv2.GaussianBlur(wide, (0, 0), 2).astype(
        np.uint8
    )  # joins of the panorama are no part of the question
    step = rng.uniform(0.05, 0.22) * columns
    frames, x = [], 0.0
    for number in range(30):
        x += step if number > 8 else 0
        left = round(x) % (wide.shape[1] - columns)
        frames.append(_blurred(wide[:, left : left + columns], step / 4 if number > 8 else 0))
        if x + step > wide.shape[1] - columns:
            break
    return Scene("pan", np.stack(frames), ())


def zoom(shots: Shots, rng: Random) -> Scene:
    """Scale grows by 4 to 12 % a frame."""
    still, rate = shots(rng, 1)[0], rng.uniform(1.04, 1.12)
    rows, columns = SIZE
    frames = []
    for number in range(16):
        scale = float(rate ** max(0, number - 5))
        move = cv2.getRotationMatrix2D((columns / 2, rows / 2), 0, scale)
        frames.append(cv2.warpAffine(still, move, (columns, rows), borderMode=cv2.BORDER_REFLECT))
    return Scene("zoom", np.stack(frames).astype(np.uint8), ())


def shake(shots: Shots, rng: Random) -> Scene:
    frames = []
    rows, columns = SIZE
    for frame in shots(rng, 24):
        dx, dy = rng.normal(0, 0.035, 2) * columns
        move = np.array([[1.15, 0, dx - columns * 0.07], [0, 1.15, dy - rows * 0.07]], np.float32)
        frames.append(cv2.warpAffine(frame, move, (columns, rows), borderMode=cv2.BORDER_REFLECT))
    return Scene("shake", np.stack(frames).astype(np.uint8), ())


def fade(shots: Shots, rng: Random) -> Scene:
    """To black or white and back, within 5 to 24 frames each way."""
    length = int(rng.integers(5, 25))
    ramp = np.concatenate([np.ones(4), np.linspace(1, 0, length), np.linspace(0, 1, length)])
    frames = shots(rng, len(ramp)).astype(np.float64)
    ground = 0 if rng.random() < 0.7 else 255
    share = ramp[:, None, None, None]
    return Scene("fade", (frames * share + ground * (1 - share)).astype(np.uint8), ())


def dissolve(shots: Shots, rng: Random) -> Scene:
    length = int(rng.integers(8, 25))
    share = np.concatenate([np.zeros(5), np.linspace(0, 1, length), np.ones(5)])
    one, other = shots(rng, len(share)), shots(rng, len(share))
    mixed = one * (1 - share[:, None, None, None]) + other * share[:, None, None, None]
    return Scene("dissolve", mixed.astype(np.uint8), ())


def passer_by(shots: Shots, rng: Random) -> Scene:
    """Something large and near crosses the picture in 5 to 9 frames."""
    frames, near = shots(rng, 24).copy(), shots(rng, 1)[0]
    columns = SIZE[1]
    wide, steps = int(columns * rng.uniform(0.4, 0.7)), int(rng.integers(5, 10))
    for number in range(steps):
        right = round((columns + wide) * (number + 0.5) / steps)
        left, stop = max(0, right - wide), min(columns, right)
        frames[8 + number, :, left:stop] = near[:, left - (right - wide) :][:, : stop - left]
    return Scene("passer-by", frames, ())


def fast(shots: Shots, rng: Random) -> Scene:
    """A shot of which one frame in six is left, as a time-lapse has it."""
    return Scene("fast", shots(rng, 20, 6), ())


def on_twos(shots: Shots, rng: Random) -> Scene:
    """Every drawing stands for two or three frames and then jumps."""
    return Scene("on twos", shots(rng, 10, 4).repeat(int(rng.integers(2, 4)), 0), ())


def sudden_start(shots: Shots, rng: Random) -> Scene:
    """A still picture that begins to move fast."""
    moving = shots(rng, 12, 5)
    return Scene("sudden start", np.concatenate([moving[:1].repeat(10, 0), moving]), ())


def title(shots: Shots, rng: Random) -> Scene:
    """Words and a bar appear at once, and go."""
    frames = shots(rng, 26).copy()
    rows, columns = SIZE
    for frame in frames[9:19]:
        frame[int(rows * 0.68) : int(rows * 0.92)] //= 3
        cv2.putText(
            frame,
            "A title appears",
            (int(columns * 0.05), int(rows * 0.85)),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.55,
            (240, 240, 240),
            1,
            cv2.LINE_AA,
        )
    return Scene("title", frames, ())


Kind = Callable[[Shots, Random], Scene]
CUTS: tuple[Kind, ...] = (
    plain_cut,
    moving_cut,
    montage,
    dark_cut,
    matched_cut,
    grainy_cut,
    still_cut,
    held_cut,
    flash_then_cut,
)
NO_CUTS: tuple[Kind, ...] = (
    flash,
    whiteout,
    flicker,
    light_switch,
    pan,
    zoom,
    shake,
    fade,
    dissolve,
    passer_by,
    fast,
    on_twos,
    sudden_start,
    title,
)


def scenes(shots: Shots, each: int, seed: int = 0) -> Iterator[Scene]:
    """``each`` scenes of every kind, the same ones for the same seed."""
    for number, kind in enumerate((*CUTS, *NO_CUTS)):
        for round_ in range(each):
            yield kind(shots, np.random.default_rng((seed, number, round_)))


def _lit(frames: Shot, light: dict[int, float]) -> Shot:
    lit = frames.astype(np.float64)
    for number, amount in light.items():
        lit[number] += amount
    return lit.clip(0, 255).astype(np.uint8)


def _grain(frames: Shot, rng: Random, amount: float) -> Shot:
    noisy = frames + rng.normal(0, amount, frames.shape[:3])[..., None]
    return noisy.clip(0, 255).astype(np.uint8)


def _blurred(frame: Shot, length: float) -> Shot:
    if length < 2:
        return frame
    return cv2.blur(frame, (round(length), 1)).astype(np.uint8)
