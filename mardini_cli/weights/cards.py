"""Model cards: the one in the folder, or a draft from what the weights say of themselves.

Room: weights (floor 4). Text alone: no torch, no network.
Source: the Hub's front matter, https://huggingface.co/docs/hub/model-cards.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from mardini_cli.weights.layout import MODEL_CARD, read_card, tensor_files

DRAFT = """\
---
license: {licence}
library_name: mardini
pipeline_tag: image-to-video
tags: [video-interpolation, frame-interpolation, masked-autoregression, diffusion]
---

# {name}

Weights of `mardini`, preset `{preset}`: {autoencoder}, windows of {window} frames, {size:.1f} MiB.

**For**: making the frames that a clip lacks. **Not for**: evidence, measurement, or anything where
an invented frame could be taken for a real one. A made frame is a guess.

## Data and training

{training}

## Metrics

{metrics}

## Limits

What no given frame shows can only be guessed; large motion between two frames is hard.

## Form

`config.json` (sizes, facts, digests) and safetensors. Use: `mardini interpolate clip.mp4 --model
hub:ORG/NAME`.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filling:
    """What a draft cannot find out from the weights themselves; Markdown."""

    training: str
    metrics: str = "Not measured yet: `mardini evaluate CLIPS --model ...` makes the tables."
    licence: str = "other"


def model_card(folder: Path, licence: str = "other") -> str:
    """The folder's ``README.md``; without one, a draft with the Hub's front matter.

    Args:
        folder: a weights folder.
        licence: for a draft: what the weights may be used for is their maker's word, not ours.

    Raises:
        WeightsError: no weights folder.
    """
    path = folder / MODEL_CARD
    if folder.is_dir() and path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    facts = json.dumps(dict(read_card(folder).facts), indent=2)
    return filled_card(folder, Filling(training=f"```json\n{facts}\n```", licence=licence))


def filled_card(folder: Path, filling: Filling) -> str:
    """A draft of a model card, with the Hub's front matter.

    Raises:
        WeightsError: no weights folder.
    """
    card = read_card(folder)
    return DRAFT.format(
        licence=filling.licence,
        name=folder.name,
        preset=card.config.preset,
        autoencoder="motion latents" if card.config.guided else "picture latents",
        window=card.config.window,
        size=sum(file.stat().st_size for file in tensor_files(folder)) / 2**20,
        training=filling.training,
        metrics=filling.metrics,
    )
