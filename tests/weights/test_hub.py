"""The Hub from outside: the real client, in a process of its own, against a Hub on loopback."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mardini_cli import config
from mardini_cli.weights import layout
from tests.weights.hub_server import Hub, Reply, error, serving, sha256

ROOT = Path(__file__).parents[2]
BIG = 24 * 2**20
"""Bytes: the client hands over 10 MiB at a time, and what is less is lost in a cut."""
NO_NETWORK = """
import socket
def _refuse(*words, **more): raise AssertionError("a connection was tried")
socket.socket.connect = socket.socket.connect_ex = _refuse
socket.getaddrinfo = socket.create_connection = _refuse
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Folder of the client's cache."""
    return tmp_path / "hf"


def files(content: bytes = b"tensors", seed: int = 0) -> dict[str, bytes]:
    """A repository in our form; what stands in its tensors is nobody's business here."""
    stored = layout.Stored(size=len(content), sha256=sha256(content))
    card = layout.card_text(config.nano(), {"seed": seed}, {layout.TENSORS: stored})
    return {layout.CONFIG: card.encode(), layout.TENSORS: content, "README.md": b"card"}


def environment(hub: Hub, home: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HOME": str(home),
        "HF_HOME": str(home),
        "HF_ENDPOINT": hub.address,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        **more,
    }


def start(
    hub: Hub, home: Path, *words: str, before: str = "", **more: str
) -> subprocess.Popen[str]:
    code = f"{before}\nimport sys\nsys.argv[0] = 'mardini'\n"
    return subprocess.Popen(
        [sys.executable, "-c", code + "from mardini_cli.cli.app import main\nmain()", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(hub, home, **more),
    )


def run(
    hub: Hub, home: Path, *words: str, before: str = "", **more: str
) -> tuple[int | None, str, str]:
    """Exit code, standard output, standard error."""
    process = start(hub, home, *words, before=before, **more)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def refused(hub: Hub, home: Path, *words: str, before: str = "", **more: str) -> tuple[str, str]:
    """Code and line of the error that a command ends with; one line, and nothing else."""
    status, out, err = run(hub, home, *words, "--json", before=before, **more)
    assert (status, err.count("\n")) == (1, 1), err
    told = json.loads(out.splitlines()[-1])
    assert err == f"mardini: {told['found']}; needs {told['needed']}; {told['do']}\n"
    return told["code"], err


def fetched(hub: Hub, home: Path, *words: str, **more: str) -> Path:
    """The folder that a download ends in."""
    status, out, err = run(hub, home, "weights", "download", *words, **more)
    assert status == 0, err
    return Path(out.strip())


def leftovers(home: Path) -> list[Path]:
    return sorted(home.rglob("*.incomplete"))


def test_a_download_brings_our_files_and_nothing_else(hub: Hub, home: Path) -> None:
    told = files()
    hub.commit("me/nano", {**told, "pytorch_model.bin": b"pickle", "code.py": b"code"})

    folder = fetched(hub, home, "hub:me/nano")

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == told
    assert leftovers(home) == []


def test_what_is_here_is_not_fetched_twice(hub: Hub, home: Path) -> None:
    hub.commit("me/nano", files())
    first = fetched(hub, home, "hub:me/nano")
    before = len(hub.fetched())

    second = fetched(hub, home, "me/nano")

    assert first == second
    assert (before, len(hub.fetched())) == (1, 1)


def test_the_token_goes_to_the_hub_and_to_nobody_else(hub: Hub, home: Path) -> None:
    hub.commit("me/nano", files())

    fetched(hub, home, "hub:me/nano", HF_TOKEN="hf_secret")

    assert {one.token for one in hub.fetched()} == {None}
    assert {one.token for one in hub.asked if one not in hub.fetched()} == {"Bearer hf_secret"}


def test_a_stream_that_breaks_at_99_percent_goes_on_where_it_stopped(hub: Hub, home: Path) -> None:
    content = os.urandom(BIG)
    hub.commit("me/big", files(content))
    hub.cuts.append(BIG * 99 // 100)

    status, out, err = run(hub, home, "weights", "download", "hub:me/big", "--quiet")

    folder = Path(out.strip())
    assert (status, err) == (0, "")
    assert (folder / layout.TENSORS).read_bytes() == content
    assert [one.range for one in hub.fetched()] == [None, f"bytes={20 * 2**20}-"]


def test_a_process_killed_at_99_percent_loses_nothing_that_came(hub: Hub, home: Path) -> None:
    content = os.urandom(BIG)
    hub.commit("me/big", files(content))
    sent = iter(range(100))
    hub.pause = lambda: time.sleep(60 if next(sent) == 23 else 0)
    process = start(hub, home, "weights", "download", "hub:me/big")
    end = time.monotonic() + 30
    while not [one for one in leftovers(home) if one.stat().st_size == 20 * 2**20]:
        assert time.monotonic() < end, process.communicate()
        time.sleep(0.02)
    process.kill()
    process.communicate()

    hub.pause = lambda: None
    folder = fetched(hub, home, "hub:me/big")

    assert (folder / layout.TENSORS).read_bytes() == content
    assert [one.range for one in hub.fetched()] == [None, f"bytes={20 * 2**20}-"]
    assert leftovers(home) == []


def test_ctrl_c_ends_a_download_at_once_and_keeps_what_came(hub: Hub, home: Path) -> None:
    hub.commit("me/big", files(os.urandom(BIG)))
    hub.pause = lambda: time.sleep(0.1)
    process = start(hub, home, "weights", "download", "hub:me/big")
    while not [one for one in leftovers(home) if one.stat().st_size]:
        time.sleep(0.02)
    process.send_signal(2)
    out, err = process.communicate(timeout=10)

    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert len(leftovers(home)) == 1


def test_a_silent_stream_is_given_up_and_taken_up_again(hub: Hub, home: Path) -> None:
    hub.commit("me/nano", files())
    silent = iter([True])
    hub.pause = lambda: time.sleep(3 if next(silent, False) else 0)

    folder = fetched(hub, home, "hub:me/nano", HF_HUB_DOWNLOAD_TIMEOUT="1")

    assert (folder / layout.TENSORS).read_bytes() == b"tensors"
    assert len(hub.fetched()) == 2


def test_a_revision_is_a_tag_a_branch_or_a_commit(hub: Hub, home: Path) -> None:
    old = hub.commit("me/nano", files(b"old"), "v1")
    new = hub.commit("me/nano", files(b"newer"))

    folders = {at: fetched(hub, home, f"hub:me/nano@{at}") for at in ("v1", old, "main", new)}

    assert [folder.name for folder in folders.values()] == [old, old, new, new]
    assert (folders["v1"] / layout.TENSORS).read_bytes() == b"old"


def test_a_branch_that_moves_is_followed_by_download_alone(hub: Hub, home: Path) -> None:
    old = hub.commit("me/nano", files(b"old"))
    fetched(hub, home, "hub:me/nano")
    new = hub.commit("me/nano", files(b"newer"))

    _, before, _ = run(hub, home, "weights", "where", "hub:me/nano", "--json")
    fetched(hub, home, "hub:me/nano")
    _, after, _ = run(hub, home, "weights", "where", "hub:me/nano", "--json")

    assert [json.loads(told)["revision"] for told in (before, after)] == [old, new]


def test_other_bytes_than_promised_are_refused_and_removed(hub: Hub, home: Path) -> None:
    hub.commit("me/nano", files(b"tensors"))
    hub.store[sha256(b"tensors")] = b"tampers"

    code, err = refused(hub, home, "weights", "download", "hub:me/nano")

    assert code == "weights-damaged"
    assert "model.safetensors of hub:me/nano@main came with other content" in err
    assert leftovers(home) == []
    kept = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert b"tampers" not in kept


def test_bytes_that_changed_in_the_cache_are_found_removed_and_fetched_again(
    hub: Hub, home: Path
) -> None:
    hub.commit("me/nano", files(b"tensors"))
    stored = fetched(hub, home, "hub:me/nano") / layout.TENSORS
    stored.resolve().write_bytes(b"tampers")

    code, _ = refused(hub, home, "weights", "download", "hub:me/nano")
    again = fetched(hub, home, "hub:me/nano")

    assert code == "weights-damaged"
    assert (again / layout.TENSORS).read_bytes() == b"tensors"


def test_tensors_that_the_config_does_not_vouch_for_are_refused(hub: Hub, home: Path) -> None:
    hub.commit("me/nano", {**files(b"tensors"), layout.TENSORS: b"swapped"})

    code, err = refused(hub, home, "weights", "download", "hub:me/nano")

    assert code == "weights-damaged"
    assert f"needs SHA-256 {sha256(b'tensors')}" in err


@pytest.mark.parametrize("switch", ["flag", "variable"])
def test_offline_makes_no_connection(hub: Hub, home: Path, switch: str) -> None:
    hub.commit("me/nano", files())
    more = {"HF_HUB_OFFLINE": "1"} if switch == "variable" else {}
    flag = ["--offline"] if switch == "flag" else []

    code, err = refused(
        hub, home, *flag, "weights", "download", "hub:me/nano", before=NO_NETWORK, **more
    )
    folder = fetched(hub, home, "hub:me/nano")
    asked = len(hub.asked)
    status, out, _ = run(
        hub, home, *flag, "weights", "where", "hub:me/nano", before=NO_NETWORK, **more
    )

    assert code == "hub-offline"
    assert "leave --offline out and unset HF_HUB_OFFLINE" in err
    assert (status, str(folder) in out) == (0, True)
    assert len(hub.asked) == asked


def test_what_is_in_the_cache_is_used_without_a_look_at_the_network(hub: Hub, home: Path) -> None:
    hub.commit("me/nano", files())
    folder = fetched(hub, home, "hub:me/nano")
    code = f"{NO_NETWORK}\nfrom mardini_cli import weights\nprint(weights.find('me/nano'))"

    told = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(hub, home),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert told.stdout == f"{folder}\n"


def test_half_a_download_without_a_network_is_named_so(hub: Hub, home: Path) -> None:
    hub.commit("me/nano", files())
    (fetched(hub, home, "hub:me/nano") / layout.TENSORS).unlink()

    code, err = refused(hub, home, "--offline", "weights", "download", "me/nano")

    assert code == "weights-incomplete"
    assert "run 'mardini weights download hub:me/nano@main'" in err


REFUSALS = {
    "no repository": ("hub:me/none", {}, "weights-missing", "no repository me/none on"),
    "no revision": ("hub:me/nano@v9", {}, "weights-missing", "me/nano has no revision 'v9'"),
    "gated": (
        "hub:me/nano",
        {"/api/models/": error(403, "GatedRepo")},
        "hub-gated",
        "me/nano is gated; needs access that its owners granted, and a token; ask for it on ",
    ),
    "gated files": (
        "hub:me/nano",
        {"/resolve/": error(403, "GatedRepo")},
        "hub-gated",
        "me/nano is gated",
    ),
    "revoked token": (
        "hub:me/nano",
        {"/api/models/": error(401, message="Invalid credentials in Authorization header")},
        "hub-token",
        "refuses the access token for me/nano (401); needs a valid token",
    ),
    "no right": ("hub:me/nano", {"/api/": error(403)}, "hub-token", "(403)"),
    "too many": ("hub:me/nano", {"/api/": error(429)}, "hub-unreachable", "too many requests"),
    "in trouble": ("hub:me/nano", {"/api/": error(503)}, "hub-unreachable", "in trouble (503)"),
    "store in trouble": (
        "hub:me/nano",
        {"/store/": error(500)},
        "hub-unreachable",
        "is in trouble (500)",
    ),
    "teapot": ("hub:me/nano", {"/api/": error(418)}, "hub", "refuses me/nano"),
}


@pytest.mark.parametrize(("name", "refusals", "code", "told"), REFUSALS.values(), ids=REFUSALS)
def test_each_refusal_has_a_code_and_a_next_step(
    hub: Hub, home: Path, name: str, refusals: dict[str, Reply], code: str, told: str
) -> None:
    hub.commit("me/nano", files())
    hub.refusals = refusals

    found, err = refused(hub, home, "weights", "download", name, HF_TOKEN="hf_secret")

    assert found == code
    assert told in err
    assert "hf_secret" not in err
    assert leftovers(home) in ([], [p for p in leftovers(home) if p.stat().st_size == 0])


def test_no_network_is_said_plainly(hub: Hub, home: Path) -> None:
    code, err = refused(
        hub, home, "weights", "download", "hub:me/nano", HF_ENDPOINT="http://127.0.0.1:9"
    )

    assert code == "hub-unreachable"
    assert err.startswith("mardini: http://127.0.0.1:9 cannot be reached (")


def test_a_full_disk_is_noticed_before_the_download(hub: Hub, home: Path) -> None:
    hub.commit("me/nano", files())
    full = "import shutil, types\nshutil.disk_usage = lambda _: types.SimpleNamespace(free=2**20)\n"

    code, err = refused(hub, home, "weights", "download", "hub:me/nano", before=full)

    assert code == "no-space"
    assert "set HF_HOME to another disk" in err
    assert hub.fetched() == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"README.md": b""}, "hub:me/odd@main has no config.json; "),
        (
            {"config.json": b"{}", "pytorch_model.bin": b""},
            "has no model.safetensors; pytorch_model.bin is a pickle, and those are never opened",
        ),
        ({"config.json": b'{"model_type": "bert"}', layout.TENSORS: b""}, "has format None"),
        (
            {layout.CONFIG: b"{}", layout.INDEX: b'{"weight_map": {"x": "model-1.safetensors"}}'},
            "has no model-1.safetensors",
        ),
        (
            {layout.CONFIG: b"{}", layout.INDEX: b'{"weight_map": {"x": "../../x.safetensors"}}'},
            "names '../../x.safetensors'",
        ),
    ],
)
def test_a_repository_of_another_form_costs_no_download(
    hub: Hub, home: Path, content: dict[str, bytes], told: str
) -> None:
    hub.commit("me/odd", content)

    code, err = refused(hub, home, "weights", "download", "hub:me/odd")

    assert code == "weights-layout"
    assert told in err
    assert hub.fetched() == []


def test_two_processes_fetch_a_file_once(hub: Hub, home: Path) -> None:
    hub.commit("me/big", files(os.urandom(BIG)))
    hub.pause = lambda: time.sleep(0.05)

    both = [start(hub, home, "weights", "download", "hub:me/big") for _ in range(2)]
    told = [process.communicate(timeout=60) for process in both]

    assert [process.returncode for process in both] == [0, 0], told
    assert told[0][0] == told[1][0]
    assert len(hub.fetched()) == 1


def test_list_shows_and_remove_frees_what_the_cache_holds(hub: Hub, home: Path) -> None:
    commit = hub.commit("me/nano", files(b"x" * 2**20))
    hub.commit("me/other", {"config.json": b"{}"})
    fetched(hub, home, "hub:me/nano")

    _, before, _ = run(hub, home, "weights", "list")
    status, removed, _ = run(hub, home, "weights", "remove", "hub:me/nano")
    _, after, _ = run(hub, home, "weights", "list")

    assert f"hub:me/nano@{commit}  hub  nano  1.0 MiB" in before
    assert (status, removed) == (0, "hub:me/nano@main  removed, 1.0 MiB free again\n")
    assert before.startswith(after)
    assert after.startswith("mardini-tiny  release  tiny")
    assert refused(hub, home, "weights", "remove", "hub:me/nano")[0] == "weights-missing"


def test_only_the_revision_that_is_named_is_removed(hub: Hub, home: Path) -> None:
    hub.commit("me/nano", files(b"old"), "v1")
    fetched(hub, home, "hub:me/nano@v1")
    new = hub.commit("me/nano", files(b"newer"))
    fetched(hub, home, "hub:me/nano")

    run(hub, home, "weights", "remove", "hub:me/nano@v1")
    _, out, _ = run(hub, home, "weights", "list", "--json")

    revisions = [told["revision"] for told in map(json.loads, out.splitlines())]
    assert revisions[1:] == [new]


def test_the_word_hub_is_what_is_configured(hub: Hub, home: Path) -> None:
    hub.commit("me/nano", files(), "v1")

    folder = fetched(hub, home, MARDINI_HUB_REPO="me/nano@v1")
    code, err = refused(hub, home, "weights", "download")

    assert (folder / layout.TENSORS).is_file()
    assert (code, "'hub' without MARDINI_HUB_REPO" in err) == ("weights-missing", True)


def test_progress_is_told_in_mebibytes(hub: Hub, home: Path) -> None:
    hub.commit("me/big", files(os.urandom(BIG)))

    _, out, err = run(hub, home, "weights", "download", "hub:me/big", "--json")

    *steps, last = [json.loads(line) for line in out.splitlines()]
    assert err == ""
    assert {(step["event"], step["total"], step["unit"]) for step in steps} == {
        ("progress", 24, "MiB")
    }
    assert [steps[0]["done"], steps[-1]["done"]] == [0, 24]
    assert (last["event"], last["files"], last["size"] > BIG) == ("fetched", 3, True)


def pushed_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in files(b"mine").items():
        (folder / name).write_bytes(content)
    (folder / "train.toml").write_text("private")
    return folder


def test_a_dry_push_sends_nothing(hub: Hub, home: Path, tmp_path: Path) -> None:
    folder = pushed_folder(tmp_path)

    status, out, _ = run(hub, home, "weights", "push", str(folder), "me/mine", "--dry-run")

    assert (status, hub.asked) == (0, [])
    assert out == (
        f"{hub.address}/me/mine  private  would send README.md, config.json, model.safetensors "
        "(0.0 MiB)\n"
    )


@pytest.mark.parametrize("public", [False, True])
def test_what_is_pushed_comes_back(hub: Hub, home: Path, tmp_path: Path, public: bool) -> None:
    folder = pushed_folder(tmp_path)
    flags = ["--public"] if public else []

    status, out, err = run(
        hub, home, "weights", "push", str(folder), "me/mine", *flags, HF_TOKEN="hf_writes"
    )
    back = fetched(hub, home, "hub:me/mine")

    assert (status, f"/me/mine  {'public' if public else 'private'}  " in out) == (0, True), err
    assert hub.repos["me/mine"].private is not public
    for name in (layout.CONFIG, layout.TENSORS, "README.md"):
        assert (back / name).read_bytes() == (folder / name).read_bytes()
    assert {path.name for path in back.iterdir()} == {layout.CONFIG, layout.TENSORS, "README.md"}


def test_a_push_without_a_token_or_with_damaged_weights_asks_nobody(
    hub: Hub, home: Path, tmp_path: Path
) -> None:
    folder = pushed_folder(tmp_path)

    without = refused(hub, home, "weights", "push", str(folder), "me/mine")[0]
    (folder / layout.TENSORS).write_bytes(b"oops")
    damaged = refused(hub, home, "weights", "push", str(folder), "me/mine", HF_TOKEN="hf_w")[0]

    assert (without, damaged) == ("hub-token", "weights-damaged")
    assert hub.asked == []
