"""What is trained, in which order, on what: stages as data.

Room: training. Data only; ``objectives`` says what each kind of stage asks for.
Source: the paper warms planner and denoiser up apart and joins them (its 6.1); the guided and the
sharp stage are ours (``docs/training-log.md``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from mardini_cli.errors import ConfigError

Kind = Literal["guided", "sharp", "vae", "planner", "denoiser", "joint"]
Resume = Literal["auto", "must", "never"]
Mix = tuple[tuple[str, float], ...]

TASKS = ("ends", "middle", "every-other", "extend", "animate", "random")
"""Both ends; ends and middle; every other slot; two neighbours at an end; one slot; any."""
WEIGHTS: Mapping[str, tuple[float, float]] = {
    "guided": (1e-2, 0.1), "sharp": (0.0, 0.1), "vae": (1e-4, 0.5),
}  # fmt: skip
"""Of the kinds that move an autoencoder: usual weights of divergence and contrast. The latents of
``guided`` stay poor on purpose; in ``sharp`` nothing that says latents moves."""
FINISHED = "weights"
"""Folder of the finished weights, in the folder of a run."""
ALL_STAGES = ("steps", "minutes", "lora")
"""Settings of a run that are said of all its stages together."""
ENCODING, DENOISING = ("guided", "vae"), ("denoiser", "joint")
"""Kinds that move what says latents, and those that learn its language."""
PHOTOS = (".webp", ".jpg", ".jpeg", ".png")
"""Endings of photographs."""
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
    fps: float = 0.0
    """Slots of a second, to the nearest frame; 0: about a thirtieth of a second apart, or up to
    four times that."""
    jitter: float = 0.0
    """How far slots leave their even places, in steps between them; the model sees true times."""
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
    crops: float = 0.0
    """Share of steps in which the denoiser sees half of the rows and columns, at their place in the
    frame, and the planner the whole (denoiser and joint)."""
    minutes: float = 0.0
    """Longest time, to which the schedule is fitted; 0 is no limit. Where it ends a stage before
    its steps do, another run ends elsewhere."""
    kl: float | None = None
    """Weight of the latents' divergence from the unit normal (guided and vae); left out, the
    kind's own of ``WEIGHTS``; 0 switches it off."""
    contrast: float | None = None
    """Weight of local contrast (guided, sharp and vae); likewise."""
    critic: bool = False
    """Whether a critic looks at the made frames (guided, sharp and vae)."""
    lora: int = 0
    """Rank of corrections that move in place of the weights, and are worked into them at the end;
    0 moves the weights themselves."""
    validate: int = 1000
    """Steps between looks at the held-out windows."""
    accumulate: int = 1
    """Parts in which a process works through its windows of a step, for less memory."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Memory of AdamW: of gradients, and of their squares."""
    clip: float = 1.0
    """Length to which longer gradients are shortened."""
    average: int = 0
    """Steps that the average of the weights reaches back; 0: 2 % of the stage."""
    attention: Literal["", "st", "t"] = ""
    """What the denoiser's frames attend to from this stage on; the weights stay. Empty: as is."""

    def __post_init__(self) -> None:
        for right, found, needed in self._rules():
            if not right:
                raise ConfigError(f"stage {self.name}: {found}", needed=needed, do="change it")

    @property
    def kl_weight(self) -> float:
        """Weight of the divergence that counts."""
        return WEIGHTS[self.kind][0] if self.kl is None else self.kl

    @property
    def contrast_weight(self) -> float:
        """Weight of the contrast that counts."""
        return WEIGHTS[self.kind][1] if self.contrast is None else self.contrast

    def _rules(self) -> tuple[tuple[bool, str, str], ...]:
        """Whether each holds, what was found, what is needed."""
        keys = ("steps", "batch", "made", "warmup", "accumulate", "validate")
        counts = {key: getattr(self, key) for key in keys}
        few = [key for key, count in counts.items() if count < 1]
        strangers = [task for task, _ in self.tasks if task not in TASKS]
        shares = [share for _, share in self.tasks]
        low, high = self.keep
        forms = ("", "st", "t")
        return (
            (
                self.kind in get_args(Kind),
                f"kind '{self.kind}'",
                f"one of {_names(get_args(Kind))}",
            ),
            (not few, f"{_names(few)} below 1", "1 or more"),
            (self.slots >= FEWEST_SLOTS, f"slots = {self.slots}", f"{FEWEST_SLOTS} or more"),
            (self.side >= 32, f"side = {self.side}", "32 or more"),
            (self.attention in forms, f"attention '{self.attention}'", "st or t, or empty"),
            (0 <= self.fps <= 240, f"fps = {self.fps}", "0 to 240"),
            (0 <= self.jitter < 0.5, f"jitter = {self.jitter}", "0 to below 0.5"),
            (self.clip > 0, f"clip = {self.clip}", "more than 0"),
            (self.lora >= 0, f"lora = {self.lora}", "0 or more"),
            (self.average >= 0, f"average = {self.average}", "0 or more"),
            (0 <= min(self.betas) <= max(self.betas) < 1, f"betas = {self.betas}", "0 to below 1"),
            (0 <= self.crops <= 1, f"crops = {self.crops}", "a share from 0 to 1"),
            (
                not self.crops or self.kind in DENOISING,
                f"crops = {self.crops} in a stage of kind {self.kind}",
                f"a kind in which the denoiser learns: {_names(DENOISING)}",
            ),
            (0 <= self.photos <= 1, f"photos = {self.photos}", "a share from 0 to 1"),
            (0 <= low <= high <= 1, f"keep = {self.keep}", "two rising shares from 0 to 1"),
            (
                min(self.kl or 0, self.contrast or 0) >= 0,
                f"kl = {self.kl}, contrast = {self.contrast}",
                "weights of 0 or more",
            ),
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
    """Folders of clips, and .txt lists that name one a line; or WebDataset shards, whose paths or
    URLs may hold ``{000..015}``."""
    photos: tuple[str, ...] = ()
    """Folders of photographs; none switches synthetic motion off."""
    out: str = "runs/mardini"
    """Folder of the run: log, checkpoint, weights; a run that was stopped goes on from it."""
    vae: str = ""
    """Picture autoencoder to start from, in diffusers' form: a folder, or ``hub:ORG/NAME``. Its
    sizes replace the preset's, and its latents' statistics are measured on the clips."""
    init: str = ""
    """Weights to start from: a release name, a weights folder, or the folder of another run, whose
    checkpoint holds them in full precision. Empty starts from scratch."""
    stages: tuple[StageConfig, ...] = field(default_factory=tuple)
    steps: int = 0
    """Steps of all stages together, shared out as theirs are; 0: as they say."""
    minutes: float = 0.0
    """Time of all stages together, shared out likewise, in place of steps; 0: as they say."""
    lora: int = 0
    """Rank of corrections in every stage; 0: as they say."""
    seed: int = 0
    device: str = "auto"
    short: int = 288
    """Short side of clips in memory, pixels."""
    held_out: int = 20
    """Every n-th clip by name is kept for validation and never trained on."""
    sheets: int = 1000
    """Steps between contact sheets of the same held-out windows, each stage's end besides; 0 draws
    none."""
    tensorboard: bool = False
    """Whether TensorBoard's files are written too (extra ``tensorboard``); ``log.jsonl`` always."""
    save: int = 500
    """Steps between checkpoints."""
    cache: str = ""
    """Folder that ``mardini train cache`` filled: stages that it holds need neither clips nor the
    autoencoder. Empty: all stages begin with pixels."""
    stream: Literal["auto", "no", "yes"] = "auto"
    """Whether windows are decoded as they are drawn, and not all clips before; auto does so for
    shards, and where half of the free memory would not hold the clips."""
    bad: float = 0.5
    """Share of the clips that may fail to decode; they are named and left out."""
    balance: bool = False
    """Draw from every group of clips alike: the folders below those of data."""
    photos_on: Literal["workers", "device"] = "workers"
    """Where photographs are set in motion: by the processes that make batches, or on the device,
    which then knows the true motion and spares them half of their work."""
    workers: int = 4
    """Processes that make batches; 0 makes them in the training process."""
    spike: float = 30.0
    """A step whose gradient is so many times longer than usual is left out; 0 lets it pass."""
    recompute: bool = False
    """Work the blocks of planner and denoiser out again on the way back: less memory, more time."""
    compile: bool = False
    """Compile the blocks of planner and denoiser."""
    shard: bool = False
    """Share planner and denoiser out over the processes (FSDP2); checkpoints are shared out too."""

    def __post_init__(self) -> None:
        lowest = {
            "short": 32, "save": 1, "held_out": 0, "steps": 0, "workers": 0, "seed": 0, "spike": 0,
            "sheets": 0, "minutes": 0, "lora": 0,
        }  # fmt: skip
        if self.photos_on not in ("workers", "device"):
            raise ConfigError(
                f"photos_on = {self.photos_on}", needed="workers or device", do="choose one"
            )
        if self.stream not in ("auto", "no", "yes"):
            raise ConfigError(f"stream = {self.stream}", needed="auto, no or yes", do="choose one")
        if not 0 <= self.bad <= 1:
            raise ConfigError(f"bad = {self.bad}", needed="a share from 0 to 1", do="change it")
        for key, least in lowest.items():
            if getattr(self, key) < least:
                raise ConfigError(
                    f"{key} = {getattr(self, key)}", needed=f"{least} or more", do="change it"
                )
        if (self.compile or self.shard) and any(stage.lora for stage in self.stages):
            raise ConfigError(
                f"lora with {'compile' if self.compile else 'shard'}",
                needed="plain layers, beside which corrections stand",
                do="leave one of them out",
            )


def stranded(config: TrainConfig) -> str:
    """Name the stage that moves an encoder on which a denoiser rests that no later stage mends.

    Latents of another encoder are another language. Empty if there is none.
    """
    moving = [place for place, stage in enumerate(config.stages) if stage.kind in ENCODING]
    if not moving:
        return ""
    before, after = config.stages[: moving[-1]], config.stages[moving[-1] + 1 :]
    rests = bool(config.init) or any(stage.kind in DENOISING for stage in before)
    mended = any(stage.kind in DENOISING for stage in after)
    return config.stages[moving[-1]].name if rests and not mended else ""


def _is_whole(shares: Sequence[float]) -> bool:
    return min(shares, default=-1) >= 0 and abs(sum(shares) - 1) < 1e-6


def _names(words: Sequence[str]) -> str:
    return ", ".join(words)
