"""Whether a loop closes: the step from its last frame to its first, against those inside.

Room: api.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mardini_cli.events import Event, Warned

if TYPE_CHECKING:
    from mardini_cli.pipeline.joins import Joins


def closing(found: Joins) -> Iterator[Event]:
    """Warn where a loop jumps as it starts again."""
    if found.closing > found.median:
        yield Warned(
            code="loop",
            message=f"the loop may jump: from its last frame to its first the picture steps by"
            f" {found.closing:.4f}, half of its steps are below {found.median:.4f}",
        )
