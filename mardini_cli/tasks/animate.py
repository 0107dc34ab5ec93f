"""Animation: one picture is given, and the frames after, before or around it are made.

Room: tasks. Pure arithmetic on times: no torch, no numpy, no files.
"""

from fractions import Fraction

from mardini_cli.errors import ConfigError
from mardini_cli.tasks.plan import Plan, Slot
from mardini_cli.tasks.windows import arrange


def reference_place(word: str, frames: int) -> int:
    """Turn ``first``, ``middle``, ``last`` or a number into the given picture's place.

    Raises:
        ConfigError: another word, or a place outside the clip.
    """
    named = {"first": 0, "middle": (frames - 1) // 2, "last": frames - 1}
    if word in named:
        return named[word]
    if not word.isdecimal() or int(word) >= frames:
        raise ConfigError(
            f"reference at '{word}'",
            needed=f"first, middle, last, or a frame from 0 to {frames - 1}",
            do="try --reference-at first",
        )
    return int(word)


def animate(
    frames: int,
    rate: Fraction,
    size: int,
    reference: int = 0,
    smooth: int = 1,
    loop: bool = False,
) -> Plan:
    """Plan a clip of which one frame is given.

    Args:
        frames: of the clip before ``smooth``, the given one among them.
        rate: frames a second.
        size: the most slots of a window.
        reference: place of the given picture, from 0.
        smooth: makes so many steps of each step between two frames, in a second level.
        loop: the picture stands at the end again, as context: the clip runs on into its start.

    Raises:
        ConfigError: nothing to make, or a loop whose picture is not the first.
    """
    if frames < 2 or smooth < 1 or rate <= 0:
        raise ConfigError(
            f"{frames} frames at {rate} a second, smoothed {smooth} times",
            needed="at least 2 frames, a rate above 0, and whole steps",
            do="try --frames 9 --fps 8",
        )
    if loop and reference:
        raise ConfigError(
            f"a loop around frame {reference}",
            needed="the picture at the first frame: a loop has no middle",
            do="leave --reference-at out",
        )
    last = frames if loop else frames - 1
    given = {reference * smooth, last * smooth} if loop else {reference * smooth}
    slots = tuple(
        Slot(
            place,
            place / (rate * smooth),
            0 if place in given else None,
            shown=not (loop and place == last * smooth),
        )
        for place in range(last * smooth + 1)
    )
    windows = arrange(slots, size, coarse=range(0, len(slots), smooth))
    return Plan(task="animate", slots=slots, windows=windows)
