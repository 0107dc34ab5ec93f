"""Flags that several commands share, each declared once.

Room: cli. A command takes ``frames: FramesOpt = None`` and says its default itself; those that all
tasks take are in ``words.SHARED``. Values that mean nothing are refused where they are used: by
config, device, weights.
"""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from mardini_cli.errors import UsageError
from mardini_cli.tasks.grid import rate_of


def rational(text: str | Fraction) -> Fraction:
    """Read a number such as 24, 0.5 or 24000/1001.

    Raises:
        UsageError: something else.
    """
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"number '{text}'", needed="such as 24, 0.5 or 24000/1001", do="write digits"
        ) from error


def rate(text: str | Fraction) -> Fraction:
    """Read frames a second: 60, 59.94 (which means 60000/1001), 60000/1001.

    Raises:
        ConfigError: something else.
    """
    return text if isinstance(text, Fraction) else rate_of(text)


def auto_or_number(text: str | int) -> int | None:
    """Read ``auto`` (None) or a number.

    Raises:
        UsageError: something else.
    """
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"'{text}'", needed="auto or a number", do="try auto") from error


OutputOpt = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Where the result goes. Without it: beside the input."),
]
OutputDirOpt = Annotated[
    str | None,
    typer.Option(
        "--output-dir",
        metavar="DIR|URL",
        help="Folder for the results, made if need be; below it they keep the inputs' tree.",
    ),
]
RecursiveOpt = Annotated[
    bool, typer.Option("--recursive", "-r", help="Take folders in folders too, to any depth.")
]
FromFileOpt = Annotated[
    str | None,
    typer.Option("--from-file", metavar="LIST|-", help="More inputs, a line each."),
]
FailFastOpt = Annotated[
    bool, typer.Option("--fail-fast", help="Begin no other input after one has failed.")
]
WorkersOpt = Annotated[
    int | None,
    typer.Option(
        "--workers",
        parser=auto_or_number,
        metavar="N|auto",
        help="Inputs at a time, each on a GPU of its own; auto: one a GPU; 0: no extra process.",
    ),
]
ShardOpt = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="I/N", help="Every N-th input from the I-th on: N machines do all."
    ),
]
StepsOpt = Annotated[
    int,
    typer.Option("--steps", help="Sampling steps. 0: without diffusion; more: slower."),
]
SeedOpt = Annotated[
    int, typer.Option("--seed", help="Same seed, settings and device: same frames.")
]
DeviceOpt = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
DtypeOpt = Annotated[
    str, typer.Option("--dtype", help="Numbers that the networks run in: auto, fp32, bf16, fp16.")
]
ModelOpt = Annotated[
    str,
    typer.Option(
        "--model",
        help="Weights: a release name, a folder, a .safetensors file or hub:ORG/NAME[@REVISION].",
    ),
]
AttentionOpt = Annotated[
    str, typer.Option("--attention", help="Attention kernels: auto, xformers or sdpa.")
]
ResolutionOpt = Annotated[
    int | None,
    typer.Option(
        "--resolution",
        help="Short side at which motion is worked out, pixels. Frames keep the clip's size.",
    ),
]
GuidanceOpt = Annotated[
    float,
    typer.Option("--guidance", help="Weight of the planning signal when sampling; 1: plain."),
]
DevicesOpt = Annotated[
    str | None,
    typer.Option("--devices", metavar="0,1", help="Several devices that share the windows."),
]
TileOpt = Annotated[
    str,
    typer.Option(
        "--tile",
        metavar="auto|off|SIDE",
        help="Work on overlapping tiles of SIDE pixels, for less memory.",
    ),
]
BatchOpt = Annotated[
    int | None,
    typer.Option(
        "--batch",
        parser=auto_or_number,
        metavar="N|auto",
        help="Windows made at once. It changes no frame.",
    ),
]
FaultsOpt = Annotated[
    str,
    typer.Option(
        "--faults",
        metavar="stop|warn",
        help="Made frames that cannot be right (blank, burnt, stuck, strange): make them once more"
        " in float32, and then stop, or warn and keep them.",
    ),
]
MaxPixelsOpt = Annotated[
    int, typer.Option("--max-pixels", help="Refuse frames of more pixels: a file may be a bomb.")
]
MaxFramesOpt = Annotated[
    int, typer.Option("--max-frames", help="Refuse clips and results of more frames.")
]
AllowNetworkOpt = Annotated[
    bool,
    typer.Option(
        "--allow-network",
        help="Read playlists (HLS) that you trust: they name other files and hosts.",
    ),
]
MemoryLimitOpt = Annotated[
    str | None,
    typer.Option(
        "--memory-limit",
        metavar="SIZE",
        help="Memory that the model may take, such as 8G. Without it: what is free on a GPU.",
    ),
]
ThreadsOpt = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", help="Processor threads of the model. Default: cores."),
]
CompileOpt = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the networks first, and record sampling steps: pays on a GPU, for long jobs.",
    ),
]
CodecOpt = Annotated[
    str | None,
    typer.Option(
        "--codec",
        help="h264, hevc, av1, vp9, prores, ffv1, h264_nvenc... Without it: what suits the file.",
    ),
]
PresetOpt = Annotated[
    str | None,
    typer.Option("--preset", help="Speed of the encoder: ultrafast to veryslow, 0-13, p1-p7."),
]
BitrateOpt = Annotated[
    str | None, typer.Option("--bitrate", help="Bits a second such as 8M, instead of --crf.")
]
LosslessOpt = Annotated[
    bool, typer.Option("--lossless", help="Keep every bit: given frames come back as they were.")
]
BakeRotationOpt = Annotated[
    bool,
    typer.Option("--bake-rotation", help="Turn the pixels upright, not by a note for players."),
]
PixFmtOpt = Annotated[
    str | None,
    typer.Option("--pix-fmt", help="FFmpeg's pixel format. Without it: as in the input."),
]
CrfOpt = Annotated[
    int | None, typer.Option("--crf", help="Quality of the encoder, lower is better.")
]
FramesOpt = Annotated[int | None, typer.Option("--frames", help="How many frames.")]
SecondsOpt = Annotated[
    Fraction | None,
    typer.Option("--seconds", parser=rational, metavar="S", help="How long, instead of --frames."),
]
BackgroundOpt = Annotated[
    str,
    typer.Option("--background", help="Under transparent pictures: a colour name or #rrggbb."),
]
ShowPlanOpt = Annotated[
    bool, typer.Option("--show-plan", help="Tell every window: what it sees, what it makes.")
]
RangeOpt = Annotated[
    str | None,
    typer.Option("--range", metavar="A..B", help="Make these seconds of the result alone."),
]
PreviewOpt = Annotated[
    bool,
    typer.Option("--preview", help="Draw a contact sheet: given frames green, made ones orange."),
]
CompareOpt = Annotated[
    str | None,
    typer.Option("--compare", metavar="repeat|blend", help="Write a film beside a plain one too."),
]
SidecarOpt = Annotated[
    bool,
    typer.Option(
        "--sidecar", help="Write OUT.json beside the result: settings, hashes, versions, proof."
    ),
]
LogFileOpt = Annotated[
    Path | None,
    typer.Option("--log-file", metavar="FILE", help="Add all that is told to a file, with times."),
]
OverwriteOpt = Annotated[
    bool, typer.Option("--overwrite", help="Replace the result if it stands there already.")
]
SkipExistingOpt = Annotated[
    bool,
    typer.Option("--skip-existing", help="Leave results that stand there already, and go on."),
]
ResumeOpt = Annotated[
    str,
    typer.Option(
        "--resume",
        metavar="auto|never|force",
        help="Go on from what stopped work left. auto: where everything is the same; force: with"
        " another device or version too, and keep made frames of short work as well.",
    ),
]
WorkDirOpt = Annotated[
    Path | None,
    typer.Option(
        "--work-dir",
        metavar="DIR",
        help="Keep made frames there until all is done. Without it: hidden, beside the result.",
    ),
]
UntilOpt = Annotated[
    str | None,
    typer.Option("--until", metavar="HH:MM", help="Stop then, and keep what is made."),
]
MaxMinutesOpt = Annotated[
    float | None,
    typer.Option("--max-minutes", metavar="M", help="Stop after M minutes, and keep what is made."),
]
DryRunOpt = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
]
JsonOpt = Annotated[
    bool, typer.Option("--json", help="Write events as JSON lines to standard output.")
]
QuietOpt = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing but the result, warnings and errors.")
]
