"""Attention kernels: one function over all of them, and the choice between them.

Room: model. The only door to xformers, which is imported on the first CUDA call that wants it.

Dimension key
    b  windows in the batch     n  tokens of a set     h  heads     d  channels of a head
    s  tokens of all packed sets together
"""

import contextlib
import ctypes
import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mardini_cli.errors import DeviceError, ShapeError
from mardini_cli.model import fastest
from mardini_cli.model.fastest import Dense

Backend = Literal["auto", "xformers", "sdpa"]
"""``auto`` takes what is fastest. On CUDA, dense sets: the kernel that measured best at their shape
(``fastest``), or torch's own choice where gradients are wanted; packed sets: xformers (torch's own
variable-length kernel, then one SDPA call a set, where it is missing). Elsewhere torch's SDPA."""

Kernel = Literal["xformers", "varlen", "sdpa"]
"""What works packed sets out in the end."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Sets packed one after another: set i has queries[i] queries and keys[i] keys."""

    queries: tuple[int, ...]
    keys: tuple[int, ...]


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, groups: Groups | None = None, backend: Backend = "auto"
) -> Tensor:
    """Softmax attention, scaled by d ** -0.5.

    Args:
        q: queries, ``b n h d``, or ``s h d`` when packed.
        k: keys, ``b n' h d``, or ``s' h d``.
        v: values, like k.
        groups: lengths of the packed sets, which do not see each other; None: dense sets.
        backend: who works it out; every choice gives the same within rounding.

    Returns:
        Like q.

    Raises:
        ShapeError: the lengths do not add up to the tensors.
        DeviceError: xformers was asked for by name and cannot run here.
    """
    if backend == "xformers":
        require_xformers(q.device, q.dtype, q.shape[-1])
    if groups is not None:
        return _packed_eagerly(q, k, v, groups, backend)
    if backend == "xformers":
        return _xformers(q, k, v, None)
    if backend == "auto" and q.is_cuda:
        if torch.compiler.is_compiling():  # asked first: the compiler knows no inference mode
            if not torch.is_grad_enabled():
                return _quickest_compiled(q, k, v)
        elif torch.is_inference_mode_enabled():
            return _quickest(q, k, v)
    return fastest.sdpa(q, k, v)


def require_xformers(device: torch.device, dtype: torch.dtype, channels: int) -> None:
    """Check that xformers runs here, by running it once.

    Raises:
        DeviceError: it does not; says why.
    """
    why = _xformers_trouble(device, dtype, channels)
    if why:
        raise DeviceError(
            f"xformers does not run here: {why}",
            needed="a CUDA device and the xformers that pyproject.toml pins",
            do="use --attention auto",
        )


def _quickest(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    kernels = dense_kernels(q)
    if q.is_cuda and torch.cuda.is_current_stream_capturing():
        # Nothing can be timed now; it was in the run before.
        name = fastest.CHOICES.known(q, k, kernels)
    else:
        name = fastest.CHOICES.of(q, k, v, kernels)
    return kernels[name](q, k, v)


def _quickest_here(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return _quickest(q, k, v).contiguous()  # every kernel's way to lay it out, for the compiler


# To the compiler a single operation: it would choose as torch does, not by the clock.
_operation: Any = torch.library.custom_op("mardini::attention", _quickest_here, mutates_args=())
_quickest_compiled: Dense = _operation
_operation.register_fake(lambda q, _k, _v: q.new_empty(q.shape))


def dense_kernels(q: Tensor) -> dict[str, Dense]:
    """Kernels for dense sets like these. xformers takes part once it is loaded.

    Loading it takes seconds, and its dense kernels are torch's own flash and memory-efficient ones.
    """
    kernels = dict(fastest.KERNELS)
    loaded = "xformers.ops" in sys.modules
    if loaded and not _xformers_trouble(q.device, q.dtype, q.shape[-1]):
        kernels["xformers"] = _xformers_dense
    return kernels


def _xformers_dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return _xformers(q, k, v, None)


def _packed(q: Tensor, k: Tensor, v: Tensor, groups: Groups, backend: Backend) -> Tensor:
    if (sum(groups.queries), sum(groups.keys)) != (len(q), len(k)):
        raise ShapeError(
            f"sets of {sum(groups.queries)} queries and {sum(groups.keys)} keys in all",
            needed=f"{len(q)} and {len(k)}, as packed",
            do="give the length of every set",
        )
    kernel: Kernel = packed_kernel(q.device, q.dtype, q.shape[-1]) if backend == "auto" else backend
    if kernel == "xformers":
        return _xformers(q, k, v, groups)
    return _varlen(q, k, v, groups) if kernel == "varlen" else _set_by_set(q, k, v, groups)


# A compiled graph would build the packing anew in every layer, and again for other lengths.
_disable: Any = torch.compiler.disable  # torch leaves it untyped
_packed_eagerly: Callable[[Tensor, Tensor, Tensor, Groups, Backend], Tensor] = _disable(_packed)


def _set_by_set(q: Tensor, k: Tensor, v: Tensor, groups: Groups) -> Tensor:
    lengths = (groups.queries, groups.keys, groups.keys)
    split = (x.split_with_sizes(list(n)) for x, n in zip((q, k, v), lengths, strict=True))
    sets = zip(*split, strict=True)
    return torch.cat([fastest.sdpa(q[None], k[None], v[None])[0] for q, k, v in sets])


def _xformers(q: Tensor, k: Tensor, v: Tensor, groups: Groups | None) -> Tensor:
    from xformers.ops import fmha

    if groups is None:
        dense: Tensor = fmha.memory_efficient_attention(q, k, v)
        return dense
    bias = _block_diagonal(groups, q.device)
    packed: Tensor = fmha.memory_efficient_attention(q[None], k[None], v[None], attn_bias=bias)
    return packed[0]


@lru_cache(maxsize=16)
def _block_diagonal(groups: Groups, device: torch.device) -> Any:
    """Build the mask that keeps sets apart; every layer of a pass asks for the same."""
    from xformers.ops import fmha

    with torch.inference_mode(False):  # it outlives the call, and may meet autograd
        return fmha.BlockDiagonalMask.from_seqlens(groups.queries, groups.keys, device=device)


def _varlen(q: Tensor, k: Tensor, v: Tensor, groups: Groups) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    starts_q, starts_k = (
        torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=q.device)
        for lengths in (groups.queries, groups.keys)
    )
    out = varlen_attn(q, k, v, starts_q, starts_k, max(groups.queries), max(groups.keys))
    assert isinstance(out, Tensor)  # a pair only when its log-sum-exp is asked for
    return out


def packed_kernel(device: torch.device, dtype: torch.dtype, channels: int) -> Kernel:
    """Choose the kernel for packed sets by what runs: what ``auto`` takes."""
    if device.type != "cuda":
        return "sdpa"
    if not _xformers_trouble(device, dtype, channels):
        return "xformers"
    return "varlen" if _varlen_runs(device, dtype, channels) else "sdpa"


@lru_cache(maxsize=64)
def _xformers_trouble(device: torch.device, dtype: torch.dtype, channels: int) -> str | None:
    """Say why xformers does not run here; None when it does. Cached: hardware does not change.

    xformers lists operators as available that are not, so the only honest question is a call.
    """
    if device.type != "cuda" or torch.version.cuda is None:
        return f"the device is {device.type}"
    logging.getLogger("xformers").setLevel(logging.ERROR)  # it greets with four lines of warning
    _map_cuda_12()
    try:
        with warnings.catch_warnings():  # it uses what Triton has deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            import xformers
            import xformers.ops
    except ImportError as error:
        return str(error)
    if not xformers._has_cpp_library:
        return "its library does not load; is libcudart.so.12 missing?"
    trial = torch.ones(1, 8, 1, channels, device=device, dtype=dtype)
    try:
        _xformers(trial, trial, trial, None)
    except (RuntimeError, ValueError, ImportError) as error:
        return str(error).strip().splitlines()[0]
    return None


def _map_cuda_12() -> None:
    """Map the CUDA 12 runtime that xformers' library wants; torch itself may bring CUDA 13."""
    found = (
        path
        for folder in sys.path
        for path in Path(folder).glob("nvidia/cuda_runtime/lib/libcudart.so.12*")
    )
    for name in ("libcudart.so.12", *map(str, found)):
        with contextlib.suppress(OSError):  # not there, or not by this name
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
            return


@lru_cache(maxsize=64)
def _varlen_runs(device: torch.device, dtype: torch.dtype, channels: int) -> bool:
    trial = torch.ones(8, 1, channels, device=device, dtype=dtype)
    try:
        _varlen(trial, trial, trial, Groups((8,), (8,)))
    except (RuntimeError, ValueError, ImportError):
        return False
    return True
