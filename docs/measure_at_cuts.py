"""What stands best between the last frame of a shot and the cut: predicted frames or a held one.

    python docs/measure_at_cuts.py FOLDER [WEIGHTS]

Every clip of the folder gives windows whose last frames are hidden, as if a cut came: two frames
``K`` apart are given, and the K - 1 after them are made from these, held, or (what no cut allows,
for comparison) made with the next given frame on the other side as well.
"""

import sys
from fractions import Fraction
from pathlib import Path

import torch

from mardini_cli import weights
from mardini_cli.config import SamplerConfig
from mardini_cli.evaluation import metrics, temporal
from mardini_cli.evaluation.excerpts import clips_of, excerpts_of
from mardini_cli.evaluation.protocols import CROP
from mardini_cli.pipeline import Maker, MakeSettings
from mardini_cli.tasks.plan import Slot, Window

FACTORS = (2, 4)


def main(words: list[str]) -> None:
    """Make, compare, print a table."""
    name = words[1] if len(words) > 1 else "mardini-tiny"
    model = weights.load(name, torch.device("cpu"), torch.float32)
    make = Maker(model, MakeSettings(sampler=SamplerConfig(steps=0)))
    rows: dict[tuple[int, str], list[list[float]]] = {}
    for number, path in enumerate(clips_of(Path(words[0]))):
        found = excerpts_of(path, number, CROP, Path(words[0]))
        for excerpt in found if isinstance(found, list) else []:
            for factor in FACTORS:
                true, given = excerpt.frames[factor + 1 : 2 * factor], excerpt.frames[[0, factor]]
                for way, made in _ways(make, excerpt.frames, factor).items():
                    rows.setdefault((factor, way), []).append(_figures(made, true, given))
    print("| factor | way | PSNR | SSIM | sharpness |\n| --- | --- | --- | --- | --- |")
    for (factor, way), figures in rows.items():
        psnr, ssim, sharp = torch.tensor(figures).mean(0).tolist()
        print(f"| {factor} | {way} | {psnr:.2f} | {ssim:.4f} | {sharp:.2f} |")
    print(f"\n{len(figures)} windows")


def _ways(make: Maker, frames: torch.Tensor, factor: int) -> dict[str, torch.Tensor]:
    hidden = range(factor + 1, 2 * factor)
    return {
        "predict": _made(make, frames, (0, factor), hidden),
        "hold": frames[factor].expand(len(hidden), -1, -1, -1),
        "both sides": _made(make, frames, (0, factor, 2 * factor), hidden),
    }


def _made(make: Maker, frames: torch.Tensor, given: tuple[int, ...], made: range) -> torch.Tensor:
    places = sorted([*given, *made])
    slots = tuple(Slot(n, Fraction(n), n if n in given else None) for n in places)
    pictures = [[frames[n].permute(1, 2, 0).numpy() for n in given]]
    found = make([Window(slots)], pictures)
    return torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for _, picture in found])


def _figures(made: torch.Tensor, true: torch.Tensor, given: torch.Tensor) -> list[float]:
    return [
        float(metrics.psnr(made[None], true[None]).mean()),
        float(metrics.ssim(made[None], true[None]).mean()),
        float(temporal.sharpness(made[None], given[None]).mean()),
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
