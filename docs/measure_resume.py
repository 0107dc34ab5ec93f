"""Measure what is lost when work is stopped: nothing, it is hoped.

Usage:
    python docs/measure_resume.py kill [RUNS = 50] [TASK = interpolate]   SIGKILL at random moments
    python docs/measure_resume.py disk [RUNS = 10]         a disk that is full, at random points
    python docs/measure_resume.py terminal                 Ctrl-C on a terminal, at every stage
    python docs/measure_resume.py together [RUNS = 10]     several runs on one output, at once
    python docs/measure_resume.py cost                     what keeping costs, at 1080p

Real processes, real signals, a real file system. To save the seconds that torch takes to load,
each run is a fork of this process, which has made nothing yet; it runs ``main`` of the command line
with the smallest model on a small clip. Segments end after 0.1 s instead of 10 s of work, so that
there are some. A run is right if its result has the bytes of work that was never stopped, and if
nothing else is left in its folder.
"""

import os
import pty
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic, process_time, sleep

import av
import numpy as np
import torch

from mardini_cli import config, weights
from mardini_cli.cli import app
from mardini_cli.media import segments
from mardini_cli.media.colour import Colour
from mardini_cli.media.planes import LAYOUTS, frame_from_rgb
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import Maker, keeping

SEGMENT_SECONDS = 0.1
TASKS = {
    "interpolate": ("interpolate", "walk.mkv", "--factor", "8", "-o", "out.mp4"),
    "levels": ("interpolate", "walk.mkv", "--factor", "20", "-o", "out.mkv"),
    "extend": ("extend", "walk.mkv", "--frames", "60", "--direction", "both", "-o", "out.mkv"),
    "animate": ("animate", "boat.png", "--frames", "60", "--smooth", "16", "-o", "out.mp4"),
}
FRAMES = 25


@dataclass(frozen=True)
class Ended:
    """How one run ended."""

    status: int
    """Exit code, or minus the signal's number."""
    said: str
    seconds: float


def main(words: Sequence[str]) -> None:
    """Measure what is asked for."""
    measures: dict[str, Callable[..., None]] = {
        "kill": kill,
        "disk": disk,
        "terminal": terminal,
        "together": together,
        "cost": cost,
    }
    measures[words[0]](*words[1:])


# Runs ---------------------------------------------------------------------------------------------


def shelf(folder: Path) -> Path:
    """A clip, a picture and weights."""
    folder.mkdir(exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MarDini(config.preset("nano")).eval()
        with torch.no_grad():
            for parameter in model.parameters():  # last layers start at zero otherwise
                parameter.add_(0.004 * torch.randn_like(parameter))
    weights.save(model, folder / "nano", storage="fp32")
    with av.open(str(folder / "walk.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_picture(number), "rgb24")))
        container.mux(stream.encode())
    from PIL import Image

    Image.fromarray(_picture(0)).save(folder / "boat.png")
    return folder


def _picture(number: int) -> np.ndarray:
    rows, columns = np.mgrid[:64, :96]
    red = (rows * 3 + columns * 2) % 256
    pixels = np.stack((red, 255 - red, np.full_like(red, 90)), -1).astype(np.uint8)
    texture = np.random.default_rng(7).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    pixels[20:36, 4 + 3 * number : 20 + 3 * number] = texture
    return pixels


def words_for(task: str, *more: str) -> list[str]:
    """The command line of a task."""
    return [*TASKS[task], "--model", "nano", "--device", "cpu", "--resume", "force", *more]


def begun(folder: Path, words: Sequence[str], said: Path, hook: Callable[[], None] | None) -> int:
    """Start a run; its process."""
    child = os.fork()
    if child == 0:
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _run(folder, words, hook)
    return child


def _run(folder: Path, words: Sequence[str], hook: Callable[[], None] | None) -> None:
    """In the child: be the program, and never come back."""
    os.chdir(folder)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")  # they may be other things now
    keeping.SEGMENT_SECONDS = SEGMENT_SECONDS
    sys.argv = ["mardini", *words]
    code = 70
    try:
        if hook is not None:
            hook()
        app.main()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except Exception:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int, said: Path, began: float) -> Ended:
    """Wait for a run."""
    _, status = os.waitpid(child, 0)
    text = said.read_text(encoding="utf-8") if said.exists() else ""
    return Ended(os.waitstatus_to_exitcode(status), text, monotonic() - began)


def run(folder: Path, words: Sequence[str], said: Path) -> Ended:
    """A run from beginning to end."""
    began = monotonic()
    return ended(begun(folder, words, said, None), said, began)


def copied(source: Path, folder: Path) -> Path:
    """A fresh folder with the same inputs."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    return folder


def result(folder: Path) -> str:
    """SHA-256 of the result."""
    (output,) = (p for p in folder.glob("out.*") if p.name in RESULTS)
    return sha256(output.read_bytes()).hexdigest()


def left(folder: Path) -> list[str]:
    """What stands beside inputs and result."""
    return sorted(p.name for p in folder.iterdir() if p.name not in {*INPUTS, *RESULTS})


RESULTS = {"out.mp4", "out.mkv"}
INPUTS = {"walk.mkv", "boat.png", "nano"}


# Measures -----------------------------------------------------------------------------------------


def kill(runs: str = "50", task: str = "interpolate") -> None:
    """SIGKILL at random moments of one job; the same command goes on."""
    with tempfile.TemporaryDirectory() as place:
        source, said = shelf(Path(place, "shelf")), Path(place, "said")
        whole = copied(source, Path(place, "whole"))
        plain = run(whole, words_for(task), said)
        assert plain.status == 0, plain.said
        wanted, chance = result(whole), random.Random(0)
        same = resumed = named = early = 0
        for number in range(int(runs)):
            killed = False
            while not killed:  # a run that is over before the signal does not count
                folder, began = copied(source, Path(place, "run")), monotonic()
                child = begun(folder, words_for(task), said, None)
                sleep(chance.uniform(0, plain.seconds))
                os.kill(child, signal.SIGKILL)
                killed = ended(child, said, began).status == -signal.SIGKILL
                early += not killed
            again = run(folder, words_for(task), said)
            resumed += "goes on from earlier work" in again.said
            named += "exists already" in again.said
            assert again.status == 0 or "exists already" in again.said, again.said
            good = result(folder) == wanted and left(folder) == []
            same += good
            if not good:
                print(f"run {number}: {left(folder)}")
    print(
        f"kill, {task}: {same} of {runs} results equal, {resumed} went on from segments,"
        f" {named} had their name already ({early} more were over before the signal);"
        f" a whole run takes {plain.seconds:.1f} s"
    )


def disk(runs: str = "10", apart: str = "") -> None:
    """Fill a small disk at random points: one line, what was there stands, and it goes on."""
    if not apart:  # a mount of our own, which nobody else sees and which ends with us
        alone = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root"]
        subprocess.run([*alone, sys.executable, __file__, "disk", runs, "apart"], check=True)
        return
    with tempfile.TemporaryDirectory() as place:
        source, said = shelf(Path(place, "shelf")), Path(place, "said")
        whole = copied(source, Path(place, "whole"))
        assert run(whole, words_for("interpolate"), said).status == 0
        wanted, chance = result(whole), random.Random(0)
        size = next(whole.glob("out.*")).stat().st_size
        small, good, refused = Path(place, "small"), 0, []
        small.mkdir()
        for number in range(int(runs)):
            where = ["--work-dir", place] if number % 2 else []  # then only the result is there
            words = words_for("interpolate", *where)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=True)
            try:
                folder = copied(source, small / "run")
                (folder / "mine.txt").write_bytes(b"mine")
                room = chance.randrange(4096, size - 4096 if where else 600_000)
                free = shutil.disk_usage(small).free
                (small / "ballast").write_bytes(bytes(max(free - room, 0)))
                full = run(folder, words, said)
                refused.append(f"{room // 1024} KiB: {full.said.strip().splitlines()[-1]}")
                intact = (folder / "mine.txt").read_bytes() == b"mine"
                clear = full.status == 1 and "Traceback" not in full.said
                none = not list(folder.glob("out.*"))
                (small / "ballast").unlink()
                again = run(folder, words, said)
                (folder / "mine.txt").unlink()
                good += (
                    intact
                    and clear
                    and none
                    and again.status == 0
                    and result(folder) == wanted
                    and left(folder) == []
                )
            finally:
                subprocess.run(["umount", small], check=True)
    print("\n".join(refused))
    print(f"disk: {good} of {runs} right")


def terminal() -> None:
    """Ctrl-C on a terminal at every stage; twice, while a window takes long."""
    with tempfile.TemporaryDirectory() as place:
        source, said = shelf(Path(place, "shelf")), Path(place, "said")
        words = words_for("interpolate", "--preview")
        whole = copied(source, Path(place, "whole"))
        assert run(whole, words, said).status == 0
        wanted = result(whole)
        for stage, presses in [*((stage, 1) for stage in STAGES), ("making", 2)]:
            folder = copied(source, Path(place, "run"))
            shown, status, seconds = _pressed(folder, words, stage, presses)
            hidden, visible = shown.rfind("\x1b[?25l"), shown.rfind("\x1b[?25h")
            kept = left(folder)
            done = bool(list(folder.glob("out.mp4")))
            told = "to go on: mardini interpolate" in shown or "command goes on" in shown
            if done:  # the stage comes after the result has its name
                (folder / "out.mp4").unlink()
            again = run(folder, words, said)
            (folder / "out.preview.png").unlink(missing_ok=True)
            right = again.status == 0 and result(folder) == wanted and left(folder) == []
            print(
                f"{stage:<10} {presses} x Ctrl-C: exit {status} after {seconds:.2f} s,"
                f" cursor {'shown' if visible >= hidden else 'HIDDEN'},"
                f" {'told' if told else 'not told'} how to go on, left {kept or 'nothing'};"
                f" then {'the same bytes' if right else 'NOT RIGHT: ' + again.said}"
            )


STAGES = ("reading", "loading", "making", "later", "verifying", "drawing")


def _hooks(stage: str, tell: int, pause: float) -> None:
    """In the child: tell the parent when a stage is reached, and stay in it for a while."""
    from mardini_cli.media import probe as probing
    from mardini_cli.media import verify
    from mardini_cli.pipeline import looking

    places: dict[str, tuple[object, str, int]] = {
        "reading": (probing, "_scan", 1),
        "loading": (weights, "load", 1),
        "making": (Maker, "__call__", 1),
        "later": (Maker, "__call__", 9),
        "verifying": (verify, "verify", 1),
        "drawing": (looking, "preview", 1),
    }
    owner, name, turn = places[stage]
    usual, seen = getattr(owner, name), [0]

    def watched(*given: object, **named: object) -> object:
        seen[0] += 1
        if seen[0] == turn:
            os.write(tell, b"x")
            sleep(pause)
        return usual(*given, **named)

    setattr(owner, name, watched)


def _pressed(folder: Path, words: list[str], stage: str, presses: int) -> tuple[str, int, float]:
    """Press Ctrl-C in a stage, on a terminal of its own: what was shown, status, seconds."""
    hear, tell = os.pipe()
    pause = 0.5 if presses == 1 else 30.0
    child, screen = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        _run(folder, words, lambda: _hooks(stage, tell, pause))
    os.close(tell)
    shown = bytearray()

    def listen(seconds: float, until: int) -> bool:
        end = monotonic() + seconds
        while monotonic() < end:
            ready, _, _ = select.select([screen, until], [], [], 0.05)
            if screen in ready:
                try:
                    shown.extend(os.read(screen, 1 << 16))
                except OSError:
                    return False  # the other side is closed
            if until in ready:
                return True
        return False

    assert listen(60, hear), shown.decode(errors="replace")
    os.read(hear, 1)
    began = monotonic()
    for press in range(presses):
        os.write(screen, b"\x03")
        if press + 1 < presses:
            listen(0.5, hear)
    status: int | None = None
    while status is None:
        listen(0.05, hear)
        found, raw = os.waitpid(child, os.WNOHANG)
        status = os.waitstatus_to_exitcode(raw) if found else None
        assert monotonic() - began < 60, "it does not end"
    seconds = monotonic() - began
    listen(0.2, hear)
    os.close(screen)
    os.close(hear)
    return shown.decode(errors="replace"), status, seconds


def together(runs: str = "10") -> None:
    """Four runs on one output at the same time: one writes, the others are refused."""
    with tempfile.TemporaryDirectory() as place:
        source, said = shelf(Path(place, "shelf")), Path(place, "said")
        words = words_for("interpolate")
        whole = copied(source, Path(place, "whole"))
        assert run(whole, words, said).status == 0
        wanted, good = result(whole), 0
        for _ in range(int(runs)):
            folder, began = copied(source, Path(place, "run")), monotonic()
            files = [Path(place, f"said{n}") for n in range(4)]
            children = [begun(folder, words, file, None) for file in files]
            ends = [ended(c, f, began) for c, f in zip(children, files, strict=True)]
            refused = [e for e in ends if "is being written by another run" in e.said]
            good += (
                sorted(e.status for e in ends) == [0, 1, 1, 1]
                and len(refused) == 3
                and result(folder) == wanted
                and left(folder) == []
            )
    print(f"together: {good} of {runs} right (4 runs each: 1 writes, 3 are refused)")


def cost() -> None:
    """Processor time and room of one kept frame at 1080p, of a natural picture with grain."""
    clip = Path(__file__).parents[1] / "examples" / "cat.mp4"
    with av.open(str(clip)) as container:
        shown = [f.reformat(1920, 1080, "rgb24").to_ndarray() for f in container.decode(video=0)]
    chance, frames = np.random.default_rng(0), []
    for pixels in shown[:8]:
        grain = chance.normal(0, 2 / 255, (1080, 1920, 3)).astype(np.float32)
        levels = pixels.astype(np.float32) / np.float32(255)
        frames.append(np.clip(levels + grain, np.float32(0), np.float32(1)))
    layout = LAYOUTS["yuv420p"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "segments")
        segments.begin(folder, {})
        kept = segments.Segments(folder, layout, (1080, 1920))
        began = process_time()
        stored = [frame_from_rgb(frame, layout, Colour()) for frame in frames]
        converting, began = process_time() - began, process_time()
        for number, frame in enumerate(stored):
            kept.put(number, frame)
        putting, began = process_time() - began, process_time()
        kept.commit(1, 1, {}, ())
        ending, began = process_time() - began, process_time()
        for number in range(len(frames)):
            kept.frame(number)
        reading, count = process_time() - began, len(frames)
        size = (folder / "000001.made").stat().st_size / count
        kept.close()
    each = [round(seconds / count * 1000) for seconds in (converting, putting, reading)]
    print(
        f"a frame at 1080p: {size / 1e6:.2f} MB; of one core {each[0]} ms to convert,"
        f" {each[1]} ms to put, {each[2]} ms to read;"
        f" {ending * 1000:.0f} ms to end a segment of {count} frames"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)  # a forked child would wait for a pool of threads
    main(sys.argv[1:])
