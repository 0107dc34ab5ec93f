"""A stand-in for the recorder of CUDA graphs that needs no GPU: replays work the step out again.

Like a graph it reads the memory that it was recorded with, whatever stands there by then, and
writes the same memory each time; so copies that are left out, or come too early, are seen.
"""

from collections.abc import Callable

from torch import Tensor


class Recorded:
    """What a ``Tape`` has recorded."""

    def __init__(self, run: Callable[[], Tensor]) -> None:
        self.run, self.out = run, run()
        self.out.zero_()  # recording a graph works nothing out
        self.replays = 0
        self.forgotten = False

    def replay(self) -> None:
        """Work it out again."""
        assert not self.forgotten
        self.replays += 1
        self.out.copy_(self.run())

    def forget(self) -> None:
        """Take note."""
        self.forgotten = True


class Tape:
    """Records any run; or meets an error instead."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.tried = 0
        self.recorded = list[Recorded]()

    def __call__(self, run: Callable[[], Tensor]) -> Recorded:
        """Record."""
        self.tried += 1
        if self.error is not None:
            raise self.error
        self.recorded.append(Recorded(run))
        return self.recorded[-1]
