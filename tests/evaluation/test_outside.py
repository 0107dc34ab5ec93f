"""Programs as baselines: what they are handed, what they may leave, and how they fail."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mardini_cli.errors import BaselineError, ConfigError
from mardini_cli.evaluation.outside import check_template, run
from mardini_cli.evaluation.protocols import PROTOCOLS
from mardini_cli.evaluation.request import EvaluateRequest

HOLD = """
import shutil, sys
from pathlib import Path
source, target, count, factor, keep = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
files = sorted(source.iterdir())
for slot in range(int(count)):
    if keep == "all" or slot % int(factor):
        shutil.copy(files[slot // int(factor)], target / f"{slot:04d}.png")
"""


def program(folder: Path, text: str, words: str = "{input} {output} {count} {factor} all") -> str:
    """A template that runs a script."""
    script = folder / "a program.py"
    script.write_text(text)
    return f"{sys.executable} '{script}' {words}"


@pytest.fixture
def frames() -> Tensor:
    """Nine flat frames, each of its own grey."""
    return (torch.arange(9) / 15).view(9, 1, 1, 1).expand(9, 3, 16, 24).contiguous()


@pytest.mark.parametrize("keep", ["all", "made"])
@pytest.mark.parametrize("name", ["x8", "x4", "x2", "fill"])
def test_made_frames_come_back_in_their_slots(
    name: str, keep: str, frames: Tensor, tmp_path: Path
) -> None:
    protocol = PROTOCOLS[name]
    template = program(tmp_path, HOLD, f"{{input}} {{output}} {{count}} {{factor}} {keep}")

    made = run("hold", template, frames[list(protocol.given)], protocol)

    before = [max(g for g in protocol.given if g < slot) for slot in protocol.made]
    torch.testing.assert_close(made, frames[before], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise SystemExit('no card')", "baseline bad ended with 1: no card"),
        ("pass", "baseline bad left 0 pictures; needs 9, or the 7 made ones"),
    ],
)
def test_a_program_that_fails_is_one_line(
    text: str, message: str, frames: Tensor, tmp_path: Path
) -> None:
    with pytest.raises(BaselineError, match=message):
        run("bad", program(tmp_path, text), frames[[0, 8]], PROTOCOLS["x8"])


def test_a_program_that_is_not_there_is_one_line(frames: Tensor) -> None:
    with pytest.raises(BaselineError, match="baseline gone does not run"):
        run("gone", "no-such-program {input} {output}", frames[[0, 8]], PROTOCOLS["x8"])


@pytest.mark.parametrize(
    "template", ["rife", "rife {input}", "rife {input} {output} {speed}", "rife {input} '{output}"]
)
def test_a_template_that_cannot_be_filled_in_is_refused(template: str) -> None:
    with pytest.raises(ConfigError, match="baseline rife: 'rife"):
        check_template("rife", template)


@pytest.mark.parametrize("name", ["dis={input} {output}", "a b=x {input} {output}"])
def test_a_program_needs_a_name_of_its_own(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown baseline"):
        EvaluateRequest(folder=Path(), baselines=(name,))
