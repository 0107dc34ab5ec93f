"""mardini: makes the frames that a clip lacks, by masked auto-regressive planning and diffusion.

The public names below come in when they are first asked for, so that importing stays quick.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mardini_cli.api.calls import animate, extend, fill, interpolate
    from mardini_cli.pipeline.notebooks import MarDini

__version__ = "0.1.0"
__all__ = ["MarDini", "__version__", "animate", "extend", "fill", "interpolate"]


def __getattr__(name: str) -> Any:
    if name == "MarDini":
        from mardini_cli.pipeline.notebooks import MarDini

        return MarDini
    if name in __all__:
        from mardini_cli.api import calls

        return getattr(calls, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
