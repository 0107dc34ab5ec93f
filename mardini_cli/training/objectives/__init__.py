"""What each kind of stage asks of the networks.

Room: training.
"""

from mardini_cli.training.objectives.autoencoders import (
    GuidedObjective,
    VaeObjective,
    measure_latents,
)
from mardini_cli.training.objectives.base import Asked, Objective, Step
from mardini_cli.training.objectives.latents import LatentObjective, PlannerObjective, Resting
from mardini_cli.training.stages import Kind

__all__ = [
    "KINDS",
    "Asked",
    "LatentObjective",
    "Objective",
    "Resting",
    "Step",
    "measure_latents",
]

KINDS: dict[Kind, type[Objective]] = {
    "guided": GuidedObjective,
    "sharp": GuidedObjective,
    "vae": VaeObjective,
    "planner": PlannerObjective,
    "denoiser": LatentObjective,
    "joint": LatentObjective,
}
