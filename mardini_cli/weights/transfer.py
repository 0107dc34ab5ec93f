"""A transfer in a thread of its own, watched from outside.

Room: weights (floor 4). huggingface-hub tells how far it is by calling a tqdm; here that becomes
something to iterate over, so that a transfer can be drawn, and stopped, like any other work.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from threading import Thread
from typing import Any, Self

LOOK_SECONDS = 0.2
"""How often progress is told."""
STOP_SECONDS = 2.0
"""How long a stopped transfer is waited for: one that hears nothing ends with its next byte."""


class Stopped(Exception):
    """Nobody waits for this transfer any more."""


def meter(tell: Callable[[int], None]) -> type[Any]:
    """Something that huggingface-hub takes for a tqdm class; ``tell`` hears the bytes that came."""

    class Meter:
        def __init__(self, *_words: object, **_options: object) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_exception: object) -> None:
            pass

        def close(self) -> None:
            pass

        def update(self, count: float | None = 1) -> None:
            tell(int(count or 0))

        def set_postfix_str(self, *_words: object, **_options: object) -> None:
            pass

    return Meter


def watched(work: Callable[[type[Any]], None], have: int) -> Iterator[int]:
    """Run a transfer; yields how many bytes are there, ``have`` of them from before.

    Closing the iterator stops the transfer at its next byte. What it raises is raised here.
    """
    done, wanted = have, True

    def tell(count: int) -> None:
        nonlocal done
        if not wanted:
            raise Stopped
        done += count

    result: Future[None] = Future()

    def run() -> None:
        try:
            work(meter(tell))
            result.set_result(None)
        except BaseException as error:  # noqa: BLE001 - handed over, and raised by who waits
            result.set_exception(error)

    # A daemon: one that waits for a silent server must not hold back the end of the program.
    thread = Thread(target=run, name="mardini-transfer", daemon=True)
    thread.start()
    try:
        while not result.done():
            yield done
            thread.join(LOOK_SECONDS)
        result.result()
        yield done
    finally:
        wanted = False
        thread.join(STOP_SECONDS)
