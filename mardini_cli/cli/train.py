"""``mardini train``: make weights from clips.

Room: cli. Words to a config, events to the screen.
"""

from collections.abc import Mapping
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen
from mardini_cli.errors import UsageError
from mardini_cli.training.stages import Resume
from mardini_cli.weights.layout import Storage

CONFIG = typer.Argument(
    metavar="CONFIG|FOLDER",
    help="Settings of the run, a TOML file; or a folder of clips, for the usual settings.",
)
ConfigArg = Annotated[Path, CONFIG]
ConfigOrDataArg = Annotated[Path | None, CONFIG]
ChangesArg = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change, such as data=clips seed=1."),
]


StagesOpt = Annotated[
    str | None,
    typer.Option(
        "--stages", metavar="NAME", help="A recipe's stages: tiny, guided, vae, paper or tune."
    ),
]
InitOpt = Annotated[
    str | None,
    typer.Option("--init", metavar="WEIGHTS", help="Start from these, as --model takes them."),
]
DataOpt = Annotated[
    list[Path] | None,
    typer.Option("--data", metavar="FOLDER", help="Clips to train on; may be given again."),
]
MinutesOpt = Annotated[
    float | None,
    typer.Option("--minutes", help="Time for all stages together, in place of steps."),
]
LoraOpt = Annotated[
    int | None,
    typer.Option("--lora", metavar="RANK", help="Move corrections of this rank, not the weights."),
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
    config: ConfigOrDataArg = None,
    changes: ChangesArg = None,
    init: InitOpt = None,
    data: DataOpt = None,
    minutes: MinutesOpt = None,
    lora: LoraOpt = None,
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

    With --init and --data, and no CONFIG, weights that are good already are fitted to clips of your
    own (recipe tune). mardini train export RUN makes weights to share from any run.

    Example: mardini train examples/train.toml data=my_clips out=runs/mine

    Example: mardini train --init mardini-tiny --data my_clips --minutes 20
    """
    said = {"init": init, "data": data, "minutes": minutes, "lora": lora, "stages": stages}
    config, words = _settings(config, changes or [], said)
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


@train.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, ended or not.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Weights folder. Without it: RUN/release."),
    ] = None,
    storage: Annotated[
        Storage, typer.Option("--storage", help="int8 for large matrices, or all bf16 or fp32.")
    ] = "int8",
    licence: Annotated[
        str, typer.Option("--licence", help="For the model card, in the Hub's words: mit, other...")
    ] = "other",
    overwrite: options.OverwriteOpt = False,
    json: options.JsonOpt = False,
    quiet: options.QuietOpt = False,
) -> None:
    """Make weights to share of a run: averaged, with a model card to be finished.

    The folder has the Hub's form: --model takes it, mardini weights push sends it. Of a run that is
    under way, or was stopped, the average of its last checkpoint is taken. The card tells stages,
    cost and held-out figures; whose the clips are, and what the weights may be used for, is for you
    to say in its README.md.

    Example: mardini train export runs/mine -o my-weights
    """
    made = api.train_export(run, output, storage, licence, overwrite=overwrite)
    Screen.here(json=json, quiet=quiet).follow(iter([made]))


def _settings(
    config: Path | None, changes: list[str], said: Mapping[str, object]
) -> tuple[Path, list[str]]:
    """What is trained by, and ``KEY=VALUE`` words; flags are such words too.

    Raises:
        UsageError: neither a config nor a folder.
    """
    folders = said["data"]
    if config is not None and folders and "=" in str(config) and not config.exists():
        config, changes = None, [str(config), *changes]  # --data stands for it
    if config is None:
        if not isinstance(folders, list) or not folders:
            raise UsageError(
                "nothing to train on", needed="a TOML file, or a folder of clips", do="add --data"
            )
        config = folders[0]
    return config, [*changes, *(f"{key}={_word(value)}" for key, value in said.items() if value)]


def _word(value: object) -> str:
    """A value as TOML, where it would not be read as one by itself."""
    return dumps([str(one) for one in value]) if isinstance(value, list) else str(value)
