"""What this machine is, and the fastest matrix product that it was seen to make.

Room: bench.
"""

import platform
from time import perf_counter

import torch

from mardini_cli.device import cores, synchronise

SIDES = (4096, 8192)
"""Of the square matrices on a GPU."""
CPU_SIDES = (1024, 2048)
PRODUCTS = 20


def facts(device: torch.device, dtype: torch.dtype) -> dict[str, str | int | float]:
    """Name what was measured on."""
    found: dict[str, str | int | float] = {
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "name": properties.name,
            "memory": properties.total_memory,
            "cuda": str(torch.version.cuda),
        }
    else:
        found |= {
            "name": platform.processor() or platform.machine(),
            "cores": cores(),
            "threads": torch.get_num_threads(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
        }
    return found


@torch.inference_mode()
def ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of the best of some square matrix products."""
    best = 0.0
    for side in SIDES if device.type == "cuda" else CPU_SIDES:
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        count = PRODUCTS if device.type == "cuda" else 2
        for _ in range(3):  # the first one warms up
            synchronise(device)
            began = perf_counter()
            for _ in range(count):
                a @ b
            synchronise(device)
            best = max(best, 2 * side**3 * count / (perf_counter() - began))
    return best
