"""``train``: a TOML file in, events out.

Room: api.
"""

from collections.abc import Generator, Sequence
from pathlib import Path

from mardini_cli.events import Event


def train(config: Path, changes: Sequence[str] = ()) -> Generator[Event, None, None]:
    """Train as a TOML file says; a run that was stopped goes on where its checkpoint stands.

    Args:
        config: settings, see ``docs/training.md``.
        changes: ``key=value`` settings on top of the file's.

    Yields:
        ``Warned`` and ``Progress`` as they come, then ``Trained``.

    Raises:
        MardiniError: anything that the user can act on.
    """
    from mardini_cli.training.reading import read_config

    settings = read_config(config, changes)

    from mardini_cli.training.loop import Run  # from here on torch is needed

    yield from Run(settings).events()
