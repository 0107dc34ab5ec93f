"""The denoiser's block, and the two ways through it: all frames at once, or the made ones alone.

Room: model. Knows no schedule and no sampler.
Source: MarDini 2.3, figure 2, and DiT (adaLN-Zero).

Given frames have diffusion time 0 and see nobody (Identity Attention), so that nothing in their
stream depends on the noise: ``reference`` sends them through once a window, and ``made`` sends the
made ones through at every sampling step, beside what was kept.

Dimension key
    b  windows in the batch     f  slots of a window      g  given, m  made slots (g + m = f)
    n  tokens of a frame        l  tokens of its signal   c  channels
    h  heads                    d  channels of a head     p  rotated pairs
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mardini_cli.config import DenoiserConfig
from mardini_cli.model.attention import (
    Identity,
    IdentityAttention,
    KeysValues,
    Places,
    QueryKeyValue,
    SpatialAttention,
)
from mardini_cli.model.kernels import attention
from mardini_cli.model.layers import Mlp, RMSNorm, modulated
from mardini_cli.model.positions import Rotary

Heard = Tensor | KeysValues
"""What a block hears of the signal: keys and values ``p l h d``; or what the null signal adds to
every token, ``c``, since all its keys and values are equal."""


class CrossAttention(QueryKeyValue):
    """Each token attends to the signal of its own frame."""

    def hear(self, signal: Tensor, rotary: Rotary | None) -> Heard:
        """Read the signal ``p l d`` with the places of its tokens; or the null signal ``d``."""
        if rotary is not None:
            return self.keys_values(signal, rotary)
        value: Tensor = self.to_out(self.to_kv(signal).chunk(2, dim=-1)[1])
        return value

    def forward(self, x: Tensor, heard: Heard, rotary: Rotary) -> Tensor:
        """Ask what was heard.

        Args:
            x: tokens, ``p n c``.
            heard: of the same frames.
            rotary: places of the tokens in the frame, ``n 1 p``.

        Returns:
            What to add to x: ``p n c``, or ``c`` for the null signal.
        """
        if isinstance(heard, Tensor):
            return heard
        k, v = heard
        q = self.queries(x, rotary, v.dtype)
        return self.merge(attention(q, k, v, backend=self.backend))


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What every block reads besides its tokens; worked out once a pass."""

    places: Places
    rotary: Rotary
    """Places of the tokens in the frame, for the signal: ``n 1 p``."""
    signal: Tensor
    """``(b f) l d``, or the null signal ``d``."""
    signal_rotary: Rotary | None
    """``l 1 p``; None with the null signal."""
    time: Tensor
    """Embedded diffusion time of every frame, through its SiLU: ``(b f) 1 c``."""
    time_and_signal: Tensor
    """The same with the pooled signal: ``(b f) 1 c``."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What a block keeps of a batch of windows over all sampling steps."""

    given: KeysValues
    """Of the given frames, for attention over frames: ``b g n h d`` each."""
    heard: tuple[Heard, ...]
    """What made frames hear; several signals share the batch evenly, one after the other."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What every block reads besides the made frames' tokens in one sampling step."""

    rotary: Rotary
    """Angles of the tokens, ``b m n 1 p``."""
    frame_rotary: Rotary
    """Their places in the frame, ``n 1 p``."""
    time: Tensor
    """``(b m) 1 c``; see ``Scene``."""
    time_and_signal: Tensor


class DenoiserBlock(nn.Module):
    """Modulated spatial attention, attention over frames, signal, modulated MLP."""

    def __init__(self, config: DenoiserConfig, identity: Identity, signal_width: int) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.norm_spatial = RMSNorm(width)
        self.modulate_spatial = nn.Linear(width, 3 * width)
        self.spatial = SpatialAttention(width, heads)
        self.norm_across = RMSNorm(width)
        self.across = IdentityAttention(width, heads, config.attention, identity)
        self.norm_cross = RMSNorm(width)
        self.cross = CrossAttention(width, heads, signal_width)
        self.norm_mlp = RMSNorm(width)
        self.modulate_mlp = nn.Linear(width, 3 * width)
        self.mlp = Mlp(width, config.mlp)

    def forward(self, x: Tensor, scene: Scene) -> Tensor:
        """Map ``(b f) n c`` to the same."""
        return self.reference(x, scene)[0]

    def reference(self, x: Tensor, scene: Scene) -> tuple[Tensor, KeysValues]:
        """Map ``(b f) n c`` to the same, with keys and values for attention over frames."""
        x = self._within(x, scene.time, scene.places.rotary)
        y = self.norm_across(x)
        keys_values = self.across.keys_values(y, scene.places.rotary)
        x = x + self.across.attend(y, keys_values, scene.places)
        heard = self.cross.hear(scene.signal, scene.signal_rotary)
        x = x + self.cross(self.norm_cross(x), heard, scene.rotary)
        return self._finished(x, scene.time_and_signal), keys_values

    def made(self, x: Tensor, kept: Kept, step: Step) -> Tensor:
        """Map the made frames' tokens ``b m n c`` to the same."""
        windows = x.shape[:2]
        flat = step.rotary.flat()
        x = self._within(x.flatten(0, 1), step.time, flat).unflatten(0, windows)
        x = (x + self.across.ask(self.norm_across(x), step.rotary, kept.given)).flatten(0, 1)
        x = self._told(x, kept.heard, step.frame_rotary)
        out: Tensor = self._finished(x, step.time_and_signal).unflatten(0, windows)
        return out

    def _within(self, x: Tensor, time: Tensor, rotary: Rotary) -> Tensor:
        shift, scale, gate = self.modulate_spatial(time).chunk(3, dim=-1)  # (b f) 1 c
        y = modulated(self.norm_spatial(x), shift, scale)
        return torch.addcmul(x, gate, self.spatial(y, rotary))

    def _told(self, x: Tensor, heard: tuple[Heard, ...], rotary: Rotary) -> Tensor:
        """Add what is heard, each signal's to its own share of the batch."""
        told = [
            # All tokens are told the same of the null signal: nobody need ask.
            y + (one if isinstance(one, Tensor) else self.cross(self.norm_cross(y), one, rotary))
            for y, one in zip(x.chunk(len(heard)), heard, strict=True)
        ]
        return told[0] if len(told) == 1 else torch.cat(told)

    def _finished(self, x: Tensor, time_and_signal: Tensor) -> Tensor:
        shift, scale, gate = self.modulate_mlp(time_and_signal).chunk(3, dim=-1)
        y = modulated(self.norm_mlp(x), shift, scale)
        return torch.addcmul(x, gate, self.mlp(y))

    def start_as_identity(self) -> None:
        """Set every gate, and every sum that has none, to zero (adaLN-Zero)."""
        for layer in (self.modulate_spatial, self.modulate_mlp):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.across.to_out, self.cross.to_out):
            nn.init.zeros_(layer.weight)
