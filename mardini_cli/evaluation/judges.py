"""Networks that measure, which a user has to bring: LPIPS by pairs, FID and FVD by sets.

Room: evaluation. ``Features`` keeps what the networks of sets saw in a window, beside the rows: a
run that was stopped goes on, and ``reuse`` finds it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from mardini_cli.evaluation.frechet import distance
from mardini_cli.evaluation.i3d import I3d
from mardini_cli.evaluation.inception import Inception
from mardini_cli.evaluation.lpips import Lpips
from mardini_cli.evaluation.protocols import Protocol
from mardini_cli.evaluation.request import EvaluateRequest
from mardini_cli.media.output import make_room, whole

FOLDER: Final = "features"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Judges:
    """The networks that were named, on the device."""

    lpips: Lpips | None = None
    fid: Inception | None = None
    fvd: I3d | None = None

    @classmethod
    def of(cls, request: EvaluateRequest, device: torch.device) -> Self:
        """Read the weights that a request names.

        Raises:
            WeightsError: as said by the networks.
        """
        return cls(
            lpips=Lpips.of(request.lpips).to(device) if request.lpips else None,
            fid=Inception.of(request.fid).to(device) if request.fid else None,
            fvd=I3d.of(request.fvd).to(device) if request.fvd else None,
        )

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the weights, by measure."""
        named = {"lpips": self.lpips, "fid": self.fid, "fvd": self.fvd}
        return {name: network.digest for name, network in named.items() if network is not None}

    @property
    def of_sets(self) -> dict[str, str]:
        """The same of those that compare sets."""
        return {name: digest for name, digest in self.digests.items() if name != "lpips"}

    @torch.inference_mode()
    def see(self, windows: Tensor, protocol: Protocol) -> dict[str, Tensor]:
        """What the networks of sets see: made frames one by one, and windows with given ones.

        Args:
            windows: ``b f 3 h w`` in [0, 1].
            protocol: which slots are made.

        Returns:
            By measure, samples of each window: ``b n d``.
        """
        seen = {}
        if self.fid is not None:
            seen["fid"] = self.fid(windows[:, list(protocol.made)])
        if self.fvd is not None:
            seen["fvd"] = self.fvd(windows)[:, None]
        return seen


class Features:
    """Samples of windows on disk, by what decides them.

    Args:
        folder: the evaluation's own.
        others: of earlier evaluations, which are read alone.
        digests: weights by measure (``Judges.of_sets``).
    """

    def __init__(self, folder: Path, others: Iterable[Path], digests: dict[str, str]) -> None:
        self.digests = digests
        self.folders = [one / FOLDER for one in (folder, *others)]

    def have(self, key: str) -> bool:
        """Whether all networks have seen the window of a row's key."""
        return all(self._found(key, measure) for measure in self.digests)

    def put(self, key: str, seen: dict[str, Tensor]) -> None:
        """Keep what was seen in a window, ``n d`` by measure.

        Raises:
            UnwritableError: the disk refuses.
        """
        for measure, samples in seen.items():
            path = self.folders[0] / self._name(key, measure)
            make_room(path)
            with whole(path) as part, part.open("wb") as file:
                np.save(file, samples.float().cpu().numpy(), allow_pickle=False)

    def distance(
        self, measure: str, made: Sequence[str], true: Sequence[str]
    ) -> tuple[float, int] | None:
        """How far windows are from the truth, and how many samples tell; None of fewer than two.

        Args:
            measure: ``fid`` or ``fvd``.
            made: keys of a method's windows.
            true: of the same windows of the truth.
        """
        ours, theirs = (torch.cat(list(self._read(keys, measure))) for keys in (made, true))
        return (distance(ours, theirs), len(ours)) if len(ours) > 1 else None

    def _read(self, keys: Iterable[str], measure: str) -> Iterator[Tensor]:
        for key in keys:
            path = self._found(key, measure)
            assert path is not None
            yield torch.from_numpy(np.load(path, allow_pickle=False))

    def _found(self, key: str, measure: str) -> Path | None:
        paths = (folder / self._name(key, measure) for folder in self.folders)
        return next((path for path in paths if path.is_file()), None)

    def _name(self, key: str, measure: str) -> str:
        told = hashlib.sha256(f"{key} {self.digests[measure]}".encode()).hexdigest()
        return f"{told[:32]}.{measure}.npy"
