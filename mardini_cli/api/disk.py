"""What a job will take on disk, and whether there is room, before it is begun.

Room: api. Light to import: the media libraries come in late.

What an encoder makes of a picture is known afterwards alone. The table says what it made of
``examples/cat.mp4`` at its usual settings; larger and calmer pictures take less for each pixel, and
so do made frames between given ones. So a person is warned where that much is not free, and refused
only where not even a twentieth is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from mardini_cli.errors import DiskSpaceError
from mardini_cli.events import Event, Warned

if TYPE_CHECKING:
    from mardini_cli.api.jobs import Job

PIXEL_BITS = {
    "h264": 0.75,
    "hevc": 0.59,
    "av1": 0.40,
    "vp9": 0.51,
    "prores": 6.0,
    "gif": 5.7,
    "webp": 1.6,
    "apng": 11.5,
    "png": 11.5,
    "y4m": 12.0,
}
"""Bits that a codec takes for a pixel, 8 bits deep."""
LOSSLESS_SHARE = 0.35
"""Share of the raw planes that FFV1, and others without loss, take; kept frames too."""
SURE = 0.05
"""Share of an estimate that a job will certainly take."""
LEAST_FRAMES = 2
"""Of a result."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """Bytes that a job takes on disk."""

    result: int
    kept: int
    """Made frames that are kept until all is done."""


def disk_of(job: Job) -> Disk:
    """Estimate what a job takes on disk, generously."""
    from mardini_cli.media.choosing import chosen

    times = job.plan.times
    choice = chosen(job.output, job.info, job.tools.encode, times)
    rows, columns, layout = choice.info.height, choice.info.width, choice.layout
    sides = [layout.size(n, rows, columns) for n in range(len(layout.places))]
    deep = 2 if layout.depth > 8 else 1
    raw = sum(high * wide for high, wide in sides) * deep
    kept = round(raw * LOSSLESS_SHARE) * job.plan.made_count
    bits = PIXEL_BITS.get(choice.codec.removesuffix("_nvenc"))
    rate = job.tools.encode.bits_a_second
    if rate is not None:
        result = rate * (job.end - times[0]) / 8
        return Disk(result=round(result), kept=kept)
    if bits is None or job.tools.encode.lossless:
        return Disk(result=round(raw * LOSSLESS_SHARE) * len(times), kept=kept)
    return Disk(result=round(rows * columns * bits / 8 * deep) * len(times), kept=kept)


def free_at(place: Path) -> int:
    """Bytes that are free where a file or folder is, or will be."""
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    return shutil.disk_usage(there).free


def check_least(output: Path, size: tuple[int, int]) -> None:
    """Refuse a place that has no room for any result with frames of so many rows and columns.

    Raises:
        DiskSpaceError: it has none.
    """
    least = size[0] * size[1] * LEAST_FRAMES * min(PIXEL_BITS.values()) / 8
    _check(output, round(least))


def check_disk(job: Job) -> None:
    """Refuse a job that will certainly not find room for its result.

    Raises:
        DiskSpaceError: it will not.
    """
    _check(job.output, disk_of(job).result)


def _free_for(output: Path) -> tuple[Path, float]:
    """The folder of a result, and bytes that are free there: no end of them for a stream."""
    from mardini_cli.media.containers import STREAM

    place = output.absolute().parent
    return place, inf if output == STREAM else free_at(place)


def _check(output: Path, needed: int) -> None:
    place, free = _free_for(output)
    if needed * SURE > free:
        raise DiskSpaceError(
            f"{place} has {told(free)} free",
            needed=f"about {told(needed)} for the result",
            do="make room, or choose another place with -o",
        )


def room_for(job: Job) -> Iterator[Event]:
    """Warn where the result may find too little room on the disk.

    Yields:
        ``Warned``, perhaps.
    """
    place, free = _free_for(job.output)
    needed = disk_of(job).result
    if needed > free:
        yield Warned(
            code="disk",
            message=f"the result may take {told(needed)}, and {place} has {told(free)} free",
        )


def may_keep(job: Job, folder: Path) -> bool:
    """Whether made frames can be kept in a folder, and the result be written, too."""
    disk, place = disk_of(job), job.output.absolute().parent
    there = next(above for above in (folder, *folder.parents) if above.exists())
    shared = place.exists() and there.stat().st_dev == place.stat().st_dev
    return disk.kept + (disk.result if shared else 0) <= free_at(folder)


def told(size: float) -> str:
    """A size for eyes."""
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1000:.0f} kB"
