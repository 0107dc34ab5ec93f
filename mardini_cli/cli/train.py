"""``mardini train``: make weights from clips.

Room: cli. Words to a config, events to the screen.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen
from mardini_cli.training.stages import Resume

ConfigArg = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG|FOLDER",
        help="Settings of the run, a TOML file; or a folder of clips, for the usual settings.",
    ),
]
ChangesArg = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change, such as data=clips seed=1."),
]


StagesOpt = Annotated[
    str | None,
    typer.Option("--stages", metavar="NAME", help="A recipe's stages: tiny, guided, vae or paper."),
]
ResumeOpt = Annotated[
    Resume,
    typer.Option(
        "--resume",
        help="Go on from the folder's checkpoint if there is one, in any case, or begin anew.",
    ),
]
PrintConfigOpt = Annotated[
    bool,
    typer.Option("--print-config", help="Write every setting as TOML to standard output, and end."),
]
PriceOpt = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Count parameters, tokens, FLOPs, memory and hours of every stage, and train nothing.",
    ),
]


class _Training(TyperGroup):
    """``mardini train CONFIG`` is ``mardini train run CONFIG``: the word may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # ctx: Typer's own affair
        known = args and args[0] in self.commands
        left: list[str] = super().parse_args(ctx, args if known else ["run", *args])
        return left


train = typer.Typer(
    name="train", cls=_Training, help="Make weights from clips.", rich_markup_mode=None
)


@train.command(hidden=True)
def run(
    config: ConfigArg,
    changes: ChangesArg = None,
    stages: StagesOpt = None,
    resume: ResumeOpt = "auto",
    print_config: PrintConfigOpt = False,
    dry_run: PriceOpt = False,
    json: options.JsonOpt = False,
    quiet: options.QuietOpt = False,
) -> None:
    """Train a model on folders of clips, which need no captions.

    The config names the folders (data, and photos for synthetic motion), the preset or the weights
    to start from (init), the folder of the run (out) and its stages; a folder alone is trained on
    with the usual settings, and the run goes to runs/FOLDER. A run that was stopped goes
    on from its last checkpoint when the same command is given again. The weights folder goes to
    standard output: mardini interpolate takes it as --model. Several GPUs:
    torchrun --nproc-per-node 2 -m mardini_cli train CONFIG.

    Example: mardini train examples/train.toml data=my_clips out=runs/mine
    """
    words = [*(changes or []), *([f"stages={stages}"] if stages else [])]
    screen = Screen.here(json=json, quiet=quiet)
    if print_config:
        typer.echo(api.train_settings(config, words))
    elif dry_run:
        screen.follow(iter([api.train_price(config, words)]))
    else:
        screen.follow(api.train(config, words, resume))


@train.command()
def cache(
    config: ConfigArg,
    changes: ChangesArg = None,
    stage: Annotated[
        str, typer.Option("--stage", help="The one stage to keep for, by its name.")
    ] = "",
    steps: Annotated[
        int, typer.Option("--steps", help="Batches to keep of each; 0: one for each of its steps.")
    ] = 0,
    overwrite: options.OverwriteOpt = False,
    json: options.JsonOpt = False,
    quiet: options.QuietOpt = False,
) -> None:
    """Keep on disk what planner and denoiser learn from.

    Stages that leave the autoencoder as it is need its answers, not pixels. They are written as
    shards of safetensors, each stage into a folder of its own under OUT/cache (or what cache
    names), and those folders go to standard output. The run then takes them with cache=FOLDER: no
    clip is decoded, no flow searched, no encoder run, and the losses are the same to the bit. A
    stage that is longer than its cache goes through it again, with other noise.

    Example: mardini train cache mine.toml --steps 2000
    """
    words = changes or []
    Screen.here(json=json, quiet=quiet).follow(
        api.train_cache(config, words, stage, steps, overwrite=overwrite)
    )
