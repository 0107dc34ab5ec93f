"""A clip that comes down a pipe: kept in a file while it is worked on.

Room: api. The times of a whole clip are found before its first frame is made, so it is read twice;
a pipe can be read once.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mardini_cli.errors import UsageError

PIPE = Path("-")


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """What was said of the bytes on standard input."""

    form: str | None = None
    """rawvideo, or None for what tells itself."""
    size: str | None = None
    pix_fmt: str | None = None
    fps: Fraction

    def check(self, clip: Path) -> None:
        """Refuse words that do not go together.

        Raises:
            UsageError: raw video that is no pipe or has no size, or facts of what tells its own.
        """
        if self.form not in (None, "rawvideo"):
            raise UsageError(
                f"input format '{self.form}'",
                needed="rawvideo; all others are known by what they hold",
                do="leave --input-format out",
            )
        if self.form is None:
            if self.size is not None or self.pix_fmt is not None:
                raise UsageError(
                    "a size or pixel format of the input",
                    needed="raw video, which does not tell its own",
                    do="add --input-format rawvideo, or leave them out",
                )
            return
        if clip != PIPE:
            raise UsageError(
                f"{clip} as raw video",
                needed="raw video on standard input",
                do=f"try mardini interpolate - < {clip}",
            )
        _ = self.columns_and_rows

    @property
    def columns_and_rows(self) -> tuple[int, int]:
        """Read ``1280x720``.

        Raises:
            UsageError: no size, or other words.
        """
        if self.size is None:
            raise UsageError(
                "raw video without a size", needed="--input-size", do="add --input-size 1280x720"
            )
        found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", self.size, re.ASCII)
        if found is None:
            raise UsageError(
                f"input size '{self.size}'", needed="WIDTHxHEIGHT, pixels", do="try 1280x720"
            )
        return int(found[1]), int(found[2])


@contextmanager
def arrived(clip: Path, output: Path | None, arrival: Arrival) -> Iterator[Path]:
    """Give the clip itself, or a temporary file that holds what standard input brought.

    Raises:
        UsageError: nobody said where the result of a pipe goes.
        InputError: raw video that does not come in whole pictures.
    """
    if clip != PIPE:
        yield clip
        return
    if output is None or output.is_dir():
        raise UsageError(
            "a clip from standard input, and no name for the result",
            needed="--output",
            do="add -o NAME.mp4, or -o - for a stream of y4m",
        )
    from mardini_cli.media.output import scratch

    with scratch() as folder:
        path = folder / "standard-input"
        if arrival.form is None:
            with path.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        else:
            _keep_raw(arrival, path)
        yield path


def _keep_raw(arrival: Arrival, path: Path) -> None:
    from mardini_cli.media.raw import RawVideo, keep_raw

    width, height = arrival.columns_and_rows
    told = RawVideo(
        width=width,
        height=height,
        pixel_format=arrival.pix_fmt or "yuv420p",
        rate=arrival.fps,
    )
    keep_raw(sys.stdin.buffer, told, path)
