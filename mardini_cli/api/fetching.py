"""Weights that a job names and that are not here yet are fetched, and the way is told.

Room: api. Light to import: the Hub's library comes in when something is to be fetched.
"""

from collections.abc import Callable, Generator
from functools import wraps
from typing import TypeVar

from mardini_cli.api.making import MakeRequest
from mardini_cli.events import Event, Progress
from mardini_cli.weights.sources import AbsentWeightsError, locate

Request = TypeVar("Request", bound=MakeRequest)
Work = Callable[[Request], Generator[Event, None, None]]


def with_weights(job: Work[Request]) -> Work[Request]:
    """Let a job fetch its weights once all that it checks before them is right, and start again.

    ``Progress`` in MiB then comes before the job's own events.
    """

    @wraps(job)
    def run(request: Request) -> Generator[Event, None, None]:
        try:
            yield from job(request)
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
