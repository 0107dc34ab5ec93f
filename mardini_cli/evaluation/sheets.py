"""Which windows a person should look at, and their frames side by side.

Room: evaluation. Windows are chosen by rule, never by hand: of each third of motion the median
and the hardest window, by the PSNR of a baseline that saw the same frames; and the windows where
the model gains most over the best baseline and where it loses most.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from mardini_cli.errors import MardiniError
from mardini_cli.evaluation.excerpts import Excerpt
from mardini_cli.evaluation.protocols import SLOTS, Protocol
from mardini_cli.evaluation.score import whole_windows
from mardini_cli.evaluation.tables import THIRDS, Row, Where, thirds
from mardini_cli.media.player import write_player
from mardini_cli.media.sheet import contact_sheet, mosaic

if TYPE_CHECKING:
    from mardini_cli.evaluation.bench import Bench

FOLDER: Final = "sheets"
JUDGES: Final = ("dis", "constant-velocity", "repeat")
"""The first of these that was measured decides what is hard; without any, the first method."""
PLAYER_COLUMNS: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A window to look at, and why."""

    protocol: str
    third: str
    why: str
    """``best``, ``worst``, ``median`` or ``hardest``."""
    window: Where
    """Clip, stride, start."""
    gain: float | None = None
    """dB of PSNR over the best baseline, of the best and the worst window."""

    @property
    def name(self) -> str:
        """Caption."""
        clip, stride, start = self.window
        told = "" if self.gain is None else f" ({self.gain:+.2f} dB against the best baseline)"
        return (
            f"{self.protocol}, {self.why} window of {self.third} motion{told}: "
            f"{clip} from frame {start}, stride {stride}"
        )

    @property
    def file(self) -> str:
        """Path of the picture inside the output folder."""
        place = "" if self.gain is not None else f"{THIRDS.index(self.third) + 1}-"
        return f"{FOLDER}/{self.protocol}-{place}{self.why}.jpg"

    @property
    def player(self) -> str:
        """Path of the film inside the output folder."""
        return self.file.removesuffix(".jpg") + ".webm"


def choose(rows: Sequence[Row]) -> list[Chosen]:
    """Take the windows that tell most from one protocol's rows."""
    return [*_extremes(rows), *_by_third(rows)]


def _extremes(rows: Sequence[Row]) -> Iterator[Chosen]:
    """Where the model's first line gains most over the best baseline of a window, and least."""
    mine = next((row.method for row in rows if row.method.startswith("ours-")), None)
    best: dict[Where, float] = {}
    for row in rows:
        if not row.method.startswith(("ours-", "ceiling")):
            best[row.window] = max(best.get(row.window, 0.0), row.figures["psnr"])
    if mine is None or not best:
        return
    gains = {r.window: r.figures["psnr"] - best[r.window] for r in rows if r.method == mine}
    ordered = sorted(gains, key=lambda window: (gains[window], window))
    third_of = thirds(rows)
    for why, window in (("best", ordered[-1]), ("worst", ordered[0])):
        yield Chosen(
            protocol=rows[0].protocol,
            third=third_of[window],
            why=why,
            window=window,
            gain=gains[window],
        )


def _by_third(rows: Sequence[Row]) -> Iterator[Chosen]:
    measured = {row.method for row in rows}
    judge = next((name for name in JUDGES if name in measured), rows[0].method)
    third_of = thirds(rows)
    for third in THIRDS:
        inside = [r for r in rows if r.method == judge and third_of[r.window] == third]
        ordered = sorted(inside, key=lambda row: (row.figures["psnr"], row.window))
        if not ordered:
            continue
        picks = {"median": ordered[len(ordered) // 2], "hardest": ordered[0]}
        for why, row in picks.items():
            yield Chosen(protocol=row.protocol, third=third, why=why, window=row.window)


def sheets_of(bench: "Bench") -> list[Chosen]:
    """Draw every method's frames of the windows that tell most: a picture and a film each."""
    drawn = []
    for protocol in bench.protocols:
        rows = [row for row in bench.rows if row.protocol == protocol.name]
        chosen = choose(rows) if rows else []
        for excerpt in _found(bench, protocol, {one.window for one in chosen}):
            window = (excerpt.clip, excerpt.stride, excerpt.start)
            made = bench.frames(protocol, excerpt)
            titled = {bench.titles[name]: frames for name, frames in made.items()}
            for one in chosen:
                if one.window == window:
                    draw(bench.request.output, one, excerpt, protocol, titled)
        drawn += chosen
    return drawn


def _found(bench: "Bench", protocol: Protocol, windows: set[Where]) -> Iterator[Excerpt]:
    for _, found in bench.excerpts(protocol.cut):
        if not isinstance(found, MardiniError):
            yield from (e for e in found if (e.clip, e.stride, e.start) in windows)


def draw(
    folder: Path,
    chosen: Chosen,
    excerpt: Excerpt,
    protocol: Protocol,
    made: Mapping[str, Tensor],
) -> None:
    """Lay the truth and every method's window out: as a sheet, and side by side as a film.

    Args:
        folder: where ``chosen``'s files go.
        chosen: the window, for the files' names.
        excerpt: the true window.
        protocol: which slots are made.
        made: title to ``m 3 h w``.
    """
    (folder / chosen.file).parent.mkdir(exist_ok=True)
    true = excerpt.frames[None]
    whole = {"truth": true} | {
        title: whole_windows(true, frames[None], protocol) for title, frames in made.items()
    }
    windows = {
        title: w[0].clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        for title, w in whole.items()
    }  # f h w 3
    kinds = ["made" if made_here else "given" for made_here in protocol.mask]
    shown = range(0, protocol.slots, max(1, protocol.slots // (SLOTS - 1)))
    contact_sheet(
        folder / chosen.file,
        [[window[slot] for slot in shown] for window in windows.values()],
        row_labels=list(windows),
        column_labels=[f"{slot} {kinds[slot]}" for slot in shown],
    )
    write_player(
        folder / chosen.player,
        (
            mosaic(
                [(f"{title}, {kinds[slot]}", w[slot]) for title, w in windows.items()],
                PLAYER_COLUMNS,
            )
            for slot in range(protocol.slots)
        ),
    )
