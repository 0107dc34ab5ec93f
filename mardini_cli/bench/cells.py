"""What is measured: a model's sizes, a window, a sampler. Data only.

Room: bench.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from mardini_cli.config import (
    DenoiserConfig,
    ModelConfig,
    PlannerConfig,
    SamplerConfig,
    l_t,
    preset,
    tiny,
)
from mardini_cli.errors import ConfigError

Way = Literal["kept", "plain", "compiled", "graphs", "both"]
"""How the networks are run: made frames beside what is kept of the window (what every command
does); whole windows anew in each step; kept, with compiled blocks; kept, with steps recorded as
CUDA graphs; or with both, which is ``--compile``."""
WAYS: Mapping[Way, str] = MappingProxyType(
    {"kept": "eager", "graphs": "graphs", "compiled": "compiled", "both": "compiled and graphs"}
)
"""Those that one table compares, in words."""

LOW = 256
"""Short side of the planner's frames in the paper's asymmetric rows, pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One line of a table."""

    name: str
    config: ModelConfig
    size: tuple[int, int]
    """Height and width, pixels."""
    mask: tuple[bool, ...]
    """One truth a slot, True = to be made."""
    sampler: SamplerConfig
    batch: int = 1
    """Windows made at once."""
    way: Way = "kept"
    channels_last: bool | None = None
    """Layout of the autoencoder's convolutions; None as in every command."""

    @property
    def made(self) -> int:
        """Frames that a run makes."""
        return self.batch * sum(self.mask)


def after_one(frames: int) -> tuple[bool, ...]:
    """One given frame, and all others made: the paper's way of counting."""
    return (False, *(True,) * (frames - 1))


def between(factor: int, slots: int) -> tuple[bool, ...]:
    """The mask of interpolation: every ``factor``-th slot is given."""
    return tuple(bool(slot % factor) for slot in range(slots))


TASKS: Mapping[str, Callable[[int], tuple[bool, ...]]] = MappingProxyType(
    {
        "interpolate": lambda slots: between(2, slots),
        "keyframes": lambda slots: between(slots - 1, slots),
        "animate": after_one,
    }
)
"""Masks of a whole window by task."""


def cells_of(
    name: str, task: str, sizes: list[tuple[int, int]], steps: list[int], guidance: float = 1.0
) -> list[Cell]:
    """Cells of one preset and task, at all sizes and steps.

    Raises:
        ConfigError: no such preset or task.
    """
    config = preset(name)
    if task not in TASKS:
        raise ConfigError(
            f"unknown task '{task}'", needed=f"one of {', '.join(TASKS)}", do="choose one"
        )
    return [
        Cell(
            name=f"{name} {task} {wide}x{high}, {count} steps",
            config=config,
            size=(high, wide),
            mask=TASKS[task](config.window),
            sampler=SamplerConfig(steps=count, guidance=guidance),
        )
        for high, wide in sizes
        for count in steps
    ]


def symmetric() -> ModelConfig:
    """One network with the parameters of ``l-t``'s two, at full resolution in every step.

    The physical counter-example to the asymmetric design. It has a planner in name only: 64
    channels over a picture of 64 pixels.
    """
    return replace(
        l_t(),
        preset="symmetric",
        planner=PlannerConfig(width=64, depth=1, heads=1, mlp=64),
        denoiser=DenoiserConfig(width=4096, depth=10, heads=32, mlp=8192, attention="st"),
        low_resolution=64,
    )


def paper() -> list[Cell]:
    """The paper's Table 3, with its larger planner, and the symmetric design beside it."""
    cells = []
    for over in ("t", "st"):
        base = l_t()
        config = replace(base, denoiser=replace(base.denoiser, attention=over))
        for side in (256, 512):
            for low in sorted({LOW, side}):
                planner = "both at 256" if side == LOW else f"planner at {low}"
                cells += [
                    Cell(
                        name=f"{over.upper()}, {planner}, {frames} frames, {side}",
                        config=replace(config, low_resolution=low),
                        size=(side, side),
                        mask=after_one(frames),
                        sampler=SamplerConfig(steps=25),
                    )
                    for frames in (9, 13, 17)
                ]
    cells += [
        Cell(
            name=f"symmetric, {frames} frames, {side}",
            config=symmetric(),
            size=(side, side),
            mask=after_one(frames),
            sampler=SamplerConfig(steps=25),
        )
        for side, frames in ((256, 17), (512, 9), (512, 17))
    ]
    return cells


def targets() -> list[Cell]:
    """The cells that the project has set itself aims for."""
    plain = Cell(
        name="l-t, 17 frames, 512",
        config=l_t(),
        size=(512, 512),
        mask=after_one(17),
        sampler=SamplerConfig(steps=25),
    )
    guided = replace(
        plain, name=f"{plain.name}, guidance", sampler=SamplerConfig(steps=25, guidance=2.5)
    )
    wide = Cell(
        name="tiny x2, 1920x1080, 0 steps",
        config=tiny(),
        size=(1080, 1920),
        mask=between(2, 9),
        sampler=SamplerConfig(),
    )
    eight = SamplerConfig(steps=8)
    return [
        plain,
        replace(plain, name=f"{plain.name}, whole windows", way="plain"),
        replace(plain, name=f"{plain.name}, VAE channels last", channels_last=True),
        guided,
        replace(guided, name=f"{guided.name}, whole windows", way="plain"),
        replace(plain, name="l-t, 17 frames, 1024", size=(1024, 1024)),
        wide,
        replace(wide, name=f"{wide.name}, not channels last", channels_last=False),
        replace(wide, name=f"{wide.name}, 4 windows at once", batch=4),
        replace(wide, name="tiny x2, 1920x1080, 8 steps", sampler=eight),
        replace(wide, name="tiny x2, 456x256, 0 steps", size=(256, 456)),
        replace(wide, name="tiny x2, 456x256, 8 steps", size=(256, 456), sampler=eight),
    ]


def compiled() -> list[Cell]:
    """Cells among the aims, by what ``--compile`` does of its two parts, and by none.

    The whole of it comes first: its seconds until the first frame are those of an empty cache.
    """
    cells = {cell.name: cell for cell in targets()}
    ways: Mapping[str, tuple[Way, ...]] = {
        "l-t, 17 frames, 512, guidance": ("both", "compiled", "graphs", "kept"),
        "tiny x2, 456x256, 8 steps": ("both", "graphs", "kept"),
        "tiny x2, 1920x1080, 8 steps": ("both", "graphs", "kept"),
        "l-t, 17 frames, 512": ("both", "compiled", "graphs", "kept"),
        "tiny x2, 456x256, 0 steps": ("both", "kept"),
        "tiny x2, 1920x1080, 0 steps": ("both", "kept"),
    }
    return [
        replace(cells[name], name=f"{name}, {WAYS[way]}", way=way)
        for name, some in ways.items()
        for way in some
    ]
