"""What a run says of itself while it goes: a file of JSON lines, and TensorBoard if asked.

Room: training. Every row has ``stage`` and ``step``; the rest are figures. A row is one of four:
losses of a step (``total``), held-out figures (``raw_...``, ``average_...``), figures of the fixed
windows (``interpolate_psnr``...), and the end of a stage (``windows``).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mardini_cli.errors import ConfigError

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

NAME = "log.jsonl"
BOARD = "tensorboard"
"""Folder of TensorBoard's own files, in the folder of the run."""
NOT_FIGURES = ("stage", "step", "seconds")


class Journal:
    """The journal of one run.

    Args:
        folder: of the run, which is there.
        board: whether TensorBoard shall read along.

    Raises:
        ConfigError: TensorBoard's writer is asked for and not installed.
    """

    def __init__(self, folder: Path, *, board: bool = False) -> None:
        self.path = folder / NAME
        self._board = _writer(folder / BOARD) if board else None

    def write(self, row: Mapping[str, object]) -> None:
        """Add a row."""
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        if self._board is None:
            return
        for name, value in row.items():
            if name not in NOT_FIGURES and isinstance(value, int | float):
                self._board.add_scalar(f"{row['stage']}/{name}", value, row["step"])

    def show(self, stage: str, step: int, sheet: NDArray[np.uint8]) -> None:
        """Add a contact sheet, ``h w 3``; the file itself is for whoever looks into the folder."""
        if self._board is not None:
            self._board.add_image(f"{stage}/sheet", sheet, step, dataformats="HWC")

    def close(self) -> None:
        """Let TensorBoard's file go."""
        if self._board is not None:
            self._board.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """All rows of a run's journal.

    A run that was killed has told some steps twice; the later word counts. A torn last line is
    left out.
    """
    path = folder / NAME
    rows: dict[tuple[object, ...], dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            rows[row["stage"], row["step"], kind_of(row)] = row
        except (ValueError, KeyError, TypeError):
            continue
    return list(rows.values())


def kind_of(row: Mapping[str, object]) -> str:
    """What a row tells: ``end`` of a stage, ``views``, ``held`` or ``losses``."""
    if "windows" in row:
        return "end"
    if any(name.startswith("raw_") for name in row):
        return "held"
    return "views" if any(name.endswith("_ssim") for name in row) else "losses"


def _writer(folder: Path) -> "SummaryWriter":
    try:
        from tensorboardX import SummaryWriter  # late: an extra, and two seconds
    except ImportError as error:
        raise ConfigError(
            "tensorboard = true without its writer",
            needed="the package tensorboardX",
            do="pip install 'mardini[tensorboard]', or leave it out: log.jsonl holds the same",
        ) from error
    return SummaryWriter(str(folder), flush_secs=30)
