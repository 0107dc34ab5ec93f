"""What ``mardini --version`` tells: all that a result or a bug may depend on.

Room: cli. Loaded only when asked for: it imports torch and av. It reads version facts and nothing
else of av, whose door is ``media/``.
"""

import platform
from importlib.metadata import PackageNotFoundError, version

import av
import av.codec.codec
import torch

import mardini_cli
from mardini_cli.media.door import ffmpeg_version


def lines() -> list[str]:
    """One line a fact, ``name version``."""
    return [
        f"mardini {mardini_cli.__version__}",
        f"python {platform.python_version()} ({platform.system()} {platform.machine()})",
        f"torch {torch.__version__}",
        f"cuda {_cuda()}",
        f"xformers {_xformers()}",
        f"pyav {av.__version__}",
        f"ffmpeg {ffmpeg_version()}",
        f"opencv {_installed('opencv-python-headless') or 'not installed'}",
    ]


def encodes(name: str) -> bool:
    """Whether this FFmpeg has an encoder of that name."""
    try:
        av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _cuda() -> str:
    if torch.version.cuda is None:
        return "not in this torch"
    devices = torch.cuda.device_count()
    return f"{torch.version.cuda}, {devices} device{'' if devices == 1 else 's'}"


def _xformers() -> str:
    found = _installed("xformers")
    if found is None:
        return "not installed"
    return found if torch.cuda.is_available() else f"{found} (unused: works on CUDA devices only)"


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
