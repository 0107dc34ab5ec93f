"""``mardini doctor``: what it tells, and when it says that the main job cannot run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mardini_cli.cli import doctor
from mardini_cli.errors import WeightsError

ROOT = Path(__file__).parents[2]
CHECKS = [
    "python",
    "torch",
    "device",
    "attention",
    "xformers",
    "pyav",
    "encoders",
    "hub",
    "weights",
    "terminal",
    "main job",
]


def run(*words: str, before: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    code = f"{before}\nfrom mardini_cli.cli.app import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, "doctor", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"], **more},
    )


def test_a_machine_that_works_is_told_line_by_line(tmp_path: Path) -> None:
    no_network = (
        "import socket\n"
        "def refuse(*words, **more): raise AssertionError('a connection was tried')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
    )

    shown = run(before=no_network, HF_HOME=str(tmp_path), HF_TOKEN="hf_secret")

    lines = shown.stdout.splitlines()
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [line[9:19].strip() for line in lines] == CHECKS
    assert lines[-1].startswith("ok       main job   mardini-tiny made a frame in ")
    assert f"{tmp_path}/hub, 0.0 MiB of ours" in shown.stdout
    assert "a token is set" in shown.stdout
    assert "hf_secret" not in shown.stdout


def test_json_gives_one_check_a_line() -> None:
    shown = run("--json")

    told = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [one["name"] for one in told] == CHECKS
    assert {one["event"] for one in told} == {"examined"}


def test_a_library_that_does_not_load_is_a_failed_check_and_exit_code_1() -> None:
    broken = "import sys\nsys.modules['av'] = None\n"

    shown = run(before=broken)

    failed = [line for line in shown.stdout.splitlines() if line.startswith("failed")]
    assert shown.returncode == 1
    assert len(shown.stdout.splitlines()) == len(CHECKS)
    assert [line.split()[1] for line in failed] == ["media", "encoders"]
    assert all("install mardini again" in line for line in failed)


def test_weights_that_are_not_there_are_a_failed_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mardini_cli.weights import sources

    # The place, not ``releases``: a module that is first imported meanwhile would keep that name.
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "package")

    checks = {check.name: check for check in doctor.examine()}

    assert checks["weights"].state == "failed"
    assert checks["main job"].state == "failed"
    assert checks["torch"].state == "ok"


def test_a_bug_in_a_check_keeps_its_traceback() -> None:
    def bug() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        doctor._safely(bug)  # type: ignore[arg-type]  # it never comes to an answer

    def trouble() -> None:
        raise WeightsError("found", needed="needed", do="do")

    assert doctor._safely(trouble).do == "do"  # type: ignore[arg-type]  # nor this one


def test_a_driver_that_torch_cannot_use_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    if torch.cuda.is_available():
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    check = doctor._device()

    assert check.state == "warning"
    assert "an NVIDIA driver is here, but torch uses no GPU" in check.found
    assert check.do
