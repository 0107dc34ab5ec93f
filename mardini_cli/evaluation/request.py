"""What is asked of an evaluation. One field a flag.

Room: evaluation. Light: no torch, so that the command line may read names and defaults from here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mardini_cli.config import SamplerConfig
from mardini_cli.errors import ConfigError
from mardini_cli.evaluation.protocols import protocol

BASELINE_NAMES: Final = (
    "repeat",
    "blend",
    "minterpolate",
    "dis",
    "dis-blend",
    "constant-velocity",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateRequest:
    """Compare a model and the baselines over a folder of clips."""

    folder: Path
    """Clips: films, or folders of pictures."""
    output: Path = Path("evaluation")
    """Folder for results.json, tables, sheets and report.html; made if it is not there. A run that
    was interrupted goes on in it."""
    overwrite: bool = False
    """Replace the results that stand there already."""
    reuse: tuple[Path, ...] = ()
    """Folders of earlier evaluations, whose rows are taken where they would be the same."""
    protocols: tuple[str, ...] = ("x8", "x4")
    model: str = "mardini-tiny"
    """Weights: a release name, or a folder; ``none`` measures the baselines alone."""
    steps: tuple[int, ...] = (0,)
    """Sampling steps; one line of the table each."""
    ceiling: bool = True
    """Also decode the true frames' own latents: as good as any sample could be."""
    baselines: tuple[str, ...] = BASELINE_NAMES
    """Names, or ``NAME=COMMAND`` for a program; those that a protocol gives too few frames for are
    left out of its table."""
    lpips: str = ""
    """Weights of LPIPS: a file, or ``hub:ORG/NAME#SHA256``; without them it is not measured."""
    fid: str = ""
    """Weights of FID's Inception network, likewise."""
    fvd: str = ""
    """Weights of FVD's I3D, likewise."""
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    limit: int | None = None
    """Only the first clips by name."""
    sheets: bool = True
    """Contact sheets and players of windows chosen by rule."""

    def __post_init__(self) -> None:
        for name in self.protocols:
            protocol(name)
        for name in self.baselines:
            check_baseline(name)
        for steps in self.steps:
            SamplerConfig(steps=steps, seed=self.seed)
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit = {self.limit}", needed="1 or more", do="leave it out")
        if not self.protocols or not (self.baselines or self.has_model):
            raise ConfigError(
                "nothing to measure",
                needed="a protocol, and a model or a baseline",
                do="name some, or leave the options out",
            )

    @property
    def has_model(self) -> bool:
        """Whether a model is measured beside the baselines."""
        return self.model != "none" and bool(self.steps)


def check_baseline(name: str) -> None:
    """Refuse a name that is no baseline's, and a program without a usable name.

    Raises:
        ConfigError: unknown name.
    """
    own, _, command = name.partition("=")
    if command and own not in BASELINE_NAMES and own.replace("-", "").isalnum():
        return
    if name not in BASELINE_NAMES:
        raise ConfigError(
            f"unknown baseline '{name}'",
            needed=f"one of {', '.join(BASELINE_NAMES)}, or NAME=COMMAND",
            do="choose one",
        )
