"""What must hold before the first step: device, folder, model, and stages that fit it.

Room: training.
"""

import os
from dataclasses import replace
from pathlib import Path

import torch

from mardini_cli import weights
from mardini_cli.config import ModelConfig, preset
from mardini_cli.errors import ConfigError, UnwritableError, WeightsError
from mardini_cli.model.attention import IdentityAttention
from mardini_cli.model.mardini import MarDini
from mardini_cli.training import checkpoint, keeping
from mardini_cli.training.around import around
from mardini_cli.training.stages import ENCODING, Resume, StageConfig, TrainConfig


def device_name(name: str, world: int) -> str:
    """The device of this process: under torchrun, each has a GPU of its own where there are any."""
    if world > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return name


def claim(device: torch.device) -> None:
    """Make one GPU of several this process's own; a device without a number is the first anyway."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def check_resume(folder: Path, resume: Resume) -> None:
    """Refuse to begin where a run stands, or to go on where none does, as ``--resume`` says.

    Raises:
        ConfigError: the folder is not as it should be.
    """
    stands = keeping.stands(folder)
    if resume == "must" and not stands:
        raise ConfigError(
            f"{folder} holds no checkpoint", needed="a run to go on with", do="use --resume auto"
        )
    if resume == "never" and stands:
        raise ConfigError(
            f"{folder} holds a run already", needed="a folder without one", do="choose another out"
        )


TRIAL = 1000
"""Steps below which a run is a trial, of which nothing is expected."""


def untrained(config: TrainConfig) -> str:
    """Name the stage that rests on an autoencoder which nothing has trained; empty: there is none.

    Short runs are left alone: they try something out.
    """
    first = config.stages[0]
    trained = config.init or config.vae or first.kind in ENCODING
    long = sum(stage.steps for stage in config.stages) >= TRIAL
    return first.name if long and not trained else ""


def make_folder(folder: Path) -> None:
    """Make the folder of a run.

    Raises:
        UnwritableError: the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableError(
            f"{folder} cannot be made ({error.strerror})",
            needed="a folder for the run",
            do="choose another out",
        ) from error


def start(config: TrainConfig, device: torch.device) -> MarDini:
    """The model before the first step: from scratch, from weights, or from another run."""
    if config.vae:
        return around(config).to(device)
    if not config.init:
        return MarDini(preset(config.preset)).to(device)
    found = keeping.load(Path(config.init), torch.device("cpu"))  # its optimiser as well
    if found is None:
        return weights.load(config.init, device, torch.float32)
    place, state = found
    model = MarDini(ModelConfig.from_dict(place.model, config.init)).to(device)
    try:
        model.load_state_dict(checkpoint.part_of(state, "model"))
    except RuntimeError as error:
        raise WeightsError(
            f"{config.init} does not fit its sizes", needed="a run of this version", do="see init"
        ) from error
    return model


def check_stage(stage: StageConfig, model: ModelConfig, world: int) -> None:
    """Refuse a stage that this model or so many processes cannot do.

    Raises:
        ConfigError: its kind, its slots or its batch do not fit.
    """
    needed = {"guided": "motion latents", "sharp": "motion latents", "vae": "picture latents"}
    has = "motion latents" if model.guided else "picture latents"
    if needed.get(stage.kind, has) != has:
        raise ConfigError(
            f"stage {stage.name} of kind {stage.kind} with preset {model.preset}, which has {has}",
            needed=needed[stage.kind],
            do="change kind or preset",
        )
    if stage.crops and model.positions == "counted":
        raise ConfigError(
            f"stage {stage.name}: crops = {stage.crops} with counted positions",
            needed="real positions, which tell where in the frame a crop lies",
            do="set crops to 0",
        )
    if stage.slots > model.window:
        raise ConfigError(
            f"stage {stage.name}: slots = {stage.slots}",
            needed=f"at most {model.window}, the window of preset {model.preset}",
            do="lower slots",
        )
    if stage.batch % (world * stage.accumulate):
        parts = f" in {stage.accumulate} parts" if stage.accumulate > 1 else ""
        raise ConfigError(
            f"stage {stage.name}: batch = {stage.batch} over {world} processes{parts}",
            needed="as many windows for each",
            do="change batch",
        )


def swap_attention(model: MarDini, stage: StageConfig) -> None:
    """Give the denoiser the form of attention that a stage asks for; its weights stay (paper 4.2).

    Both forms have the same matrices, so that the later one begins with what the earlier learnt.
    """
    if not stage.attention:
        return
    denoiser = replace(model.config.denoiser, attention=stage.attention)
    model.config = replace(model.config, denoiser=denoiser)
    for layer in model.denoiser.modules():
        if isinstance(layer, IdentityAttention):
            layer.over = stage.attention
