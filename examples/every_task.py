"""Every task from Python: slow motion, a longer clip, a filled one, keyframes, a moving picture.

Usage: python examples/every_task.py FOLDER (for the results; made if it is not there)
"""

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

import mardini_cli
from mardini_cli import MarDini
from mardini_cli.errors import MardiniError
from mardini_cli.tasks.interpolate import interpolate

HERE = Path(__file__).parent
CLIP, STILL = HERE / "cat.mp4", HERE / "boat.jpg"


def main(folder: Path) -> None:
    """Run each task once, small, and say what came out."""
    folder.mkdir(parents=True, exist_ok=True)
    results = [
        mardini_cli.interpolate(CLIP, factor=2, end="0:0.5", output=folder / "slow.mp4"),
        mardini_cli.extend(CLIP, frames=2, direction="both", output=folder / "longer.mp4"),
        mardini_cli.fill(CLIP, missing="7,12-13", output=folder / "filled.mp4"),
        mardini_cli.interpolate(STILL, STILL, between=3, output=folder / "keyframes.mp4"),
        mardini_cli.animate(STILL, frames=3, steps=1, output=folder / "moving.mp4"),
    ]
    for result in results:
        print(f"{result.output}: {result.made} of {result.frames} frames made")

    # The same in memory, for notebooks: frames and a plan in, frames out.
    model = MarDini.from_pretrained()
    plan = interpolate([Fraction(0), Fraction(1)], factor=4, size=model.config.window)
    dark, light = (np.full((64, 96, 3), level, np.float32) for level in (0.2, 0.8))
    frames = model.make([dark, light], plan)
    print("in memory:", [round(float(frame.mean()), 2) for frame in frames])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/every_task.py FOLDER")
    try:
        main(Path(sys.argv[1]))
    except MardiniError as error:
        sys.exit(str(error))
