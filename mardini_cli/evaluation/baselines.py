"""What the model has to beat: making frames without learning anything.

Room: evaluation. A baseline sees what the model sees, the given frames of one window, and gives
all made ones. CPU only; OpenCV is reached through ``model.prior``, FFmpeg through ``media``.

Where made frames lie beyond the given ones (one-sided protocols) there is nothing to blend:
``applies`` says which baseline can serve which protocol.

Dimension key
    f  slots of a window    g  given, m  made slots    h, w  pixels    frames are RGB in [0, 1]
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from mardini_cli.evaluation.protocols import Protocol
from mardini_cli.media.minterpolate import minterpolate
from mardini_cli.model import prior
from mardini_cli.model.warping import warp

Make = Callable[[Tensor, Protocol], Tensor]
"""Given frames ``g 3 h w`` to made frames ``m 3 h w``, in slot order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """A way to make frames without a model."""

    name: str
    title: str
    """For tables."""
    make: Make
    two_sided: bool = False
    """Needs a given frame on both sides of every made one."""
    one_sided: bool = False
    """Says something only where one side is free."""
    least_given: int = 1

    def applies(self, protocol: Protocol) -> bool:
        """Whether this protocol gives the frames that it needs."""
        if len(protocol.given) < self.least_given:
            return False
        return not (self.two_sided if protocol.one_sided else self.one_sided)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a made slot stands: given frames ``left`` and ``right``, by index, and between."""

    left: int
    right: int
    tau: float
    """0 at the left one, 1 at the right one; beyond them outside [0, 1]."""


def _places(protocol: Protocol) -> list[_Place]:
    """The gap of every made slot; beyond the ends, the nearest gap (or the only frame twice)."""
    given, places = protocol.given, []
    for slot in protocol.made:
        right = min(max(bisect_right(given, slot), 1), len(given) - 1)
        left = max(right - 1, 0)
        span = given[right] - given[left]
        places.append(_Place(left, right, (slot - given[left]) / span if span else 0.0))
    return places


def repeat(given: Tensor, protocol: Protocol) -> Tensor:
    """Hold the nearer given frame; of two equally near, the earlier."""
    nearest = [
        min(range(len(protocol.given)), key=lambda i: abs(protocol.given[i] - slot))
        for slot in protocol.made
    ]
    return given[nearest]


def blend(given: Tensor, protocol: Protocol) -> Tensor:
    """Mix both given neighbours by time."""
    places = _places(protocol)
    tau = torch.tensor([place.tau for place in places]).view(-1, 1, 1, 1)
    first, second = given[[p.left for p in places]], given[[p.right for p in places]]
    return (1 - tau) * first + tau * second


def dis(given: Tensor, protocol: Protocol) -> Tensor:
    """Warp both given neighbours along DIS flow (medium) to the made time, mix them by time."""
    places = _places(protocol)
    left, right = [p.left for p in places], [p.right for p in places]
    forward, backward = _flows(given)  # g-1 2 h w each
    tau = torch.tensor([place.tau for place in places])
    to_first, to_second = prior.project(forward[left], backward[left], tau)
    tau = tau.view(-1, 1, 1, 1)
    return (1 - tau) * warp(given[left], to_first) + tau * warp(given[right], to_second)


def dis_blend_mean(given: Tensor, protocol: Protocol) -> Tensor:
    """The mean of DIS and blend: the control for hedging, since averages raise every score."""
    return (dis(given, protocol) + blend(given, protocol)) / 2


def constant_velocity(given: Tensor, protocol: Protocol) -> Tensor:
    """Let the nearest given frame drift on along the DIS flow of the nearest gap."""
    places = _places(protocol)
    forward, backward = _flows(given)
    made = []
    for place in places:
        after = place.tau > 1
        source = place.right if after else place.left
        steps = place.tau - 1 if after else -place.tau
        flow = (backward if after else forward)[place.left]
        made.append(warp(given[source, None], steps * flow[None])[0])
    return torch.stack(made)


def ffmpeg(given: Tensor, protocol: Protocol) -> Tensor:
    """FFmpeg's ``minterpolate`` with motion compensation, over each run of even gaps."""
    made = []
    for run, step in protocol.runs:
        slots = minterpolate([frame.permute(1, 2, 0).numpy() for frame in given[run]], step)
        made += [frame for slot, frame in enumerate(slots) if slot % step]
    return torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in made])


def motion_between(first: Tensor, last: Tensor) -> float:
    """Mean length of the DIS flow from one frame ``3 h w`` to another, pixels."""
    forward, _ = _flows(torch.stack((first, last)))
    return float(torch.linalg.vector_norm(forward[0], dim=0).mean())


def _flows(given: Tensor) -> tuple[Tensor, Tensor]:
    """DIS flow of every gap, forward and backward, each ``g-1 2 h w`` in pixels."""
    luma = prior.luma_bytes(given)
    gaps = list(pairwise(luma))
    return (
        torch.stack([torch.from_numpy(prior.dis_flow(a, b)) for a, b in gaps]),
        torch.stack([torch.from_numpy(prior.dis_flow(b, a)) for a, b in gaps]),
    )


BASELINES: Final[Mapping[str, Baseline]] = MappingProxyType(
    {
        baseline.name: baseline
        for baseline in (
            Baseline(name="repeat", title="repeat the nearer frame", make=repeat),
            Baseline(name="blend", title="linear blend", make=blend, two_sided=True, least_given=2),
            Baseline(
                name="minterpolate",
                title="FFmpeg minterpolate",
                make=ffmpeg,
                two_sided=True,
                least_given=2,
            ),
            Baseline(name="dis", title="DIS flow", make=dis, two_sided=True, least_given=2),
            Baseline(
                name="dis-blend",
                title="mean of DIS and blend",
                make=dis_blend_mean,
                two_sided=True,
                least_given=2,
            ),
            Baseline(
                name="constant-velocity",
                title="constant-velocity DIS",
                make=constant_velocity,
                one_sided=True,
                least_given=2,
            ),
        )
    }
)
"""By name; the names are those of ``request.BASELINE_NAMES``."""
