"""How the state of a run is kept: whole, by the first process; or shared out over all of them.

Room: training. One interface; ``checkpoint`` and ``shared`` know the files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from mardini_cli.model.mardini import MarDini
from mardini_cli.training import checkpoint, shared
from mardini_cli.training.checkpoint import Place
from mardini_cli.training.crew import Crew
from mardini_cli.training.objectives import Objective
from mardini_cli.training.stages import TrainConfig
from mardini_cli.training.stepping import Stepper


class Keeper(Protocol):
    """Keeps the state of one run."""

    def place(self) -> Place | None:
        """Where the run stands; None before the first checkpoint."""

    def restore_model(self, model: MarDini) -> None:
        """Put back the model's weights."""

    def restore_stage(self, objective: Objective, stepper: Stepper) -> None:
        """Put back all that a stage under way needs to go on."""

    def save(self, place: Place, modules: Mapping[str, nn.Module], stepper: Stepper | None) -> None:
        """Keep where the run stands; without a stepper, at the end of a stage."""

    def close(self) -> None:
        """Wait until the last state is on disk."""


class Whole:
    """One file, written by the first process. What is read back waits on the host until it is put
    in its place: the device would have to hold all of it twice."""

    def __init__(self, folder: Path, crew: Crew) -> None:
        self.folder, self.crew = folder, crew
        self.state: dict[str, Tensor] = {}

    def place(self) -> Place | None:
        """See ``Keeper.place``."""
        found = checkpoint.load(self.folder, torch.device("cpu"))
        if found is None:
            return None
        place, self.state = found
        return place

    def restore_model(self, model: MarDini) -> None:
        """See ``Keeper.restore_model``."""
        model.load_state_dict(checkpoint.part_of(self.state, "model"))

    def restore_stage(self, objective: Objective, stepper: Stepper) -> None:
        """See ``Keeper.restore_stage``."""
        for name, module in objective.named_children():
            module.load_state_dict(checkpoint.part_of(self.state, name))
        stepper.restore(self.state)
        self.state = {}  # as large as the model and its optimiser

    def save(self, place: Place, modules: Mapping[str, nn.Module], stepper: Stepper | None) -> None:
        """See ``Keeper.save``."""
        if self.crew.rank == 0:
            tensors = stepper.tensors() if stepper else {}
            checkpoint.save(self.folder, place, modules, tensors)

    def close(self) -> None:
        """See ``Keeper.close``; nothing is under way."""


class Shared:
    """A folder a checkpoint, written by all processes beside the steps that follow."""

    def __init__(self, folder: Path, crew: Crew) -> None:
        self.writer = shared.Writer(folder, crew)
        self.folder = folder
        self.found: Path | None = None

    def place(self) -> Place | None:
        """See ``Keeper.place``."""
        self.found = shared.newest(self.folder)
        return shared.place_of(self.found) if self.found else None

    def restore_model(self, model: MarDini) -> None:
        """See ``Keeper.restore_model``."""
        self._fill(_named({"model": model}))

    def restore_stage(self, objective: Objective, stepper: Stepper) -> None:
        """See ``Keeper.restore_stage``."""
        assert self.found is not None
        names = shared.names(self.found)
        room = stepper.room({name for name in names if not name.startswith("model/")})
        self._fill({**_named(dict(objective.named_children())), **stepper.spread(room)})
        stepper.restore(room)

    def _fill(self, state: dict[str, Tensor]) -> None:
        assert self.found is not None
        shared.fill(self.found, state, self.writer.crew)

    def save(self, place: Place, modules: Mapping[str, nn.Module], stepper: Stepper | None) -> None:
        """See ``Keeper.save``."""
        state = _named(modules)
        if stepper:
            state |= stepper.spread(stepper.tensors())
        self.writer.save(place, state)

    def close(self) -> None:
        """See ``Keeper.close``."""
        self.writer.wait()


def _named(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The tensors of modules, which are the modules' own: what fills them fills those."""
    return {
        f"{name}/{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def keeper(config: TrainConfig, crew: Crew) -> Keeper:
    """The keeper that the settings ask for."""
    folder = Path(config.out)
    return Shared(folder, crew) if config.shard else Whole(folder, crew)


def stands(folder: Path) -> bool:
    """Whether a folder holds the state of a run, in either form."""
    return checkpoint.stands(folder) or shared.newest(folder) is not None


def load(folder: Path, device: torch.device) -> tuple[Place, dict[str, Tensor]] | None:
    """Read where a run stands, and its whole state, in either form and by one process.

    Raises:
        WeightsError: it is there but damaged.
    """
    found = checkpoint.load(folder, device)
    newest = shared.newest(folder)
    if found is not None or newest is None:
        return found
    return shared.place_of(newest), shared.whole(newest, device)
