"""Make the pictures of the page on tasks, with the program and its default weights.

Usage: python docs/make_pictures.py [NAME ...] (from the project's folder; all without names)
"""

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from mardini_cli import MarDini
from mardini_cli.config import SamplerConfig, sampler_of
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import read, rgb
from mardini_cli.media.sheet import contact_sheet, framed, shrunk
from mardini_cli.pipeline import Picture
from mardini_cli.pipeline.looking import GIVEN, MADE, THUMBNAIL
from mardini_cli.tasks.animate import animate
from mardini_cli.tasks.extend import extend
from mardini_cli.tasks.fill import fill
from mardini_cli.tasks.interpolate import interpolate
from mardini_cli.tasks.keyframes import between
from mardini_cli.tasks.plan import Plan

CLIP, STILL = Path("examples/cat.mp4"), Path("examples/boat.jpg")
PLACE = Path("docs/pictures")
COLUMNS = 6


def frames_of(clip: Path) -> list[Picture]:
    """All frames of a clip, RGB in [0, 1]."""
    info = probe(clip)
    return [rgb(frame, info) for frame in read(info)]


def drawn(
    model: MarDini, name: str, given: list[Picture], plan: Plan, sampler: SamplerConfig
) -> None:
    """Make a plan's frames, and write its first two rows of pictures at most, evenly spread."""
    frames = model.make(given, plan, sampler)
    count = min(len(frames), 2 * COLUMNS)
    chosen = [round(n * (len(frames) - 1) / (count - 1)) for n in range(count)]
    pictures = [
        framed(shrunk(frames[n], THUMBNAIL), MADE if plan.shown[n].is_made else GIVEN)
        for n in chosen
    ]
    rows = [pictures[n : n + COLUMNS] for n in range(0, count, COLUMNS)]
    contact_sheet(PLACE / f"{name}.jpg", rows)


def main(names: list[str]) -> None:
    """Draw the named pictures, or all."""
    model = MarDini.from_pretrained()
    clip, still = frames_of(CLIP), np.asarray(Image.open(STILL), np.float32) / np.float32(255)
    times, size = probe(CLIP).times, model.config.window
    draft = SamplerConfig()
    tasks: dict[str, Callable[[], None]] = {
        "slow-motion": lambda: drawn(
            model, "slow-motion", clip[6:8], interpolate(times[:2], 16, size), draft
        ),
        "animate": lambda: drawn(
            model, "animate", [still], animate(9, Fraction(8), size), sampler_of("animate")
        ),
        "extend": lambda: drawn(
            model, "extend", clip[:8], extend(times[:8], times[8], size, 2, 2), sampler_of("extend")
        ),
        "fill": lambda: drawn(
            model, "fill", clip[:12], fill(times[:12], {3, 7, 8}, size), sampler_of("fill")
        ),
        "keyframes": lambda: drawn(
            model, "keyframes", [clip[4], clip[9]], between(2, 10, Fraction(24), size), draft
        ),
    }
    for name in names or tasks:
        tasks[name]()
        print(PLACE / f"{name}.jpg")


if __name__ == "__main__":
    main(sys.argv[1:])
