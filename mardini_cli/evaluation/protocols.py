"""What is measured: which slots of a window are given, as data.

Room: evaluation. Pure data and arithmetic on counts: no torch, no files, so that the command line
may name the protocols in its help. ``excerpts`` fills the slots with frames.

Of every clip and stride one window of 9 slots is taken, from the middle of the clip, so that the
choice depends on nothing but the clip's length.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mardini_cli.errors import ConfigError

SLOTS: Final = 9
STRIDES: Final = (1, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """A window of ``SLOTS`` frames and the slots whose frames are given."""

    name: str
    given: tuple[int, ...]
    """Slots, ascending; at least one, and not all."""

    def __post_init__(self) -> None:
        inside = all(0 <= slot < SLOTS for slot in self.given)
        ascending = list(self.given) == sorted(set(self.given))
        if not (inside and ascending and 0 < len(self.given) < SLOTS):
            raise ConfigError(
                f"protocol {self.name} gives slots {self.given}",
                needed=f"ascending slots from 0 to {SLOTS - 1}, at least one and not all",
                do="change 'given'",
            )

    @property
    def made(self) -> tuple[int, ...]:
        """Slots to be made."""
        return tuple(slot for slot in range(SLOTS) if slot not in self.given)

    @property
    def mask(self) -> tuple[bool, ...]:
        """A flag a slot, True = to be made."""
        return tuple(slot not in self.given for slot in range(SLOTS))

    @property
    def one_sided(self) -> bool:
        """Some made slot has given frames on one side only."""
        return self.given[0] > 0 or self.given[-1] < SLOTS - 1


PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol(name="x8", given=(0, 8)),
            Protocol(name="x4", given=(0, 4, 8)),
            Protocol(name="x2", given=(0, 2, 4, 6, 8)),
            Protocol(name="extend", given=(0, 1)),
            Protocol(name="animate", given=(0,)),
        )
    }
)


def protocol(name: str) -> Protocol:
    """Look a protocol up by its name.

    Raises:
        ConfigError: no protocol of this name.
    """
    if name not in PROTOCOLS:
        raise ConfigError(
            f"unknown protocol '{name}'", needed=f"one of {', '.join(PROTOCOLS)}", do="choose one"
        )
    return PROTOCOLS[name]


def middle_window(count: int, stride: int) -> range | None:
    """Frames of the window in the middle of a clip of ``count`` frames; None if it is too short."""
    span = (SLOTS - 1) * stride + 1
    if count < span:
        return None
    start = (count - span) // 2
    return range(start, start + span, stride)


def tiled_windows(count: int) -> list[range]:
    """Cut a clip as VIDIM-Bench does: from frame 0, without overlap, the tail dropped."""
    return [range(start, start + SLOTS) for start in range(0, count - SLOTS + 1, SLOTS)]
