"""Whole recipes: the stages of a run, as data.

Room: training. Data only.
"""

from mardini_cli.training.stages import ANY_TASK, StageConfig


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
