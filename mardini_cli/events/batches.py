"""Several inputs in one command.

Room: events (floor 1).
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Began:
    """An item of a batch is being worked on."""

    task: str
    source: str
    """A path or an address."""
    items: int
    """Of the whole batch."""
    attempt: int = 1
    """Above 1 where the item was lost with its machine, and begins anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one item of a batch came out."""

    item: int
    task: str
    source: str
    state: str
    """done, failed, skipped, planned, or stopped: not reached before the batch ended."""
    outputs: tuple[str, ...] = ()
    """Paths, or addresses where results were sent."""
    code: str = ""
    """Of the error."""
    message: str = ""
    elapsed: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Batched:
    """A batch came to its end."""

    items: int
    """Those of this shard."""
    done: int
    failed: int
    skipped: int
    stopped: int
    outcomes: tuple[Outcome, ...]
    elapsed: float
