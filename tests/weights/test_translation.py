"""Whatever huggingface-hub raises becomes an error of ours, with a next step."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from huggingface_hub import errors as foreign

from mardini_cli.errors import HubError, MardiniError, UsageError
from mardini_cli.weights import refusals
from mardini_cli.weights.sources import HubName

PLACE = HubName(repo="me/nano")


def subclasses(root: type[Exception]) -> Iterator[type[Exception]]:
    yield root
    for kind in root.__subclasses__():
        yield from subclasses(kind)


def raised(kind: type[Exception]) -> Exception:
    """One of the library's errors as it raises them: those of HTTP carry the answer."""
    if not issubclass(kind, foreign.HfHubHTTPError):
        return kind("trouble")
    # httpx under version 1, httpx2 under 2: whatever the library itself answers with.
    response: Any = vars(foreign)["Response"]
    http: Any = sys.modules[response.__module__.partition(".")[0]]
    return kind("trouble", response=response(418, request=http.Request("GET", "http://hub/")))


@pytest.mark.parametrize(
    "kind",
    [
        *subclasses(foreign.HfHubHTTPError),
        foreign.LocalEntryNotFoundError,
        foreign.IncompleteSnapshotError,
        foreign.FileMetadataError,
        foreign.OfflineModeIsEnabled,
        foreign.HFValidationError,
    ],
    ids=lambda kind: kind.__name__,
)
def test_every_error_of_the_library_is_translated(kind: type[Exception]) -> None:
    error = (
        kind("trouble", snapshot_path="x")
        if kind is foreign.IncompleteSnapshotError
        else raised(kind)
    )

    with pytest.raises(MardiniError) as caught, refusals.translated(PLACE):
        raise error

    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)


TRANSPORTS = [
    kind
    for kind in subclasses(refusals.TRANSPORT)
    # these two are answers, not troubles on the way
    if not issubclass(kind, foreign.HfHubHTTPError) and kind.__name__ != "HTTPStatusError"
]


@pytest.mark.parametrize("kind", TRANSPORTS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_transport_is_translated(kind: type[Exception]) -> None:
    with pytest.raises(HubError, match="cannot be reached"), refusals.translated(PLACE):
        raise kind("the line is dead")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left on device"), "no-space"),
        (PermissionError(13, "Permission denied", "/cache"), "hub"),
        (ConnectionResetError(104, "Connection reset by peer"), "hub-unreachable"),
        (OSError("Consistency check failed: file should be of size 9"), "hub-unreachable"),
    ],
)
def test_a_disk_is_no_network(error: OSError, code: str) -> None:
    with pytest.raises(MardiniError) as caught, refusals.translated(PLACE):
        raise error

    assert caught.value.code == code


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(KeyError), refusals.translated(PLACE):
        raise KeyError("ours")


def test_a_name_that_the_hub_does_not_take_is_wrong_words() -> None:
    with pytest.raises(UsageError), refusals.translated(PLACE):
        raise foreign.HFValidationError("a--b")
