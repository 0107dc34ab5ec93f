"""Whole recipes: the stages of a run, as data.

Room: training. Data only.
Source: MarDini figure 4 and appendix B for ``paper`` (frames, rate of frames, keep ratios, pixels,
clips seen, batches of 1024 and 720, learning rate); what is not printed there is ours and said
below. ``tiny``, ``guided`` and ``vae`` are ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from mardini_cli.config import ModelConfig
from mardini_cli.errors import ConfigError
from mardini_cli.training.stages import ANY_TASK, StageConfig

Stages = tuple[StageConfig, ...]


NEAR = (("ends", 0.15), ("middle", 0.35), ("every-other", 0.5))
"""Mostly short gaps: what moves where can be told there, and matching is learned from it."""
WIDE = (("ends", 0.4), ("middle", 0.25), ("every-other", 0.2), ("extend", 0.1), ("animate", 0.05))


def tiny_stages() -> Stages:
    """Stages for where the config lists none: those of the default weights, a little longer."""
    near, wide, sharp = guided_stages()
    joint = StageConfig(
        name="joint", kind="joint", steps=2500, made=8, rate=8e-4, warmup=100, photos=0.4,
        tasks=ANY_TASK,
    )  # fmt: skip
    last = StageConfig(
        name="sharp-signal", kind="sharp", steps=1500, rate=3e-4, latents=(0.25, 0.2, 0.55),
        signal=True, contrast=1.0, critic=True, tasks=WIDE,
    )  # fmt: skip
    return near, wide, sharp, joint, last


def guided_stages() -> Stages:
    """The guided autoencoder alone: short gaps, all gaps, then asked for sharpness."""
    wide = StageConfig(
        name="guided", kind="guided", steps=3000, batch=28, rate=7e-4, warmup=60, no_prior=0.2,
        latents=(0.25, 0.2, 0.55), contrast=0.5, tasks=WIDE,
    )  # fmt: skip
    near = replace(
        wide, name="guided-near", steps=500, rate=8e-4, no_prior=0.4, latents=(0.15, 0.15, 0.7),
        contrast=0.3, tasks=NEAR,
    )  # fmt: skip
    sharp = replace(wide, name="guided-sharp", rate=6e-4, contrast=1.0, critic=True)
    return near, wide, sharp


def vae_stages() -> Stages:
    """The picture autoencoder alone: first pixels, then a critic for texture."""
    first = StageConfig(
        name="vae", kind="vae", steps=20_000, slots=4, made=2, batch=16, rate=2e-4, warmup=1000,
        tasks=(("ends", 1.0),),
    )  # fmt: skip
    return first, replace(first, name="vae-sharp", steps=10_000, rate=1e-4, critic=True)


def tune_stages(*, on_gpu: bool = True) -> Stages:
    """Motion latents that are good already, on someone's own clips: motion first, then pictures.

    The encoder stays, so whatever the weights could do they still can. A CPU gets smaller windows,
    and no critic: the few steps that it takes would all go into teaching one.
    """
    batch, side = (24, 256) if on_gpu else (2, 128)
    motion = StageConfig(
        name="tune-motion", kind="joint", steps=1000, made=8 if on_gpu else 4, rate=1e-4,
        warmup=50, photos=0.0, tasks=ANY_TASK, batch=batch, side=side,
    )  # fmt: skip
    pictures = StageConfig(
        name="tune-pictures", kind="sharp", steps=1500, rate=1e-4, warmup=50, photos=0.0,
        latents=(0.3, 0.2, 0.5), signal=True, contrast=1.0, critic=on_gpu, batch=batch, side=side,
    )  # fmt: skip
    return motion, pictures


def tune_picture_latents(*, on_gpu: bool = True) -> Stages:
    """Picture latents that are good already: planner and denoiser alone move."""
    (motion, _) = tune_stages(on_gpu=on_gpu)
    return (replace(motion, name="tune", steps=2500),)


def _tune(model: ModelConfig, *, on_gpu: bool) -> Stages:
    return (tune_stages if model.guided else tune_picture_latents)(on_gpu=on_gpu)


FRAMES = 6528
"""Frames a step where the paper prints no batch: within the 6,480 to 9,216 of those it prints."""


def paper_stages(model: ModelConfig) -> Stages:
    """The paper's recipe, as far as a model of this window goes: codes of its figure 4.

    Steps are clips seen over the batch. Not printed there: the batch of stages other than I-D3, J-M
    and J-T1 (``FRAMES`` is held), length of the warm-up (the loss falls after about 6,000 steps),
    betas, decay and the average's reach (usual ones). The autoencoder must be trained before.
    """
    initial = StageConfig(
        name="I-P", kind="planner", steps=1, slots=4, made=4, fps=8.0, keep=(0.65, 1.0),
        tasks=(("random", 1.0),), attention="st", rate=1.4e-4, warmup=6000, decay=0.02,
        betas=(0.9, 0.95), average=10_000, photos=0.0, no_prior=0.0, drop=0.1, validate=2000,
    )  # fmt: skip
    denoiser = replace(initial, kind="denoiser")
    joint = replace(initial, kind="joint", slots=9, made=9)
    hard = replace(joint, slots=17, made=17, keep=(0.06, 0.3))
    stages = (
        _seen(initial, "I-P", 200e6),
        _seen(replace(denoiser, keep=(0.45, 1.0)), "I-D1", 20e6),
        _seen(replace(denoiser, keep=(0.35, 1.0), fps=4.0), "I-D2", 80e6),
        _seen(replace(denoiser, keep=(0.35, 1.0), slots=9, made=9), "I-D3", 40e6, 1024),
        _seen(replace(joint, keep=(0.35, 1.0)), "J-M", 75e6, 1024),
        _seen(replace(joint, keep=(0.15, 0.6), side=512), "J-T1", 40e6, 720),
        # The figure draws it before the swap of attention; whether it was trained is not clear.
        _seen(replace(hard, side=512), "J-T2", 40e6),
        _seen(replace(hard, side=512, attention="t"), "J-T3", 40e6),
        _seen(replace(hard, side=768, attention="t"), "J-T4", 20e6),
        _seen(replace(hard, side=1024, attention="t"), "J-T5", 5e6),
    )
    return tuple(stage for stage in stages if stage.slots <= model.window)


def _seen(stage: StageConfig, name: str, clips: float, batch: int = 0) -> StageConfig:
    """Give a stage its name, its batch, and the steps in which it sees so many clips."""
    batch = batch or FRAMES // stage.slots
    return replace(stage, name=name, batch=batch, steps=round(clips / batch))


RECIPES: Mapping[str, Callable[[ModelConfig], Stages]] = MappingProxyType(
    {
        "tiny": lambda _: tiny_stages(),
        "guided": lambda _: guided_stages(),
        "vae": lambda _: vae_stages(),
        "paper": paper_stages,
        "tune": lambda model: _tune(model, on_gpu=True),
        "tune-cpu": lambda model: _tune(model, on_gpu=False),
    }
)


def recipe(name: str, model: ModelConfig) -> Stages:
    """Look the stages of a recipe up.

    Raises:
        ConfigError: no recipe of this name.
    """
    if name not in RECIPES:
        raise ConfigError(
            f"unknown stages '{name}'",
            needed=f"one of {', '.join(RECIPES)}, or [[stages]] tables",
            do="choose one",
        )
    return RECIPES[name](model)


def shortened(stages: Stages, steps: int) -> Stages:
    """Share so many steps out over the stages as theirs were; warm-ups shrink with them."""
    whole = sum(stage.steps for stage in stages)
    return tuple(
        replace(
            stage,
            steps=max(1, round(stage.steps * steps / whole)),
            warmup=max(1, round(stage.warmup * min(1.0, steps / whole))),
        )
        for stage in stages
    )


ENDLESS = 1_000_000
"""Steps of a stage that minutes will end."""


def timed(stages: Stages, minutes: float) -> Stages:
    """Share so much time out over the stages as their steps were; only time ends them then."""
    whole = sum(stage.steps for stage in stages)
    return tuple(
        replace(stage, steps=ENDLESS, minutes=minutes * stage.steps / whole) for stage in stages
    )
