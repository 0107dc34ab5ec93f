"""``rerun``: a record in, the same result once more out, bit for bit on the same machine.

Room: api. Light to import: torch and the media libraries come in late.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mardini_cli.api.making import MakeRequest
from mardini_cli.api.records import Record, Stored, digest, files_of, machine, read_record
from mardini_cli.api.settings import request_of, run
from mardini_cli.errors import ConfigError, DiffersError, MissingFileError
from mardini_cli.events import Event, Finished, Reproduced, Warned


@dataclass(frozen=True, kw_only=True, slots=True)
class RerunRequest:
    """Make a result once more. One field a flag."""

    record: Path
    """What ``--sidecar`` wrote."""
    output: Path | None = None
    """Where the new result goes; None puts it beside the old one, as NAME.rerun."""
    anyway: bool = False
    """Go on although inputs or weights are others than they were."""
    overwrite: bool = False
    """Replace an output that stands there already."""


def rerun(request: RerunRequest) -> Generator[Event, None, None]:
    """Check that all is as it was, make the result, and compare its bytes.

    Yields:
        ``Warned`` for every fact of the machine that is another one, what the task yields, then
        ``Reproduced``.

    Raises:
        DiffersError: inputs or weights are others; or the new result is, which is kept.
        MardiniError: anything else that the user can act on.
    """
    record = read_record(request.record)
    folder = request.record.absolute().parent
    paths = [_found(one, folder) for one in record.inputs]
    output = request.output or _beside(record, folder)
    _check_ending(output, record)
    # Sums depend on how many threads share them.
    told = {
        "output": str(output),
        "overwrite": request.overwrite,
        "threads": record.machine.threads,
    }
    wish = _request(record, paths, told, str(request.record))
    changed = [*_changed_inputs(record, paths), *_changed_weights(record, wish.model)]
    for what in changed if request.anyway else ():
        yield Warned(code="differs", message=f"not as it was: {what}")
    if changed and not request.anyway:
        raise DiffersError(
            f"{request.record}: not as it was: {'; '.join(changed)}",
            needed="the same inputs and weights",
            do="put them back, or allow --anyway to make another result",
        )
    yield from _changed_machine(record, wish)
    made: Finished | None = None
    for event in run(wish):
        if isinstance(event, Finished):
            made = event
        yield event
    assert made is not None  # a record has no dry run
    found = digest(files_of(made.output))
    same = found == record.result.sha256
    yield Reproduced(output=made.output, same=same, sha256=found, recorded=record.result.sha256)
    if not same:
        raise DiffersError(
            f"{made.output} has SHA-256 {found[:16]}..., the record {record.result.sha256[:16]}...",
            needed="the machine and the versions of the record",
            do="see the warnings; the frames may differ in the last bit alone",
        )


def _found(one: Stored, folder: Path) -> Path:
    """Where a file of the record is: at its place, or where it stands beside the record.

    Raises:
        MissingFileError: at neither.
    """
    places = [Path(one.path), folder / one.beside]
    for place in places:
        if place.exists() or any(sign in place.name for sign in "%*?["):
            return place
    raise MissingFileError(
        f"{one.path} is not there", needed="the input of the record", do="put it back"
    )


def _changed_inputs(record: Record, paths: list[Path]) -> Iterator[str]:
    for one, path in zip(record.inputs, paths, strict=True):
        found = digest(files_of(path))
        if found != one.sha256:
            yield f"{path} has SHA-256 {found[:16]}..., had {one.sha256[:16]}..."


def _changed_weights(record: Record, name: str) -> Iterator[str]:
    from mardini_cli import weights

    found = weights.digest(weights.find(name))
    if found != record.weights.sha256:
        yield f"weights {name} have digest {found[:16]}..., had {record.weights.sha256[:16]}..."


def _changed_machine(record: Record, wish: MakeRequest) -> Iterator[Event]:
    """Tell what is another one."""
    from mardini_cli.device import choose_device, choose_dtype, use_threads

    use_threads(record.machine.threads)
    device = choose_device(wish.device)
    now = asdict(machine(str(device), str(choose_dtype(wish.dtype, device))))
    for name, then in asdict(record.machine).items():
        if now[name] != then:
            yield Warned(code="differs", message=f"{name} was {then}, is {now[name]}")


def _check_ending(output: Path, record: Record) -> None:
    """Refuse another container: its bytes could never be the same."""
    ending = Path(record.result.path).suffix.lower()
    if output.suffix.lower() != ending:
        raise ConfigError(
            f"{output} in place of a '{ending}'",
            needed=f"a name that ends in {ending}",
            do=f"try -o {output.stem or 'again'}{ending}",  # "." and "/" have no name
        )


def _beside(record: Record, folder: Path) -> Path:
    """A name of its own beside the record."""
    old = Path(record.result.path)
    if "%" in old.name:
        return folder.with_name(f"{folder.name}.rerun") / old.name
    return folder / f"{old.stem}.rerun{old.suffix}"


def _request(record: Record, paths: list[Path], told: dict[str, Any], where: str) -> MakeRequest:
    settings = {**record.settings, **told}
    sources, lists = paths[: record.sources], paths[record.sources :]
    if lists:
        settings["cuts"] = str(lists[0])
    if "frame" in settings:
        settings["frame"] = dict(zip(settings["frame"], map(str, sources), strict=True))
        return request_of(record.task, [], settings, where)
    source = sources if record.task == "keyframes" else sources[0]
    return request_of(record.task, source, settings, where)
