"""Whether what a model made can be shown: looked at beside the given frames, before it is written.

Room: pipeline. Figures of small pictures; changes no pixel. What is blank and what is a copy is
known in ``media.made``, which judges the finished file by the same rules.

A fault is what no honest picture between or beside the given ones is. So every rule compares with
the given neighbours: black, white, flat and still scenes have black, white, flat and still frames.
Frames beyond the given ones may stand still and may fade with them; they are judged less.

Dimension key
    b  windows    f  slots, g given, m made of a window    c  channels    h, w  pixels
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mardini_cli.media.made import BLANK, PICTURED, judged
from mardini_cli.media.shots import BLOCK, THUMBNAIL, Look, held_difference
from mardini_cli.tasks.plan import Slot, Window

CELL: Final = 8
"""Side of the cells that are averaged first, pixels."""
SMALLEST: Final = 4 * CELL
"""Frames with a shorter side show too little to be judged by what they show."""
EVERY: Final = 4
"""Of rows and columns one in so many is asked whether it is burnt: a share needs no more."""
ENDS, NEARLY = 0.5 / 255, 12 / 255
"""How near the ends of the scale a made value is burnt, and a given one as good as burnt."""
BURNT: Final = 0.4
"""Share of burnt values that a made frame may have beyond the given ones' share."""
STRAY, STRAYED = 1.5, 40.0
"""A made frame between two given ones differs from the nearer one by at most so many times their
own difference, and so many codes more, in the mean of the thumbnails' luma."""
LEAP, LEAPT = 2.0, 64.0
"""The same for the first frame beyond the given ones, by their largest step."""
HASTE: Final = 2
"""A fade may go on so many times as quickly as the given frames show it."""

NO_NUMBER: Final = "NaN or infinity"
ALL_OVER: Final = "black or white all over"
NOTHING: Final = "nothing to see"
NO_MOTION: Final = "no motion"
UNLIKE: Final = "no likeness to given frames"

_KR, _KG, _KB = 0.299, 0.587, 0.114


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault in a window, and where."""

    what: str
    frames: tuple[int, ...]
    """Slots' places in the whole job."""

    @property
    def advice(self) -> str:
        """What a person can do about it."""
        if self.what == NO_NUMBER:
            return "try other weights, or --attention sdpa"
        return "try other --steps, --seed or --model; --faults warn keeps what was made"

    def __str__(self) -> str:
        return f"{self.what} in made frames {', '.join(map(str, self.frames))}"


def find(window: Window, given: Tensor, made: Tensor) -> list[Fault]:
    """Judge the made frames of a window.

    Args:
        window: what was made.
        given: its given frames, ``g c h w``, RGB first, in [0, 1].
        made: its made frames, ``m c h w``, not clamped.

    Returns:
        The faults; none for a good window. Where there are numbers that are none, only those.
    """
    slots = window.made
    # A sum passes on what is not finite, forty times quicker than a look at each number.
    broken = (~made.sum((1, 2, 3)).isfinite()).tolist()
    if any(broken):
        return _faults({NO_NUMBER: [n for n, bad in enumerate(broken) if bad]}, slots)
    if min(made.shape[-2:]) < SMALLEST:
        return []
    looks = _looks(given)
    gone = _gone(window, looks)
    sample = slice(None), slice(0, 3), slice(None, None, EVERY), slice(None, None, EVERY)
    burnt = [n for n in _burnt(given[sample], made[sample]) if n not in gone]
    return _faults({ALL_OVER: burnt, **_likeness(window, looks, _looks(made), gone)}, slots)


def _faults(found: dict[str, list[int]], slots: Sequence[Slot]) -> list[Fault]:
    return [
        Fault(what, tuple(slots[n].index for n in places))
        for what, places in found.items()
        if places
    ]


def _burnt(given: Tensor, made: Tensor) -> list[int]:
    near = ((given <= NEARLY) | (given >= 1 - NEARLY)).float().mean((1, 2, 3)).max()
    burnt = ((made <= ENDS) | (made >= 1 - ENDS)).float().mean((1, 2, 3))
    return [n for n, bad in enumerate((burnt > near + BURNT).tolist()) if bad]


def _looks(frames: Tensor) -> list[Look]:
    """Thumbnails, and luma in cells, ``n c h w`` to n looks."""
    rgb = frames[:, :3].clamp(0, 1)
    height, width = rgb.shape[-2:]
    cells = F.avg_pool2d(rgb, (min(CELL, height), min(CELL, width)))
    scale = THUMBNAIL / max(height, width)
    small = F.adaptive_avg_pool2d(
        cells, (max(BLOCK, round(height * scale)), max(BLOCK, round(width * scale)))
    )
    luma = (_luma(cells) * 65535).round().to(torch.int32).cpu().numpy().astype(np.uint16)
    planes = torch.stack([_luma(small), small[:, 2], small[:, 0]], 1) * 255  # n 3 h w
    return [
        Look(thumbnail, codes, 16)
        for thumbnail, codes in zip(planes.float().cpu().numpy(), luma, strict=True)
    ]


def _luma(rgb: Tensor) -> Tensor:
    return _KR * rgb[:, 0] + _KG * rgb[:, 1] + _KB * rgb[:, 2]


def _beyond(window: Window) -> tuple[range, range]:
    """Places of made frames before the first and after the last given one, nearest first."""
    mask, count = window.mask, len(window.made)
    before, after = mask.index(False), mask[::-1].index(False)
    return range(before - 1, -1, -1), range(count - after, count)


def _gone(window: Window, given: Sequence[Look]) -> set[int]:
    """Made frames beyond the given ones that may be blank: a fade would have reached its end."""
    gone: set[int] = set()
    for beyond, row in zip(_beyond(window), (given[::-1], given), strict=True):
        nearest = row[-1].contrast
        pace = max(0.0, row[0].contrast - nearest) / max(1, len(row) - 1)
        gone |= {n for k, n in enumerate(beyond, 1) if nearest - HASTE * k * pace <= PICTURED}
    return gone


def _likeness(
    window: Window, given: Sequence[Look], made: Sequence[Look], gone: set[int]
) -> dict[str, list[int]]:
    """What does not go with the given frames, by places among the made ones."""
    blank: set[int] = set()
    still: set[int] = set()
    strange: set[int] = set()
    mask = window.mask
    places = [place for place, is_made in enumerate(mask) if not is_made]
    for number, (left, right) in enumerate(pairwise(places)):
        first = left - number  # made frames before the gap: its slots less the given ones
        between = made[first : first + right - left - 1]
        ends = given[number], given[number + 1]
        if between:
            empty, same = _between(ends, between)
            blank |= {first + n for n in empty}
            still |= {first + n for n in same}
            most = STRAY * _apart(*ends) + STRAYED
            strange |= {
                first + n
                for n, look in enumerate(between)
                if min(_apart(look, end) for end in ends) > most
            }
    for beyond, nearest in zip(_beyond(window), (given[0], given[-1]), strict=True):
        if beyond and _leaps(nearest, given, made[beyond[0]]):
            strange.add(beyond[0])
        blank |= {n for n in beyond if n not in gone and made[n].contrast <= BLANK}
    return {
        NOTHING: sorted(blank),
        NO_MOTION: sorted(still),
        UNLIKE: sorted(strange),
    }


def _between(ends: tuple[Look, Look], between: Sequence[Look]) -> tuple[list[int], list[int]]:
    row = (ends[0], *between, ends[1])
    steps = [held_difference(one, other)[0] for one, other in pairwise(row)]
    blank, copies = judged(*ends, [look.contrast for look in between], steps)
    return blank, [min(n, len(between) - 1) for n in copies]


def _leaps(nearest: Look, given: Sequence[Look], made: Look) -> bool:
    usual = max((_apart(one, other) for one, other in pairwise(given)), default=0.0)
    return _apart(nearest, made) > LEAP * usual + LEAPT


def _apart(one: Look, other: Look) -> float:
    """Mean difference of the thumbnails' luma, codes."""
    return float(np.abs(one.planes[0] - other.planes[0]).mean())
