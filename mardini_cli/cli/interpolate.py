"""``mardini interpolate``: words to requests, one a clip.

Room: cli. Knows the api's request and nothing below it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import ExitCode, MardiniError, UsageError

DEFAULTS = api.InterpolateRequest(clip=Path())

ClipsArg = Annotated[list[Path], typer.Argument(metavar="IN", help="Clips, one after another.")]
FactorOpt = Annotated[
    int,
    typer.Option("--factor", "-f", help="How many times as many frames, 2 to 64."),
]
CodecOpt = Annotated[
    str | None,
    typer.Option("--codec", help="h264, vp9 or ffv1 (lossless). Without it: what suits the file."),
]
CrfOpt = Annotated[
    int | None, typer.Option("--crf", help="Quality of the encoder, lower is better.")
]


def interpolate(
    clips: ClipsArg,
    factor: FactorOpt = DEFAULTS.factor,
    output: options.OutputOpt = DEFAULTS.output,
    steps: options.StepsOpt = DEFAULTS.sampler.steps,
    seed: options.SeedOpt = DEFAULTS.sampler.seed,
    device: options.DeviceOpt = DEFAULTS.device,
    dtype: options.DtypeOpt = DEFAULTS.dtype,
    model: options.ModelOpt = DEFAULTS.model,
    attention: options.AttentionOpt = DEFAULTS.attention,
    resolution: options.ResolutionOpt = DEFAULTS.resolution,
    codec: CodecOpt = DEFAULTS.codec,
    crf: CrfOpt = DEFAULTS.crf,
    overwrite: options.OverwriteOpt = DEFAULTS.overwrite,
    dry_run: options.DryRunOpt = DEFAULTS.dry_run,
    json: options.JsonOpt = False,
    quiet: options.QuietOpt = False,
) -> None:
    """Make the frames between a clip's frames.

    Every frame of the clip keeps its time and its pixels, sound is copied, and n frames become
    (n - 1) * K + 1. The result stands beside the clip as NAME.xK, unless --output says where.

    Example: mardini interpolate walk.mp4 --factor 4
    """
    request = api.InterpolateRequest(
        clip=clips[0],
        factor=factor,
        output=output,
        sampler=SamplerConfig(steps=steps, seed=seed),
        device=device,
        dtype=dtype,
        model=model,
        attention=attention,
        resolution=resolution,
        codec=codec,
        crf=crf,
        overwrite=overwrite,
        dry_run=dry_run,
    )
    _follow([replace(request, clip=clip) for clip in clips], Screen.here(json=json, quiet=quiet))


def _follow(requests: Sequence[api.InterpolateRequest], screen: Screen) -> None:
    """One clip after the other; of several, a failure is told and does not stop the rest."""
    if len(requests) == 1:
        screen.follow(api.interpolate(requests[0]), dry_run=requests[0].dry_run)
        return
    _check_folder(requests[0].output)
    failed = 0
    for request in requests:
        try:
            screen.follow(api.interpolate(request), dry_run=request.dry_run)
        except UsageError:
            raise  # wrong words are wrong for every clip
        except MardiniError as error:
            screen.fail(error)
            failed += 1
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _check_folder(output: Path | None) -> None:
    if output is not None and not output.is_dir():
        raise UsageError(
            f"one output, {output}, for several clips",
            needed="a folder that is there",
            do="make it first, or leave --output out",
        )
