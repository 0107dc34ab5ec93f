"""``mardini bench``: words to a request, events to the screen.

Room: cli.
"""

from pathlib import Path
from typing import Annotated, cast

import typer

from mardini_cli.bench.request import BenchRequest, Suite
from mardini_cli.cli import options
from mardini_cli.cli.evaluate import numbers
from mardini_cli.cli.screen import Screen
from mardini_cli.errors import UsageError

DEFAULTS = BenchRequest()
SIZES = ",".join(f"{wide}x{high}" for wide, high in DEFAULTS.sizes)
STEPS = ",".join(map(str, DEFAULTS.steps))

SuiteOpt = Annotated[
    str,
    typer.Option(
        "--suite",
        metavar="quick|targets|paper|compiled",
        help="What is measured; all but quick want a large GPU.",
    ),
]
PresetOpt = Annotated[str, typer.Option("--preset", help="Sizes of the model: tiny, s-t, l-t...")]
TaskOpt = Annotated[
    str, typer.Option("--task", help="Which frames are given: interpolate, keyframes, animate.")
]
SizesOpt = Annotated[
    str, typer.Option("--size", metavar="WxH,WxH", help="Sizes of the frames, pixels.")
]
StepsOpt = Annotated[str, typer.Option("--steps", metavar="N,N", help="Numbers of sampling steps.")]
ProfileOpt = Annotated[
    bool, typer.Option("--profile", help="Take the first cell apart, kernel by kernel.")
]
KeepOpt = Annotated[
    bool,
    typer.Option("--keep/--no-keep", help="Keep what was found, for the estimates of other jobs."),
]
OutOpt = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write all of it as JSON to this file.")
]


def bench(
    suite: SuiteOpt = DEFAULTS.suite,
    preset: PresetOpt = DEFAULTS.preset,
    task: TaskOpt = DEFAULTS.task,
    size: SizesOpt = SIZES,
    steps: StepsOpt = STEPS,
    guidance: options.GuidanceOpt = DEFAULTS.guidance,
    device: options.DeviceOpt = DEFAULTS.device,
    dtype: options.DtypeOpt = DEFAULTS.dtype,
    threads: options.ThreadsOpt = DEFAULTS.threads,
    profile: ProfileOpt = DEFAULTS.profile,
    keep: KeepOpt = DEFAULTS.keep,
    output: OutOpt = DEFAULTS.output,
    overwrite: options.OverwriteOpt = DEFAULTS.overwrite,
    json: options.JsonOpt = False,
    quiet: options.QuietOpt = False,
) -> None:
    """Measure how fast this machine makes frames.

    Tells seconds by stage, operations, speed beside the machine's fastest matrix product, and peak
    memory; then times a clip from file to file. Other commands estimate their time from what is
    kept. Weights are random, which changes no time.

    Example: mardini bench --size 1920x1080 --steps 0
    """
    request = BenchRequest(
        suite=cast("Suite", suite),
        preset=preset,
        task=task,
        sizes=tuple(_size(word) for word in size.split(",") if word),
        steps=numbers(steps, "--steps"),
        guidance=guidance,
        device=device,
        dtype=dtype,
        threads=threads,
        profile=profile,
        keep=keep,
        output=output,
        overwrite=overwrite,
    )
    from mardini_cli.bench.command import run  # late: it imports torch

    Screen.here(json=json, quiet=quiet).follow(run(request))


def _size(text: str) -> tuple[int, int]:
    wide, _, high = text.strip().partition("x")
    if not (wide.isdecimal() and high.isdecimal()):
        raise UsageError(f"size '{text}'", needed="width x height", do="try --size 456x256")
    return int(wide), int(high)
