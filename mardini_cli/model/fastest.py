"""Dense attention by the kernel that is fastest at its shape: tried once, then remembered.

Room: model. Which kernel wins turns on the card, on the number type and on the shape, and no rule
of thumb holds: cuDNN's leads on long sets, none of the long sets' kernels suits the 17 tokens that
share a place in temporal attention.

Dimension key
    b  sets     n  queries, n'  keys of a set     h  heads     d  channels of a head
"""

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from types import MappingProxyType
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

Dense = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries ``b n h d``, keys and values ``b n' h d`` to ``b n h d``."""
NEAR = 1.1
"""Times so near to the best count as equal, and the first kernel of them is taken: runs of the same
job should round alike, and clocks waver."""
SHORT = 64
"""Keys of a set up to which plain products are tried."""


_SWITCHES = Lock()
"""Which kernels torch may take is switched for the whole process, and windows run in threads: what
one of them allows must not be forbidden by another before it has begun."""


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Torch's own choice."""
    switched = q.is_cuda and not torch.compiler.is_compiling()
    with _SWITCHES if switched else nullcontext():
        return _attend(q, k, v)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # b n h d -> b h n d
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)  # b n h d


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Two matrix products with the softmax between, for short sets."""
    if k.shape[1] > SHORT:
        raise NotImplementedError(f"{k.shape[1]} keys: the scores would fill the memory")
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # b h n d
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # b h n n'
    out: Tensor = scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v
    return out.transpose(1, 2)  # b n h d


def _only(backend: SDPBackend) -> Dense:
    def dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with _SWITCHES, sdpa_kernel(backend):
            return _attend(q, k, v)

    return dense


KERNELS: Mapping[str, Dense] = MappingProxyType(
    {
        "sdpa": sdpa,
        "cudnn": _only(SDPBackend.CUDNN_ATTENTION),
        "flash": _only(SDPBackend.FLASH_ATTENTION),
        "efficient": _only(SDPBackend.EFFICIENT_ATTENTION),
        "plain": plain,
    }
)


def on_device(run: Callable[[], object]) -> float:
    """Seconds of a call on the current CUDA device: once to warm up, then the best of three."""
    run()
    best = float("inf")
    for _ in range(3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        best = min(best, begin.elapsed_time(end) / 1e3)
    return best


def shape_of(q: Tensor, k: Tensor) -> str:
    """Name a shape, as choices are remembered by it."""
    b, n, h, d = q.shape
    dtype = str(q.dtype).removeprefix("torch.")
    return f"{dtype} {b} x {n} of {k.shape[1]}, {h} x {d}"


class Memory(Protocol):
    """Keeps choices beyond this process."""

    def entries(self) -> Mapping[str, Any]:
        """Choices by shape, by card."""

    def keep(self, key: str, entry: object, /) -> object:
        """Put a card's choices in place of those that were kept.

        Raises:
            OSError: they cannot be kept.
        """


@dataclass(eq=False, slots=True)
class Choices:
    """The fastest kernel of each shape that was met.

    Kernels round differently and clocks waver, so that a choice which is made anew in every process
    would give other bytes now and then: with a memory, the first one made on a machine stays.
    """

    chosen: dict[str, str] = field(default_factory=dict)
    """By shape."""
    memory: Memory | None = None
    card: str = ""
    """What the memory's choices are of."""
    clock: Callable[[Callable[[], object]], float] = on_device
    lock: Lock = field(default_factory=Lock)

    def of(self, q: Tensor, k: Tensor, v: Tensor, kernels: Mapping[str, Dense]) -> str:
        """Name the kernel for a shape; tries them all where the shape is new."""
        shape = shape_of(q, k)
        if self.chosen.get(shape) not in kernels:
            with self.lock:  # two at a time would spoil each other's times
                if self.chosen.get(shape) not in kernels:  # the other one may have found it now
                    kept = self._remembered().get(shape, "")
                    self.chosen[shape] = kept if kept in kernels else self._found(q, k, v, kernels)
        return self.chosen[shape]

    def _found(self, q: Tensor, k: Tensor, v: Tensor, kernels: Mapping[str, Dense]) -> str:
        """The fastest one by the clock, from now on."""
        found, shape = self.timed(q, k, v, kernels), shape_of(q, k)
        enough = NEAR * min(found.values(), default=0.0)
        name = next((name for name, seconds in found.items() if seconds <= enough), "sdpa")
        others = self._remembered()
        if others.get(shape) in kernels:  # another process found it meanwhile
            return others[shape]
        if self.memory is not None:
            with suppress(OSError):  # then it stays in this process
                self.memory.keep(self.card, {**others, shape: name})
        return name

    def _remembered(self) -> dict[str, str]:
        told = self.memory.entries().get(self.card) if self.memory is not None else None
        return {k: str(v) for k, v in told.items()} if isinstance(told, dict) else {}

    def known(self, q: Tensor, k: Tensor, kernels: Mapping[str, Dense]) -> str:
        """Name the kernel for a shape without trying any: torch's own choice for a new one."""
        name = self.chosen.get(shape_of(q, k), "sdpa")
        return name if name in kernels else "sdpa"

    def timed(
        self, q: Tensor, k: Tensor, v: Tensor, kernels: Mapping[str, Dense]
    ) -> dict[str, float]:
        """Seconds of every kernel that runs at this shape."""
        found = dict[str, float]()
        with warnings.catch_warnings():  # torch explains at length why a kernel does not fit
            warnings.simplefilter("ignore")
            for name, kernel in kernels.items():
                # Those that do not take this shape are out of the race.
                with suppress(RuntimeError, ValueError, ImportError):
                    found[name] = self.clock(partial(kernel, q, k, v))
        return found


CHOICES = Choices()
"""This process's; shapes stay the same over a job."""
