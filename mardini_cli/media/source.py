"""Where given frames come from: anything that yields frames, and what is known of them.

Room: media (floor 2). A clip is one kind; ``stills`` has another.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mardini_cli.media.probe import ClipInfo
from mardini_cli.media.reader import Frame, read


class Source(Protocol):
    """Frames in the order of their times, and what all of them have in common."""

    @property
    def info(self) -> ClipInfo:
        """Size, planes, colour, times."""
        ...

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that all frames come from."""
        ...

    def frames(self) -> Generator[Frame, None, None]:
        """Yield exactly ``info.times``, anew at each call; closing it ends the reading."""
        ...


@dataclass(frozen=True, slots=True)
class ClipSource:
    """The frames of a file."""

    info: ClipInfo

    @property
    def paths(self) -> tuple[Path, ...]:
        """That file."""
        return (self.info.path,)

    def frames(self) -> Generator[Frame, None, None]:
        """Decode them; raises what ``reader.read`` does."""
        return read(self.info)
