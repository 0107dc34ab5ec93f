"""Standard streams: there from the beginning, and what is done when one takes no more.

Room: cli. A daemon may begin with its streams closed, and a disk that they go to may be full.
"""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from mardini_cli.errors import UnwritableError


def settle() -> None:
    """Put nothing in the place of streams that are closed, and let names be what they are.

    With a stream closed, its number would go to the next file that is opened: to a result, which
    then got what a library has to say.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    # Of names that need not be UTF-8, what cannot be decoded goes out as it came in.
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - for good
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - for good


def put(stream: TextIO, text: str, *, needed: bool = True) -> None:
    """Write and flush.

    Args:
        stream: standard output, standard error, or what stands for them.
        text: with its line ends.
        needed: whether somebody asked for it; work goes on without what is told beside it.

    Raises:
        UnwritableError: no room, and it is needed.
        BrokenPipeError: nobody reads any more.
    """
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _forget(stream)
        raise
    except OSError as error:
        _forget(stream)
        if needed:
            raise UnwritableError(
                f"standard output: {error.strerror}",
                needed="room for what is told there",
                do="make room, or send it elsewhere",
            ) from error


def tell(stream: TextIO, text: str) -> None:
    """Write last words: what ends the work counts, whether or not it can be said."""
    with suppress(BrokenPipeError):
        put(stream, text, needed=False)


def _forget(stream: TextIO) -> None:
    """Let go of what is still on its way: the interpreter would fail over it as it ends."""
    with suppress(OSError):  # it is no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
