"""What happened, as data: the events that ``api`` yields and ``cli.screen`` draws.

Room: events (floor 1). Frozen dataclasses, a module for each theme; times are ``Fraction`` seconds,
sizes bytes.
"""

from dataclasses import dataclass

from mardini_cli.events.batches import Batched, Began, Outcome
from mardini_cli.events.making import (
    Drawn,
    Failed,
    Finished,
    Joined,
    Planned,
    Progress,
    Resumed,
    Skipped,
    Warned,
    Window,
)
from mardini_cli.events.measuring import Benched, Examined, Measured
from mardini_cli.events.proving import Check, Probed, Recorded, Reproduced, Verified
from mardini_cli.events.training import Cached, Exported, Paused, Priced, StagePrice, Trained
from mardini_cli.events.weights import Fetched, Intact, Located, Pushed, Removed

__all__ = [
    "SCHEMA",
    "Batched",
    "Began",
    "Benched",
    "Cached",
    "Check",
    "Drawn",
    "Event",
    "Examined",
    "Exported",
    "Failed",
    "Fetched",
    "Finished",
    "Intact",
    "Joined",
    "Located",
    "Measured",
    "OfItem",
    "Outcome",
    "Paused",
    "Planned",
    "Priced",
    "Probed",
    "Progress",
    "Pushed",
    "Recorded",
    "Removed",
    "Reproduced",
    "Resumed",
    "Skipped",
    "StagePrice",
    "Trained",
    "Verified",
    "Warned",
    "Window",
]

SCHEMA = 1
"""Version of the events' form; it grows when a field is renamed, removed or means something else.
New events and new fields leave it as it is."""

Event = (
    Planned
    | Progress
    | Window
    | Resumed
    | Skipped
    | Warned
    | Finished
    | Measured
    | Benched
    | Trained
    | Paused
    | Exported
    | Cached
    | Priced
    | Located
    | Fetched
    | Intact
    | Removed
    | Pushed
    | Examined
    | Drawn
    | Joined
    | Verified
    | Probed
    | Failed
    | Recorded
    | Reproduced
    | Began
    | Batched
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OfItem:
    """An event of one item of a batch; in JSON it is that event, with the number of the item."""

    item: int
    """From 1, the same on every machine and in every shard."""
    event: Event
