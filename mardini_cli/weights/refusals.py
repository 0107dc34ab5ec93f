"""What goes wrong between here and the Hub, in our words: found, needed, what to do.

Room: weights (floor 4). Knows huggingface-hub's errors, and those of the HTTP library under it.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mardini_cli.errors import (
    HubError,
    HubGatedError,
    HubOfflineError,
    HubTokenError,
    HubUnreachableError,
    MissingWeightsError,
    NoSpaceError,
    UsageError,
    WeightsLayoutError,
)
from mardini_cli.weights.sources import HubName

TRANSPORT: type[Exception] = HfHubHTTPError.__bases__[0]
"""httpx's ``HTTPError`` under huggingface-hub 1, httpx2's under 2."""


@contextmanager
def translated(place: HubName) -> Iterator[None]:
    """The library's errors become ours, each with its next step."""
    try:
        yield
    except LocalEntryNotFoundError as error:  # what the library says when it could not look
        raise _as_ours(error.__cause__ or error, place) from error
    except (HfHubHTTPError, HFValidationError, FileMetadataError, TRANSPORT, OSError) as error:
        raise _as_ours(error, place) from error


def _as_ours(error: BaseException, place: HubName) -> Exception:
    at = constants.ENDPOINT
    match error:
        case GatedRepoError():
            return HubGatedError(
                f"{place.repo} is gated",
                needed="access that its owners granted, and a token",
                do=f"ask for it on {at}/{place.repo}, then run 'hf auth login'",
            )
        case RevisionNotFoundError():
            return MissingWeightsError(
                f"{place.repo} has no revision '{place.revision}'",
                needed="a branch, tag or commit of it",
                do=f"look at {at}/{place.repo}, or leave @{place.revision} out",
            )
        case RepositoryNotFoundError():
            return MissingWeightsError(
                f"no repository {place.repo} on {at}, or a private one",
                needed="a repository that you may read",
                do="check the name; for a private one run 'hf auth login'",
            )
        case RemoteEntryNotFoundError():
            return WeightsLayoutError(
                f"{place} lost a file while it was fetched", needed="all of them", do="try again"
            )
        case HFValidationError():
            return UsageError(
                f"'{place.repo}' is no name on the Hub", needed="ORG/NAME", do="spell it so"
            )
        case HfHubHTTPError():
            return _refused(error, place)
        case OfflineModeIsEnabled():
            return HubOfflineError(
                f"{place}: the network is switched off",
                needed="a connection",
                do="leave --offline out and unset HF_HUB_OFFLINE",
            )
        case FileMetadataError():
            return HubError(
                f"{at} does not answer as a Hub does", needed="a Hub", do="check HF_ENDPOINT"
            )
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return NoSpaceError(
                f"the disk of {constants.HF_HUB_CACHE} is full",
                needed="space for the rest",
                do="free some, or set HF_HOME to another disk; what came is kept",
            )
        case OSError() if error.errno is not None and not isinstance(error, ConnectionError):
            return HubError(
                f"{error.filename or constants.HF_HUB_CACHE}: {error.strerror}",
                needed="a cache that can be written",
                do="set HF_HOME to a folder of yours",
            )
        case _:  # no connection, a stall, a stream that broke or came too short
            return HubUnreachableError(
                f"{at} cannot be reached ({_first_line(error)})",
                needed="a connection",
                do="try again: what came is kept; HF_ENDPOINT names a mirror",
            )


def _refused(error: HfHubHTTPError, place: HubName) -> Exception:
    at, status = constants.ENDPOINT, error.response.status_code
    if status in (401, 403):
        token = "refuses the access token" if get_token() else "asks for an access token"
        return HubTokenError(
            f"{at} {token} for {place.repo} ({status})",
            needed="a valid token with the right to do this",
            do="run 'hf auth login', or set HF_TOKEN",
        )
    if status == 429 or status >= 500:
        trouble = "has too many requests" if status == 429 else "is in trouble"
        return HubUnreachableError(
            f"{at} {trouble} ({status})",
            needed="an answer",
            do="try again later: what came is kept",
        )
    return HubError(
        f"{at} refuses {place.repo}: {_first_line(error)}",
        needed="its consent",
        do="see the reason",
    )


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
