"""Pictures of a finished clip, for eyes: contact sheets, and the clip beside a plain one.

Room: pipeline. Reads what was written; makes nothing.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mardini_cli.media.limits import OWN
from mardini_cli.media.output import part_for
from mardini_cli.media.probe import ClipInfo, probe
from mardini_cli.media.reader import read, rgb
from mardini_cli.media.sheet import contact_sheet, framed, shrunk
from mardini_cli.media.timing import common_time_base
from mardini_cli.media.writer import Writer
from mardini_cli.pipeline.desk import Picture
from mardini_cli.stopping import tidied
from mardini_cli.tasks.plan import Plan

Plain = Literal["repeat", "blend"]
GIVEN, MADE = (46, 125, 50), (230, 120, 0)
"""Frames around given and made pictures: green and orange."""
THUMBNAIL = 240
"""Longer side of a picture on a sheet, pixels."""
COLUMNS, ROWS = 6, 4


def preview(output: Path, clip: Path, plan: Plan, rows: int = ROWS) -> None:
    """Write a contact sheet: given frames in green, made ones in orange, evenly spread.

    Args:
        output: a PNG, or a JPEG by its name; replaced if it is there.
        clip: what was written for the plan.
        plan: of which each shown slot is a frame of the clip.
        rows: of the sheet, at most.
    """
    chosen = _spread(len(plan.times), COLUMNS * rows)
    thumbnails = dict(_thumbnails(clip, chosen))
    shown = plan.shown
    pictures = [framed(thumbnails[n], MADE if shown[n].is_made else GIVEN) for n in chosen]
    lines = [pictures[n : n + COLUMNS] for n in range(0, len(pictures), COLUMNS)]
    ends = [chosen[n : n + COLUMNS] for n in range(0, len(chosen), COLUMNS)]
    labels = [
        f"frames {row[0]} to {row[-1]}, {float(shown[row[0]].time):.2f} to"
        f" {float(shown[row[-1]].time):.2f} s (green: given, orange: made)"
        for row in ends
    ]
    contact_sheet(output, lines, labels)


def variations(output: Path, clips: Mapping[str, Path]) -> None:
    """Write a contact sheet with a row for each clip, under its label."""
    rows = []
    for clip in clips.values():
        chosen = _spread(len(probe(clip, limits=OWN).times), COLUMNS)
        rows.append([picture for _, picture in _thumbnails(clip, chosen)])
    contact_sheet(output, rows, list(clips))


def compare(output: Path, clip: Path, plan: Plan, plain: Plain) -> None:
    """Write the clip on the right of what needs no model: nearest given frames, or their mix.

    Args:
        output: a film; replaced if it is there.
        clip: what was written for the plan.
        plan: of which each shown slot is a frame of the clip.
        plain: ``repeat`` the given frame before (at the start: after), or ``blend`` both.
    """
    info = probe(clip, limits=OWN)
    columns, rows = info.upright_size
    wide = replace(
        info,
        width=2 * columns,
        height=rows,
        rotation=0,
        display_matrix=None,
        is_film=False,
    )
    base = common_time_base([*info.times, info.end])
    made = [slot.is_made for slot in plan.shown]
    part = part_for(output)
    with (
        tidied(part.discard),
        Writer(part, wide, base, info.end) as writer,
        closing(_all(info)) as all_,
    ):
        for (time, picture), left in zip(all_, _plain(info, made, plain), strict=True):
            writer.made(np.concatenate((left, picture), 1), time)


def _all(info: ClipInfo) -> Generator[tuple[Fraction, Picture], None, None]:
    with closing(read(info)) as frames:
        for frame in frames:
            yield frame.time, rgb(frame, info)


def _plain(info: ClipInfo, made: Sequence[bool], plain: Plain) -> Iterator[Picture]:
    """What stands on the left; walks the given frames of the clip, one ahead."""
    given = (pair for pair, is_made in zip(_all(info), made, strict=True) if not is_made)
    before: tuple[Fraction, Picture] | None = None
    after: tuple[Fraction, Picture] | None = next(given)
    for time, is_made in zip(info.times, made, strict=True):
        if after is not None and time >= after[0] and not is_made:
            before, after = after, next(given, None)
        if before is None or after is None or plain == "repeat":
            near = before or after
            assert near is not None  # a plan has a given frame
            yield near[1]
        else:
            share = np.float32((time - before[0]) / (after[0] - before[0]))
            yield before[1] * (1 - share) + after[1] * share


def _thumbnails(clip: Path, chosen: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    info, wanted = probe(clip, limits=OWN), set(chosen)
    with closing(read(info)) as frames:
        for number, frame in enumerate(frames):
            if number in wanted:
                yield number, shrunk(rgb(frame, info), THUMBNAIL)


def _spread(count: int, most: int) -> list[int]:
    """Frames from first to last, evenly, ``most`` at most."""
    if count <= most:
        return list(range(count))
    return [round(n * (count - 1) / (most - 1)) for n in range(most)]
