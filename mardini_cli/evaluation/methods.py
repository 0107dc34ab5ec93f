"""Everything that makes frames, behind one interface: baselines, programs, the model.

Room: evaluation. A method may make several lines of the table at once: the model looks at a window
once and samples at every number of steps.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol as Interface

import torch
from torch import Tensor

from mardini_cli import weights
from mardini_cli.evaluation import outside
from mardini_cli.evaluation.baselines import BASELINES, Baseline
from mardini_cli.evaluation.excerpts import Excerpt
from mardini_cli.evaluation.ours import CEILING, Maker, method_name
from mardini_cli.evaluation.protocols import Protocol
from mardini_cli.evaluation.request import EvaluateRequest


class Method(Interface):
    """A way to make the missing frames of windows."""

    @property
    def learned(self) -> bool:
        """Whether it runs on the device; otherwise on the CPU."""
        ...

    def titles(self) -> dict[str, str]:
        """Lines of the table: name to words."""
        ...

    def applies(self, protocol: Protocol) -> bool:
        """Whether the protocol gives the frames that it needs."""
        ...

    def identity(self, name: str) -> str:
        """All that decides the frames of a line, beside the window."""
        ...

    def make(
        self, excerpts: Sequence[Excerpt], protocol: Protocol, names: Collection[str]
    ) -> dict[str, Tensor]:
        """Make these lines' frames, each ``b m 3 h w``."""
        ...


@dataclass(frozen=True, slots=True)
class BaselineMethod:
    """One of ``baselines``."""

    baseline: Baseline
    learned: bool = False

    def titles(self) -> dict[str, str]:
        """See ``Method``."""
        return {self.baseline.name: self.baseline.title}

    def applies(self, protocol: Protocol) -> bool:
        """See ``Method``."""
        return self.baseline.applies(protocol)

    def identity(self, name: str) -> str:
        """See ``Method``."""
        return name

    def make(
        self, excerpts: Sequence[Excerpt], protocol: Protocol, names: Collection[str]
    ) -> dict[str, Tensor]:
        """See ``Method``."""
        made = [self.baseline.make(e.frames[list(protocol.given)], protocol) for e in excerpts]
        return dict.fromkeys(names, torch.stack(made))


class ProgramMethod:
    """A program of the user's; one call at a time, since it may want the whole machine."""

    learned = False

    def __init__(self, name: str, template: str) -> None:
        outside.check_template(name, template)
        self._name, self._template, self._lock = name, template, Lock()

    def titles(self) -> dict[str, str]:
        """See ``Method``."""
        return {self._name: self._name}

    def applies(self, protocol: Protocol) -> bool:
        """See ``Method``: programs interpolate."""
        return not protocol.one_sided

    def identity(self, name: str) -> str:
        """See ``Method``."""
        return f"{name}={self._template}"

    def make(
        self, excerpts: Sequence[Excerpt], protocol: Protocol, names: Collection[str]
    ) -> dict[str, Tensor]:
        """See ``Method``."""
        with self._lock:
            made = [
                outside.run(self._name, self._template, e.frames[list(protocol.given)], protocol)
                for e in excerpts
            ]
        return dict.fromkeys(names, torch.stack(made))


class OursMethod:
    """The model, at every number of steps asked for, and its ceiling."""

    learned = True

    def __init__(self, maker: Maker, request: EvaluateRequest) -> None:
        self._maker, self._request = maker, request
        self._digest = weights.digest(weights.find(request.model))

    def titles(self) -> dict[str, str]:
        """See ``Method``."""
        lines = {
            method_name(n): f"ours, {n} step{'' if n == 1 else 's'}" for n in self._request.steps
        }
        if self._request.ceiling:
            kind = "guided decoder" if self._maker.model.config.guided else "VAE"
            lines[CEILING] = f"ceiling: truth through the {kind}"
        return lines

    def applies(self, protocol: Protocol) -> bool:  # noqa: ARG002  (the model takes any mask)
        """See ``Method``."""
        return True

    def identity(self, name: str) -> str:
        """See ``Method``."""
        maker = self._maker
        return f"{name} {self._digest} {maker.seed} {maker.device.type} {maker.dtype}"

    def make(
        self, excerpts: Sequence[Excerpt], protocol: Protocol, names: Collection[str]
    ) -> dict[str, Tensor]:
        """See ``Method``."""
        steps = [count for count in self._request.steps if method_name(count) in names]
        return self._maker.make(excerpts, protocol, steps, ceiling=CEILING in names)


def methods_of(request: EvaluateRequest, maker: Maker | None) -> list[Method]:
    """Every method that a request asks for, baselines first."""

    def found() -> Iterator[Method]:
        for word in request.baselines:
            name, _, template = word.partition("=")
            if template:
                yield ProgramMethod(name, template)
            else:
                yield BaselineMethod(BASELINES[name])
        if maker is not None:
            yield OursMethod(maker, request)

    return list(found())
