"""The wheel stands alone: installed without the checkout and without a network, it does its job."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import av
import pytest

from mardini_cli import weights

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

OFFLINE = '''\
"""Every Python of this environment runs this first: no connection leaves it."""
import socket

def _refuse(*_words, **_more):
    raise AssertionError("a connection was tried")

socket.socket.connect = socket.socket.connect_ex = _refuse
socket.getaddrinfo = socket.create_connection = _refuse
'''


def run(*words: str | Path, folder: Path) -> str:
    """Run a program with none of our environment's paths; give its standard output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    told = subprocess.run(
        words, cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=280
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    run(*build, ROOT, folder=folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of a new environment that holds the wheel, and what it needs from ours.

    Our site-packages are on its path by a line of text; the editable install of the checkout is
    a ``.pth`` file in there, which Python does not follow at second hand.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "zz_ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (packages / "sitecustomize.py").write_text(OFFLINE)
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "-q", "install")
    run(*pip, "--no-deps", "--no-index", wheel, folder=folder)
    return folder / "bin"


def test_the_wheel_holds_the_package_the_weights_and_the_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    top = {name.split("/")[0] for name in names}
    endings = {name.rpartition(".")[2] for name in top - {"mardini_cli"}}
    assert ("mardini_cli" in top, endings) == (True, {"dist-info", "data"})
    assert [name for name in names if name.endswith(".data/data/share/man/man1/mardini.1")]
    for name in ("config.json", "model.safetensors", "README.md"):
        assert f"mardini_cli/_weights/mardini-tiny/{name}" in names
    assert [name for name in names if name.endswith(("licenses/LICENSE", "licenses/NOTICE"))]
    assert "mardini_cli/py.typed" in names


def test_the_package_comes_from_the_wheel_and_finds_its_own_weights(
    programs: Path, tmp_path: Path
) -> None:
    code = (
        "import mardini_cli\nfrom mardini_cli import weights\n"
        "print(mardini_cli.__file__)\nprint(weights.find('mardini-tiny'))\n"
    )

    package, found = run(programs / "python", "-c", code, folder=tmp_path).splitlines()

    assert Path(package).is_relative_to(programs.parent)
    assert Path(found) == Path(package).parent / "_weights" / "mardini-tiny"
    assert weights.digest(Path(found)) == weights.digest(ROOT / "weights" / "mardini-tiny")


def test_the_main_job_runs_offline(programs: Path, tmp_path: Path) -> None:
    clip = tmp_path / "cat.mp4"
    shutil.copy(ROOT / "examples" / "cat.mp4", clip)

    told = run(programs / "mardini", "interpolate", "cat.mp4", "--factor", "2", folder=tmp_path)

    assert told == "cat.x2.mp4\n"
    assert _frames(tmp_path / "cat.x2.mp4") == 2 * _frames(clip) - 1


def test_every_example_script_runs(programs: Path, tmp_path: Path) -> None:
    examples = tmp_path / "examples"
    shutil.copytree(ROOT / "examples", examples)
    clips = tmp_path / "clips"
    clips.mkdir()
    _shorten(examples / "cat.mp4", clips / "cat.mp4", frames=3)
    bash = ("env", f"PATH={programs}:{os.environ['PATH']}", "bash")

    told = run(*bash, examples / "interpolate.sh", clips / "cat.mp4", folder=tmp_path)
    run(*bash, examples / "batch.sh", clips, tmp_path / "done", folder=tmp_path)
    stills = tmp_path / "stills"
    stills.mkdir()
    _write_stills(clips / "cat.mp4", stills)
    told_all = run(
        *(*bash, examples / "highlights.sh", clips / "cat.mp4"),
        *(tmp_path / "slow", "0-0.07", "0-0:00.2"),
        folder=tmp_path,
    )
    run(*bash, examples / "time_lapse.sh", stills, tmp_path / "lapse.mp4", folder=tmp_path)
    run(*bash, examples / "web_loop.sh", clips / "cat.mp4", tmp_path / "l.webm", folder=tmp_path)
    run(
        programs / "python",
        examples / "from_python.py",
        clips / "cat.mp4",
        "p.mp4",
        folder=tmp_path,
    )

    assert _frames(Path(told.strip())) == 9
    assert _frames(tmp_path / "done" / "cat.x2.mp4") == 5
    assert _frames(tmp_path / "p.mp4") == 5
    assert [_frames(Path(line)) for line in told_all.splitlines()] == [5, 9]
    assert _frames(tmp_path / "lapse.mp4") == 2 * 8 + 1
    assert _frames(tmp_path / "l.webm") == 3 + 6 + 6


def test_the_training_example_runs(programs: Path, tmp_path: Path) -> None:
    examples = tmp_path / "examples"
    shutil.copytree(ROOT / "examples", examples)
    clips = tmp_path / "my clips"
    clips.mkdir()
    shutil.copy(examples / "cat.mp4", clips)

    told = run(
        *("env", f"PATH={programs}:{os.environ['PATH']}", "bash"),
        *(examples / "train_mine.sh", clips, tmp_path / "run"),
        folder=tmp_path,
    )

    assert _frames(Path(told.strip())) == 2 * 31 - 1
    assert (tmp_path / "run" / "weights" / "model.safetensors").is_file()


def test_every_script_of_the_examples_is_run_by_a_test_and_told_of() -> None:
    page = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    tests = (Path(__file__), Path(__file__).with_name("test_examples.py"))
    here = "".join(path.read_text(encoding="utf-8") for path in tests)

    for script in (ROOT / "examples").glob("*.sh"):
        assert f"| `{script.name}` |" in page
        assert f'"{script.name}"' in here


def test_the_man_page_lies_where_man_looks_for_the_programs_of_an_environment(
    programs: Path,
) -> None:
    page = programs.parent / "share" / "man" / "man1" / "mardini.1"

    assert page.read_text() == (ROOT / "docs" / "mardini.1").read_text()


def test_the_installed_weights_verify_and_the_doctor_is_content(
    programs: Path, tmp_path: Path
) -> None:
    verified = run(programs / "mardini", "weights", "verify", folder=tmp_path)
    checked = run(programs / "mardini", "doctor", folder=tmp_path)

    assert verified.startswith("mardini-tiny  whole: ")
    assert "main job   mardini-tiny made a frame in " in checked


def test_version_runs_where_nothing_but_the_wheel_is_ours(programs: Path, tmp_path: Path) -> None:
    assert run(programs / "mardini", "--version", folder=tmp_path).startswith("mardini 0.")


def _frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def _write_stills(clip: Path, folder: Path) -> None:
    """Every frame of a clip as a picture."""
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            picture = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV gives it no types
            picture.save(folder / f"still {number}.png")


def _shorten(source: Path, target: Path, frames: int) -> None:
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = 456, 256, "yuv420p"
        for _, frame in zip(range(frames), old.decode(video=0), strict=False):
            new.mux(stream.encode(frame))
        new.mux(stream.encode())
