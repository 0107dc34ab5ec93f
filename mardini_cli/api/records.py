"""Records: what a result was made from, in a file beside it, so that it can be made again.

Room: api. Light to import: torch and the media libraries come in late.

A record holds the task and its settings, hashes of inputs, weights and result, what was proved,
how long it took, and all versions and facts of the machine that the bytes may depend on.
"""

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mardini_cli
from mardini_cli.api.settings import settings_of, sources_of, task_of
from mardini_cli.config import from_mapping
from mardini_cli.errors import ConfigError, MissingFileError
from mardini_cli.events import Check, Finished, Verified

if TYPE_CHECKING:
    from mardini_cli.api.jobs import Job

FORM = 1
"""Version of the records' form."""
LARGEST = 64 * 2**20
"""Bytes of a record; one of a hundred thousand pictures has less."""
PASSING = frozenset(
    {
        *("output", "output_dir", "overwrite", "skip_existing", "dry_run", "show_plan", "sidecar"),
        *("preview", "compare", "resume", "work_dir", "until", "max_minutes", "write_cuts"),
        "variations",
    }
)
"""Settings that decide where things go and what else is done, and no byte of the result."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A file as it was."""

    path: str
    """Where it was, whole."""
    beside: str
    """The same, as seen from the record's folder: both may have been moved together."""
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """What made the frames."""

    name: str
    """With the commit, where they are from the Hub."""
    sha256: str
    """Digest of all their files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What the bytes may depend on beside settings and inputs."""

    mardini: str
    python: str
    torch: str
    pyav: str
    ffmpeg: str
    opencv: str
    system: str
    device: str
    dtype: str
    threads: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What was proved of the result before it got its name."""

    passed: bool
    checks: tuple[Check, ...]
    psnr: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """All of it."""

    record: int = FORM
    task: str
    settings: Mapping[str, Any]
    """Flags by their names, with the values that were in force."""
    inputs: tuple[Stored, ...]
    sources: int
    """How many of ``inputs`` are what the task was given; the rest are lists and the like."""
    weights: Weights
    result: Stored
    frames: int
    made: int
    verified: Proof | None
    """None where it was not asked for."""
    began: str
    """Date and time, UTC."""
    elapsed: float
    """Seconds."""
    machine: Machine


def record_of(output: Path) -> Path:
    """Where the record of a result goes: its whole name, so that no two results share one."""
    return output.with_name(f"{output.name}.json")


def write_record(job: "Job", finished: Finished, verified: Verified | None) -> Path:
    """Write the record of a result that stands under its name.

    Raises:
        UnwritableError: the disk refuses.
    """
    from mardini_cli.media.output import write_whole

    path = record_of(job.output)
    told = asdict(_record(job, finished, verified, path.parent))
    write_whole(path, json.dumps(told, indent=2, default=str) + "\n")
    return path


def _record(job: "Job", finished: Finished, verified: Verified | None, folder: Path) -> Record:
    from mardini_cli import weights

    request, tools = job.request, job.tools
    named = request.model if tools.weights == request.model else tools.weights
    lists = [Path(cuts)] if (cuts := getattr(request, "cuts", "")) and Path(cuts).is_file() else []
    given = sources_of(request)
    began = datetime.now(UTC) - timedelta(seconds=finished.elapsed)
    return Record(
        task=task_of(request),
        settings={
            name: value
            for name, value in settings_of(replace(request, model=_whole(named))).items()
            if name not in PASSING
        },
        inputs=tuple(stored(path, folder) for path in (*given, *lists)),
        sources=len(given),
        weights=Weights(
            name=tools.weights, sha256=weights.digest(weights.find(request.model, fetch=False))
        ),
        result=stored(job.output, folder),
        frames=finished.frames,
        made=finished.made,
        verified=None if verified is None else _proof(verified),
        began=began.isoformat(timespec="seconds"),
        elapsed=finished.elapsed,
        machine=machine(str(tools.device), str(tools.dtype)),
    )


def _proof(verified: Verified) -> Proof:
    return Proof(passed=verified.passed, checks=verified.checks, psnr=verified.psnr)


def _whole(model: str) -> str:
    """A path of weights is told whole."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def stored(path: Path, folder: Path) -> Stored:
    """A file, or a folder or a pattern of pictures, as it is now."""
    files = files_of(path)
    try:
        beside = os.path.relpath(path, folder)
    except ValueError:  # another drive
        beside = str(path.absolute())
    return Stored(
        path=str(path.absolute()),
        beside=beside,
        size=sum(file.stat().st_size for file in files),
        sha256=digest(files),
    )


def files_of(path: Path) -> Sequence[Path]:
    """The files behind an input or a result.

    Raises:
        MissingFileError: none is there.
    """
    from mardini_cli.media.sequences import pictures_of

    files = pictures_of(path) or [path]
    if not files[0].exists():
        raise MissingFileError(
            f"{path} is not there", needed="the file of the record", do="put it back"
        )
    return files


def digest(files: Sequence[Path]) -> str:
    """SHA-256 of a file; of several, of their hashes, in order. Names do not count."""
    hashes = []
    for path in files:
        with path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256"))
    if len(hashes) == 1:
        return hashes[0].hexdigest()
    return hashlib.sha256(b"".join(one.digest() for one in hashes)).hexdigest()


def machine(device: str, dtype: str) -> Machine:
    """This machine, and what is installed on it."""
    from importlib.metadata import version

    import torch

    from mardini_cli.media.door import ffmpeg_version

    kernels = torch.backends.cpu.get_cpu_capability()
    kind = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return Machine(
        mardini=mardini_cli.__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        pyav=version("av"),
        ffmpeg=ffmpeg_version(),
        opencv=version("opencv-python-headless"),
        system=f"{platform.system()} {platform.machine()}, {kernels}",
        device=kind,
        dtype=dtype.removeprefix("torch."),
        threads=torch.get_num_threads(),
    )


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        MissingFileError: no such file.
        ConfigError: it is no record of ours.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST)
    except OSError as error:
        raise MissingFileError(
            f"{path}: {error.strerror}", needed="a record", do="check the path"
        ) from error
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _no_record(path, "it is no JSON") from error
    if not isinstance(told, dict) or told.get("record") != FORM:
        raise _no_record(path, f"it has no form {FORM}")
    try:
        return _built(told, str(path))
    except ConfigError as error:
        raise _no_record(path, error.found) from error
    except (TypeError, AttributeError, KeyError) as error:
        raise _no_record(
            path, f"it lacks {error}" if isinstance(error, KeyError) else "its form"
        ) from error


def _built(told: dict[str, Any], where: str) -> Record:
    settings, proof = told["settings"], told["verified"]
    checks = [] if proof is None else proof["checks"]
    record = Record(
        task=told["task"],
        settings=settings,
        inputs=tuple(from_mapping(Stored, one, where) for one in told["inputs"]),
        sources=told["sources"],
        weights=from_mapping(Weights, told["weights"], where),
        result=from_mapping(Stored, told["result"], where),
        frames=told["frames"],
        made=told["made"],
        verified=proof
        and Proof(
            passed=proof["passed"],
            checks=tuple(from_mapping(Check, one, where) for one in checks),
            psnr=tuple(proof["psnr"]),
        ),
        began=told["began"],
        elapsed=told["elapsed"],
        machine=from_mapping(Machine, told["machine"], where),
    )
    if not (isinstance(settings, dict) and isinstance(record.task, str)):
        raise ConfigError("it tells no task or no settings", needed="both", do="")
    if type(record.sources) is not int or not 1 <= record.sources <= len(record.inputs):
        raise ConfigError("it tells no inputs", needed="one or more", do="")
    return record


def _no_record(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} is no record of a result ({why})",
        needed="what --sidecar wrote",
        do="name a file such as walk.x2.mp4.json",
    )
