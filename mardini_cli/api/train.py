"""``train``: a TOML file in, events out.

Room: api.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mardini_cli.events import Event, Exported, Priced
from mardini_cli.training.stages import Resume
from mardini_cli.weights.layout import Storage


def train(
    config: Path, changes: Sequence[str] = (), resume: Resume = "auto"
) -> Generator[Event, None, None]:
    """Train as a TOML file says; a run that was stopped goes on where its checkpoint stands.

    Args:
        config: settings, see ``docs/training.md``; or a folder of clips, for the usual ones.
        changes: ``key=value`` settings on top of the file's.
        resume: go on from the folder's checkpoint if there is one (auto), at all events (must), or
            begin in a folder without one (never).

    Yields:
        ``Warned`` and ``Progress`` as they come, then ``Trained``; ``Paused`` after a SIGTERM.

    Raises:
        MardiniError: anything that the user can act on.
    """
    from mardini_cli.training.reading import read_config

    settings = read_config(config, changes)

    from mardini_cli.training.loop import Run  # from here on torch is needed

    with _folder_of_use(Path(settings.out)):
        yield from Run(settings, resume).events()


def train_cache(
    config: Path,
    changes: Sequence[str] = (),
    stage: str = "",
    steps: int = 0,
    *,
    overwrite: bool = False,
) -> Generator[Event, None, None]:
    """Keep on disk what stages with a frozen autoencoder need of their batches.

    Args:
        config: settings of the run, or a folder of clips.
        changes: ``key=value`` settings on top of the file's.
        stage: name of the one stage to keep for; empty takes all that are ready.
        steps: batches to keep of each; 0 keeps one for each of its steps.
        overwrite: whether a cache that stands is made anew.

    Yields:
        ``Warned`` and ``Progress`` as they come, and ``Cached`` for each stage.

    Raises:
        MardiniError: anything that the user can act on.
    """
    from mardini_cli.training.reading import read_config

    settings = read_config(config, changes)

    from mardini_cli.training.caching import fill

    with _folder_of_use(Path(settings.out)):
        yield from fill(settings, stage, steps, overwrite=overwrite)


def train_export(
    run: Path,
    output: Path | None = None,
    storage: Storage = "int8",
    licence: str = "other",
    *,
    overwrite: bool = False,
) -> Exported:
    """Make weights to share of a run, ended or not: averaged, with a draft of a model card.

    Args:
        run: folder of the run.
        output: weights folder; None is ``RUN/release``.
        storage: ``int8`` (large matrices), ``bf16`` or ``fp32``.
        licence: for the card.
        overwrite: whether a weights folder that stands there is replaced.

    Raises:
        MardiniError: anything that the user can act on.
    """
    from mardini_cli.training.export import ExportRequest, export

    return export(
        ExportRequest(run=run, output=output, storage=storage, licence=licence, overwrite=overwrite)
    )


def train_settings(config: Path, changes: Sequence[str] = ()) -> str:
    """Every setting that ``train`` would use, as a TOML file that it takes.

    Raises:
        MardiniError: anything that the user can act on.
    """
    from mardini_cli.training.reading import read_config, to_toml

    return to_toml(read_config(config, changes))


def train_price(config: Path, changes: Sequence[str] = ()) -> Priced:
    """What a run would cost: counted on networks without numbers in them, nothing is trained.

    Raises:
        MardiniError: anything that the user can act on.
    """
    from mardini_cli.training.reading import read_config

    settings = read_config(config, changes)

    from mardini_cli.training.cost import price

    return price(settings)


@contextmanager
def _folder_of_use(folder: Path) -> Iterator[None]:
    """Take folders that were made for a run away again where it came to nothing but settings."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        yield
    except BaseException:
        from mardini_cli.training.report import SETTINGS

        with suppress(OSError):  # from the first on that holds something, all stay
            if new and list(folder.iterdir()) == [folder / SETTINGS]:
                (folder / SETTINGS).unlink()
            for one in new:
                one.rmdir()
        raise
