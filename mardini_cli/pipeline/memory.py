"""What a window takes of memory, and what to do so that it fits.

Room: pipeline. Arithmetic on sizes; the one question to the device is how much is free.

A batch changes no frame, so that it shrinks first. Then the work is cut: fewer frames through the
autoencoder at once, the planner out of the way while frames are sampled, smaller tiles (which
change frames a little, where they meet). What still does not fit is said before the work begins.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from mardini_cli.config import ModelConfig
from mardini_cli.diffusion.sampler import needs
from mardini_cli.errors import MemoryLimitError
from mardini_cli.model.graphs import MOST
from mardini_cli.model.guided import working_size
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.positions import Grid
from mardini_cli.model.strips import LEAST, MARGIN
from mardini_cli.model.tiles import TOKEN, side_for
from mardini_cli.model.vae import PIXELS_AT_ONCE
from mardini_cli.pipeline.settings import MakeSettings
from mardini_cli.pipeline.settling import settle
from mardini_cli.tasks.plan import Plan

LARGEST_BATCH = 16
"""Windows made at once on a GPU at most; more bring no speed."""
SPARE = 0.9
"""Share of the free memory that is planned for: allocators leave gaps."""
TILES = (768, 512, 384, 256)
"""Sides of tiles, working pixels, that are tried in turn."""
MADE_BYTES, GIVEN_BYTES, WHOLE_BYTES = 900, 150, 40
"""Motion latents, float32: bytes for a working pixel of a made and of a given frame, and for a
pixel of any frame at its own size. Measured with ``tiny`` (``docs/performance.md``), rounded up."""
TOKEN_TENSORS = 16
"""Picture latents: tensors of the network's width that a token has at once, besides its MLP."""
PICTURE_TENSORS = 8
"""Picture latents: tensors of the first width that a pixel has at once in the autoencoder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """The largest window of a job, and how it is run."""

    config: ModelConfig
    given: int
    made: int
    size: tuple[int, int]
    """Height and width of the frames, pixels."""
    work: tuple[int, int]
    """Height and width at which motion is worked out, pixels."""
    signals: int
    """1, or 2 where guidance asks for the null signal as well; 0 without sampling."""
    bytes_a_number: int
    """Of the number type that the networks run in."""
    planner_bytes: int
    """Of the planner's weights."""
    graphs: bool = False
    """Whether sampling steps may be recorded as CUDA graphs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """How a window is run so that it fits."""

    batch: int = 1
    tile: int | None = None
    """Side of the tiles, working pixels; None: the whole frame."""
    pixels_at_once: int = PIXELS_AT_ONCE
    """Of frames that pass the VAE together; larger ones pass in strips."""
    offload: bool = False
    """Whether the planner's weights wait in the processor's memory while frames are sampled."""
    graphs: bool = False
    """Whether sampling steps are recorded; what they work in is then never free for others."""


def needed(job: Job, fit: Fit) -> int:
    """Estimate what a batch takes at its worst moment, in bytes, without the weights."""
    recorded = _recorded(job, fit) if fit.graphs else 0
    if job.config.guided:
        return max(_guided(job, fit)) + recorded
    planning, *others = _pictures(job, fit)
    return max(planning, max(others) - (job.planner_bytes if fit.offload else 0)) + recorded


def fitted(job: Job, wish: Fit, free: int, fixed_tile: bool = False) -> Fit:
    """Find the first way to run a job that fits, from the quickest to the most frugal.

    Args:
        job: what is to be run.
        wish: how it would be run with memory enough.
        free: bytes beside the weights.
        fixed_tile: whether the tiles were asked for, and stay as they are.

    Raises:
        MemoryLimitError: nothing fits.
    """
    last = wish
    for last in _ways(job, wish, fixed_tile):
        if needed(job, last) <= free:
            return last
    raise MemoryLimitError(
        f"a window of {job.given + job.made} frames of {job.size[1]}x{job.size[0]} takes about"
        f" {_told(needed(job, last))} beside the weights",
        needed=f"at most {_told(free)}",
        do="try a smaller --resolution, smaller frames, or a larger --memory-limit",
    )


def check(
    model: MarDini,
    device: torch.device,
    size: tuple[int, int],
    settings: MakeSettings,
    largest: tuple[int, int] = (1, 1),
) -> None:
    """Refuse what cannot fit, before any weights are loaded.

    Args:
        model: a ``sketch``.
        device: where it would run.
        size: height and width of the frames, pixels.
        settings: how it would run.
        largest: given and made frames of the largest window; no job has a smaller one than (1, 1).

    Raises:
        MemoryLimitError: the weights do not fit, or such a window beside them.
    """
    weights = weight_bytes(model)
    free = free_bytes(device, settings.memory, weights, loaded=False)
    if free is None:
        return
    if free <= 0:
        raise MemoryLimitError(
            f"the weights take {_told(weights)} on {device}",
            needed=f"more memory than {_told(free + weights)}",
            do="try another --device, a smaller model, or a larger --memory-limit",
        )
    job = job_of(largest, model, size, settings)
    fitted(job, wish_of(job, settings, device), free, settings.tile != "auto")


@lru_cache(maxsize=2)
def sketch(config: ModelConfig, dtype: torch.dtype) -> MarDini:
    """The networks as they run in a number type, without numbers: what they take is known."""
    with torch.device("meta"):
        return settle(MarDini(config), dtype)


def frugal(fit: Fit, batch: int) -> Fit | None:
    """Find what to try after a batch did not fit although it should have; None: nothing is left."""
    if batch > 1:
        return replace(fit, batch=-(-batch // 2))
    smaller = [side for side in TILES if fit.tile is None or side < fit.tile]
    return replace(fit, batch=1, tile=smaller[0], pixels_at_once=1) if smaller else None


def largest_of(plan: Plan) -> tuple[int, int]:
    """Given and made frames of the largest window."""
    largest = max(plan.windows, key=lambda window: len(window.slots))
    return len(largest.given), len(largest.made)


def job_of(
    largest: tuple[int, int], model: MarDini, size: tuple[int, int], settings: MakeSettings
) -> Job:
    """Describe the largest window of a job, given and made, over frames of ``size``."""
    config, sampler = model.config, settings.sampler
    return Job(
        config=config,
        given=largest[0],
        made=largest[1],
        size=size,
        work=(
            working_size(size, settings.resolution or config.guided.resolution)
            if config.guided
            else size
        ),
        signals=len(needs(sampler.guidance)) if sampler.steps else 0,
        bytes_a_number=settings.dtype.itemsize,
        planner_bytes=weight_bytes(model.planner),
        graphs=model.graphs is not None and sampler.steps > 0,
    )


def wish_of(job: Job, settings: MakeSettings, device: torch.device) -> Fit:
    """How a job would be run with memory enough."""
    grid = Grid(-(-job.work[0] // TOKEN), -(-job.work[1] // TOKEN))
    tile = side_for(grid) if settings.tile == "auto" else settings.tile
    # One window keeps a processor's cores busy.
    usual = LARGEST_BATCH if device.type == "cuda" else 1
    return Fit(batch=settings.batch or usual, tile=tile, graphs=job.graphs)


def free_bytes(
    device: torch.device, limit: int | None, weights: int, *, loaded: bool = True
) -> int | None:
    """Bytes that windows may take beside the weights; None: there is no telling, and no limit.

    Args:
        device: where the model is, or will be.
        limit: what the model may take in all, weights included; None takes what is free.
        weights: bytes of the model's weights.
        loaded: whether they are on the device. If not, what this process holds there counts as
            free: models of earlier jobs are used again, or let go.
    """
    if limit is not None:
        return limit - weights
    if device.type != "cuda":
        return None  # the system's memory is shared, and what is free there may be lent out
    free, _ = torch.cuda.mem_get_info(device)
    used = torch.cuda.memory_allocated(device) if loaded else weights
    return int((free + torch.cuda.memory_reserved(device) - used) * SPARE)


def weight_bytes(model: torch.nn.Module) -> int:
    """Bytes of a network's weights."""
    return sum(p.numel() * p.element_size() for p in model.parameters())


def _told(size: int) -> str:
    """A size for eyes."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 // 10 else f"{max(size, 0) / 2**20:.1f} MiB"


def _ways(job: Job, wish: Fit, fixed_tile: bool) -> Iterator[Fit]:
    batch = wish.batch
    while batch > 1:
        yield replace(wish, batch=batch)
        batch //= 2
    one = replace(wish, batch=1)
    yield one
    if wish.graphs:
        one = replace(one, graphs=False)
        yield one
    if job.config.vae is not None:
        one = replace(one, pixels_at_once=1)
        yield one
        one = replace(one, offload=True)
        yield one
    if not fixed_tile:
        yield from (replace(one, tile=t) for t in TILES if wish.tile is None or t < wish.tile)


def _guided(job: Job, fit: Fit) -> Iterator[int]:
    work, frame = job.work[0] * job.work[1], job.size[0] * job.size[1]
    tile = min(work, fit.tile**2) if fit.tile else work
    whole = job.given * work * GIVEN_BYTES + (job.given + job.made) * frame * WHOLE_BYTES
    yield fit.batch * (whole + job.made * tile * MADE_BYTES)
    network = sum(_network(job, fit, tile))
    yield fit.batch * whole + network


def _pictures(job: Job, fit: Fit) -> Iterator[int]:
    """Planning, sampling, and the autoencoder over a few frames."""
    config, frame = job.config, job.size[0] * job.size[1]
    vae = config.vae
    assert vae is not None
    frames = job.given + job.made
    pictures = fit.batch * frames * frame * 12  # RGB in float32
    low = min(config.low_resolution / min(job.size), 1.0) ** 2 * frame
    width, mlp = config.planner.width, config.planner.mlp
    planned = frames * low / 256 * (TOKEN_TENSORS * width + mlp) * job.bytes_a_number
    yield pictures + int(fit.batch * planned)
    tile = min(frame, fit.tile**2) if fit.tile else frame
    yield pictures + sum(_network(job, fit, tile))
    at_work = min(fit.pixels_at_once, fit.batch * frames * frame)
    maps = 0
    if frame > fit.pixels_at_once:  # strip by strip, beside the maps of the whole frame
        at_work = max(at_work, (LEAST + 2 * MARGIN) * job.size[1])
        maps = frame * sum(vae.widths[:2])
    numbers = maps + at_work * vae.widths[0] * PICTURE_TENSORS
    yield pictures + numbers * job.bytes_a_number


def _recorded(job: Job, fit: Fit) -> int:
    """What the graphs hold: all work in the same memory, each has its own copy of what is kept."""
    work = job.work[0] * job.work[1]
    at_work, kept = _network(job, fit, min(work, fit.tile**2) if fit.tile else work)
    return at_work + MOST * kept


def _network(job: Job, fit: Fit, tile: int) -> tuple[int, int]:
    """The denoiser over frames of so many pixels: at work, and what it keeps of given frames."""
    denoiser = job.config.denoiser
    tokens = fit.batch * job.signals * (job.given + job.made) * tile // 256
    at_work = TOKEN_TENSORS * denoiser.width + denoiser.mlp
    kept = 2 * denoiser.depth * denoiser.width // 4
    return tokens * at_work * job.bytes_a_number, tokens * kept * job.bytes_a_number
