"""What ``mardini bench`` is asked. Light to import: no torch.

Room: bench.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from mardini_cli.errors import ConfigError

Suite = Literal["quick", "targets", "paper", "compiled"]
"""``quick``: a preset at the sizes and steps that were asked for, and the calibration; the others
are tables of docs/performance.md and want a large GPU."""
SIZES: Final = ((456, 256), (854, 480))
"""Width and height, pixels."""
STEPS: Final = (0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRequest:
    """What shall be measured. One field a flag."""

    suite: Suite = "quick"
    preset: str = "tiny"
    """Sizes of the model; its weights are random, which changes no time."""
    task: str = "interpolate"
    """Which frames of a window are given: interpolate, keyframes or animate."""
    sizes: tuple[tuple[int, int], ...] = SIZES
    """Width and height, pixels, each."""
    steps: tuple[int, ...] = STEPS
    guidance: float = 1.0
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None
    profile: bool = False
    """Take the first cell apart."""
    keep: bool = True
    """Keep what was found for estimates (``quick`` alone)."""
    output: Path | None = None
    """JSON of all that was found."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.suite not in get_args(Suite):
            raise ConfigError(
                f"suite '{self.suite}'", needed=" or ".join(get_args(Suite)), do="choose one"
            )
        if not self.sizes or not self.steps:
            raise ConfigError("nothing to measure", needed="a size and steps", do="try --steps 0")
        for wide, high in self.sizes:
            if min(wide, high) < 32 or max(wide, high) > 8192:
                raise ConfigError(
                    f"size {wide}x{high}", needed="sides of 32 to 8192 pixels", do="try 456x256"
                )
        if self.threads is not None and self.threads < 1:
            raise ConfigError(
                f"threads {self.threads}", needed="at least 1", do="leave it out to use every core"
            )
