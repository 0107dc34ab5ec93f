"""``from_pretrained``, ``save_pretrained``, ``push_to_hub``, in the manner of the Hub's mixin.

Room: weights (floor 4). The model knows no files, so these stand beside it; the class that users
meet puts both together.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch

from mardini_cli.model.mardini import MarDini as Model
from mardini_cli.weights import cards, layout
from mardini_cli.weights.layout import Storage
from mardini_cli.weights.reading import load
from mardini_cli.weights.writing import save


class Pretrained(Model):
    """A model that comes from weights, and goes back to them."""

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "mardini-tiny",
        *,
        revision: str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Load a model, ready to make frames.

        Args:
            name: what ``--model`` takes: a release, a folder, a file, a place on the Hub.
            revision: branch, tag or commit, for a place on the Hub.
            device: where it shall be.
            dtype: floating type of its tensors.

        Raises:
            WeightsError: no such weights, damaged or misshapen ones.
        """
        model = load(f"{name}@{revision}" if revision else name, device, dtype)
        # The same module under the class that was asked for: it adds verbs, and no tensors.
        model.__class__ = cls
        assert isinstance(model, cls)
        return model

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        storage: Storage = "int8",
        facts: Mapping[str, Any] | None = None,
        licence: str = "other",
    ) -> Path:
        """Write a weights folder, with a draft of a model card if it has none.

        Raises:
            WeightsError: the folder holds something else, or cannot be written.
        """
        path = Path(folder)
        save(self, path, storage, facts)
        text = cards.model_card(path, licence)
        (path / layout.MODEL_CARD).write_text(text, encoding="utf-8")
        return path

    def push_to_hub(
        self,
        repo: str,
        *,
        storage: Storage = "int8",
        facts: Mapping[str, Any] | None = None,
        licence: str = "other",
        public: bool = False,
    ) -> str:
        """Share the model on the Hub as ``ORG/NAME``, private unless told; gives the commit.

        Raises:
            WeightsError: the Hub refuses.
        """
        from mardini_cli.weights import sharing  # late: 0.2 s

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / repo.rpartition("/")[2]
            self.save_pretrained(path, storage=storage, facts=facts, licence=licence)
            return str(sharing.push(path, repo, public=public).revision)
