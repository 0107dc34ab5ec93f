"""``mardini fill``: words to a request.

Room: cli. Knows the api's request and nothing below it.
"""

from pathlib import Path
from typing import Annotated

import typer

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen
from mardini_cli.cli.several import Several, first_of, follow_all
from mardini_cli.cli.words import request_from, settings_from

DEFAULTS = api.FillRequest(clip=Path(), damaged="auto")
SEVERAL = Several()

ClipsArg = Annotated[
    list[str] | None, typer.Argument(metavar="IN", help="Clips, patterns and folders of them.")
]
MissingOpt = Annotated[
    str | None,
    typer.Option("--missing", metavar="12-20,31", help="Frames to make anew, counted from 0."),
]
KeepOpt = Annotated[
    str | None,
    typer.Option("--keep", metavar="0,8,16", help="Frames to keep; all others are made anew."),
]
DamagedOpt = Annotated[
    str | None,
    typer.Option(
        "--damaged", metavar="auto", help="Find dropped, corrupt, black and frozen frames."
    ),
]


def fill(
    clips: ClipsArg = None,
    missing: MissingOpt = None,
    keep: KeepOpt = None,
    damaged: DamagedOpt = None,
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
    """Make bad frames of a clip anew, from the good ones around them.

    All other frames keep their pixels. What --damaged auto finds is told before the work begins.

    Example: mardini fill walk.mp4 --missing 12-20,31
    """
    words = locals()
    follow_all(
        clips or [],
        request_from(words, api.FillRequest, clip=first_of(clips)),
        settings_from(words, Several),
        Screen.here(json=json, quiet=quiet, log_file=log_file),
    )
