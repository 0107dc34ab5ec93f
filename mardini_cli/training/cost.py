"""What a run will cost, before it begins: counted, not guessed.

Room: training. Every stage's step is worked through once, there and back, on tensors that have
shapes and no numbers (torch's meta device): its arithmetic, its tokens and what it keeps for the
way back are counted as they happen. Only time must be measured, or bounded by the device's rate.

Dimension key
    b  windows    f  slots    g  given    m  made    n  tokens    h, w  pixels
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from mardini_cli.config import ModelConfig, preset
from mardini_cli.device import choose_device
from mardini_cli.events import Priced, StagePrice
from mardini_cli.model.mardini import MarDini
from mardini_cli.training import keeping
from mardini_cli.training.batches import Batch
from mardini_cli.training.blocks import blocks_of
from mardini_cli.training.crew import Chance, Crew
from mardini_cli.training.masks import draw_mask, thin
from mardini_cli.training.objectives import KINDS, Objective, Step
from mardini_cli.training.seen import Seen, see
from mardini_cli.training.stages import StageConfig, TrainConfig
from mardini_cli.training.starting import check_stage, device_name, swap_attention

META = torch.device("meta")
_BYTES = 4  # of a float32
_DRAWS = 3  # masks of a task that chance draws, over which its cost is averaged


def price(config: TrainConfig) -> Priced:
    """Count what every stage of a run asks of this device.

    Raises:
        ConfigError: a stage that does not fit the model.
        WeightsError: weights to start from that are not there.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = choose_device(device_name(config.device, world))
    with META:
        model = MarDini(_sizes(config))
    stages = []
    for stage in config.stages:
        check_stage(stage, model.config, world)
        swap_attention(model, stage)
        stages.append(_stage_price(config, stage, model, (world, device.type == "cuda")))
    rate = arithmetic_rate(device)
    return Priced(
        preset=model.config.preset,
        parameters=sum(p.numel() for p in model.parameters()),
        stages=tuple(stages),
        processes=world,
        device=device.type,
        rate=rate,
        least_hours=sum(_hours(s, s.flops / (rate * world)) for s in stages),
        expected_hours=_expected(stages),
    )


def _sizes(config: TrainConfig) -> ModelConfig:
    """The sizes that the run will have, read without its weights where that is possible."""
    if config.vae:
        from mardini_cli.weights.foreign import load_vae

        return replace(preset(config.preset), vae=load_vae(config.vae)[0])
    if not config.init:
        return preset(config.preset)
    found = keeping.load(Path(config.init), torch.device("cpu"))
    if found is not None:
        return ModelConfig.from_dict(found[0].model, config.init)
    from mardini_cli import weights

    return weights.load(config.init, torch.device("cpu"), torch.float32).config


@dataclass(slots=True)
class Kept:
    """Bytes that a step keeps for its way back, by where they come from."""

    outside: int = 0
    blocks: list[int] = field(default_factory=list)
    inputs: int = 0
    """Of the blocks: all that is kept of them where they are worked out again."""

    def bytes(self, *, recompute: bool) -> int:
        """The most that is held at once."""
        if recompute:
            return self.outside + self.inputs + max(self.blocks, default=0)
        return self.outside + sum(self.blocks)


@dataclass(frozen=True, slots=True)
class Counted:
    """One step of one window."""

    flops: int
    planner_tokens: int
    denoiser_tokens: int
    kept: Kept


def _stage_price(
    config: TrainConfig, stage: StageConfig, model: MarDini, where: tuple[int, bool]
) -> StagePrice:
    world, cuda = where
    drawn = [(share, window_of(stage, mask)) for share, mask in _masks(stage)]
    counted = [
        (share * part, count(model, seen, window))
        for share, window in drawn
        for part, seen in _seen_as(stage)
    ]
    with META:
        objective = KINDS[stage.kind](model, stage)
    moving = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    still = sum(p.numel() for p in objective.parameters()) - moving
    windows = stage.batch // (world * stage.accumulate)
    # Autocast keeps most of it in half the bytes; float32 counts in full elsewhere.
    most = max(one.kept.bytes(recompute=config.recompute) for _, one in counted)
    activations = windows * (most // 2 if cuda else most)
    # Weights, gradients, two moments and the average; bfloat16 copies of what networks read.
    shards = world if config.shard else 1
    state = _BYTES * (5 * moving // shards + still) + (2 * (moving + still) if cuda else 0)
    flops = round(stage.batch * sum(share * one.flops for share, one in counted))
    return StagePrice(
        name=stage.name,
        steps=stage.steps,
        minutes=stage.minutes,
        moving=moving,
        still=still,
        planner_tokens=round(stage.batch * sum(s * one.planner_tokens for s, one in counted)),
        denoiser_tokens=round(stage.batch * sum(s * one.denoiser_tokens for s, one in counted)),
        flops=flops,
        memory=state + activations,
        measured=measured(Path(config.out), stage.name),
    )


def _masks(stage: StageConfig) -> Iterator[tuple[float, Tensor]]:
    """Masks that stand for the mix of tasks, thinned as batches are, and their shares."""
    rng = torch.Generator().manual_seed(0)
    drawn: dict[tuple[int, int], tuple[float, Tensor]] = {}
    for task, share in stage.tasks:
        draws = _DRAWS if task == "random" else 1
        for _ in range(draws if share else 0):
            mask = draw_mask(task, stage.slots, stage.keep, rng)
            mask = mask[thin(mask, stage.made, rng)]
            key = (int((~mask).sum()), int(mask.sum()))  # cost knows no places
            before = drawn.get(key, (0.0, mask))[0]
            drawn[key] = (before + share / draws, mask)
    yield from drawn.values()


def count(model: MarDini, stage: StageConfig, window: Batch | Seen) -> Counted:
    """Work one window of a stage through, there and back, without numbers.

    Args:
        model: on the meta device.
        stage: what is asked.
        window: what ``window_of`` or ``seen_of`` gave.
    """
    with META:
        objective = KINDS[stage.kind](model, stage)
    tokens = {"planner": 0, "denoiser": 0}
    watched = [
        model.planner.register_forward_pre_hook(_counts(tokens, "planner", 0)),
        model.denoiser.register_forward_pre_hook(_counts(tokens, "denoiser", 1)),
    ]
    flops, kept = FlopCounterMode(display=False), Kept()
    step = Step(window, Chance(0, torch.device("cpu"), Crew()), 0.5)
    try:
        with _keeping(objective, kept), _FusedAttention(), flops, _Joined():  # type: ignore[no-untyped-call]  # torch's own __init__
            asked = objective.ask(step)
            asked.total.backward()
            if asked.rival is not None:
                asked.rival.backward()
    finally:
        for hook in watched:
            hook.remove()
        objective.zero_grad(set_to_none=True)
    return Counted(flops.get_total_flops(), tokens["planner"], tokens["denoiser"], kept)


def _counts(tokens: dict[str, int], name: str, place: int) -> Any:
    def hook(_: nn.Module, told: tuple[Any, ...]) -> None:
        b, f, n = told[place].shape[:3]
        tokens[name] = b * f * n

    return hook


def _seen_as(stage: StageConfig) -> Iterator[tuple[float, StageConfig]]:
    """The stage where the denoiser sees whole frames, and where it sees crops, and their shares."""
    for part, crops in ((1 - stage.crops, 0.0), (stage.crops, 1.0)):
        if part:
            yield part, replace(stage, crops=crops)


def seen_of(model: MarDini, stage: StageConfig, mask: Tensor) -> Seen:
    """What the autoencoder, on the meta device, tells of one window that has shapes alone."""
    with _FusedAttention(), _Joined():  # type: ignore[no-untyped-call]  # torch's own __init__
        return see(model, window_of(stage, mask), stage.kind)


def window_of(stage: StageConfig, mask: Tensor) -> Batch:
    """A batch of one window that has shapes alone; ``mask`` is ``f`` bool, True = to be made."""
    made, side = int(mask.sum()), stage.side
    given, half = len(mask) - made, stage.side // 2
    flow = None if stage.kind == "vae" else torch.empty(1, given - 1, 2, 2, half, half, device=META)
    target = torch.empty(made, 4, half, half, device=META) if stage.kind == "guided" else None
    return Batch(
        given=torch.empty(1, given, 3, side, side, device=META),
        made=torch.empty(1, made, 3, side, side, device=META),
        mask=mask[None],
        times=torch.arange(len(mask)).float()[None],
        flow=flow,
        target=target,
    )


_INDEXING = (
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
)


def _counted(indices: list[Tensor | None]) -> list[Tensor | None]:
    """Turn masks, whose count decides a shape, into whole numbers while they have any."""
    counted: list[Tensor | None] = []
    for index in indices:
        masks = index is not None and index.dtype == torch.bool and not index.is_meta
        counted += list(index.nonzero().unbind(1)) if masks and index is not None else [index]
    return counted


class _Joined(TorchDispatchMode):
    """Lets indices that have numbers meet tensors that have none."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        told = (args, kwargs or {})
        if func in _INDEXING:
            told = ((args[0], _counted(args[1]), *args[2:]), told[1])
        if any(isinstance(x, Tensor) and x.is_meta for x in tree_leaves(told)):
            told = tree_map_only(Tensor, lambda x: x if x.is_meta else x.to(META), told)
        return func(*told[0], **told[1])


class _FusedAttention(TorchFunctionMode):
    """Counts attention as the fused kernels do it, which never hold the whole matrix."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if func is F.scaled_dot_product_attention and args[0].is_meta:
            fused = torch.ops.aten._scaled_dot_product_efficient_attention
            return fused(*args[:3], None, True)[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def _keeping(objective: Objective, kept: Kept) -> Iterator[None]:
    """Count what autograd keeps, each storage once, and not the weights."""
    seen = {p.untyped_storage()._cdata for p in objective.parameters()}
    inside: list[int] = []

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in seen and x.is_meta:
            seen.add(storage._cdata)
            alive.append(x)  # an address may come again once it is free
            if inside:
                kept.blocks[-1] += storage.nbytes()
            else:
                kept.outside += storage.nbytes()
        return x

    def enter(_: nn.Module, told: tuple[Any, ...]) -> None:
        inside.append(1)
        kept.blocks.append(0)
        kept.inputs += told[0].nbytes

    def leave(*_: Any) -> None:
        inside.pop()

    alive: list[Tensor] = []
    hooks = [
        hook
        for block in blocks_of(objective.model)
        for hook in (block.register_forward_pre_hook(enter), block.register_forward_hook(leave))
    ]
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def arithmetic_rate(device: torch.device, side: int = 0) -> float:
    """Measure how much a device calculates in a second, in matrix products: FLOP/s."""
    cuda = device.type == "cuda"
    side = side or (8192 if cuda else 1024)
    kind = torch.bfloat16 if cuda else torch.float32
    a = torch.ones(side, side, device=device, dtype=kind)
    times = []
    for _ in range(4):
        begun = time.perf_counter()
        a @ a
        if cuda:
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begun)
    return 2 * side**3 / min(times)


def measured(folder: Path, stage: str) -> float | None:
    """Seconds a step that the log of a run tells of a stage; None where it tells nothing."""
    log = folder / "log.jsonl"
    if not log.is_file():
        return None
    rows: list[Mapping[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    told = [row for row in rows if row.get("stage") == stage and "seconds" in row]
    pairs = [(a, b) for a, b in pairwise(told) if b["step"] > a["step"]]
    paces = [
        (b["seconds"] - a["seconds"]) / (b["step"] - a["step"])
        for a, b in pairs
        if b["seconds"] > a["seconds"]  # a run that was taken up again counts from zero
    ]
    return sorted(paces)[len(paces) // 2] if paces else None


def _expected(stages: list[StagePrice]) -> float | None:
    paces = [stage.measured for stage in stages]
    if None in paces:
        return None
    return sum(_hours(stage, stage.measured or 0) for stage in stages)


def _hours(stage: StagePrice, step: float) -> float:
    """Hours of a stage whose step takes so many seconds: its steps end it, or its minutes."""
    hours = step * stage.steps / 3600
    return min(hours, stage.minutes / 60) if stage.minutes else hours
