"""When work is to stop by itself: at a time of day, or after so many minutes.

Room: api. Light to import.
"""

from datetime import datetime, time, timedelta
from math import isfinite

from mardini_cli import stopping
from mardini_cli.errors import ConfigError


def deadline_of(until: str | None, max_minutes: float | None) -> float | None:
    """When work is to stop, by the monotonic clock; the earlier of both ways to say it.

    On the command line all inputs of a command share the time: it counts from the command's begin.
    """
    began, at = stopping.began()
    limits = []
    if max_minutes is not None:
        limits.append(began + 60 * max_minutes)
    if until is not None:
        limits.append(began + (moment_after(until, at) - at).total_seconds())
    return min(limits, default=None)


def moment_after(text: str, now: datetime) -> datetime:
    """Read ``06:00``, the next time that the clock shows it; or ``2026-11-25T06:00``.

    Raises:
        ConfigError: something else.
    """
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        clock = None
    try:
        if clock is None:
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo is None else moment.astimezone().replace(tzinfo=None)
        moment = datetime.combine(now.date(), clock.replace(tzinfo=None))
    except ValueError as error:
        raise ConfigError(
            f"until '{text}'", needed="a time of day or a date and time", do="try --until 06:00"
        ) from error
    return moment if moment > now else moment + timedelta(days=1)


def is_over(text: str) -> bool:
    """Whether a time is past for ever: a date may be, a time of day comes again."""
    now = datetime.now()
    try:
        return moment_after(text, now) <= now
    except ConfigError:  # no time at all
        return False


def check_limits(until: str | None, max_minutes: float | None) -> None:
    """Refuse times that mean nothing.

    Raises:
        ConfigError: as ``moment_after``, or minutes that are none.
    """
    if until is not None:
        moment_after(until, datetime.now())
    if max_minutes is not None and not (isfinite(max_minutes) and max_minutes > 0):
        raise ConfigError(
            f"at most {max_minutes} minutes", needed="more than 0", do="try --max-minutes 60"
        )
