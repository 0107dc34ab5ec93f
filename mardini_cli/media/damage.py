"""Frames of a clip that are no good: corrupt, black or frozen ones, and those that do not decode.

Room: media (floor 2). ``find`` decodes once, keeps thumbnails of three frames, and judges by luma
alone; ``unsteady`` decodes twice.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mardini_cli.media import planes
from mardini_cli.media.planes import LAYOUTS
from mardini_cli.media.probe import ClipInfo
from mardini_cli.media.reader import Frame, read, rgb
from mardini_cli.media.source import Source

CELL = 8
"""Pixels a side that are averaged before frames are compared: grain does not count."""
BLACK = 0.02
"""Mean luma, in [0, 1], of a frame without a picture."""
LIT = 0.08
"""Mean luma of its neighbours at least, or black is how the clip is."""
FROZEN = 2e-4
"""Mean change of luma below which a frame repeats the one before."""
MOVING = 10
"""So many times ``FROZEN`` is the change around it at least, or the clip is at rest there."""
NEAR = 6
"""Frames on either side that tell whether the clip moves."""
HELD = 16
"""Frames that keep their memory while the next ones are decoded."""


def find(info: ClipInfo) -> dict[str, list[int]]:
    """Walk a clip and name its bad frames.

    Returns:
        Frame numbers by what is wrong: ``corrupt frames`` (the decoder said so), ``black frames``
        (between lit ones) and ``frozen frames`` (repeats while the clip moves). A run that reaches
        the end of the clip is not called black or frozen: fades and last stills end so.
    """
    corrupt, luma, steps = [], list[float](), list[float]()
    before: NDArray[np.float32] | None = None
    for number, (frame, cells) in enumerate(_walk(info)):
        if frame.picture.is_corrupt:
            corrupt.append(number)
        luma.append(float(cells.mean()))
        steps.append(float(np.abs(cells - before).mean()) if before is not None else 0.0)
        before = cells
    black = [n for run in _runs([v < BLACK for v in luma]) for n in _between_lit(run, luma)]
    still = [step < FROZEN for step in steps]
    frozen = [n for run in _runs(still) for n in _while_moving(run, steps) if n not in set(black)]
    found = {"corrupt frames": corrupt, "black frames": black, "frozen frames": frozen}
    return {kind: frames for kind, frames in found.items() if frames}


def unsteady(source: Source) -> tuple[int, Fraction] | None:
    """The first frame that is another picture each time it is decoded; nothing where none is.

    What is lost of a damaged frame a decoder may leave as the memory was, and say nothing: the
    picture then depends on which frames before it still had theirs. So all are decoded twice, once
    letting each frame go at once, and once holding many.

    Returns:
        Its number, from 0, and its time, seconds.
    """
    held: deque[Frame] = deque(maxlen=HELD)
    with closing(source.frames()) as loose, closing(source.frames()) as kept:
        for number, (one, other) in enumerate(zip(loose, kept, strict=True)):
            held.append(other)
            if not _is_same(one, other):
                return number, one.time
    return None


def _is_same(one: Frame, other: Frame) -> bool:
    pictures = [planes.readable(frame.picture) for frame in (one, other)]
    layout = LAYOUTS[pictures[0].format.name]
    both = [planes.channels(picture, layout) for picture in pictures]
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(*both, strict=True))


def _walk(info: ClipInfo) -> Iterator[tuple[Frame, NDArray[np.float32]]]:
    with closing(read(info)) as frames:
        for frame in frames:
            luma = rgb(frame, info).mean(-1)
            cell = min(CELL, *luma.shape)
            rows, columns = (side // cell * cell for side in luma.shape)
            cells = luma[:rows, :columns].reshape(rows // cell, cell, columns // cell, cell)
            yield frame, cells.mean((1, 3))


def _runs(truths: list[bool]) -> Iterator[range]:
    """Stretches of True that reach neither end."""
    start: deque[int] = deque()
    for number, truth in enumerate(truths):
        if truth and not start:
            start.append(number)
        elif not truth and start:
            first = start.pop()
            if first > 0:
                yield range(first, number)


def _between_lit(run: range, luma: list[float]) -> range:
    lit = min(luma[run.start - 1], luma[run.stop]) >= LIT
    return run if lit else range(0)


def _while_moving(run: range, steps: list[float]) -> range:
    """The run, if the clip moves just before and jumps on after it."""
    around = [*steps[max(run.start - NEAR, 1) : run.start], *steps[run.stop : run.stop + NEAR]]
    moving = len(around) > 1 and float(np.median(around)) >= FROZEN * MOVING
    return run if moving else range(0)
