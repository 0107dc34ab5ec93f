"""Measure `l-t` beside LTX-Video 2B and SVD-XT on one GPU, with one clock: a table, and JSON.

Usage:
    pip install diffusers
    python docs/measure_peers.py OUTPUT.json [plain] [compiled] [small] [SECONDS = 400]

All make a window of which one frame is given, at 512x512, in bfloat16, with random weights (their
values change no time) and torch's own attention; each is run with a few steps to warm up, then
three times, and the median counts. ``plain`` runs them as they are; ``compiled`` as ``--compile``
does, peers too: compiled, and steps recorded as CUDA graphs; both, in this order, by default.
After SECONDS no model is begun; whatever fails is told in its line, and the rest goes on. ``small``
shrinks every network: a try without a GPU, whose numbers mean nothing. Without diffusers the peers'
lines say so.

What a run holds: the given frame through the VAE, the networks in every step with guidance and the
step's arithmetic, all frames through the VAE. What it leaves out: the peers' encoders of text and
picture (T5-XXL, CLIP), whose outputs are random numbers of their shapes, and the book-keeping of
diffusers' pipelines and schedulers. Both leave the peers quicker than their users know them.
Guidance runs two rows in every step, as both pipelines do it.

Sources of the sizes, all of them Apache-2.0 or MIT code: LTX-Video 2B, the defaults of
``LTXVideoTransformer3DModel`` and version 0.9.0 in huggingface/diffusers,
``scripts/convert_ltx_to_diffusers.py`` (0871dc6; 28 layers of 32 heads x 64, 128 latent channels,
32 x 32 x 8 pixels each, 128 tokens of text); its 40 steps are those of the project's own examples.
SVD-XT, Stability-AI/generative-models, ``scripts/sampling/configs/svd_xt.yaml`` (07bf825; 320
channels x 1, 2, 4, 4, heads of 64, VAE of 128 x 1, 2, 4, 4; sigmas up to 700, v-prediction), which
are the defaults of ``UNetSpatioTemporalConditionModel``; 25 steps, and 25 frames (14 in the plain
SVD, whose network is the same). Counted, the networks have 1.92 and 1.52 billion parameters.

Dimension key
    b  rows    f  frames, h, w  rows and columns, c  channels (of latents)    n  tokens
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from mardini_cli.bench.cells import targets
from mardini_cli.bench.machine import ceiling, facts
from mardini_cli.bench.measuring import (
    STAGES,
    Clock,
    counted,
    forget,
    peak_of,
    subject_of,
    timer,
    unwatched,
)
from mardini_cli.config import nano_vae
from mardini_cli.device import choose_device, choose_dtype, synchronise
from mardini_cli.model.graphs import CudaRecorder, Recorder, Recording

NETWORKS = ("plan", "denoise")
WAYS = {"plain": False, "compiled": True}
RUNS = 3
OURS = ("l-t", "l-t, guidance 2.5")
"""The two lines that all others are set beside: plain beside plain, compiled beside compiled."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the peers are made of: arguments of their classes in diffusers."""

    side: int = 512
    """Height and width of a frame, pixels."""
    ltx: Mapping[str, Any] = field(
        default_factory=lambda: {
            "in_channels": 128,
            "out_channels": 128,
            "num_attention_heads": 32,
            "attention_head_dim": 64,
            "cross_attention_dim": 2048,
            "num_layers": 28,
            "caption_channels": 4096,
        }
    )
    ltx_vae: Mapping[str, Any] = field(
        default_factory=lambda: {
            "latent_channels": 128,
            "block_out_channels": (128, 256, 512, 512),
            "decoder_block_out_channels": (128, 256, 512, 512),
            "layers_per_block": (4, 3, 3, 3, 4),
            "decoder_layers_per_block": (4, 3, 3, 3, 4),
        }
    )
    svd: Mapping[str, Any] = field(
        default_factory=lambda: {
            "in_channels": 8,
            "out_channels": 4,
            "block_out_channels": (320, 640, 1280, 1280),
            "num_attention_heads": (5, 10, 20, 20),
            "layers_per_block": 2,
            "cross_attention_dim": 1024,
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 768,
        }
    )
    svd_vae: Mapping[str, Any] = field(
        default_factory=lambda: {
            "block_out_channels": (128, 256, 512, 512),
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "layers_per_block": 2,
            "latent_channels": 4,
        }
    )


def small_sizes() -> Sizes:
    """The same networks, as small as they can be built."""
    full, few = Sizes(), {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 16}
    slim = {"block_out_channels": (32, 32, 32, 32)}
    narrow = {"block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    return Sizes(
        side=64,
        ltx={**full.ltx, **few, "cross_attention_dim": 32, "caption_channels": 64},
        ltx_vae={**full.ltx_vae, **narrow},
        svd={**full.svd, **slim, "num_attention_heads": (2,) * 4, "cross_attention_dim": 32},
        svd_vae={**full.svd_vae, **slim},
    )


class Runner(Protocol):
    """A model that stands ready: one of the bench's subjects, or a peer."""

    def run(self, clock: Clock, steps: int | None = None) -> Tensor:
        """Make the frames of one window."""


Network = Callable[..., tuple[Tensor]]


def recorded(network: Network, device: torch.device) -> Network:
    """The network, its calls recorded where that can be done."""
    return Recorded(network, CudaRecorder(device)) if device.type == "cuda" else network


class Recorded:
    """A network whose calls are recorded as one CUDA graph."""

    def __init__(self, network: Network, record: Recorder) -> None:
        self.network, self.record = network, record
        self.own: dict[str, Any] = {}
        self.recording: Recording | None = None
        self.trouble = ""

    def __call__(self, **given: Any) -> tuple[Tensor]:
        """Do what the network does with named inputs, of the same shapes each time."""
        if self.trouble:
            return self.network(**given)
        if self.recording is None:
            self.own = {n: x.clone() if torch.is_tensor(x) else x for n, x in given.items()}
            answer = self.network(**self.own)  # compiles, and chooses kernels
            try:
                self.recording = self.record(lambda: self.network(**self.own)[0])
            except RuntimeError as error:  # told in its line; it is run as it is
                self.trouble = str(error).splitlines()[0]
                return answer
        for name, x in given.items():
            if torch.is_tensor(x):
                self.own[name].copy_(x)
        self.recording.replay()
        return (self.recording.out,)


class Ltx:
    """LTX-Video as its pipeline for pictures runs it: the given frame's tokens have time 0."""

    text = 128
    """Tokens of a prompt, padding counted."""
    guidance = 3.0
    rate = 25
    """Frames a second."""

    def __init__(self, sizes: Sizes, frames: int, device: torch.device, dtype: torch.dtype) -> None:
        from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel

        self.network = built(LTXVideoTransformer3DModel, sizes.ltx, device, dtype)
        self.step: Network = self.network
        self.vae = built(AutoencoderKLLTXVideo, sizes.ltx_vae, device, dtype)
        self.steps = 40
        self.grid = ((frames - 1) // 8 + 1, sizes.side // 32, sizes.side // 32)  # f h w
        self.frame = torch.rand(1, 3, 1, sizes.side, sizes.side, device=device, dtype=dtype)
        self.said = torch.randn(
            2, self.text, sizes.ltx["caption_channels"], device=device, dtype=dtype
        )
        self.heard = torch.ones(2, self.text, device=device, dtype=dtype)

    def compile(self) -> None:
        """Compile the blocks, as diffusers advises, and record the step."""
        self.network.compile_repeated_blocks()
        self.step = recorded(self.network, self.frame.device)

    @torch.inference_mode()
    def run(self, clock: Clock, steps: int | None = None) -> Tensor:
        """Make the frames of one window: ``1 3 f h w``."""
        count, high, wide = self.grid
        given = high * wide  # tokens of the given frame
        with clock("look"):
            seen = self.vae.encode(self.frame).latent_dist.mode().float()  # 1 c 1 h w
        with clock("denoise"):
            noise = torch.randn(1, seen.shape[1], count - 1, high, wide, device=seen.device)
            noisy = torch.cat([seen, noise], 2).flatten(2).mT  # 1 n c, as long as the steps last
            made = torch.arange(noisy.shape[1], device=seen.device).ge(given)
            for now, after in pairwise(torch.linspace(1, 0, (steps or self.steps) + 1).tolist()):
                v = self._velocity(noisy, 1000 * now * made)
                noisy[:, given:] += (after - now) * v[:, given:]
        with clock("decode"):
            latent = noisy.mT.unflatten(2, self.grid).to(self.frame.dtype)  # 1 c f h w
            return cast(Tensor, self.vae.decode(latent, return_dict=False)[0])

    def _velocity(self, noisy: Tensor, t: Tensor) -> Tensor:
        count, high, wide = self.grid
        without, with_text = self.step(
            hidden_states=noisy.to(self.said.dtype).expand(2, -1, -1),
            encoder_hidden_states=self.said,
            timestep=t.expand(2, -1),
            encoder_attention_mask=self.heard,
            num_frames=count,
            height=high,
            width=wide,
            rope_interpolation_scale=(8 / self.rate, 32, 32),
            return_dict=False,
        )[0].float().chunk(2)  # fmt: skip
        return without + self.guidance * (with_text - without)


class Svd:
    """Stable Video Diffusion as its pipeline runs it: every frame is made, the given one beside."""

    scale = 0.18215
    """Of the latents' deviation."""
    sigmas = (700.0, 0.002)
    rho = 7
    guidance = (1.0, 3.0)
    """Of the first and of the last frame."""

    def __init__(self, sizes: Sizes, frames: int, device: torch.device, dtype: torch.dtype) -> None:
        from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel

        self.network = built(
            UNetSpatioTemporalConditionModel, {**sizes.svd, "num_frames": frames}, device, dtype
        )
        self.step: Network = self.network
        self.vae = built(AutoencoderKLTemporalDecoder, sizes.svd_vae, device, dtype)
        self.steps, self.frames = 25, frames
        self.frame = torch.rand(1, 3, sizes.side, sizes.side, device=device, dtype=dtype)
        self.picture = torch.randn(
            2, 1, sizes.svd["cross_attention_dim"], device=device, dtype=dtype
        )
        self.facts = torch.tensor([[6.0, 127.0, 0.02]] * 2, device=device, dtype=dtype)
        """Frames a second less one, motion, noise on the given frame: the pipeline's defaults."""

    def compile(self) -> None:
        """Compile the whole network, since its blocks differ in size, and record the step."""
        self.network.compile()
        self.step = recorded(self.network, self.frame.device)

    @torch.inference_mode()
    def run(self, clock: Clock, steps: int | None = None) -> Tensor:
        """Make the frames of one window: ``f 3 h w``."""
        with clock("look"):
            seen = self.vae.encode(self.frame).latent_dist.mode()  # 1 c h w
            beside = torch.cat([torch.zeros_like(seen), seen])  # 2 c h w
            beside = beside.unsqueeze(1).expand(-1, self.frames, -1, -1, -1)
        with clock("denoise"):
            levels = self._levels(steps or self.steps)
            times = torch.tensor(levels, device=seen.device).log() / 4
            noisy = torch.randn(1, *beside.shape[1:], device=seen.device) * levels[0]  # 1 f c h w
            for t, (now, after) in zip(times[:-1], pairwise(levels), strict=True):
                clean = self._clean(noisy, now, t, beside)
                noisy = noisy + (noisy - clean) * ((after - now) / now)
        with clock("decode"):
            latent = (noisy[0] / self.scale).to(self.frame.dtype)
            return cast(
                Tensor, self.vae.decode(latent, num_frames=self.frames, return_dict=False)[0]
            )

    def _levels(self, steps: int) -> list[float]:
        """Noise levels of Karras et al. 2022, equation 5, and 0."""
        high, low = (sigma ** (1 / self.rho) for sigma in self.sigmas)
        places = torch.linspace(0, 1, steps, dtype=torch.float64)
        return [*((high + places * (low - high)) ** self.rho).tolist(), 0.0]

    def _clean(self, noisy: Tensor, sigma: float, t: Tensor, beside: Tensor) -> Tensor:
        shorter = (noisy / (sigma**2 + 1) ** 0.5).to(beside.dtype).expand_as(beside)
        without, with_picture = self.step(
            sample=torch.cat([shorter, beside], 2),
            timestep=t,
            encoder_hidden_states=self.picture,
            added_time_ids=self.facts,
            return_dict=False,
        )[0].float().chunk(2)  # fmt: skip
        scale = torch.linspace(*self.guidance, self.frames, device=noisy.device).view(-1, 1, 1, 1)
        v = without + scale * (with_picture - without)
        return cast(Tensor, noisy / (sigma**2 + 1) - v * sigma / (sigma**2 + 1) ** 0.5)


def built(kind: Any, sizes: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Any:
    """A network of random weights on a device; of a class of diffusers, which has no types."""
    with torch.device(device):
        network = kind(**sizes).eval().requires_grad_(False)
    # Some parameters do not heed the context; and its own ``to`` warns of layers that it lacks.
    return nn.Module.to(network, device, dtype)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A model that takes part, and how it is built."""

    name: str
    frames: int
    """Of a window, the given one counted."""
    steps: int
    compiled: bool = False
    build: Callable[[torch.device, torch.dtype], Runner]


@dataclass(kw_only=True)
class Line:
    """What a contender took."""

    name: str
    frames: int
    steps: int
    compiled: bool
    parameters: int = 0
    """Of the networks."""
    vae: int = 0
    """Parameters of the VAE."""
    flops: dict[str, int] = field(default_factory=dict)
    """By stage, as the bench counts them."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage, of the run whose sum is the median."""
    runs: list[float] = field(default_factory=list)
    """Seconds of every run."""
    peak: int = 0
    """Most bytes at once, weights included."""
    first: float = 0.0
    """Seconds of the run that warms up, with few steps, and compiles."""
    note: str = ""
    failed: str = ""

    @property
    def networks(self) -> float:
        """Seconds of all but the VAE."""
        return sum(self.seconds[stage] for stage in NETWORKS)

    @property
    def total(self) -> float:
        """Seconds of a run."""
        return sum(self.seconds.values())

    def times(self, other: "Line") -> tuple[float, float]:
        """How often as long as another a made frame takes: networks, and with the VAE."""
        counts = (other.frames - 1) / (self.frames - 1)
        return self.networks / other.networks * counts, self.total / other.total * counts


def contenders(small: bool, ways: Sequence[bool]) -> list[Contender]:
    """All that takes part: the compiled ones last, since compiling takes longest."""
    sizes = small_sizes() if small else Sizes()
    found = list[Contender]()
    for compiled in ways:
        found += [ours(name, small, compiled) for name in OURS]
        peers: list[tuple[str, type[Ltx | Svd], int, int]]
        peers = [("LTX-Video 2B", Ltx, 17, 40), ("SVD-XT", Svd, 17, 25)]
        if not compiled:
            peers += [("SVD-XT", Svd, 25, 25), ("SVD-XT", Svd, 14, 25)]
        found += [peer(name, kind, frames, steps, sizes, compiled)
                  for name, kind, frames, steps in peers]  # fmt: skip
    return found


def ours(name: str, small: bool, compiled: bool) -> Contender:
    """One of our two lines: the bench's own cell."""
    guided = name != OURS[0]
    (cell,) = [
        cell
        for cell in targets()
        if cell.name == f"l-t, 17 frames, 512{', guidance' if guided else ''}"
    ]
    sized = replace(cell, config=nano_vae(), size=(64, 64)) if small else cell
    way = replace(sized, way="both") if compiled else sized
    return Contender(
        name=name,
        frames=len(cell.mask),
        steps=cell.sampler.steps,
        compiled=compiled,
        build=lambda device, dtype: subject_of(way, device, dtype),
    )


def peer(
    name: str, kind: type[Ltx | Svd], frames: int, steps: int, sizes: Sizes, compiled: bool
) -> Contender:
    """Another model."""

    def build(device: torch.device, dtype: torch.dtype) -> Runner:
        model = kind(sizes, frames, device, dtype)
        if compiled:
            model.compile()
        return model

    return Contender(name=name, frames=frames, steps=steps, compiled=compiled, build=build)


def measured(contender: Contender, device: torch.device, dtype: torch.dtype, until: float) -> Line:
    """Build a contender, warm it up, and time it; whatever becomes of it."""
    line = Line(
        name=contender.name,
        frames=contender.frames,
        steps=contender.steps,
        compiled=contender.compiled,
    )
    if monotonic() > until:
        line.failed = "not run: out of time"
        return line
    try:
        time(contender.build(device, dtype), line, device)
    except Exception as error:  # noqa: BLE001 - whatever a peer lacks: told, and the rest goes on
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        line.failed = f"{type(error).__name__}: {first}"
    forget(device)
    return line


def time(runner: Runner, line: Line, device: torch.device) -> None:
    """Run a model as often as it counts, and enter what it took."""
    line.parameters, line.vae = sizes_of(runner)
    began = perf_counter()
    runner.run(unwatched, 2)
    synchronise(device)
    line.first = perf_counter() - began
    runs = list[dict[str, float]]()
    with peak_of(device) as peak:
        for _ in range(RUNS):
            seconds = dict.fromkeys(STAGES, 0.0)
            runner.run(timer(seconds, device))
            runs.append(seconds)
    line.runs = [sum(run.values()) for run in runs]
    line.seconds = runs[line.runs.index(median(line.runs))]
    line.peak = peak[0]
    if trouble := getattr(getattr(runner, "step", None), "trouble", ""):
        line.note = f", not recorded: {trouble}"
    if not line.compiled:  # the compiler's own kernels cannot be looked into
        line.flops = counted(runner.run, line.steps)


def sizes_of(runner: Runner) -> tuple[int, int]:
    """Parameters of a model's networks, and of its VAE."""
    model: Any = getattr(runner, "model", runner)  # ours stands in the bench's subject
    parts = [getattr(model, name, None) for name in ("network", "planner", "denoiser")]
    vae = getattr(model, "vae", None) or model.autoencoder
    return sum(map(_size, filter(None, parts))), _size(vae)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def table(lines: Sequence[Line], best: float) -> str:
    """The lines in Markdown; a made frame is one beyond the first.

    Args:
        lines: of all models so far.
        best: operations a second of the fastest matrix product.
    """
    head = ["model", "frames, steps", "networks s", "with VAE s", "s a made frame", "parameters",
            "of the VAE", "networks TFLOP", "of the ceiling", "peak GiB",
            *(f"times {name}" for name in OURS)]  # fmt: skip
    rows = [head, ["---"] * len(head)]
    for line in lines:
        name = (
            f"{line.name}, compiled ({line.first:.0f} s){line.note}" if line.compiled else line.name
        )
        told = [name, f"{line.frames}, {line.steps}"]
        if line.failed:
            rows.append([*told, line.failed, *[""] * (len(head) - 3)])
            continue
        done = sum(line.flops.get(stage, 0) for stage in NETWORKS)
        rows.append([
            *told, f"{line.networks:.3f}", f"{line.total:.3f}",
            f"{line.total / (line.frames - 1):.4f}", f"{line.parameters / 1e9:.2f} B",
            f"{line.vae / 1e9:.2f} B", f"{done / 1e12:.1f}" if done else "",
            f"{done / line.networks / best:.0%}" if done else "", f"{line.peak / 2**30:.1f}",
            *(beside(line, lines, ours) for ours in OURS),
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def beside(line: Line, lines: Sequence[Line], name: str) -> str:
    """A made frame's seconds over ours, like with like: networks, and with the VAE."""
    for other in lines:
        if (other.name, other.compiled, other.failed) == (name, line.compiled, ""):
            return " / ".join(f"{ratio:.2f}" for ratio in line.times(other))
    return ""


def main(words: list[str]) -> None:
    """Measure; tell every model as it is done, and write the files after each."""
    output, small = Path(words[0]), "small" in words[1:]
    seconds = next((float(word) for word in words[1:] if word.isdecimal()), 400.0)
    until = monotonic() + seconds
    device = choose_device()
    dtype = choose_dtype("auto", device)
    best = ceiling(device, dtype)
    machine = facts(device, dtype) | {"ceiling": best}
    print(json.dumps(machine), flush=True)
    lines = list[Line]()
    ways = [way for name, way in WAYS.items() if name in words[1:]] or list(WAYS.values())
    for contender in contenders(small, ways):
        line = measured(contender, device, dtype, until)
        same = [one.flops for one in lines if (one.name, one.frames) == (line.name, line.frames)]
        line.flops = line.flops or next(iter(same), {})  # compiled or not, the work is the same
        lines.append(line)
        found = table(lines, best)
        print(found.splitlines()[-1], flush=True)
        told = {"machine": machine, "lines": [asdict(line) for line in lines]}
        output.write_text(json.dumps(told, indent=1) + "\n")
        output.with_suffix(".md").write_text(f"{json.dumps(machine)}\n\n{found}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
