"""What comes before a job's own events: weights are fetched, results that stand are skipped.

Room: api. Light to import: the Hub's library comes in when something is to be fetched.
"""

from collections.abc import Callable, Generator
from functools import wraps
from typing import TypeVar

from mardini_cli.api.jobs import StandsAlreadyError
from mardini_cli.api.making import MakeRequest
from mardini_cli.events import Event, Progress, Skipped
from mardini_cli.weights.sources import AbsentWeightsError, locate

Request = TypeVar("Request", bound=MakeRequest)
Work = Callable[[Request], Generator[Event, None, None]]


def with_weights(job: Work[Request]) -> Work[Request]:
    """Let a job fetch its weights once all that it checks before them is right, and start again.

    ``Progress`` in MiB then comes before the job's own events. A result that stands already, and is
    to be left alone, is ``Skipped``.
    """

    @wraps(job)
    def run(request: Request) -> Generator[Event, None, None]:
        try:
            yield from job(request)
            return
        except StandsAlreadyError as done:
            yield Skipped(output=done.output)
            return
        except AbsentWeightsError:  # raised by the checks: no event has been told yet
            place = locate(request.model).hub
        assert place is not None
        from mardini_cli.weights import hub

        for event in hub.fetching(place):
            if isinstance(event, Progress):
                yield event
        yield from job(request)

    return run
