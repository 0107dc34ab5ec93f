"""A clip from file to file, in small."""

import torch

from mardini_cli.bench.files import FileCell, interpolated
from mardini_cli.config import nano
from mardini_cli.model.mardini import MarDini


def test_a_clip_is_interpolated_and_its_stages_are_timed() -> None:
    cell = FileCell(size=(48, 64), seconds=1, rate=6)

    found = interpolated(cell, torch.device("cpu"), torch.float32, MarDini(nano()).eval())

    assert found.made == 5
    assert 0 < found.decode < found.total
    assert 0 < found.encode < found.total
    assert found.line.startswith("tiny, from file to file: x2, 64x48, batch auto, 0 steps: ")
