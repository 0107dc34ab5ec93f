"""What a file holds, and whether it is what was promised or recorded.

Room: events (floor 1).
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was promised of a result, and what was found."""

    name: str
    passed: bool
    found: str
    needed: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """A result was compared with its source."""

    source: Path
    output: Path
    passed: bool
    checks: tuple[Check, ...]
    frames: int
    """Frames of the result."""
    psnr: tuple[float | None, ...]
    """Mean over the given frames, a plane each, dB; None where all are equal."""
    elapsed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """A clip as the program sees it. Times and gaps are exact seconds."""

    path: Path
    container: str
    codec: str
    frames: int
    start: Fraction
    end: Fraction
    duration: Fraction
    """From the first frame's time to the end of the last frame."""
    rate: Fraction | None
    """Mean frames a second; None for a single frame."""
    even: bool
    """Whether all gaps are equal, but for rounding to the file's clock."""
    shortest: Fraction | None
    longest: Fraction | None
    """Gaps between frames; None for a single frame."""
    clock: Fraction
    """A tick of the file, seconds."""
    width: int
    height: int
    """As a person sees it, upright."""
    rotation: int
    """Degrees by which the stored picture is turned counter-clockwise to stand upright."""
    aspect: Fraction | None
    """Width of a pixel over its height; None where the file does not tell."""
    pixel_format: str
    bits: int
    transparent: bool
    interlaced: bool
    matrix: str
    primaries: str
    transfer: str
    range: str
    """Names of the colour tags; ``untagged`` where the file does not tell."""
    cuts: tuple[int, ...]
    """Frames that begin a new shot, from 0."""
    held: int
    """Frames that repeat the one before."""
    streams: tuple[str, ...]
    chapters: int
    notices: tuple[str, ...]
    times: tuple[Fraction, ...]
    """Of every frame; empty unless asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What a result was made from stands beside it."""

    output: Path
    address: str = ""
    """Where it was sent; the file itself is gone then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduced:
    """A result was made once more from its record."""

    output: Path
    same: bool
    """Whether every byte is the same."""
    sha256: str
    recorded: str
    """The SHA-256 that the record tells."""
