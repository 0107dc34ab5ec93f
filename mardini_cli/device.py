"""Hardware facts, and the one place where device and number type are chosen.

Room: device (floor 1). Torch is imported late, so that ``--help`` stays quick.
"""

from __future__ import annotations

import os
import platform
import shutil
from typing import TYPE_CHECKING

from mardini_cli.errors import DeviceError, UsageError

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "fp32", "bf16", "fp16")


def choose_device(name: str = "auto") -> torch.device:
    """Turn ``--device`` into a device that is there.

    Args:
        name: ``auto`` (CUDA, then MPS, then CPU), or any torch device such as ``cuda:1``.

    Raises:
        UsageError: no device has such a name.
        DeviceError: this machine has no such device.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and torch.backends.mps.is_available():
            name = "mps"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"unknown device '{name}'", needed="auto, cpu, cuda, cuda:N or mps", do="choose one"
        ) from error
    missing = {
        "cuda": lambda: (
            not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()
        ),
        "mps": lambda: not torch.backends.mps.is_available(),
    }.get(device.type, lambda: device.type != "cpu")()
    if missing:
        raise DeviceError(
            f"no {name} device on this machine", needed="one that torch sees", do="try --device cpu"
        )
    return device


def name_of(device: torch.device) -> str:
    """Name the kind of a device: another one of the same kind is as fast, and rounds alike."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"


def use_threads(count: int) -> None:
    """Let the networks, and the prior flow, run on so many processor threads: ``--threads``."""
    import torch

    torch.set_num_threads(count)


def prepare_compiler() -> None:
    """Check that a C compiler is there, and give what torch compiles a place that lasts.

    Torch's own place is a temporary folder, which many systems empty when they start.

    Raises:
        DeviceError: none is on the PATH.
    """
    names = [os.environ.get("CXX") or os.environ.get("CC") or "", "c++", "g++", "gcc", "clang"]
    if not any(name and shutil.which(name) for name in names):
        raise DeviceError(
            "no C compiler on this machine", needed="g++ or clang", do="leave out --compile"
        )
    from platformdirs import user_cache_path

    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(user_cache_path("mardini") / "compiled"))


def cores() -> int:
    """Processor cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what it was told."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def cuda_count() -> int:
    """How many CUDA devices torch sees; asks the driver alone, and takes hold of none."""
    import torch

    return torch.cuda.device_count()


def share_threads(processes: int) -> None:
    """Take this process's part of the machine's cores, where several work beside each other."""
    if processes > 1 and "OMP_NUM_THREADS" not in os.environ:
        use_threads(max(1, (os.cpu_count() or 1) // processes))


def has_avx512() -> bool:
    """Whether this machine's processor has AVX-512, as torch sees it."""
    import torch

    return "AVX512" in torch.backends.cpu.get_cpu_capability()


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Turn ``--dtype`` into the number type that the networks run in.

    ``auto`` is bfloat16 where the device computes in it faster, float32 elsewhere.

    Raises:
        UsageError: unknown name, or float16 on a CPU (a hundred times slower there).
    """
    import torch

    if name == "auto":
        return torch.bfloat16 if _bfloat16_pays(device) else torch.float32
    if name not in DTYPES:
        raise UsageError(f"unknown dtype '{name}'", needed=" or ".join(DTYPES), do="choose one")
    if name == "fp16" and device.type == "cpu":
        raise UsageError(
            "fp16 on a CPU runs a hundred times slower",
            needed="bf16 or fp32",
            do="use --dtype bf16",
        )
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _bfloat16_pays(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # The question is private in torch, hence the guard; without an answer float32 is right.
    asks = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and bool(asks and asks())
