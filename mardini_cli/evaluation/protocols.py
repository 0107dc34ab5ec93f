"""What is measured, as data: which frames of a folder stand in windows, which slots are given.

Room: evaluation. Pure data and arithmetic on counts: no torch, no files, so that the command line
may name the protocols in its help. ``excerpts`` fills the slots with frames.

Of every clip and stride one window of 9 slots is taken, from the middle of the clip, so that the
choice depends on nothing but the clip's length. VIDIM-Bench tiles whole clips instead; ``drift``
asks for 50 slots in a row, which the model makes in rolling windows, as ``extend`` does.
Source: VIDIM-Bench, Jain et al. 2024 (VIDIM) and its data set scripts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Final, Literal

from mardini_cli.errors import ConfigError

SLOTS: Final = 9
STRIDES: Final = (1, 2)
MOST_A_CLIP: Final = 4096
"""Windows that a tiled clip may have before the seeds of two clips could meet."""

Fit = Literal["crop", "native", "linear-light", "squash"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """How windows are cut from a folder of clips."""

    name: str
    fit: Fit
    """``crop``: short side to 288, centre 256 x 256. ``native``: frames as they are.
    ``linear-light``: the largest even centre square, to 256 by area means of light.
    ``squash``: to 256 x 256 whatever the shape."""
    slots: int = SLOTS
    strides: tuple[int, ...] = STRIDES
    tiled: bool = False
    """Windows one after the other, the tail dropped; otherwise one from the middle a stride."""
    most: int | None = None
    """Only the first so many windows of the folder."""
    expected: int | None = None
    """Windows that the benchmark's own data set gives: a check."""

    def windows(self, count: int) -> list[tuple[int, range]]:
        """Stride and frames of every window of a clip of ``count`` frames."""
        if self.tiled:
            return [(1, window) for window in tiled_windows(count)[:MOST_A_CLIP]]
        found = ((stride, middle_window(count, stride, self.slots)) for stride in self.strides)
        return [(stride, window) for stride, window in found if window is not None]

    def ordinal(self, clip: int, window: int) -> int:
        """Place of a window among all of the folder; seeds follow from it."""
        return clip * (MOST_A_CLIP if self.tiled else len(STRIDES)) + window


CROP: Final = Cut(name="crop", fit="crop")
NATIVE: Final = Cut(name="native", fit="native")
LONG: Final = Cut(name="long", fit="crop", slots=50, strides=(1,))
DAVIS: Final = Cut(name="davis", fit="linear-light", tiled=True, expected=357)
UCF101: Final = Cut(name="ucf101", fit="squash", tiled=True, most=400, expected=400)


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """A window of frames and the slots whose frames are given."""

    name: str
    given: tuple[int, ...]
    """Slots, ascending; at least one, and not all."""
    cut: Cut = CROP
    middle: bool = False
    """Measure the middle frame alone as well, as VIDIM-Bench does."""

    def __post_init__(self) -> None:
        inside = all(0 <= slot < self.slots for slot in self.given)
        ascending = list(self.given) == sorted(set(self.given))
        if not (inside and ascending and 0 < len(self.given) < self.slots):
            raise ConfigError(
                f"protocol {self.name} gives slots {self.given}",
                needed=f"ascending slots from 0 to {self.slots - 1}, at least one and not all",
                do="change 'given'",
            )

    @property
    def slots(self) -> int:
        """How many frames a window has."""
        return self.cut.slots

    @property
    def drifts(self) -> bool:
        """Whether figures are told by the distance from the last given frame as well."""
        return self.slots > SLOTS

    @property
    def made(self) -> tuple[int, ...]:
        """Slots to be made."""
        return tuple(slot for slot in range(self.slots) if slot not in self.given)

    @property
    def mask(self) -> tuple[bool, ...]:
        """A flag a slot, True = to be made."""
        return tuple(slot not in self.given for slot in range(self.slots))

    @property
    def one_sided(self) -> bool:
        """Some made slot has given frames on one side only."""
        return self.given[0] > 0 or self.given[-1] < self.slots - 1

    @property
    def runs(self) -> list[tuple[slice, int]]:
        """Evenly spaced given frames with made ones between them.

        Which of the given frames, and slots from one to the next. One run if all gaps are alike,
        otherwise one for each gap.
        """
        gaps = [b - a for a, b in pairwise(self.given)]
        if len(set(gaps)) == 1:
            return [(slice(0, len(self.given)), gaps[0])]
        return [(slice(n, n + 2), gap) for n, gap in enumerate(gaps) if gap > 1]


_CROPPED = (
    Protocol(name="x8", given=(0, 8)),
    Protocol(name="x4", given=(0, 4, 8)),
    Protocol(name="x2", given=(0, 2, 4, 6, 8)),
    Protocol(name="fill", given=(0, 1, 2, 6, 7, 8)),
    Protocol(name="extend", given=(0, 1)),
    Protocol(name="animate", given=(0,)),
)
PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            *_CROPPED,
            *(replace(one, name=f"{one.name}-native", cut=NATIVE) for one in _CROPPED),
            Protocol(name="drift", given=(0, 1), cut=LONG),
            Protocol(name="davis-7", given=(0, 8), cut=DAVIS, middle=True),
            Protocol(name="ucf101-7", given=(0, 8), cut=UCF101, middle=True),
        )
    }
)
WORDS: Final = (
    f"{', '.join(one.name for one in _CROPPED)}, each also NAME-native; drift, davis-7, ucf101-7"
)
"""All names, for help and errors."""


def protocol(name: str) -> Protocol:
    """Look a protocol up by its name.

    Raises:
        ConfigError: no protocol of this name.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"unknown protocol '{name}'", needed=f"one of {WORDS}", do="choose one")
    return PROTOCOLS[name]


def middle_window(count: int, stride: int, slots: int = SLOTS) -> range | None:
    """Frames of the window in the middle of a clip of ``count`` frames; None if it is too short."""
    span = (slots - 1) * stride + 1
    if count < span:
        return None
    start = (count - span) // 2
    return range(start, start + span, stride)


def tiled_windows(count: int) -> list[range]:
    """Cut a clip as VIDIM-Bench does: from frame 0, without overlap, the tail dropped."""
    return [range(start, start + SLOTS) for start in range(0, count - SLOTS + 1, SLOTS)]
