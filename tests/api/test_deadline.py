"""When work is to stop by itself."""

from datetime import datetime, timedelta
from time import monotonic

import pytest

from mardini_cli import stopping
from mardini_cli.api.deadline import deadline_of, moment_after
from mardini_cli.errors import ConfigError

NOON = datetime(2026, 11, 24, 12, 0)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("18:30", datetime(2026, 11, 24, 18, 30)),
        ("06:00", datetime(2026, 11, 25, 6, 0)),
        ("12:00", datetime(2026, 11, 25, 12, 0)),
        ("12:00:01", datetime(2026, 11, 24, 12, 0, 1)),
        ("2026-11-27T06:00", datetime(2026, 11, 27, 6, 0)),
        ("2026-11-23", datetime(2026, 11, 23)),
    ],
)
def test_a_time_of_day_is_the_next_one_and_a_date_is_that_date(text: str, moment: datetime) -> None:
    assert moment_after(text, NOON) == moment


@pytest.mark.parametrize("text", ["", "soon", "25:00", "6", "12:60"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        moment_after(text, NOON)


def test_the_earlier_limit_counts_and_both_count_from_the_commands_begin() -> None:
    stopping.begin()
    began, at = stopping.began()
    later = (at + timedelta(hours=2)).isoformat()

    assert deadline_of(None, None) is None
    assert deadline_of(None, 90) == began + 5400
    assert deadline_of(later, 90) == began + 5400
    assert deadline_of(later, 180) == pytest.approx(began + 7200)
    assert began <= monotonic()
