"""``mardini batch``: a job file to items, one after another or side by side.

Room: cli. Knows the api's items and nothing below it.
"""

from pathlib import Path
from typing import Annotated, cast

import typer

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen
from mardini_cli.cli.several import follow_batch

DEFAULTS = api.BatchSettings()

JobsArg = Annotated[Path, typer.Argument(metavar="JOBS", help="The job file, TOML.")]
EngineOpt = Annotated[
    str, typer.Option("--engine", metavar="local|ray", help="This machine, or a Ray cluster.")
]
GpuShareOpt = Annotated[
    float | None,
    typer.Option(
        "--gpu-share", help="Ray: GPUs an item takes, such as 0.5. 1 where the cluster has any."
    ),
]
RetriesOpt = Annotated[
    int, typer.Option("--retries", help="Ray: how often a lost item begins anew.")
]


def batch(
    jobs: JobsArg,
    workers: options.WorkersOpt = DEFAULTS.workers,
    fail_fast: options.FailFastOpt = DEFAULTS.fail_fast,
    shard: options.ShardOpt = DEFAULTS.shard,
    engine: EngineOpt = DEFAULTS.engine,
    gpu_share: GpuShareOpt = DEFAULTS.gpu_share,
    retries: RetriesOpt = DEFAULTS.retries,
    skip_existing: options.SkipExistingOpt = False,
    until: options.UntilOpt = None,
    max_minutes: options.MaxMinutesOpt = None,
    dry_run: options.DryRunOpt = False,
    log_file: options.LogFileOpt = None,
    json: options.JsonOpt = False,
    quiet: options.QuietOpt = False,
) -> None:
    """Carry out a job file: many inputs, each with settings of its own.

    A [[job]] table names a task, an input (a path, a pattern, a folder or a list of them) and any
    flags of that task by their names; [all] holds what jobs share. One failure does not stop the
    rest; a table tells at the end how each came out, and the exit code is 1 if any failed.

    On several machines: --shard I/N takes every N-th item, --engine ray hands items to a cluster.

    Example: mardini batch jobs.toml --workers auto

    Example: mardini batch jobs.toml --shard $SLURM_ARRAY_TASK_ID/8
    """
    settings = api.BatchSettings(
        workers=workers,
        fail_fast=fail_fast,
        shard=shard,
        engine=cast("api.EngineName", engine),
        gpu_share=gpu_share,
        retries=retries,
    )
    told = {
        "dry_run": dry_run,
        "skip_existing": skip_existing,
        "until": until,
        "max_minutes": max_minutes,
    }
    items = api.read_jobs(jobs, {name: value for name, value in told.items() if value})
    screen = Screen.here(json=json, quiet=quiet, log_file=log_file)
    follow_batch(items, settings, screen, dry_run=dry_run)
