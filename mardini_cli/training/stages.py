"""What is trained, in which order, on what: stages as data.

Room: training. Data only; ``objectives`` says what each kind of stage asks for.
Source: the paper warms planner and denoiser up apart and joins them (its 6.1); the guided and the
sharp stage are ours (``docs/training-log.md``).
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mardini_cli.config import from_mapping
from mardini_cli.errors import ConfigError, MissingFileError

Kind = Literal["guided", "sharp", "vae", "planner", "denoiser", "joint"]
Mix = tuple[tuple[str, float], ...]

INTERPOLATION: Mix = (("ends", 0.6), ("middle", 0.2), ("extend", 0.1), ("animate", 0.1))
ANY_TASK: Mix = (
    ("ends", 0.35), ("middle", 0.15), ("every-other", 0.05),
    ("extend", 0.2), ("animate", 0.15), ("random", 0.1),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """One stage: it starts from the last one's weights, with a fresh optimiser and schedule."""

    name: str
    kind: Kind
    steps: int
    """Training steps."""
    batch: int = 24
    """Windows a step, over all processes."""
    slots: int = 9
    """Slots of a window before thinning."""
    made: int = 3
    """Made frames of a window that are decoded, at most; the others are left out."""
    side: int = 256
    """Rows and columns of a crop, pixels."""
    rate: float = 6e-4
    """Highest learning rate."""
    warmup: int = 200
    """Steps over which the learning rate rises."""
    decay: float = 1e-4
    """Weight decay of AdamW."""
    tasks: Mix = INTERPOLATION
    """Share of each task of ``masks.TASKS``."""
    keep: tuple[float, float] = (0.06, 0.6)
    """Keep ratio of the random task (paper 6.1)."""
    photos: float = 0.3
    """Share of windows made from photographs."""
    latents: tuple[float, float, float] = (0.45, 0.25, 0.30)
    """Shares of windows whose latent is clean, noisy, absent (guided and sharp)."""
    no_prior: float = 0.1
    """Share of windows whose flow prior is withheld."""
    signal: bool = False
    """Whether the decoder reads the planner's signal."""
    drop: float = 0.1
    """Share of windows whose signal is replaced by the null signal (paper)."""
    minutes: float = 0.0
    """Longest time, to which the schedule is fitted; 0 is no limit. Where it ends a stage before
    its steps do, another run ends elsewhere."""
    contrast: float = 0.1
    """Weight of local contrast (guided and sharp)."""
    critic: bool = False
    """Whether a critic looks at the made frames (guided and sharp)."""
    validate: int = 1000
    """Steps between looks at the held-out windows."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not 0 <= self.photos <= 1:
            raise ConfigError(
                f"stage {self.name}: steps {self.steps}, batch {self.batch}, photos {self.photos}",
                needed="steps and batch of at least 1, photos between 0 and 1",
                do="change them",
            )
        if abs(sum(self.latents) - 1) > 1e-6:
            raise ConfigError(
                f"stage {self.name}: latents {self.latents}",
                needed="three shares that sum to 1",
                do="change them",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """A whole run."""

    preset: str = "tiny"
    """Sizes to start from scratch; ``init`` overrides."""
    data: tuple[str, ...] = ()
    """Folders of clips."""
    photos: tuple[str, ...] = ()
    """Folders of photographs; none switches synthetic motion off."""
    out: str = "runs/mardini"
    """Folder of the run: log, checkpoint, weights."""
    init: str = ""
    """Weights to start from; empty starts from scratch."""
    stages: tuple[StageConfig, ...] = field(default_factory=tuple)
    seed: int = 0
    device: str = "auto"
    short: int = 288
    """Short side of clips in memory, pixels."""
    held_out: int = 20
    """Every n-th clip by name is kept for validation and never trained on."""
    save: int = 500
    """Steps between checkpoints."""
    channels_last: bool = False
    """Keep the autoencoder's convolutions in channels-last order."""
    workers: int = 4
    """Processes that make batches; 0 makes them in the training process."""


def tiny_stages(scale: float = 1.0) -> tuple[StageConfig, ...]:
    """The recipe of the default weights; ``scale`` stretches every stage."""
    steps = lambda count: max(1, round(count * scale))  # noqa: E731 - one word, four uses
    return (
        StageConfig(name="guided", kind="guided", steps=steps(5000)),
        StageConfig(
            name="joint",
            kind="joint",
            steps=steps(2500),
            made=8,
            rate=5e-4,
            photos=0.4,
            tasks=ANY_TASK,
        ),
        StageConfig(
            name="sharp",
            kind="sharp",
            steps=steps(3000),
            rate=3e-4,
            latents=(0.25, 0.15, 0.6),
            signal=True,
            contrast=1.0,
            critic=True,
        ),
    )


def read_config(path: Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Read a TOML file, and apply ``key=value`` changes (TOML values) on top.

    Raises:
        MissingFileError: no such file.
        ConfigError: not TOML, or a key that does not exist.
    """
    if not path.is_file():
        raise MissingFileError(
            f"{path} is no file", needed="a TOML file of settings", do="check the path"
        )
    values = _toml(path.read_text(encoding="utf-8"), str(path))
    for change in changes:
        key, _, value = change.partition("=")
        values |= _toml(f"{key} = {value if _is_toml(value) else repr(value)}", change)
    stages = tuple(_stage(table) for table in values.pop("stages", [])) or tiny_stages()
    return replace(from_mapping(TrainConfig, values, str(path)), stages=stages)


def _stage(table: Mapping[str, Any]) -> StageConfig:
    values = dict(table)
    mix = values.pop("tasks", None)
    stage = from_mapping(StageConfig, values, f"stage {table.get('name', '?')}")
    return stage if mix is None else replace(stage, tasks=tuple(mix.items()))


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{where} is not TOML ({error})", needed="key = value lines", do="mend it"
        ) from error


def _is_toml(value: str) -> bool:
    try:
        tomllib.loads(f"x = {value}")
    except tomllib.TOMLDecodeError:
        return False
    return True
