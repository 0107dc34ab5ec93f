"""``mardini evaluate``: words to a request.

Room: cli. Knows the request, and the run only inside the command: it imports torch.
"""

from pathlib import Path
from typing import Annotated

import typer

from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen
from mardini_cli.errors import UsageError
from mardini_cli.evaluation.protocols import WORDS
from mardini_cli.evaluation.request import BASELINE_NAMES, EvaluateRequest

DEFAULTS = EvaluateRequest(folder=Path())
PROTOCOL = ",".join(DEFAULTS.protocols)
STEPS = ",".join(map(str, DEFAULTS.steps))
BASELINE = ",".join(DEFAULTS.baselines)

FolderArg = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER", help="Clips that no model was trained on: films, folders of pictures."
    ),
]
OutOpt = Annotated[
    Path,
    typer.Option("--output", "--out", "-o", help="Folder for the report, tables and sheets."),
]
ProtocolOpt = Annotated[
    str,
    typer.Option("--protocol", help=f"What is given and made, with commas: {WORDS}."),
]
ModelOpt = Annotated[
    str,
    typer.Option("--model", help="Weights: a release name, or a folder; none: baselines alone."),
]
StepsOpt = Annotated[
    str, typer.Option("--steps", help="Sampling steps to compare, with commas, such as 0,1,8.")
]
BaselineOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        help=f"What to compare with, with commas: {', '.join(BASELINE_NAMES)}; none. Also, once"
        " for each program: 'NAME=COMMAND {input} {output}', with folders for the given frames and"
        " for all; {count} and {factor} are filled in as well.",
        show_default=BASELINE,
    ),
]
ReuseOpt = Annotated[
    list[Path] | None,
    typer.Option("--reuse", help="An earlier report's folder: take what would be the same."),
]
CeilingOpt = Annotated[
    bool,
    typer.Option("--ceiling/--no-ceiling", help="Decode the true frames' own latents as well."),
]
LpipsOpt = Annotated[
    str,
    typer.Option(
        "--lpips",
        metavar="WEIGHTS",
        help="Measure LPIPS with these weights (AlexNet): a .safetensors or .pth file, or"
        " hub:ORG/NAME#SHA256.",
        show_default=False,
    ),
]
FidOpt = Annotated[
    str,
    typer.Option(
        "--fid",
        metavar="WEIGHTS",
        help="Measure FID with these weights (pytorch-fid's Inception), likewise.",
        show_default=False,
    ),
]
FvdOpt = Annotated[
    str,
    typer.Option(
        "--fvd",
        metavar="WEIGHTS",
        help="Measure FVD with these weights (I3D of Kinetics-400), likewise.",
        show_default=False,
    ),
]
LimitOpt = Annotated[int | None, typer.Option("--limit", help="Only the first N clips by name.")]
SheetsOpt = Annotated[
    bool, typer.Option("--sheets/--no-sheets", help="Draw windows as pictures and films.")
]


def evaluate(
    folder: FolderArg,
    output: OutOpt = DEFAULTS.output,
    protocol: ProtocolOpt = PROTOCOL,
    model: ModelOpt = DEFAULTS.model,
    steps: StepsOpt = STEPS,
    baseline: BaselineOpt = None,
    ceiling: CeilingOpt = DEFAULTS.ceiling,
    lpips: LpipsOpt = DEFAULTS.lpips,
    fid: FidOpt = DEFAULTS.fid,
    fvd: FvdOpt = DEFAULTS.fvd,
    seed: options.SeedOpt = DEFAULTS.seed,
    device: options.DeviceOpt = DEFAULTS.device,
    dtype: options.DtypeOpt = DEFAULTS.dtype,
    limit: LimitOpt = DEFAULTS.limit,
    sheets: SheetsOpt = DEFAULTS.sheets,
    reuse: ReuseOpt = None,
    overwrite: options.OverwriteOpt = DEFAULTS.overwrite,
    json: options.JsonOpt = False,
    quiet: options.QuietOpt = False,
) -> None:
    """Measure how near made frames come to the true ones, beside baselines.

    Of every clip two windows of 9 frames are taken from its middle, at stride 1 and 2, as 256 x 256
    crops (or as they are, with NAME-native); drift makes 48 frames after two;
    davis-7 and ucf101-7 are the halves of VIDIM-Bench.
    Some frames are given, the others are made by each method and compared with the truth: PSNR,
    SSIM, MS-SSIM and HaarPSI (more is better), GMSD and flicker (less is better), sharpness, motion
    and warp error (1 is right; averaging raises PSNR and lowers sharpness). A run that was
    interrupted goes on when it is started again. The report's path goes to standard output.

    Example: mardini evaluate clips/ --protocol x8,x4 --steps 0,8 --out runs/eval
    """
    request = EvaluateRequest(
        folder=folder,
        output=output,
        overwrite=overwrite,
        reuse=tuple(reuse or ()),
        protocols=words(protocol),
        model=model,
        steps=numbers(steps, "--steps"),
        baselines=baselines(baseline or []),
        ceiling=ceiling,
        lpips=lpips,
        fid=fid,
        fvd=fvd,
        seed=seed,
        device=device,
        dtype=dtype,
        limit=limit,
        sheets=sheets,
    )
    from mardini_cli.evaluation.run import evaluate as run  # late: it imports torch

    Screen.here(json=json, quiet=quiet).follow(run(request))


def words(text: str) -> tuple[str, ...]:
    """Split at commas, each word once; ``none`` is no word at all."""
    found = [word.strip() for word in text.split(",") if word.strip()]
    return () if found == ["none"] else tuple(dict.fromkeys(found))


def baselines(texts: list[str]) -> tuple[str, ...]:
    """Names split at commas; a program's command stays whole, and joins the default ones."""
    named = [word for text in texts if "=" not in text for word in words(text)]
    if all("=" in text for text in texts):
        named = list(DEFAULTS.baselines)
    return tuple(dict.fromkeys([*named, *(text for text in texts if "=" in text)]))


def numbers(text: str, flag: str) -> tuple[int, ...]:
    """Split at commas into whole numbers, each once.

    Raises:
        UsageError: something that is no whole number.
    """
    try:
        return tuple(int(word) for word in words(text))
    except ValueError as error:
        raise UsageError(
            f"{flag} {text}", needed="whole numbers with commas", do=f"try {flag} 0,8"
        ) from error
