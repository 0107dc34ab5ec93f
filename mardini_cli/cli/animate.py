"""``mardini animate``: words to requests, one a picture.

Room: cli. Knows the api's request and nothing below it.
"""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen
from mardini_cli.cli.several import Several, first_of, follow_all
from mardini_cli.cli.words import request_from, settings_from

DEFAULTS = api.AnimateRequest(image=Path())
SEVERAL = Several()

ImagesArg = Annotated[
    list[str] | None,
    typer.Argument(metavar="PICTURE", help="Pictures, patterns and folders; a clip for each."),
]
FpsOpt = Annotated[
    Fraction,
    typer.Option(
        "--fps",
        parser=options.rational,
        metavar="R",
        help="Frames a second at which motion is made; the model knows 8.",
    ),
]
SmoothOpt = Annotated[
    Fraction | None,
    typer.Option(
        "--smooth",
        parser=options.rational,
        metavar="R",
        help="Frames a second of the result, a whole multiple of --fps: made between.",
    ),
]
ReferenceOpt = Annotated[
    str,
    typer.Option("--reference-at", help="Where the picture stands: first, middle, last or N."),
]
LoopOpt = Annotated[bool, typer.Option("--loop", help="Let the clip run into its own start.")]
VariationsOpt = Annotated[
    int, typer.Option("--variations", help="So many clips, seeds counting up, and a sheet of all.")
]


def animate(
    images: ImagesArg = None,
    frames: options.FramesOpt = DEFAULTS.frames,
    seconds: options.SecondsOpt = DEFAULTS.seconds,
    fps: FpsOpt = DEFAULTS.fps,
    smooth: SmoothOpt = DEFAULTS.smooth,
    reference_at: ReferenceOpt = DEFAULTS.reference_at,
    loop: LoopOpt = DEFAULTS.loop,
    variations: VariationsOpt = DEFAULTS.variations,
    background: options.BackgroundOpt = DEFAULTS.background,
    output: options.OutputOpt = DEFAULTS.output,
    output_dir: options.OutputDirOpt = SEVERAL.output_dir,
    recursive: options.RecursiveOpt = SEVERAL.recursive,
    from_file: options.FromFileOpt = SEVERAL.from_file,
    workers: options.WorkersOpt = SEVERAL.workers,
    fail_fast: options.FailFastOpt = SEVERAL.fail_fast,
    shard: options.ShardOpt = SEVERAL.shard,
    steps: options.StepsOpt = DEFAULTS.sampler.steps,
    guidance: options.GuidanceOpt = DEFAULTS.sampler.guidance,
    seed: options.SeedOpt = DEFAULTS.sampler.seed,
    device: options.DeviceOpt = DEFAULTS.device,
    devices: options.DevicesOpt = DEFAULTS.devices,
    dtype: options.DtypeOpt = DEFAULTS.dtype,
    model: options.ModelOpt = DEFAULTS.model,
    attention: options.AttentionOpt = DEFAULTS.attention,
    resolution: options.ResolutionOpt = DEFAULTS.resolution,
    tile: options.TileOpt = DEFAULTS.tile,
    batch: options.BatchOpt = DEFAULTS.batch,
    memory_limit: options.MemoryLimitOpt = DEFAULTS.memory_limit,
    threads: options.ThreadsOpt = DEFAULTS.threads,
    compile: options.CompileOpt = DEFAULTS.compile,
    faults: options.FaultsOpt = DEFAULTS.faults,
    max_pixels: options.MaxPixelsOpt = DEFAULTS.max_pixels,
    max_frames: options.MaxFramesOpt = DEFAULTS.max_frames,
    allow_network: options.AllowNetworkOpt = DEFAULTS.allow_network,
    codec: options.CodecOpt = DEFAULTS.codec,
    crf: options.CrfOpt = DEFAULTS.crf,
    preset: options.PresetOpt = DEFAULTS.preset,
    bitrate: options.BitrateOpt = DEFAULTS.bitrate,
    lossless: options.LosslessOpt = DEFAULTS.lossless,
    bake_rotation: options.BakeRotationOpt = DEFAULTS.bake_rotation,
    pix_fmt: options.PixFmtOpt = DEFAULTS.pix_fmt,
    overwrite: options.OverwriteOpt = DEFAULTS.overwrite,
    skip_existing: options.SkipExistingOpt = DEFAULTS.skip_existing,
    resume: options.ResumeOpt = DEFAULTS.resume,
    work_dir: options.WorkDirOpt = DEFAULTS.work_dir,
    until: options.UntilOpt = DEFAULTS.until,
    max_minutes: options.MaxMinutesOpt = DEFAULTS.max_minutes,
    dry_run: options.DryRunOpt = DEFAULTS.dry_run,
    show_plan: options.ShowPlanOpt = DEFAULTS.show_plan,
    range: options.RangeOpt = DEFAULTS.range,
    preview: options.PreviewOpt = DEFAULTS.preview,
    sidecar: options.SidecarOpt = DEFAULTS.sidecar,
    compare: options.CompareOpt = DEFAULTS.compare,
    log_file: options.LogFileOpt = None,
    json: options.JsonOpt = False,
    quiet: options.QuietOpt = False,
) -> None:
    """Make a clip from one picture.

    The picture stands in the clip as it is; all other frames are made. Without --frames or
    --seconds: as many as the model sees at once.

    Example: mardini animate boat.jpg --seconds 2 --smooth 24
    """
    words = locals()
    follow_all(
        images or [],
        request_from(words, api.AnimateRequest, image=first_of(images)),
        settings_from(words, Several),
        Screen.here(json=json, quiet=quiet, log_file=log_file),
    )
