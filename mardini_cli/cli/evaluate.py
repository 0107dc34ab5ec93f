"""``mardini evaluate``: words to a request.

Room: cli. Knows the request, and the run only inside the command: it imports torch.
"""

from pathlib import Path
from typing import Annotated

import typer

from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen
from mardini_cli.errors import UsageError
from mardini_cli.evaluation.protocols import PROTOCOLS
from mardini_cli.evaluation.request import BASELINE_NAMES, EvaluateRequest

DEFAULTS = EvaluateRequest(folder=Path())
PROTOCOL = ",".join(DEFAULTS.protocols)
STEPS = ",".join(map(str, DEFAULTS.steps))
BASELINE = ",".join(DEFAULTS.baselines)

FolderArg = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Clips that no model was trained on.")
]
OutOpt = Annotated[
    Path,
    typer.Option("--output", "--out", "-o", help="Folder for the report, tables and sheets."),
]
ProtocolOpt = Annotated[
    str,
    typer.Option(
        "--protocol", help=f"What is given and made, with commas: {', '.join(PROTOCOLS)}."
    ),
]
ModelOpt = Annotated[
    str,
    typer.Option("--model", help="Weights: a release name, or a folder; none: baselines alone."),
]
StepsOpt = Annotated[
    str, typer.Option("--steps", help="Sampling steps to compare, with commas, such as 0,1,8.")
]
BaselineOpt = Annotated[
    str,
    typer.Option(
        "--baseline", help=f"What to compare with, with commas: {', '.join(BASELINE_NAMES)}; none."
    ),
]
LimitOpt = Annotated[int | None, typer.Option("--limit", help="Only the first N clips by name.")]
SheetsOpt = Annotated[
    bool, typer.Option("--sheets/--no-sheets", help="Draw windows side by side, chosen by rule.")
]


def evaluate(
    folder: FolderArg,
    output: OutOpt = DEFAULTS.output,
    protocol: ProtocolOpt = PROTOCOL,
    model: ModelOpt = DEFAULTS.model,
    steps: StepsOpt = STEPS,
    baseline: BaselineOpt = BASELINE,
    seed: options.SeedOpt = DEFAULTS.seed,
    device: options.DeviceOpt = DEFAULTS.device,
    dtype: options.DtypeOpt = DEFAULTS.dtype,
    limit: LimitOpt = DEFAULTS.limit,
    sheets: SheetsOpt = DEFAULTS.sheets,
    overwrite: options.OverwriteOpt = DEFAULTS.overwrite,
    json: options.JsonOpt = False,
    quiet: options.QuietOpt = False,
) -> None:
    """Measure how near made frames come to the true ones, beside baselines.

    Of every clip two windows of 9 frames are taken from its middle, at stride 1 and 2, as 256 x 256
    crops. Some frames are given, the others are made by each method and compared with the truth:
    PSNR and SSIM (more is better), GMSD and flicker (less is better), HaarPSI (1 is equal),
    sharpness and motion (1 is right; averaging raises PSNR and lowers both). The report's path goes
    to standard output.

    Example: mardini evaluate clips/ --protocol x8,x4 --steps 0,8 --out runs/eval
    """
    request = EvaluateRequest(
        folder=folder,
        output=output,
        overwrite=overwrite,
        protocols=words(protocol),
        model=model,
        steps=numbers(steps, "--steps"),
        baselines=words(baseline),
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
