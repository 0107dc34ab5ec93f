"""Everything by which a run is watched: its journal, its sheets, and the page at its end.

Room: training. Only the first process watches. Nothing here moves a weight or draws a random number
that training would draw.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mardini_cli.model.mardini import MarDini
from mardini_cli.training import clips, views
from mardini_cli.training.journal import Journal
from mardini_cli.training.reading import to_toml
from mardini_cli.training.report import SETTINGS, Told, write_report
from mardini_cli.training.seeds import seed_of
from mardini_cli.training.stages import StageConfig, TrainConfig
from mardini_cli.training.stepping import Stepper


class Watch:
    """Watches one run.

    Args:
        config: of the run; its folder is there.
        on: whether this process watches.

    Raises:
        ConfigError: TensorBoard's writer is asked for and not installed.
    """

    def __init__(self, config: TrainConfig, *, on: bool) -> None:
        self.config, self.folder = config, Path(config.out)
        self.journal = Journal(self.folder, board=config.tensorboard) if on else None
        self.viewer: views.Viewer | None = None

    def begin(self) -> None:
        """Write down what the run is, all of it: the file that reproduces it."""
        if self.journal is not None:
            (self.folder / SETTINGS).write_text(to_toml(self.config) + "\n", encoding="utf-8")

    def write(self, row: Mapping[str, object]) -> None:
        """Add a row to the journal."""
        if self.journal is not None:
            self.journal.write(row)

    def aim(self, held: Sequence[clips.Source], stage: StageConfig, device: torch.device) -> None:
        """Choose the windows that are looked at all through a stage."""
        self.viewer = None
        if self.journal is None or not self.config.sheets or not held:
            return
        windows = chosen_windows(held, stage, seed_of(self.config.seed, "views", 0))
        self.viewer = views.Viewer(windows.to(device), self.config.seed)

    def look(self, stepper: Stepper, done: int, *, last: bool) -> None:
        """Draw the windows with the averaged weights, every so many steps and at the end."""
        if self.viewer is None or self.journal is None:
            return
        if done % self.config.sheets and not last:
            return
        stage, average = stepper.stage, stepper.movers.average
        output = self.folder / views.FOLDER / f"{stage.name}-{done:06d}.jpg"
        average.swap()
        try:
            looked = self.viewer.look(stepper.objective.model, stage.kind, output)
        finally:
            average.swap()
        if looked is not None:
            self.write({"stage": stage.name, "step": done, **looked.figures})
            self.journal.show(stage.name, done, looked.sheet)

    def end(self, stepper: Stepper, done: int, seconds: float) -> None:
        """Write down what a stage cost."""
        device, stage = stepper.device, stepper.stage
        row: dict[str, object] = {
            "stage": stage.name,
            "step": done,
            "windows": done * stage.batch,
            "took": round(seconds, 2),
            "processes": stepper.crew.world,
            "device": "CPU",
        }
        if device.type == "cuda":
            row["device"] = torch.cuda.get_device_name(device)
            row["peak"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
            torch.cuda.reset_peak_memory_stats(device)  # the next stage has its own
        self.write(row)

    def finish(self, model: MarDini, counts: tuple[int, int]) -> None:
        """Write the page.

        Args:
            model: that came out.
            counts: clips and photographs.
        """
        if self.journal is None:
            return
        self.journal.close()
        told = Told(
            settings=to_toml(self.config),
            parameters=sum(p.numel() for p in model.parameters()),
            clips=counts[0],
            photos=counts[1],
        )
        write_report(self.folder, self.config, told)


def chosen_windows(held: Sequence[clips.Source], stage: StageConfig, seed: int) -> Tensor:
    """Held-out windows, of as many clips as there are: the same for the same clips and seed.

    Returns:
        ``b f 3 h w`` in [0, 1], the centre of each frame.
    """
    cutter = clips.ClipWindows(held, stage.slots, stage.side)
    rng = torch.Generator().manual_seed(seed)
    windows = []
    for number in range(views.WINDOWS):
        source = held[number * len(held) // views.WINDOWS]
        frames, index = source.clip.frames, cutter.stretch(source, rng)
        top, left = ((side - stage.side) // 2 for side in frames.shape[-2:])
        windows.append(frames[index, :, top : top + stage.side, left : left + stage.side])
    return torch.stack(windows).float() / 255
