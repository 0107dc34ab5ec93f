"""What ``interpolate`` is told of shots: cuts found, read or switched off; repeated frames.

Room: api. Light to import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mardini_cli.errors import ConfigError, MissingFileError, OutputExistsError
from mardini_cli.tasks.cuts import (
    THRESHOLD,
    check_threshold,
    cuts_from_text,
    cuts_to_text,
    find_cuts,
)
from mardini_cli.tasks.duplicates import find_held, find_smoothable
from mardini_cli.tasks.shots import Shots, check_choice

if TYPE_CHECKING:
    from fractions import Fraction

    from mardini_cli.media.shots import Step

AtCuts = Literal["predict", "hold"]
Duplicates = Literal["keep", "smooth"]
LARGEST_LIST = 10_000_000
"""Bytes of a list of cuts at most: more is another kind of file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShotSettings:
    """What a person asked of cuts and repeated frames."""

    cuts: str = "auto"
    """auto finds them, off takes the clip for one shot, anything else is a file that lists them."""
    cut_threshold: float | None = None
    """Share of the picture that must be new; None: what was measured to be best."""
    write_cuts: Path | None = None
    """Where to write the list of cuts."""
    at_cuts: AtCuts = "predict"
    duplicates: Duplicates = "keep"

    def __post_init__(self) -> None:
        check_choice("way at cuts", self.at_cuts, get_args(AtCuts))
        check_choice("way with duplicates", self.duplicates, get_args(Duplicates))
        if self.cut_threshold is not None:
            check_threshold(self.cut_threshold)
            if self.cuts != "auto":
                raise ConfigError(
                    f"a cut threshold beside --cuts {self.cuts}",
                    needed="cuts that are looked for",
                    do="leave one of them out",
                )


def check_lists(settings: ShotSettings, overwrite: bool, sources: Sequence[Path]) -> None:
    """Refuse lists that cannot be read or written, before any work.

    Raises:
        OutputIsInputError: the list would be written over an input.
        MissingFileError, OutputExistsError: there is none to read, or one stands in the way.
    """
    from mardini_cli.media.output import check_other

    if settings.cuts not in ("auto", "off"):
        _text(Path(settings.cuts))
    target = settings.write_cuts
    if target is not None:
        for source in sources:
            check_other(target, source)
    if target is not None and target.exists() and not (overwrite and target.is_file()):
        raise OutputExistsError(
            f"{target} exists already",
            needed="a free name for the list of cuts",
            do="choose another name, or allow --overwrite",
        )


def shots_of(settings: ShotSettings, times: tuple[Fraction, ...], steps: tuple[Step, ...]) -> Shots:
    """Settle where shots begin, and which frames repeat.

    Args:
        settings: what was asked for.
        times: of the clip's frames.
        steps: what was seen between them.

    Raises:
        ConfigError: the list of cuts does not fit the clip.
    """
    if settings.cuts == "auto":
        cuts = find_cuts(steps, settings.cut_threshold or THRESHOLD)
    elif settings.cuts == "off":
        cuts = ()
    else:
        cuts = cuts_from_text(_text(Path(settings.cuts)), times, settings.cuts)
    begin = frozenset(cuts)
    held = frozenset(find_held(steps)) - begin  # who lists a cut knows better
    smooth = settings.duplicates == "smooth"
    return Shots(
        cuts=begin,
        held=held,
        smoothed=frozenset(find_smoothable(held, begin, times)) if smooth else frozenset(),
        at_cuts=settings.at_cuts,
    )


def write_list(path: Path, shots: Shots, times: tuple[Fraction, ...]) -> None:
    """Write the cuts where they were asked for: whole, or not at all.

    Raises:
        UnwritableError: no such folder, or no permission.
    """
    from mardini_cli.media.output import write_whole

    write_whole(path, cuts_to_text(sorted(shots.cuts), times))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_LIST or not path.is_file():
            raise MissingFileError(
                f"{path} is no list of cuts", needed="a text file", do="check the path"
            )
        return os.fsdecode(path.read_bytes())
    except OSError as error:
        raise MissingFileError(
            f"{path}: {error.strerror or error}",
            needed="auto, off, or a file that lists cuts",
            do="check the path after --cuts",
        ) from error
