"""The true frames that stand in the windows: folders of clips in, excerpts out.

Room: evaluation. Knows no model and no metric. Reads clips through ``media``.

A clip is a film file or a folder of pictures (frames by name, as DAVIS comes); both may lie in
folders of any depth. Where a list ``testlist01.txt`` stands (UCF101), it says which and in what
order.

Dimension key
    f  slots of a window     h, w  pixels     frames are RGB in [0, 1]
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from mardini_cli.errors import MardiniError, MissingFileError, NotMediaError, TooFewFramesError
from mardini_cli.evaluation.fitting import FITS
from mardini_cli.evaluation.protocols import Cut
from mardini_cli.media.pictures import read_picture
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import read, rgb

CLIP_SUFFIXES: Final = frozenset(
    {".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm", ".y4m"}
)
PICTURE_SUFFIXES: Final = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tiff", ".webp"})
LIST: Final = "testlist01.txt"
OWN_MARK: Final = "rows.jsonl"
"""A folder with this file is an evaluation's output, and no clip."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Excerpt:
    """The true frames of one window."""

    clip: str
    """Path inside the folder."""
    stride: int
    start: int
    """The clip's frame in slot 0."""
    ordinal: int
    """Place among all the windows of the folder; seeds follow from it."""
    frames: Tensor
    """``f 3 h w`` float32."""

    @property
    def name(self) -> str:
        """Clip, stride and start in one word."""
        return f"{self.clip}@{self.start}x{self.stride}"

    def digest(self) -> str:
        """SHA-256 of size and pixels."""
        told = hashlib.sha256(str(tuple(self.frames.shape)).encode())
        told.update(self.frames.contiguous().numpy().data)
        return told.hexdigest()


def clips_of(folder: Path, limit: int | None = None) -> list[Path]:
    """Clips of a folder by name (or in the order of its list), the first ``limit`` of them.

    Raises:
        MissingFileError: no such folder, or no clip in it.
    """
    if not folder.is_dir():
        raise MissingFileError(
            f"{folder} is no folder", needed="a folder of clips", do="check the path"
        )
    found = _listed(folder, sorted(_walk(folder)))
    if not found:
        raise MissingFileError(
            f"{folder} holds no clip",
            needed=f"a file ending in {', '.join(sorted(CLIP_SUFFIXES))}, or a folder of pictures",
            do="name a folder of clips",
        )
    return found[:limit]


def _walk(folder: Path) -> Iterator[Path]:
    for place, inside, files in os.walk(folder):
        here = Path(place)
        if OWN_MARK in files:
            inside.clear()
            continue
        inside[:] = [name for name in inside if not name.startswith(".")]
        yield from (here / name for name in files if Path(name).suffix.lower() in CLIP_SUFFIXES)
        if any(Path(name).suffix.lower() in PICTURE_SUFFIXES for name in files):
            yield here


def _listed(folder: Path, clips: list[Path]) -> list[Path]:
    """Only the clips of the folder's list, in its order, if there is one."""
    lists = sorted(folder.rglob(LIST))
    if not lists:
        return clips
    by_name = {clip.stem: clip for clip in clips}
    lines = lists[0].read_text(errors="replace").splitlines()
    wanted = [Path(line.split()[0]).stem for line in lines if line.strip()]
    return [by_name[name] for name in wanted if name in by_name]


def excerpts_of(path: Path, place: int, cut: Cut, root: Path) -> list[Excerpt] | MardiniError:
    """Read the windows of one clip, in the cut's order.

    Args:
        path: the clip: a file, or a folder of pictures.
        place: its number among the clips of the folder; seeds follow from it.
        cut: which windows, at what size.
        root: what the clip's name is told from.

    Returns:
        Windows, or why the clip cannot serve: one bad clip must not end a long run, and must
        not be passed over in silence.
    """
    try:
        pictures = _Folder(path) if path.is_dir() else _Film(path)
        windows = cut.windows(len(pictures))
        if not windows:
            raise TooFewFramesError(
                f"{path.name} holds {len(pictures)} frames",
                needed=f"at least {cut.slots}",
                do="leave it out or name a longer clip",
            )
        wanted = {index for _, window in windows for index in window}
        fit = FITS[cut.fit]
        frames = {index: fit(frame) for index, frame in pictures.frames(wanted)}
        if len({frame.shape for frame in frames.values()}) > 1:
            raise NotMediaError(
                f"the pictures of {path.name} differ in size", needed="one size", do="leave it out"
            )
    except MardiniError as error:
        return error
    name = path.relative_to(root).as_posix() if path != root else path.name
    return [
        Excerpt(
            clip=name,
            stride=stride,
            start=window[0],
            ordinal=cut.ordinal(place, number),
            frames=torch.stack([frames[index] for index in window]),
        )
        for number, (stride, window) in enumerate(windows)
    ]


class _Film:
    """The frames of a film file."""

    def __init__(self, path: Path) -> None:
        self._info = probe(path)

    def __len__(self) -> int:
        return len(self._info.times)

    def frames(self, wanted: set[int]) -> Iterator[tuple[int, Tensor]]:
        """Number and decode the frames wanted, and read no further."""
        for index, frame in zip(range(max(wanted) + 1), read(self._info), strict=False):
            if index in wanted:
                yield index, torch.from_numpy(rgb(frame, self._info)).permute(2, 0, 1)


class _Folder:
    """The pictures of a folder, by name."""

    def __init__(self, path: Path) -> None:
        self._files = sorted(f for f in path.iterdir() if f.suffix.lower() in PICTURE_SUFFIXES)

    def __len__(self) -> int:
        return len(self._files)

    def frames(self, wanted: set[int]) -> Iterator[tuple[int, Tensor]]:
        """Number and read the pictures wanted."""
        for index in sorted(wanted):
            yield index, torch.from_numpy(read_picture(self._files[index])).permute(2, 0, 1)
