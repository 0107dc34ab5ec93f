"""``mardini interpolate``: words to requests, one a clip.

Room: cli. Knows the api's request and nothing below it.
"""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.several import Several, check_stream, first_of, follow_all
from mardini_cli.cli.words import request_from, screen_from, settings_from, shares_flags
from mardini_cli.errors import UsageError
from mardini_cli.tasks.cuts import THRESHOLD

DEFAULTS = api.InterpolateRequest(clip=Path())

KEYFRAMES = api.KeyframesRequest(images=(Path(),))

ClipsArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IN", help="Clips, patterns and folders of them; or pictures, to go through."
    ),
]
FactorOpt = Annotated[
    int | None,
    typer.Option(
        "--factor",
        "-f",
        metavar="K",
        help="How many times as many frames, 2 to 64. 2 if nothing else says how many.",
    ),
]
SlowOpt = Annotated[
    Fraction | None,
    typer.Option(
        "--slow-motion",
        parser=options.rational,
        metavar="S",
        help="Seconds of the result for one of the clip.",
    ),
]
SpeedOpt = Annotated[
    str | None,
    typer.Option(
        "--speed", metavar="T:V,T:V", help="A speed ramp: at second T of the clip, speed V."
    ),
]
StartOpt = Annotated[
    str | None,
    typer.Option("--start", metavar="T", help="Begin here: 12.5, 1:02.5, or 300f for a frame."),
]
EndOpt = Annotated[
    str | None, typer.Option("--end", metavar="T", help="End here, that frame included.")
]
AudioOpt = Annotated[
    str,
    typer.Option(
        "--audio",
        metavar="auto|drop|stretch",
        help="Sound at another speed: left out, or stretched at its own pitch.",
    ),
]
CutsOpt = Annotated[
    str,
    typer.Option(
        "--cuts",
        metavar="auto|off|FILE",
        help="Where shots begin, since nothing is made across a cut: found, none, or a list.",
    ),
]
CutThresholdOpt = Annotated[
    float | None,
    typer.Option(
        "--cut-threshold",
        help=f"How much must be new at a cut, 0 to 1; higher finds fewer. {THRESHOLD} without it.",
    ),
]
WriteCutsOpt = Annotated[
    Path | None,
    typer.Option("--write-cuts", metavar="FILE", help="Write the cuts as a list to edit."),
]
AtCutsOpt = Annotated[
    str,
    typer.Option(
        "--at-cuts",
        metavar="predict|hold",
        help="Last frames before a cut: predict how the shot goes on, or hold its last frame.",
    ),
]
DuplicatesOpt = Annotated[
    str,
    typer.Option(
        "--duplicates",
        metavar="keep|smooth",
        help="Frames that repeat the one before: keep them, or make the motion even.",
    ),
]
InputRateOpt = Annotated[
    Fraction,
    typer.Option(
        "--input-fps",
        parser=options.rate,
        metavar="R",
        help="Folders and patterns of pictures, and raw video: how many a second they are.",
    ),
]
InputFormatOpt = Annotated[
    str | None,
    typer.Option(
        "--input-format",
        metavar="rawvideo",
        help="Standard input ('-') brings bytes without a header. All else is known by itself.",
    ),
]
InputSizeOpt = Annotated[
    str | None, typer.Option("--input-size", metavar="WxH", help="Raw video: its size, pixels.")
]
InputPixFmtOpt = Annotated[
    str | None,
    typer.Option("--input-pix-fmt", help="Raw video: FFmpeg's pixel format. yuv420p without it."),
]
VerifyOpt = Annotated[
    bool,
    typer.Option(
        "--verify/--no-verify", help="Prove the result against the clip before it gets its name."
    ),
]
BetweenOpt = Annotated[
    int, typer.Option("--between", help="Pictures: made frames from each to the next.")
]
FrameOpt = Annotated[
    list[str] | None,
    typer.Option("--frame", metavar="TIME=PICTURE", help="A picture at a time, seconds. Repeat."),
]
RateOpt = Annotated[
    Fraction | None,
    typer.Option(
        "--fps",
        parser=options.rate,
        metavar="R",
        help="A constant rate: 60, 59.94, 60000/1001. Pictures: 24 without it.",
    ),
]
FitOpt = Annotated[
    str | None,
    typer.Option("--fit", metavar="pad|crop", help="Pictures of other sizes: fit them so."),
]


@shares_flags(DEFAULTS)
def interpolate(
    clips: ClipsArg = None,
    factor: FactorOpt = DEFAULTS.factor,
    input_fps: InputRateOpt = DEFAULTS.input_fps,
    input_format: InputFormatOpt = DEFAULTS.input_format,
    input_size: InputSizeOpt = DEFAULTS.input_size,
    input_pix_fmt: InputPixFmtOpt = DEFAULTS.input_pix_fmt,
    slow_motion: SlowOpt = DEFAULTS.slow_motion,
    speed: SpeedOpt = DEFAULTS.speed,
    start: StartOpt = DEFAULTS.start,
    end: EndOpt = DEFAULTS.end,
    audio: AudioOpt = DEFAULTS.audio,
    cuts: CutsOpt = DEFAULTS.cuts,
    cut_threshold: CutThresholdOpt = DEFAULTS.cut_threshold,
    write_cuts: WriteCutsOpt = DEFAULTS.write_cuts,
    at_cuts: AtCutsOpt = DEFAULTS.at_cuts,
    duplicates: DuplicatesOpt = DEFAULTS.duplicates,
    verify: VerifyOpt = DEFAULTS.verify,
    between: BetweenOpt = KEYFRAMES.between,
    frame: FrameOpt = None,
    fps: RateOpt = DEFAULTS.fps,
    seconds: options.SecondsOpt = KEYFRAMES.seconds,
    fit: FitOpt = KEYFRAMES.fit,
    background: options.BackgroundOpt = KEYFRAMES.background,
    **shared: Any,
) -> None:
    """Make the frames between a clip's frames, or between pictures.

    Every frame of the clip keeps its time and its pixels, sound is copied, and n frames become
    (n - 1) * K + 1; or they come at a constant rate (--fps), slower (--slow-motion), or along a
    ramp (--speed). The result stands beside the clip as NAME.xK, unless --output says where.

    Nothing is made across a cut. Cuts are found; --write-cuts lists them for editing, and --cuts
    reads the list. What stands still stays exactly still, and costs no time.

    A folder of pictures, or a pattern such as "shots/%04d.png", is a clip too (--input-fps). "-"
    is standard input; raw video there needs --input-format rawvideo and --input-size.

    Two pictures and more are keyframes: the clip goes through all of them, evenly (--between) or
    at times of their own (--frame).

    Example: mardini interpolate walk.mp4 --factor 4

    Example: mardini interpolate walk.mp4 --fps 60 --start 1:10 --end 1:15

    Example: mardini interpolate a.png b.png c.png --between 15 --fps 24
    """
    words = locals() | shared
    screen = screen_from(words)
    images = tuple(map(Path, clips or ()))
    if frame or (len(images) > 1 and all(path.suffix.lower() in api.PICTURES for path in images)):
        keyframes = request_from(
            words,
            api.KeyframesRequest,
            images=images,
            at=tuple(map(_timed, frame or ())),
            fps=fps or KEYFRAMES.fps,
        )
        check_stream(words["output"], screen)
        item = api.Item(number=1, **api.placed(keyframes, Path(), words["output_dir"]))
        screen.follow(api.errand(item), dry_run=words["dry_run"])
        return
    request = request_from(words, api.InterpolateRequest, clip=first_of(clips))
    follow_all(clips or [], request, settings_from(words, Several), screen)


def _timed(words: str) -> tuple[Fraction, Path]:
    time, sign, path = words.partition("=")
    if not (sign and path):
        raise UsageError(
            f"--frame {words}", needed="TIME=PICTURE", do="try --frame 0=a.png --frame 2.5=b.png"
        )
    return options.rational(time), Path(path)
