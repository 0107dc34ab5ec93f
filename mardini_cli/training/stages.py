"""What is trained, in which order, on what: stages as data.

Room: training. Data only; ``objectives`` says what each kind of stage asks for.
Source: the paper warms planner and denoiser up apart and joins them (its 6.1); the guided and the
sharp stage are ours (``docs/training-log.md``).
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from mardini_cli.config import from_mapping
from mardini_cli.errors import ConfigError, MissingFileError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kind = Literal["guided", "sharp", "vae", "planner", "denoiser", "joint"]
Mix = tuple[tuple[str, float], ...]
T = TypeVar("T", bound="DataclassInstance")

TASKS = ("ends", "middle", "every-other", "extend", "animate", "random")
"""Both ends; ends and middle; every other slot; two neighbours at an end; one slot; any."""
FEWEST_SLOTS = 4
"""With fewer, giving ends and middle would leave nothing to make."""

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
    """Share of each task of ``TASKS``; they sum to 1."""
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
        for right, found, needed in self._rules():
            if not right:
                raise ConfigError(f"stage {self.name}: {found}", needed=needed, do="change it")

    def _rules(self) -> tuple[tuple[bool, str, str], ...]:
        """Whether each holds, what was found, what is needed."""
        counts = {key: getattr(self, key) for key in ("steps", "batch", "made", "warmup")}
        few = [key for key, count in counts.items() if count < 1]
        strangers = [task for task, _ in self.tasks if task not in TASKS]
        shares = [share for _, share in self.tasks]
        low, high = self.keep
        return (
            (
                self.kind in get_args(Kind),
                f"kind '{self.kind}'",
                f"one of {_names(get_args(Kind))}",
            ),
            (not few, f"{_names(few)} below 1", "1 or more"),
            (self.slots >= FEWEST_SLOTS, f"slots = {self.slots}", f"{FEWEST_SLOTS} or more"),
            (self.side >= 32, f"side = {self.side}", "32 or more"),
            (0 <= self.photos <= 1, f"photos = {self.photos}", "a share from 0 to 1"),
            (0 <= low <= high <= 1, f"keep = {self.keep}", "two rising shares from 0 to 1"),
            (_is_whole(self.latents), f"latents = {self.latents}", "three shares that sum to 1"),
            (not strangers, f"task '{_names(strangers)}'", f"tasks among {_names(TASKS)}"),
            (_is_whole(shares), f"tasks = {dict(self.tasks)}", "shares that sum to 1"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """A whole run."""

    preset: str = "tiny"
    """Sizes to start from scratch with; ``init`` brings its own."""
    data: tuple[str, ...] = ()
    """Folders of clips."""
    photos: tuple[str, ...] = ()
    """Folders of photographs; none switches synthetic motion off."""
    out: str = "runs/mardini"
    """Folder of the run: log, checkpoint, weights; a run that was stopped goes on from it."""
    init: str = ""
    """Weights to start from: a release name, a weights folder, or the folder of another run, whose
    checkpoint holds them in full precision. Empty starts from scratch."""
    stages: tuple[StageConfig, ...] = field(default_factory=tuple)
    seed: int = 0
    device: str = "auto"
    short: int = 288
    """Short side of clips in memory, pixels."""
    held_out: int = 20
    """Every n-th clip by name is kept for validation and never trained on."""
    save: int = 500
    """Steps between checkpoints."""
    workers: int = 4
    """Processes that make batches; 0 makes them in the training process."""

    def __post_init__(self) -> None:
        if self.short < 32 or self.save < 1 or min(self.held_out, self.workers, self.seed) < 0:
            raise ConfigError(
                f"short {self.short}, save {self.save}, held_out {self.held_out}, "
                f"workers {self.workers}, seed {self.seed}",
                needed="short of at least 32, save of at least 1, no negative numbers",
                do="change them",
            )


def tiny_stages() -> tuple[StageConfig, ...]:
    """Stages for where the config lists none: those of the default weights, a little longer."""
    return (
        StageConfig(name="guided", kind="guided", steps=5000),
        StageConfig(
            name="joint",
            kind="joint",
            steps=2500,
            made=8,
            rate=5e-4,
            photos=0.4,
            tasks=ANY_TASK,
        ),
        StageConfig(
            name="sharp",
            kind="sharp",
            steps=3000,
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
    values = _toml(_text(path), str(path))
    for change in changes:
        values |= _changed(change)
    tables = values.pop("stages", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(
            f"{path}: stages is no list of tables", needed="[[stages]] tables", do="write them so"
        )
    config = _built(TrainConfig, values, str(path))
    return replace(config, stages=tuple(map(_stage, tables)) or tiny_stages())


def _stage(table: Mapping[str, Any]) -> StageConfig:
    where = f"stage {table.get('name', '?')}"
    values = dict(table)
    mix = values.pop("tasks", dict(INTERPOLATION))
    if not isinstance(mix, Mapping) or not all(_fits(share, 0.0) for share in mix.values()):
        raise ConfigError(
            f"{where}: tasks = {mix}", needed="a table of shares", do='try tasks = { "ends" = 1.0 }'
        )
    return replace(_built(StageConfig, values, where), tasks=tuple(mix.items()))


def _built(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build a config from TOML values, each of the type of its field."""
    kinds = {each.name: each for each in dataclasses.fields(cls)}
    tidy = dict(values)
    for key, value in values.items():
        if key not in kinds:
            continue  # from_mapping names its neighbours
        standard = kinds[key].default
        example = standard if standard is not dataclasses.MISSING else _EXAMPLES.get(key, ())
        if isinstance(value, str) and example == ():
            tidy[key] = (value,)  # one folder needs no brackets
        elif not _fits(value, example):
            raise ConfigError(
                f"{where}: {key} = {value!r}",
                needed=_wanted(example),
                do=f"write it like {key} = {_like(example)}",
            )
    return from_mapping(cls, tidy, where)


_EXAMPLES: Mapping[str, Any] = {"name": "warm-up", "kind": "guided", "steps": 1000}
"""Of the fields that have no default."""


def _fits(value: object, example: object) -> bool:
    if isinstance(value, bool) or isinstance(example, bool):
        return isinstance(value, bool) and isinstance(example, bool)
    if isinstance(example, float):
        return isinstance(value, int | float)
    if isinstance(example, tuple):
        return (
            isinstance(value, list | tuple)
            and (not example or len(value) == len(example))
            and all(_fits(part, example[0] if example else "") for part in value)
        )
    return isinstance(value, type(example))


def _wanted(example: object) -> str:
    if isinstance(example, tuple):
        return f"a list of {len(example)} numbers" if example else "a list of folders"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return words[type(example)]


def _like(example: object) -> str:
    if isinstance(example, tuple):
        return str(list(example)) if example else '["clips"]'
    if isinstance(example, bool):
        return str(example).lower()
    return f'"{example}"' if isinstance(example, str) else str(example)


def _changed(change: str) -> dict[str, Any]:
    """One ``key=value``: the value is TOML, or plain text."""
    key, sign, value = (part.strip() for part in change.partition("="))
    names = [each.name for each in dataclasses.fields(TrainConfig)]
    if not sign or not value:
        raise ConfigError(f"'{change}' changes nothing", needed="key=value", do="try seed=1")
    if key not in names:
        near = difflib.get_close_matches(key, names, n=2) or sorted(names)
        raise ConfigError(
            f"unknown key '{key}' in '{change}'",
            needed=f"one of {len(names)} keys",
            do=f"did you mean {' or '.join(near)}?",
        )
    try:
        return {key: tomllib.loads(f"x = {value}")["x"]}
    except tomllib.TOMLDecodeError:
        return {key: value}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error})", needed="a TOML file of settings", do="check it"
        ) from error


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{where} is not TOML ({error})", needed="key = value lines", do="mend it"
        ) from error


def _is_whole(shares: Sequence[float]) -> bool:
    return min(shares, default=-1) >= 0 and abs(sum(shares) - 1) < 1e-6


def _names(words: Sequence[str]) -> str:
    return ", ".join(words)
