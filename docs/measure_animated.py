"""What no one could use among animated pictures: frozen, blank, exploding, by the detectors.

    python docs/measure_animated.py FOLDER [--count 100] [--steps N] [--model NAME] [--out JSON]

Every picture of the folder, or evenly spaced frames of its clips where it holds none, is brought to
256 x 256 and is the first of nine frames; the others are made with the settings of ``mardini
animate``, or with so many steps. A picture has no truth, so that frozen means here: no frame
differs from the one before by a level in the mean. Blank and exploding are what every command
refuses (``pipeline.faults``), and gradient energy far above the picture's. Extended clips are
counted by ``mardini evaluate CLIPS --protocol extend,drift``.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mardini_cli import weights
from mardini_cli.config import sampler_of
from mardini_cli.device import choose_device, choose_dtype, name_of
from mardini_cli.evaluation import temporal
from mardini_cli.evaluation.excerpts import PICTURE_SUFFIXES, clips_of
from mardini_cli.evaluation.fitting import FITS
from mardini_cli.evaluation.metrics import luma
from mardini_cli.media.pictures import read_picture
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import read, rgb
from mardini_cli.pipeline import Maker, MakeSettings, Picture, faults
from mardini_cli.tasks.animate import animate

FRAMES = 9


def main() -> None:
    """Animate, judge, count."""
    words = _words()
    device = choose_device(words.device)
    model = weights.load(words.model, device, torch.float32)
    sampler = sampler_of("animate")
    if words.steps is not None:
        sampler = replace(sampler, steps=words.steps)
    settings = MakeSettings(
        sampler=sampler, dtype=choose_dtype("auto", device), strict=False
    )  # what is refused otherwise is counted here
    make = Maker(model, settings)
    (window,) = animate(FRAMES, Fraction(24), model.config.window).windows
    counts, figures, named = Counter[str](), list[tuple[float, float]](), dict[str, list[str]]()
    began = perf_counter()
    for name, pixels in islice(_pictures(Path(words.folder), words.count), words.count):
        picture = FITS["crop"](torch.from_numpy(pixels).permute(2, 0, 1))
        made = make([window], [[picture.permute(1, 2, 0).numpy()]])
        frames = torch.stack([torch.from_numpy(one).permute(2, 0, 1) for _, one in made])
        found = {fault.what for fault in faults.find(window, picture[None], frames)}
        whole = torch.cat([picture[None], frames])
        found |= _moved(whole, window.mask)
        counts.update(found)
        if found:
            named[name] = sorted(found)
        figures.append((float(temporal.sharpness(frames, picture[None])), _steps(whole).mean()))
    sharp, motion = np.median(np.array(figures), 0).tolist()
    told: dict[str, Any] = {
        "pictures": len(figures),
        "steps": sampler.steps,
        "guidance": sampler.guidance,
        "device": name_of(device),
        "found": dict(counts),
        "sharpness, median": round(sharp, 3),
        "levels a step, median": round(motion, 3),
        "seconds": round(perf_counter() - began, 1),
        "named": named,
    }
    print(json.dumps(told, indent=1))
    if words.out:
        Path(words.out).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _moved(frames: Tensor, mask: tuple[bool, ...]) -> set[str]:
    found = {"frozen"} if bool((_steps(frames) < temporal.STIRS).all()) else set()
    return found | ({"exploding"} if bool(temporal.wild(frames, mask)) else set())


def _steps(frames: Tensor) -> np.ndarray:
    """Mean change of luma from each frame to the next, 8-bit levels."""
    steps: np.ndarray = luma(frames).diff(dim=0).abs().mean((1, 2)).div(temporal.LEVEL).numpy()
    return steps


def _pictures(folder: Path, count: int) -> Iterator[tuple[str, Picture]]:
    """Pictures by name; where there are none, as many frames of each clip as make up the count."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    for path in paths:
        yield path.name, read_picture(path)
    clips = [] if paths else clips_of(folder)
    for path in clips:
        info = probe(path)
        each = -(-count // len(clips))
        wanted = {len(info.times) * n // each for n in range(each)}
        for number, frame in enumerate(read(info)):
            if number in wanted:
                yield f"{path.name}@{number}", rgb(frame, info)


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", help="pictures that no model was trained on")
    parser.add_argument("--count", type=int, default=100, help="only the first so many by name")
    parser.add_argument("--steps", type=int, help="instead of the usual ones of animate")
    parser.add_argument("--model", default="mardini-tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
