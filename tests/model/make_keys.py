"""Write the golden key lists: ``python tests/model/make_keys.py``, from the repository's root.

A key that changes makes every weights folder out there useless, so a change of these files is a
breaking change. Numbered blocks are folded: ``blocks.*`` with how many there are.
"""

import re
from collections import Counter
from pathlib import Path

import torch

from mardini_cli.config import PRESETS
from mardini_cli.model.mardini import MarDini

BLOCK, FOLDED = re.compile(r"((planner|denoiser)\.blocks\.)[0-9]+"), r"\1*"
FOLDER = Path(__file__).parent / "keys"


def keys_of(preset: str) -> str:
    """Every tensor of a preset as text: its key, its shape, how often it stands there."""
    with torch.device("meta"):
        state = MarDini(PRESETS[preset]()).state_dict()
    lines = Counter(f"{BLOCK.sub(FOLDED, key)} {list(value.shape)}" for key, value in state.items())
    return "".join(f"{line} x{count}\n" for line, count in lines.items())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for preset in PRESETS:
        (FOLDER / f"{preset}.txt").write_text(keys_of(preset))
