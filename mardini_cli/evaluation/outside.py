"""Any program as a baseline: given frames in one folder, whole windows out of another.

Room: evaluation. Runs programs without a shell, one at a time; their folders are temporary.

A template such as ``rife-ncnn-vulkan -i {input} -o {output} -n {count}`` is split into words, and
in each word ``{input}`` (PNG files of the given frames, by number), ``{output}`` (an empty folder),
``{count}`` (frames from the first to the last given one, both counted) and ``{factor}`` (slots from
one given frame to the next) are filled in. The program leaves ``{count}`` pictures there, or only
the made ones; their names sort in time.
"""

import shlex
import subprocess
from string import Formatter
from typing import Final

import numpy as np
import torch
from torch import Tensor

from mardini_cli.errors import BaselineError, ConfigError
from mardini_cli.evaluation.excerpts import PICTURE_SUFFIXES
from mardini_cli.evaluation.protocols import Protocol
from mardini_cli.media.output import scratch
from mardini_cli.media.pictures import read_picture, write_png

PLACES: Final = frozenset({"input", "output", "count", "factor"})
SECONDS: Final = 600
"""Longest that one call may take."""


def check_template(name: str, template: str) -> None:
    """Refuse a template that cannot be filled in.

    Raises:
        ConfigError: an unknown place, or input or output missing.
    """
    why = ""
    places: set[str] = set()
    try:
        shlex.split(template)
        places = {place for _, place, _, _ in Formatter().parse(template) if place is not None}
    except ValueError as error:
        why = f" ({error})"
    if not {"input", "output"} <= places <= PLACES:
        raise ConfigError(
            f"baseline {name}: '{template}'{why}",
            needed="a command with {input} and {output}, and at most {count} and {factor}",
            do=f"try --baseline '{name}=program -i {{input}} -o {{output}}'",
        )


def run(name: str, template: str, given: Tensor, protocol: Protocol) -> Tensor:
    """Make the frames of one window: ``g 3 h w`` to ``m 3 h w``.

    Where gaps differ in width, the program is run once for each gap.

    Raises:
        BaselineError: it does not run, fails, or leaves other pictures than asked for.
    """
    return torch.cat([_call(name, template, given[run], step) for run, step in protocol.runs])


def _call(name: str, template: str, given: Tensor, step: int) -> Tensor:
    count = (len(given) - 1) * step + 1
    with scratch() as folder:
        source, target = folder / "input", folder / "output"
        source.mkdir()
        target.mkdir()
        for number, frame in enumerate(given):
            write_png(source / f"{number:08d}.png", frame.permute(1, 2, 0).numpy())
        places = {"input": source, "output": target, "count": count, "factor": step}
        _execute(name, [word.format(**places) for word in shlex.split(template)])
        files = sorted(f for f in target.iterdir() if f.suffix.lower() in PICTURE_SUFFIXES)
        made = [slot for slot in range(count) if slot % step]
        if len(files) == count:
            files = [files[slot] for slot in made]
        if len(files) != len(made):
            raise BaselineError(
                f"baseline {name} left {len(files)} pictures",
                needed=f"{count}, or the {len(made)} made ones",
                do="look at its options",
            )
        pictures = [read_picture(file) for file in files]
    size = (given.shape[-2], given.shape[-1], 3)
    if any(picture.shape != size for picture in pictures):
        raise BaselineError(
            f"baseline {name} left pictures of {pictures[0].shape[1]} x {pictures[0].shape[0]}",
            needed=f"{size[1]} x {size[0]}",
            do="look at its options",
        )
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _execute(name: str, words: list[str]) -> None:
    try:
        done = subprocess.run(words, capture_output=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BaselineError(
            f"baseline {name} does not run ({error})", needed="a program that ends", do="check it"
        ) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BaselineError(
            f"baseline {name} ended with {done.returncode}: {said[-1] if said else 'no word'}",
            needed="exit status 0",
            do="run it by hand",
        )
