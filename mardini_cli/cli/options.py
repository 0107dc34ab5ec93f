"""Flags that several commands share, each declared once.

Room: cli. A command takes ``steps: StepsOpt = 0`` and says its default itself. Values that mean
nothing are refused where they are used (config, device, weights), not here.
"""

from pathlib import Path
from typing import Annotated

import typer

OutputOpt = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Where the result goes. Without it: beside the input."),
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
OverwriteOpt = Annotated[
    bool, typer.Option("--overwrite", help="Replace the result if it stands there already.")
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
