"""Which windows a person should look at, and their frames side by side.

Room: evaluation. Windows are chosen by rule, never by hand: of each third of motion the median
and the hardest window, by the PSNR of a baseline that saw the same frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor

from mardini_cli.evaluation.excerpts import Excerpt
from mardini_cli.evaluation.protocols import SLOTS, Protocol
from mardini_cli.evaluation.score import whole_windows
from mardini_cli.evaluation.tables import THIRDS, Row, thirds
from mardini_cli.media.sheet import contact_sheet

FOLDER: Final = "sheets"
JUDGES: Final = ("dis", "constant-velocity", "repeat")
"""The first of these that was measured decides what is hard; without any, the first method."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A window to look at, and why."""

    protocol: str
    third: str
    why: str
    """``median`` or ``hardest``."""
    window: tuple[str, int, int]
    """Clip, stride, start."""

    @property
    def name(self) -> str:
        """Caption."""
        clip, stride, start = self.window
        return (
            f"{self.protocol}, {self.why} window of {self.third} motion: "
            f"{clip} from frame {start}, stride {stride}"
        )

    @property
    def file(self) -> str:
        """Path inside the output folder."""
        return f"{FOLDER}/{self.protocol}-{THIRDS.index(self.third) + 1}-{self.why}.jpg"


def choose(rows: Sequence[Row]) -> list[Chosen]:
    """Take the median and the hardest window of each third of one protocol's rows."""
    measured = {row.method for row in rows}
    judge = next((name for name in JUDGES if name in measured), rows[0].method)
    third_of = thirds(rows)
    chosen = []
    for third in THIRDS:
        inside = [r for r in rows if r.method == judge and third_of[r.window] == third]
        ordered = sorted(inside, key=lambda row: (row.psnr, row.window))
        if not ordered:
            continue
        picks = {"median": ordered[len(ordered) // 2], "hardest": ordered[0]}
        chosen += [
            Chosen(protocol=row.protocol, third=third, why=why, window=row.window)
            for why, row in picks.items()
        ]
    return chosen


def draw(output: Path, excerpt: Excerpt, protocol: Protocol, made: Mapping[str, Tensor]) -> None:
    """Lay the truth and every method's window out, one below the other.

    Args:
        output: where; its folder is made.
        excerpt: the true window.
        protocol: which slots are made.
        made: title to ``m 3 h w``.
    """
    true = excerpt.frames[None]
    windows = [
        true,
        *(whole_windows(true, frames[None].cpu(), protocol) for frames in made.values()),
    ]
    output.parent.mkdir(exist_ok=True)
    contact_sheet(
        output,
        [list(window[0].permute(0, 2, 3, 1).numpy()) for window in windows],  # f 3 h w -> f h w 3
        row_labels=["truth", *made],
        column_labels=[
            f"{slot} {'made' if slot in protocol.made else 'given'}" for slot in range(SLOTS)
        ],
    )
