"""``mardini doctor``: what this machine can do, and what stands in the way.

Room: cli. Every check gives one event; one that fails stops the main job, and the exit code tells.
The last check is the main job itself in small: the default weights make one frame.
"""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from time import monotonic

import typer

from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen
from mardini_cli.errors import ExitCode, MardiniError
from mardini_cli.events import Examined

MAIN_JOB = "mardini-tiny"
SIDE = 64
"""Pixels of the frame that the last check makes."""
AGAIN = "install mardini again: pip install -c constraints.txt ."


def doctor(json: options.JsonOpt = False) -> None:
    """Check what this machine can do.

    Shows what mardini stands on and what it will use, why the faster ways are not taken, and what
    to do about it. Ends with exit code 1 if the main job could not run. Uses no network.

    Example: mardini doctor
    """
    checks = list(examine())
    Screen.here(json=json).follow(iter(checks))
    if any(check.state == "failed" for check in checks):
        raise typer.Exit(ExitCode.FAILED)


def examine() -> Iterator[Examined]:
    """Every check in turn; one that breaks is a failed check, not the end."""
    for check in (_python, _torch, _device, _attention, _xformers, _media, _encoders):
        yield _safely(check)
    for check in (_hub, _weights, _terminal, _main_job):
        yield _safely(check)


def _safely(check: Callable[[], Examined]) -> Examined:
    name = check.__name__.strip("_").replace("_", " ")
    try:
        return check()
    except MardiniError as error:
        return _failed(name, error.found, error.do)
    except (ImportError, OSError, RuntimeError) as error:  # a broken library: found, and said
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return _failed(name, first, AGAIN)


def _ok(name: str, found: str) -> Examined:
    return Examined(name=name, state="ok", found=found, do="")


def _warning(name: str, found: str, do: str) -> Examined:
    return Examined(name=name, state="warning", found=found, do=do)


def _failed(name: str, found: str, do: str) -> Examined:
    return Examined(name=name, state="failed", found=found, do=do)


def _python() -> Examined:
    found = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    return _ok("python", f"{found}, {os.cpu_count()} cores")


def _torch() -> Examined:
    import torch

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA in it"
    return _ok("torch", f"{torch.__version__}, {built}, {torch.get_num_threads()} threads")


def _device() -> Examined:
    import psutil
    import torch

    from mardini_cli.device import choose_device, choose_dtype

    device = choose_device()
    dtype = str(choose_dtype("auto", device)).removeprefix("torch.")
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
        return _ok("device", f"{name}, {_gib(free)} of {_gib(total)} free, {dtype}")
    memory = psutil.virtual_memory()
    found = f"{device.type}, {_gib(memory.available)} of {_gib(memory.total)} free, {dtype}"
    if shutil.which("nvidia-smi") and device.type == "cpu":
        do = "see nvidia-smi" if torch.version.cuda else "install torch's CUDA build (pytorch.org)"
        return _warning("device", f"{found}; an NVIDIA driver is here, but torch uses no GPU", do)
    return _ok("device", found)


def _attention() -> Examined:
    from mardini_cli.device import choose_device, choose_dtype
    from mardini_cli.model.kernels import packed_kernel

    device = choose_device()
    packed = packed_kernel(device, choose_dtype("auto", device), 64)
    return _ok("attention", f"dense sets: sdpa; packed sets: {packed}")


def _xformers() -> Examined:
    from importlib import metadata

    from mardini_cli.device import choose_device, choose_dtype
    from mardini_cli.errors import DeviceError
    from mardini_cli.model.kernels import require_xformers

    try:
        version = metadata.version("xformers")
    except metadata.PackageNotFoundError:
        return _ok("xformers", "not installed; torch's own kernels serve")
    device = choose_device()
    if device.type != "cuda":
        return _ok("xformers", f"{version}, unused: it works on CUDA devices alone")
    try:
        require_xformers(device, choose_dtype("auto", device), 64)
    except DeviceError as error:
        return _warning("xformers", f"{version}: {error.found}; torch's own kernels serve", AGAIN)
    return _ok("xformers", version)


def _media() -> Examined:
    from mardini_cli.cli import versions

    told = dict(line.split(" ", 1) for line in versions.lines())
    return _ok("pyav", f"{told['pyav']} with {told['ffmpeg']}")


def _encoders() -> Examined:
    from mardini_cli.cli import versions
    from mardini_cli.media.encoders import ENCODERS, opens

    here = [
        name
        for name, encoder in ENCODERS.items()
        if versions.encodes(encoder.name) and (encoder.software is None or opens(name))
    ]
    lacks = [name for name in ENCODERS if name not in here]
    if "h264" not in here:
        return _failed("encoders", f"no h264, only {', '.join(here) or 'none'}", AGAIN)
    without = f"; not here: {', '.join(lacks)}" if lacks else ""
    return _ok("encoders", f"{', '.join(here)}{without}")


def _hub() -> Examined:
    from mardini_cli.weights import keeping

    state = keeping.state()
    parts = [f"{state.cache}, {state.size / 2**20:.1f} MiB of ours", state.endpoint]
    parts.append("switched off" if state.offline else "used only when asked")
    parts.append("a token is set" if state.token else "no token")
    return _ok("hub", ", ".join(parts))


def _weights() -> Examined:
    from mardini_cli.weights import shelf
    from mardini_cli.weights.sources import RELEASES

    found = [shelf.verify(name) for name in RELEASES]
    told = ", ".join(f"{one.name} (every byte compared)" for one in found)
    return _ok("weights", f"{told} in {found[0].path.parent}")


def _terminal() -> Examined:
    if not sys.stderr.isatty():
        return _ok("terminal", "none: progress comes as plain lines")
    size = shutil.get_terminal_size()
    colour = "no colours" if os.environ.get("NO_COLOR") else "colours"
    kind = os.environ.get("TERM", "no TERM")
    return _ok("terminal", f"{kind}, {size.columns}x{size.lines}, {colour}, {sys.stderr.encoding}")


def _main_job() -> Examined:
    """The default weights make one frame between two on the device that would be used."""
    import torch

    from mardini_cli import weights
    from mardini_cli.device import choose_device

    began = monotonic()
    device = choose_device()
    model = weights.load(MAIN_JOB, device, torch.float32)
    frames = torch.rand(1, 2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[False, True, False]], device=device)
    times = torch.tensor([[0.0, 0.5, 1.0]], device=device)
    with torch.inference_mode():
        given = model.look(frames.to(device), mask, times)
        made = model.decode(None, None, given, model.plan(given))
    if made.shape != (1, 1, 3, SIDE, SIDE) or not bool(torch.isfinite(made).all()):
        return _failed("main job", "the frame that was made is no picture", "try --device cpu")
    return _ok("main job", f"{MAIN_JOB} made a frame in {monotonic() - began:.1f} s")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
