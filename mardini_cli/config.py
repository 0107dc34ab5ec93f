"""Sizes: what each network is made of, and the presets.

Room: config (floor 2). Data only: no torch, no files. A preset is a function that returns a
``ModelConfig``, by ``replace`` of a smaller one where it can.
Source: the paper's sizes are its Table 1 (planner width 4096, denoiser width 1024); heads, patch
and the low resolution are not printed there and are our choices (32 and 16 heads, patch 2, 256).
``tiny`` and ``nano`` are ours.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast, get_args, get_origin

from mardini_cli.errors import ConfigError, guess

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

LARGEST = 2**16
"""Width, rows or pixels in a config at most; the paper's widest network has 8192."""
DEEPEST = 1024
"""Layers at most."""
SCHEDULE_LENGTH = 1000
"""Noise levels of the training schedule (paper: not printed; Emu Video)."""


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build a config dataclass from a mapping, strictly.

    Nested dataclasses are built from nested mappings, lists become tuples.

    Raises:
        ConfigError: a key that the config does not have, or one that it needs and lacks.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            raise ConfigError(
                f"unknown key '{key}' in {where}",
                needed=f"one of its {len(fields)} keys",
                do=guess(key, fields, f"try {', '.join(fields)}", most=2),
            )
    built = {
        key: _built(fields[key].type, value, f"{where}: {key}") for key, value in values.items()
    }
    try:
        return cls(**built)
    except TypeError as error:
        raise ConfigError(f"{where} lacks a key", needed=str(error), do="add it") from error


def _built(kind: Any, value: Any, where: str) -> Any:
    tables = [one for one in get_args(kind) or (kind,) if dataclasses.is_dataclass(one)]
    if value is not None and isinstance(value, Mapping) != bool(tables):
        raise ConfigError(
            f"{where} is {str(value)[:40]!r}",
            needed="a table" if tables else "a plain value",
            do="compare it with a preset",
        )
    if tables and value is not None:
        return from_mapping(cast(type, tables[0]), value, where)
    found = tuple(value) if isinstance(value, list) else value
    if not _is_of(kind, found):
        raise ConfigError(
            f"{where} {str(value)[:40]!r}", needed=_told(kind), do="compare it with a preset"
        )
    return found


def _is_of(kind: Any, value: Any) -> bool:
    """Whether a plain value is of an annotation's kind; whole numbers pass as broken ones."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = inner[:1] * len(value) if inner[-1] is ... else inner
        return len(kinds) == len(value) and all(map(_is_of, kinds, value))
    if inner:  # a union
        return any(_is_of(one, value) for one in inner)
    if kind is float:
        return type(value) in (int, float) and isfinite(value)
    return kind is Any or type(value) is (type(None) if kind is None else kind)


def _check_statistics(config: "VaeConfig | GuidedConfig") -> None:
    """Refuse means and deviations that are not one a channel, or divide by nothing."""
    channels = config.latent_channels
    if not len(config.mean) == len(config.std) == channels or min(config.std, default=0) <= 0:
        raise ConfigError(
            f"{type(config).__name__}: {len(config.mean)} means, {len(config.std)} deviations",
            needed=f"{channels} of each, deviations above 0",
            do="compare it with a preset",
        )


def _told(kind: Any) -> str:
    """An annotation in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin is tuple:
        count = "" if inner[-1] is ... else f"{len(inner)} times "
        return f"a list of {count}{_told(inner[0])}"
    if inner:
        return " or ".join(map(_told, inner))
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(kind, "nothing")


def _check_sizes(config: "DataclassInstance", **most: int) -> None:
    """Refuse whole numbers below 1 or above what any network has: they would build for ever.

    Args:
        config: with whole numbers, or tuples of them.
        most: for some fields another limit than ``LARGEST``.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        limit = most.get(field.name, LARGEST)
        if any(type(n) is int and not 1 <= n <= limit for n in numbers):
            raise ConfigError(
                f"{type(config).__name__}: {field.name} = {value}",
                needed=f"1 to {limit}",
                do="compare it with a preset",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannerConfig:
    """The heavy network: low resolution, all frames of a window, once a window (paper 3)."""

    width: int
    depth: int
    heads: int
    mlp: int
    """Hidden width of the two-matrix MLP."""

    def __post_init__(self) -> None:
        _check_sizes(self, depth=DEEPEST)


@dataclass(frozen=True, kw_only=True, slots=True)
class DenoiserConfig:
    """The light network: full resolution, once a sampling step (paper 4)."""

    width: int
    depth: int
    heads: int
    mlp: int
    attention: Literal["st", "t"] = "st"
    """Second layer of a block: spatio-temporal, or temporal (one place over all frames)."""
    patch: int = 2
    """Latent rows and columns in one token."""

    def __post_init__(self) -> None:
        _check_sizes(self, depth=DEEPEST, patch=64)


@dataclass(frozen=True, kw_only=True, slots=True)
class VaeConfig:
    """Picture latents: an AutoencoderKL with f8 and 16 channels, in the diffusers layout."""

    widths: tuple[int, ...] = (128, 256, 512, 512)
    """Channels at 1/1, 1/2, 1/4, 1/8."""
    blocks: int = 2
    """Residual blocks a level in the encoder; the decoder has one more."""
    groups: int = 32
    """Groups of each group norm."""
    latent_channels: int = 16
    quant: bool = False
    """Whether 1 x 1 convolutions stand around the latents, as in diffusers' older weights."""
    mean: tuple[float, ...] = (0.0,) * 16
    """Per-channel mean of the latents, measured on training frames."""
    std: tuple[float, ...] = (1.0,) * 16
    """Per-channel standard deviation of the latents."""

    def __post_init__(self) -> None:
        _check_sizes(self, blocks=DEEPEST)
        _check_statistics(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidedConfig:
    """Motion latents: a decoder that warps the given frames (ours)."""

    widths: tuple[int, int, int, int] = (32, 64, 96, 128)
    """Channels of the given frames' features at 1/2, 1/4, 1/8, 1/16."""
    hidden: tuple[int, int, int, int] = (56, 96, 128, 160)
    """Channels of the refining blocks at 1/2, 1/4, 1/8, 1/16."""
    radius: int = 3
    """Reach of the matching volume at 1/8 and 1/16, in cells of that level."""
    latent_channels: int = 4
    mean: tuple[float, ...] = (0.0,) * 4
    std: tuple[float, ...] = (1.0,) * 4
    prior: Literal["dis", "none"] = "dis"
    """Flow between given frames that the decoder starts from."""
    resolution: int = 512
    """Short side at which motion is worked out, at the most, pixels."""
    signal_rows: int = 8
    """Rows and columns of the planner's grid for a square frame."""

    def __post_init__(self) -> None:
        _check_sizes(self, radius=64, signal_rows=DEEPEST)
        _check_statistics(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """One model: planner, denoiser and autoencoder that fit together."""

    preset: str
    window: int
    """Slots of a window: the most frames that the model sees at once."""
    planner: PlannerConfig
    denoiser: DenoiserConfig
    vae: VaeConfig | None = None
    guided: GuidedConfig | None = None
    low_resolution: int = 256
    """Short side of the planner's frames with picture latents, pixels (paper 3.4)."""
    identity: Literal["token", "frame", "off"] = "token"
    """What a given frame's token attends to: itself (reading A), its frame (reading B), or all
    frames, made ones too (off: no Identity Attention, for comparison)."""
    reference: Literal["clean", "shared"] = "clean"
    """Diffusion time of given frames: 0 always, or that of the made ones (for comparison)."""
    positions: Literal["real", "counted"] = "real"
    """Real-valued time and whole-frame coordinates, or the paper's [NEXT] and counted ones."""

    def __post_init__(self) -> None:
        _check_sizes(self, window=DEEPEST)
        if (self.vae is None) == (self.guided is None):
            raise ConfigError(
                f"preset {self.preset} has {'no' if self.vae is None else 'two'} autoencoders",
                needed="exactly one of vae and guided",
                do="remove or add one of the two tables",
            )
        for name, network in (("planner", self.planner), ("denoiser", self.denoiser)):
            if network.width % network.heads or (network.width // network.heads) % 4:
                raise ConfigError(
                    f"{name}: width {network.width} over {network.heads} heads",
                    needed="heads that divide the width into multiples of 4",
                    do="change heads",
                )

    @property
    def reading(self) -> Literal["token", "frame"]:
        """The reading of Identity Attention that its layers follow; off, all frames ask as made
        ones do, and no layer knows a given one."""
        return "token" if self.identity == "off" else self.identity

    @property
    def isolated(self) -> bool:
        """Whether nothing that the noise or its level says reaches the given frames' tokens."""
        return self.identity != "off" and self.reference == "clean"

    @property
    def latent_channels(self) -> int:
        """Channels of one latent."""
        return self.guided.latent_channels if self.guided else self._vae.latent_channels

    @property
    def planner_channels(self) -> int:
        """Channels of one planner token before embedding."""
        if self.guided:
            return self.guided.widths[-1] + 4  # features, flow to the given frames beside it
        return self.latent_channels * self.denoiser.patch**2

    @property
    def reference_channels(self) -> int:
        """Channels of one given frame's token, as the denoiser reads it before embedding."""
        if self.guided:
            return self.guided.widths[-1]
        return self.latent_channels * self.denoiser.patch**2

    @property
    def noisy_channels(self) -> int:
        """Channels of one made frame's token, as the denoiser reads it before embedding."""
        noisy = self.latent_channels * self.denoiser.patch**2
        return noisy + (2 * self.guided.widths[-1] + 6 if self.guided else 0)

    @property
    def _vae(self) -> VaeConfig:
        assert self.vae is not None
        return self.vae

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "config") -> Self:
        """Build from ``config.json`` or TOML; unknown keys are named with their neighbours."""
        return from_mapping(cls, values, where)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``config.json``."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplerConfig:
    """How frames are made. One field a flag: ``steps`` is ``--steps``."""

    steps: int = 0
    """DDIM steps, 0 to SCHEDULE_LENGTH; 0 decodes without a latent."""
    guidance: float = 1.0
    """Weight of the signal against the null signal; 1 switches guidance off."""
    seed: int = 0
    """Same seed, settings and device: same frames, however the work is batched."""

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= SCHEDULE_LENGTH:
            raise ConfigError(
                f"steps = {self.steps}",
                needed=f"0 to {SCHEDULE_LENGTH}",
                do="try --steps 8",
            )
        if self.seed < 0:
            raise ConfigError(f"seed = {self.seed}", needed="0 or more", do="drop the sign")


TASK_SAMPLERS: Mapping[str, SamplerConfig] = MappingProxyType(
    {
        "interpolate": SamplerConfig(),
        "animate": SamplerConfig(steps=8, guidance=2.5),
        "extend": SamplerConfig(),
        "fill": SamplerConfig(),
        "keyframes": SamplerConfig(),
    }
)
"""Defaults of each task, for the shipped weights: what measures and looks best with them. Without
a latent one picture alone does not move; 2.5 is the paper's guidance for it."""


def sampler_of(task: str) -> SamplerConfig:
    """Look up a task's default sampler."""
    return TASK_SAMPLERS[task]


def nano() -> ModelConfig:
    """For tests: under a million parameters, motion latents."""
    return ModelConfig(
        preset="nano",
        window=9,
        planner=PlannerConfig(width=32, depth=2, heads=2, mlp=64),
        denoiser=DenoiserConfig(width=32, depth=2, heads=2, mlp=64),
        guided=GuidedConfig(widths=(8, 8, 16, 16), hidden=(8, 8, 16, 16), radius=2, signal_rows=4),
    )


def nano_vae() -> ModelConfig:
    """For tests: under a million parameters, picture latents."""
    return replace(
        nano(),
        preset="nano-vae",
        guided=None,
        vae=VaeConfig(widths=(8, 8, 16, 16), blocks=1, groups=4),
        low_resolution=32,
    )


def tiny() -> ModelConfig:
    """The default weights: motion latents, 9 slots."""
    return ModelConfig(
        preset="tiny",
        window=9,
        planner=PlannerConfig(width=256, depth=6, heads=4, mlp=768),
        denoiser=DenoiserConfig(width=256, depth=6, heads=4, mlp=1024),
        guided=GuidedConfig(),
    )


def s_st() -> ModelConfig:
    """MarDini-S/ST of the paper's Table 1."""
    return ModelConfig(
        preset="s-st",
        window=9,
        planner=PlannerConfig(width=4096, depth=8, heads=32, mlp=4096),
        denoiser=DenoiserConfig(width=1024, depth=8, heads=16, mlp=4096, attention="st"),
        vae=VaeConfig(),
    )


def l_st() -> ModelConfig:
    """MarDini-L/ST of the paper's Table 1."""
    return replace(
        s_st(), preset="l-st", planner=PlannerConfig(width=4096, depth=16, heads=32, mlp=8192)
    )


def s_t() -> ModelConfig:
    """MarDini-S/T of the paper's Table 1."""
    small = s_st()
    return replace(small, preset="s-t", window=17, denoiser=replace(small.denoiser, attention="t"))


def l_t() -> ModelConfig:
    """MarDini-L/T of the paper's Table 1."""
    return replace(s_t(), preset="l-t", planner=l_st().planner)


PRESETS: Mapping[str, Callable[[], ModelConfig]] = MappingProxyType(
    {
        "nano": nano,
        "nano-vae": nano_vae,
        "tiny": tiny,
        "s-st": s_st,
        "l-st": l_st,
        "s-t": s_t,
        "l-t": l_t,
    }
)


def preset(name: str) -> ModelConfig:
    """Look a preset up by its name.

    Raises:
        ConfigError: no preset of this name.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"unknown preset '{name}'", needed=f"one of {', '.join(PRESETS)}", do="choose one"
        )
    return PRESETS[name]()
