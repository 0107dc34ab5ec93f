"""Attention: one function over every kernel, and the two self-attention layers.

Room: model. The only door to xformers, which is imported on the first CUDA call that wants it.
Source: Identity Attention, MarDini 2.3; LayerNorm on queries and keys, MarDini 2.2 and VIDIM.

Dimension key
    b  windows in the batch     f  slots of a window      m  made slots of a window
    n  tokens of a frame        c  channels of a token    h  heads      d  channels of a head
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
import torch.nn.functional as F
from torch import Tensor, nn

from mardini_cli.errors import DeviceError, ShapeError
from mardini_cli.model.layers import HeadNorm
from mardini_cli.model.positions import Rotary

Backend = Literal["auto", "xformers", "sdpa"]
"""``auto`` takes what measures fastest: torch's SDPA for dense sets, xformers for packed ones
on CUDA (torch's own variable-length kernel, then one SDPA call a set, where it is missing)."""

Kernel = Literal["xformers", "varlen", "sdpa"]
"""What works packed sets out in the end."""
Over = Literal["st", "t"]
"""All tokens of all frames, or the tokens at one place of all frames."""
Identity = Literal["token", "frame"]
"""What a given frame's token attends to: itself (reading A) or its frame (reading B)."""
KeysValues = tuple[Tensor, Tensor]
"""Rotated keys, and values, ``... h d`` each."""


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
    if groups is None:
        return _xformers(q, k, v, None) if backend == "xformers" else _dense(q, k, v)
    return _packed_eagerly(q, k, v, groups, backend)


def use_backend(model: nn.Module, backend: Backend) -> None:
    """Choose who works out attention in every layer of ``model``: ``--attention``.

    Raises:
        DeviceError: xformers cannot run on the model's device.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, QueryKeyValue)]
    for layer in layers:
        if backend == "xformers":
            weight = next(layer.parameters())
            require_xformers(weight.device, weight.dtype, layer.channels)
        layer.backend = backend


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


def _dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # b n h d -> b h n d
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)  # b n h d


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
    return torch.cat([_dense(q[None], k[None], v[None])[0] for q, k, v in sets])


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
    except (NotImplementedError, RuntimeError, ValueError, ImportError) as error:
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
    except (ImportError, NotImplementedError, RuntimeError, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Which frames of a batch of windows are to be made, as indices. Worked out once a pass."""

    counts: tuple[int, ...]
    """Made slots of each window."""
    windows: int
    most: int
    """Made slots of the window that makes most."""
    rows: Tensor
    """Made frames as rows of ``(b f)``."""
    padded_rows: Tensor | None
    """The same frames as rows of ``(b m)``; None when every window makes as many."""
    given_rows: Tensor
    """Given frames as rows of ``(b f)``."""

    @classmethod
    def of(cls, mask: Tensor) -> "Made":
        """Read a mask ``b f`` bool, True = to be made. Waits for the device, once."""
        here = mask.cpu()
        counts = tuple(here.sum(1).tolist())
        most = max(counts, default=0)
        flat, padded_rows = here.flatten(), None
        if min(counts, default=0) < most:
            filled = torch.arange(most) < here.sum(1, keepdim=True)  # b m
            padded_rows = _where(filled.flatten()).to(mask.device)
        return cls(
            counts,
            windows=len(counts),
            most=most,
            rows=_where(flat).to(mask.device),
            padded_rows=padded_rows,
            given_rows=_where(~flat).to(mask.device),
        )

    def pad(self, x: Tensor) -> Tensor:
        """Lay made frames, ``(all made) ...``, out by windows: ``(b m) ...``; zeros beyond."""
        if self.padded_rows is None:
            return x
        out = x.new_zeros(self.windows * self.most, *x.shape[1:])
        return out.index_copy(0, self.padded_rows, x)

    def unpad(self, x: Tensor) -> Tensor:
        """Undo ``pad``: ``(b m) ...`` to ``(all made) ...``."""
        return x if self.padded_rows is None else x.index_select(0, self.padded_rows)


def _where(flags: Tensor) -> Tensor:
    return flags.nonzero()[:, 0]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """What every layer of a network needs to know of its tokens; worked out once a pass."""

    made: Made
    rotary: Rotary
    """Angles of all tokens, ``(b f) n 1 p``."""
    made_rotary: Rotary
    """Angles of the made frames' tokens, ``(all made) n 1 p``."""
    groups: Groups | None
    """The windows as packed sets; None when every window makes as many frames."""

    @classmethod
    def of(cls, mask: Tensor, rotary: Rotary) -> "Places":
        """Join a mask ``b f`` with the angles of its tokens."""
        made, n = Made.of(mask), rotary.cos.shape[1]
        groups = None
        if made.padded_rows is not None:
            queries = tuple(count * n for count in made.counts)
            groups = Groups(queries, keys=(mask.shape[1] * n,) * made.windows)
        return cls(made, rotary, rotary.select(made.rows), groups)


class QueryKeyValue(nn.Module):
    """What every attention layer has: four projections, and norms of queries and keys.

    Args:
        width: channels of a token.
        heads: heads.
        source_width: channels of the tokens that give keys and values.
    """

    def __init__(self, width: int, heads: int, source_width: int) -> None:
        super().__init__()
        self.heads, self.channels = heads, width // heads
        self.backend: Backend = "auto"
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(source_width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        self.norm_q = HeadNorm(self.channels)
        self.norm_k = HeadNorm(self.channels)

    def queries(self, x: Tensor, rotary: Rotary, dtype: torch.dtype) -> Tensor:
        """Tokens ``* n c`` to rotated queries ``* n h d`` of ``dtype``."""
        q = self.to_q(x).reshape(*x.shape[:-1], self.heads, self.channels)
        return rotary.rotate(self.norm_q(q)).to(dtype)

    def keys_values(self, x: Tensor, rotary: Rotary) -> KeysValues:
        """Tokens ``* n c`` to rotated keys and values, each ``* n h d``."""
        shape = (*x.shape[:-1], 2, self.heads, self.channels)
        k, v = self.to_kv(x).reshape(shape).unbind(-3)
        return rotary.rotate(self.norm_k(k)).to(v.dtype), v

    def merge(self, out: Tensor) -> Tensor:
        """Heads ``* n h d`` to tokens ``* n c``, through the output projection."""
        projected: Tensor = self.to_out(out.flatten(-2))
        return projected


class SpatialAttention(QueryKeyValue):
    """Each token attends to the tokens of its own frame."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, width)

    def forward(self, x: Tensor, rotary: Rotary) -> Tensor:
        """Attend within frames.

        Args:
            x: ``(b f) n c``.
            rotary: angles of its tokens.
        """
        k, v = self.keys_values(x, rotary)
        q = self.queries(x, rotary, v.dtype)
        return self.merge(attention(q, k, v, backend=self.backend))


class IdentityAttention(QueryKeyValue):
    """Attention over frames in which given frames look at nothing but themselves.

    A given token's softmax has one key, itself, so its output is its own value (reading A): no
    mask is needed, made tokens alone ask. Reading B: a given token asks its own frame.

    Args:
        width: channels of a token.
        heads: heads.
        over: ``st``, all tokens of all frames; ``t``, the tokens at one place of all frames.
        identity: ``token``, reading A; ``frame``, reading B (the same in the ``t`` form).
    """

    def __init__(
        self, width: int, heads: int, over: Over = "st", identity: Identity = "token"
    ) -> None:
        super().__init__(width, heads, width)
        self.over, self.identity = over, identity

    def forward(self, x: Tensor, places: Places) -> Tensor:
        """Attend over the frames of each window: ``(b f) n c`` to the same."""
        return self.attend(x, self.keys_values(x, places.rotary), places)

    def attend(self, x: Tensor, keys_values: KeysValues, places: Places) -> Tensor:
        """Go on from ``keys_values``, ``(b f) n h d`` each: ``(b f) n c`` to the same."""
        made = places.made
        k, v = keys_values
        out = v
        if self.identity == "frame" and self.over == "st":
            rows = made.given_rows
            q = self.queries(x.index_select(0, rows), places.rotary.select(rows), v.dtype)
            own = attention(
                q, k.index_select(0, rows), v.index_select(0, rows), backend=self.backend
            )
            out = out.index_copy(0, rows, own)
        if made.most:
            q = self.queries(x.index_select(0, made.rows), places.made_rotary, v.dtype)
            ask = self._over_places if self.over == "t" else self._over_all
            asked = ask(q, k, v, places)
            out = out.index_copy(0, made.rows, asked)
        return self.merge(out)

    def ask(self, x: Tensor, rotary: Rotary, kept: KeysValues) -> Tensor:
        """Let made frames ask one another, and given frames whose keys and values are kept.

        Args:
            x: tokens of made frames, ``b m n c``.
            rotary: their angles, ``b m n 1 p``.
            kept: of the given frames, ``b g n h d`` each.

        Returns:
            ``b m n c``: what ``forward`` gives these frames, within rounding.
        """
        own = self.keys_values(x, rotary)
        q = self.queries(x, rotary, own[1].dtype)  # b m n h d
        k, v = (torch.cat(pair, 1) for pair in zip(kept, own, strict=True))  # b f n h d
        if self.over == "st":
            dense = (y.flatten(1, 2) for y in (q, k, v))  # b (f n) h d
            return self.merge(attention(*dense, backend=self.backend).reshape(q.shape))
        places = (y.transpose(1, 2).flatten(0, 1) for y in (q, k, v))  # (b n) f h d
        out = attention(*places, backend=self.backend).unflatten(0, (len(x), -1))
        return self.merge(out.transpose(1, 2))  # b n m h d -> b m n h d

    def _over_all(self, q: Tensor, k: Tensor, v: Tensor, places: Places) -> Tensor:
        """Queries ``(all made) n h d`` ask every token of their window."""
        windows, (_, n, *head) = places.made.windows, q.shape
        if places.groups is None:
            q, k, v = (x.reshape(windows, -1, *head) for x in (q, k, v))  # b (m n) h d
            return attention(q, k, v, backend=self.backend).reshape(-1, n, *head)
        q, k, v = (x.flatten(0, 1) for x in (q, k, v))  # frames n h d -> s h d
        out = attention(q, k, v, groups=places.groups, backend=self.backend)
        return out.reshape(-1, n, *head)

    def _over_places(self, q: Tensor, k: Tensor, v: Tensor, places: Places) -> Tensor:
        """Queries ``(all made) n h d`` ask the tokens at their own place.

        Sets of one place are too small to pack: short windows pad their queries.
        """
        made, (_, n, *head) = places.made, q.shape
        q, k, v = (
            x.reshape(made.windows, -1, n, *head).transpose(1, 2).flatten(0, 1)  # (b n) f h d
            for x in (made.pad(q), k, v)
        )
        out = attention(q, k, v, backend=self.backend)  # (b n) m h d
        out = out.reshape(made.windows, n, -1, *head).transpose(1, 2).flatten(0, 1)
        return made.unpad(out)  # (b m) n h d -> (all made) n h d
