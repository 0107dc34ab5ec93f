"""How much a file may ask for: a header of a few bytes can promise more than any machine has.

Room: media (floor 2). Numbers and refusals; opens nothing. Light to import: ``api`` has the
defaults of its flags from here.
"""

from dataclasses import dataclass
from pathlib import Path

from mardini_cli.errors import ConfigError, LimitError

MAX_PIXELS = 2**27
"""134 million, such as 16384 x 8192: beyond the largest cameras, and 1.6 GB as float32 RGB."""
MAX_FRAMES = 1_000_000
"""Four and a half hours at 60 frames a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a file may ask for."""

    pixels: int = MAX_PIXELS
    """Of one frame or picture."""
    frames: int = MAX_FRAMES
    """Of a clip."""
    network: bool = False
    """Whether a playlist may name hosts and other files."""

    def __post_init__(self) -> None:
        if self.pixels < 1 or self.frames < 1:
            raise ConfigError(
                f"at most {self.pixels} pixels and {self.frames} frames",
                needed="at least 1 of each",
                do="leave --max-pixels and --max-frames out",
            )

    @property
    def padded(self) -> int:
        """The limit for FFmpeg, which counts whole blocks of memory: it refuses what is far above
        before it makes room for it; ``check_size`` is exact.
        """
        return min(self.pixels * 5 // 4 + 2**16, 2**31 - 1)

    def check_size(self, path: Path, width: int, height: int) -> None:
        """Refuse a picture that is too large, before it is decoded.

        Raises:
            LimitError: it is.
        """
        if width * height > self.pixels:
            raise LimitError(
                f"{path} is {width}x{height}",
                needed=f"at most {self.pixels} pixels a frame",
                do=f"if it is what it should be, add --max-pixels {width * height}",
            )

    def check_frames(self, what: str, count: int) -> None:
        """Refuse too many frames, before anything is planned for them.

        Raises:
            LimitError: there are.
        """
        if count > self.frames:
            raise LimitError(
                f"{what}: {count} frames",
                needed=f"at most {self.frames}",
                do=f"take fewer or a part (--range, --start, --end), or add --max-frames {count}",
            )


USUAL = Limits()
OWN = Limits(pixels=2**62, frames=2**62)
"""For files that this program has just written."""
