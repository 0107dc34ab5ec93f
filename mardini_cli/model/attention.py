"""The two self-attention layers, and what every attention layer has.

Room: model. Which kernel works attention out is ``kernels``' business.
Source: Identity Attention, MarDini 2.3; LayerNorm on queries and keys, MarDini 2.2 and VIDIM.

Dimension key
    b  windows in the batch     f  slots of a window      g  given, m  made slots of a window
    n  tokens of a frame        c  channels of a token    h  heads      d  channels of a head
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mardini_cli.model.kernels import Backend, Groups, attention, require_xformers
from mardini_cli.model.layers import HeadNorm
from mardini_cli.model.positions import Rotary

Over = Literal["st", "t"]
"""All tokens of all frames, or the tokens at one place of all frames."""
Identity = Literal["token", "frame"]
"""What a given frame's token attends to: itself (reading A) or its frame (reading B)."""
KeysValues = tuple[Tensor, Tensor]
"""Rotated keys, and values, ``... h d`` each."""


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
