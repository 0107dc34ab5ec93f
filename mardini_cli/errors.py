"""Numbers and types that everyone shares: exit codes and the one tree of errors.

Room: errors (floor 0). Knows nothing of the other rooms.

    MardiniError
    ├── PreflightError             several things stand in the way, all of them told
    ├── UsageError                 exit 2: wrong words on the command line or in a config
    │   ├── WordsError             several of them
    │   ├── ConfigError
    │   └── FactorError
    ├── LongNameError              a name that no file can have
    ├── InputError                 what was given cannot be used
    │   ├── MissingFileError
    │   ├── NotMediaError
    │   ├── NoVideoError
    │   ├── TooFewFramesError
    │   ├── LimitError
    │   └── DamagedMediaError
    ├── OutputError                what was asked for cannot be written
    │   ├── OutputExistsError
    │   ├── OutputIsInputError
    │   ├── OutputBusyError
    │   ├── UnwritableError
    │   ├── DiskSpaceError
    │   ├── EncoderError
    │   └── ProofError
    ├── WeightsError               weights that do not fit, or cannot be written
    │   ├── MissingWeightsError
    │   ├── WeightsLayoutError
    │   ├── DamagedWeightsError
    │   ├── IncompleteWeightsError
    │   ├── NoSpaceError
    │   └── HubError               the Hub does not hand over
    │       ├── HubOfflineError
    │       ├── HubUnreachableError
    │       ├── HubGatedError
    │       └── HubTokenError
    ├── DeviceError                this machine lacks what was asked for
    │   └── MemoryLimitError
    ├── ResumeError                what is kept of earlier work does not fit
    ├── StoppedError               the work was asked to end before it was done
    │   └── TerminatedError
    ├── BaselineError              a program to compare with did not do its part
    ├── MadeFrameError             the model made something that cannot be right
    ├── DiffersError               what a record tells is not so any more
    ├── CrashedError               a process died, or met a bug, in the middle of an item
    ├── MadeFrameError             the model made something that is no picture
    └── ShapeError                 a tensor of the wrong shape at a room's door
"""

import difflib
import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import ClassVar, TypeVar

Found = TypeVar("Found")


class ExitCode(IntEnum):
    """What the process tells the shell."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130
    TERMINATED = 143


class MardiniError(Exception):
    """One line for the user: what was found, what is needed, what to do.

    ``cli.app.main`` alone catches it. A plain ``ValueError`` stays a bug with a traceback.
    """

    code: ClassVar[str] = "error"  # stable: printed by --json, listed in the docs
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, found: str, needed: str, do: str) -> None:
        super().__init__(found, needed, do)  # all in args: survives pickling between workers
        self.found, self.needed, self.do = found, needed, do
        self.parts: tuple[MardiniError, ...] = ()  # where several are told as one

    def __str__(self) -> str:
        return f"{self.found}; needs {self.needed}; {self.do}"


class PreflightError(MardiniError):
    """Several things stand in the way of the work; ``parts`` has each."""

    code = "preflight"


class UsageError(MardiniError):
    """Wrong words: an option or a setting that cannot mean anything."""

    code = "usage"
    exit_code = ExitCode.USAGE


class WordsError(UsageError):
    """Several words are wrong; ``parts`` has each."""

    code = "words"


class ConfigError(UsageError):
    """A setting out of range, unknown, or at odds with another."""

    code = "config"


class FactorError(UsageError):
    """A factor that makes no frames."""

    code = "factor"


class LongNameError(MardiniError):
    """A name that is too long for the file system."""

    code = "long-name"


def guess(word: str, known: Iterable[str], otherwise: str, most: int = 1) -> str:
    """Advise on a word that is not known: those that look like it, or what else to do."""
    near = difflib.get_close_matches(word, known, n=most)
    return f"did you mean {' or '.join(near)}?" if near else otherwise


@contextmanager
def naming() -> Iterator[None]:
    """Turn the system's word on names that are too long into ours, whoever ran into it.

    Raises:
        LongNameError: in its place.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise LongNameError(
            f"{error.filename}: {error.strerror}",
            needed="a name that the file system takes",
            do="choose a shorter one",
        ) from error


class InputError(MardiniError):
    """What was given cannot be used."""

    code = "input"


class MissingFileError(InputError):
    """The path names nothing that can be read."""

    code = "missing-file"


class NotMediaError(InputError):
    """The file is no film or picture that FFmpeg knows."""

    code = "not-media"


class NoVideoError(InputError):
    """The file has streams, but none of pictures."""

    code = "no-video"


class TooFewFramesError(InputError):
    """The clip has nothing to make frames between."""

    code = "too-few-frames"


class LimitError(InputError):
    """More pixels or frames than a file may ask for."""

    code = "limit"


class DamagedMediaError(InputError):
    """The file opens, but decoding it fails."""

    code = "damaged-media"


class OutputError(MardiniError):
    """What was asked for cannot be written."""

    code = "output"


class OutputExistsError(OutputError):
    """A file stands where the result should go."""

    code = "output-exists"


class OutputIsInputError(OutputError):
    """Input and output are the same file."""

    code = "output-is-input"


class OutputBusyError(OutputError):
    """Another run is writing the same result."""

    code = "output-busy"


class UnwritableError(OutputError):
    """The folder, the disk or the container refuses the result."""

    code = "unwritable"


class DiskSpaceError(OutputError):
    """The disk has certainly too little room for the result."""

    code = "disk-space"


class EncoderError(OutputError):
    """No encoder takes this picture into this container."""

    code = "encoder"


class ProofError(OutputError):
    """The result is not what was promised; it was written and taken away again."""

    code = "proof"


class WeightsError(MardiniError):
    """Weights that do not fit, or cannot be written."""

    code = "weights"


class MissingWeightsError(WeightsError):
    """No weights of this name: no release, no path, no repository or revision."""

    code = "weights-missing"


class WeightsLayoutError(WeightsError):
    """A folder or repository that is not in our form."""

    code = "weights-layout"


class DamagedWeightsError(WeightsError):
    """Files cut short or changed."""

    code = "weights-damaged"


class IncompleteWeightsError(WeightsError):
    """A download that was stopped, and no network to finish it."""

    code = "weights-incomplete"


class NoSpaceError(WeightsError):
    """The disk is too full for a download."""

    code = "no-space"


class HubError(WeightsError):
    """The Hub refuses for a reason of its own."""

    code = "hub"


class HubOfflineError(HubError):
    """Not in the cache, and the network is not to be used."""

    code = "hub-offline"


class HubUnreachableError(HubError):
    """No answer, a broken connection, or a server in trouble."""

    code = "hub-unreachable"


class HubGatedError(HubError):
    """The repository asks everyone to request access first."""

    code = "hub-gated"


class HubTokenError(HubError):
    """The access token is refused, or may not do this."""

    code = "hub-token"


class DeviceError(MardiniError):
    """This machine lacks what was asked for."""

    code = "device"


class MemoryLimitError(DeviceError):
    """A single window does not fit into memory, however it is cut."""

    code = "memory"


class ResumeError(MardiniError):
    """Earlier work is to be gone on with, and does not fit what is asked for."""

    code = "resume"


class StoppedError(MardiniError):
    """The work was asked to end before it was done: by Ctrl-C, or since its time was up."""

    code = "stopped"
    exit_code = ExitCode.INTERRUPTED


class TerminatedError(StoppedError):
    """The work was asked to end by SIGTERM."""

    code = "terminated"
    exit_code = ExitCode.TERMINATED


class BaselineError(MardiniError):
    """A program that serves as a baseline did not do its part."""

    code = "baseline"


class DiffersError(MardiniError):
    """Inputs, weights or the new result are not what a record tells."""

    code = "differs"


class CrashedError(MardiniError):
    """The process that worked on an item of a batch died, or met a bug."""

    code = "crashed"


class MadeFrameError(MardiniError):
    """The model made something that cannot be right, twice: no picture, or not this one."""

    code = "made-frame"


class ShapeError(MardiniError):
    """A tensor of the wrong shape at a room's door."""

    code = "shape"


class Problems:
    """What stands in the way, collected, so that a person is told all of it at once."""

    def __init__(self) -> None:
        self.found: list[MardiniError] = []

    def attempt(self, check: Callable[[], Found]) -> Found | None:
        """Do a check; None where it found a problem. Two checks may find the same one."""
        try:
            return check()
        except MardiniError as error:
            told = {str(one) for one in self.found}
            self.found += [one for one in error.parts or (error,) if str(one) not in told]
            return None

    def settle(self) -> None:
        """Go on if nothing was found.

        Raises:
            MardiniError: the one that was found; or ``PreflightError``, or ``WordsError`` where
                all are wrong words, with all of them.
        """
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            usage = all(isinstance(error, UsageError) for error in self.found)
            whole = (WordsError if usage else PreflightError)(
                f"{len(self.found)} problems: {' | '.join(map(str, self.found))}",
                needed="none of them",
                do="set each right",
            )
            whole.parts = tuple(self.found)
            raise whole
