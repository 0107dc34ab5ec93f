"""What every test stands on: repeatable properties, a clean environment, no network."""

import os
import socket
from typing import Any

import pytest
from hypothesis import settings

# Tests run beside each other: one thread each, in child processes too. Torch reads it at import.
os.environ["OMP_NUM_THREADS"] = "1"

# The first torch call of a process takes longer than hypothesis' usual deadline.
settings.register_profile("mardini", deadline=None, derandomize=True)
settings.load_profile("mardini")

_FOREIGN = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "PYTHONWARNINGS")


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The user's terminal, cache and our own settings must not reach a test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in list(os.environ):
        if name in _FOREIGN or name.startswith(("MARDINI_", "HF_", "TYPER_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the smallest model's weights; to be read alone."""
    from tests.pipeline.clips import nano_weights  # late: not every test needs torch

    return str(nano_weights(tmp_path_factory.mktemp("weights") / "nano"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave this machine never; loopback is allowed."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in {"127.0.0.1", "::1", "localhost"}:
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
