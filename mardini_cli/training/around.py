"""A model from scratch around a picture autoencoder that is trained already.

Room: training.
"""

from dataclasses import replace

from mardini_cli.config import preset
from mardini_cli.errors import ConfigError
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.vae import Vae
from mardini_cli.training.stages import TrainConfig
from mardini_cli.weights.foreign import load_vae


def around(config: TrainConfig) -> MarDini:
    """Build the preset's planner and denoiser around ``config.vae``, whose sizes count.

    Raises:
        ConfigError: a preset with motion latents, or weights to start from as well.
        WeightsError: no such autoencoder.
    """
    sizes = preset(config.preset)
    if config.init or sizes.vae is None:
        raise ConfigError(
            f"vae = {config.vae} with {'init' if config.init else f'preset {sizes.preset}'}",
            needed="a preset with picture latents, from scratch",
            do="leave init out and choose nano-vae, s-st, l-st, s-t or l-t",
        )
    autoencoder, tensors = load_vae(config.vae)
    model = MarDini(replace(sizes, vae=autoencoder))
    assert isinstance(model.autoencoder, Vae)
    model.autoencoder.kl.load_state_dict(tensors)
    return model
