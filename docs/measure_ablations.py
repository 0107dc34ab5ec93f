"""The paper's choices, one at a time, at our scale: short runs that differ in one thing each.

    python docs/measure_ablations.py OUTPUT.json --data DIR --photos DIR --clips DIR
                                     [--only NAME,...] [--steps N | --seconds S]
    python docs/measure_ablations.py --tables OUTPUT.json [OUTPUT.json ...]

Every row starts alike: the autoencoder of ``--init`` frozen, its decoder deaf to signals it never
met; planner and denoiser fresh, of one seed; the same number of steps over the same windows, drawn
once and shared. Then its v-loss is taken on held-back windows of ``--data``, and frames are
sampled on the clips of ``--clips``, which nothing has seen. Rows rest on one another in nothing:
several processes may share them out by ``--only``, one to a GPU (CUDA_VISIBLE_DEVICES). A row that
fails, or for which no time is left, is told of, and the rest goes on.
"""

import argparse
import json
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mardini_cli import weights
from mardini_cli.config import PRESETS, GuidedConfig, ModelConfig, VaeConfig, preset
from mardini_cli.device import choose_device, name_of
from mardini_cli.evaluation import metrics, temporal
from mardini_cli.evaluation.excerpts import Excerpt, clips_of, excerpts_of
from mardini_cli.evaluation.ours import Maker, method_name
from mardini_cli.evaluation.protocols import CROP, PROTOCOLS, SLOTS, Protocol
from mardini_cli.evaluation.score import whole_windows
from mardini_cli.evaluation.tables import bootstrap
from mardini_cli.model.autoencoder import Given
from mardini_cli.model.denoiser import unpatchify
from mardini_cli.model.guided import Guided
from mardini_cli.model.mardini import MarDini
from mardini_cli.training.batches import Batch
from mardini_cli.training.crew import Crew
from mardini_cli.training.loop import rate_at
from mardini_cli.training.movers import Movers
from mardini_cli.training.objectives import KINDS, Asked, Objective, Resting, Step
from mardini_cli.training.seen import Seen, see
from mardini_cli.training.stages import ANY_TASK, TASKS, Kind, StageConfig, TrainConfig
from mardini_cli.training.stepping import Stepper, autocast
from mardini_cli.training.supply import Look, Supply

SAMPLING: Final = 4
"""Steps of the sampler."""
SHOWN: Final = ("x8", "animate")
"""Protocols in which frames are sampled."""
LOOKS: Final = 4
"""Times that a run's v-loss is taken; as often again in a longer one."""
AT_ONCE: Final = 8
"""Windows sampled together."""
Change = Callable[[ModelConfig], ModelConfig]
RECIPES: Final[dict[str, tuple[StageConfig, ...]]] = {}


def _recipe(name: str, *keeps: tuple[float, float]) -> None:
    """Windows of random masks, in as many parts as there are keep ratios."""
    RECIPES[name] = tuple(
        StageConfig(
            name=f"{name}-{n}", kind="joint", steps=1, made=8, tasks=(("random", 1.0),), keep=keep
        )
        for n, keep in enumerate(keeps)
    )


RECIPES["mix"] = (StageConfig(name="mix", kind="joint", steps=1, made=8, tasks=ANY_TASK),)
_recipe("constant", (0.06, 0.6))
_recipe("falling", (0.65, 1.0), (0.45, 1.0), (0.35, 1.0), (0.06, 0.6))


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One run: what differs."""

    name: str
    what: str
    change: Change = lambda config: config
    kind: Kind = "joint"
    recipe: str = "mix"
    length: int = 1
    """Its steps in those of the others."""


def _full(config: ModelConfig) -> ModelConfig:
    """The planner sees as many tokens of a frame as the denoiser."""
    guided = config.guided or GuidedConfig()
    return replace(config, guided=replace(guided, signal_rows=2 * guided.signal_rows))


def _pictures(config: ModelConfig) -> ModelConfig:
    """As many tokens and channels of either network as with motion latents; a VAE in its place."""
    vae = VaeConfig(widths=(32, 64, 96, 128), blocks=1, groups=8)
    rows = (config.guided or GuidedConfig()).signal_rows
    return replace(config, guided=None, vae=vae, low_resolution=16 * rows)


ROWS: Final = (
    Row(name="both", what="planner and denoiser, reading A, t = 0: the defaults"),
    Row(name="denoiser-only", what="no planner: the learned null signal", kind="denoiser"),
    Row(name="planner-only", what="no diffusion: the planner tells latents", kind="planner"),
    Row(name="identity-frame", what="Identity Attention, reading B",
        change=lambda c: replace(c, identity="frame")),
    Row(name="identity-off", what="no Identity Attention",
        change=lambda c: replace(c, identity="off")),
    Row(name="reference-shared", what="given frames at the made ones' t",
        change=lambda c: replace(c, reference="shared")),
    Row(name="planner-full", what="planner at the denoiser's resolution", change=_full),
    Row(name="keep-constant", what="random masks, keep ratio 0.06-0.6", recipe="constant"),
    Row(name="keep-falling", what="random masks, keep ratio from 0.65-1 down", recipe="falling"),
    Row(name="pictures", what="picture latents of a VAE just trained", change=_pictures),
    Row(name="long", what="the defaults, three times as long", length=3),
)  # fmt: skip


class PlannedObjective(Resting):
    """The planner alone: it tells the made frames' latents, in one step, by their mean square."""

    def __init__(self, model: MarDini, stage: StageConfig) -> None:
        super().__init__(model, stage)
        config = model.config
        assert config.guided is not None
        self.cells = stage.side // 8 // config.guided.signal_rows  # latents are at an eighth
        self.head = nn.Linear(config.planner.width, config.latent_channels * self.cells**2)
        self.head.to(next(model.parameters()).device)

    def moving(self) -> Iterable[nn.Module]:
        """The planner; its head is new and moves anyway."""
        return [self.model.planner]

    def told(self, given: Given) -> Tensor:
        """Latents of the made frames, normalised, ``b m c h w``."""
        grid, b = given.planner_grid, len(given.mask)
        tokens = self.head(self.model.plan(given))[given.mask].unflatten(0, (b, -1))
        return unpatchify(tokens, self.cells, grid.rows, grid.cols)

    def ask(self, step: Step) -> Asked:
        """See ``Objective.ask``."""
        seen = self.seen(step)
        with torch.no_grad():
            given = seen.given(self.model)
            clean = self.model.autoencoder.normalise(seen.tensors["mean"]).float()
        loss = F.mse_loss(self.told(given).float(), clean)
        return Asked(loss, None, {"mse": loss.detach()})


@dataclass(slots=True)
class Bench:
    """What rows share: windows, drawn once, and clips to sample on."""

    words: argparse.Namespace
    device: torch.device
    supply: Supply
    excerpts: list[Excerpt]
    pixels: dict[str, list[list[Batch]]] = field(default_factory=dict)
    seen: dict[Any, list[list[Seen]]] = field(default_factory=dict)
    held: dict[Any, list[tuple[str, Seen]]] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)

    @classmethod
    def of(cls, words: argparse.Namespace) -> "Bench":
        """Read everything."""
        device = choose_device(words.device)
        config = TrainConfig(
            data=(words.data,), photos=(words.photos,), workers=words.workers, seed=words.seed
        )
        supply = Supply(config, device)
        if skipped := supply.load([_sized(RECIPES["mix"][0], words, 1)]):
            print("left out, do not decode:", ", ".join(skipped))
        root = Path(words.clips)
        with ThreadPoolExecutor() as pool:
            found = pool.map(
                lambda at: excerpts_of(at[1], at[0], CROP, root), enumerate(clips_of(root))
            )
            excerpts = [one for each in found if isinstance(each, list) for one in each]
        bench = cls(words, device, supply, excerpts)
        tasks = tuple((task, 1 / len(TASKS)) for task in TASKS)
        bench.looks = list(
            supply.drawn_looks(_sized(replace(RECIPES["mix"][0], tasks=tasks), words, 1))
        )
        return bench

    def drawn(self, stage: StageConfig) -> Iterator[Batch]:
        """Batches of a stage from pixels, on the host."""
        return self.supply.drawn(stage).run(0, self.words.workers, torch.device("cpu"))

    @torch.no_grad()
    def windows(self, recipe: str, model: MarDini) -> list[list[Seen]]:
        """A recipe's windows as this model's autoencoder tells of them, part by part."""
        key = (recipe, model.config.guided, model.config.vae)
        if key not in self.seen:
            if recipe not in self.pixels:
                parts = RECIPES[recipe]
                count = max(1, self.words.batches // len(parts))
                self.pixels[recipe] = [
                    list(self.drawn(_sized(part, self.words, count))) for part in parts
                ]
            ready = self.supply.ready(RECIPES[recipe][0])
            with autocast(self.device):
                self.seen[key] = [
                    [see(model, ready(batch), "joint") for batch in part]
                    for part in self.pixels[recipe]
                ]
            if recipe != "mix":
                del self.pixels[recipe]
        return self.seen[key]

    @torch.no_grad()
    def looked(self, model: MarDini) -> list[tuple[str, Seen]]:
        """Held-back windows as this model's autoencoder tells of them, with their task."""
        key = (model.config.guided, model.config.vae)
        if key not in self.held:
            with autocast(self.device):
                self.held[key] = [
                    (look.task, see(model, look.batch, "joint"))
                    for look in self.looks
                    if isinstance(look.batch, Batch)
                ]
        return self.held[key]


def _sized(stage: StageConfig, words: argparse.Namespace, steps: int) -> StageConfig:
    return replace(stage, batch=words.batch, steps=steps, photos=0.4, warmup=min(100, words.steps))


def run(row: Row, bench: Bench) -> dict[str, Any]:
    """Train one row and measure it."""
    words, began = bench.words, time.perf_counter()
    model, facts = start(row, bench)
    held = bench.looked(model)
    parts = bench.windows(row.recipe, model)
    steps = words.steps * row.length
    stepper = stepping(row, model, words, steps)
    objective, stage = stepper.objective, stepper.stage
    figures: list[dict[str, Any]] = []
    ready, looks = time.perf_counter(), LOOKS * (1 + (row.length > 1))
    for step in range(steps):
        part = parts[step * len(parts) // steps]
        behind = step / steps
        stepper(part[step % len(part)], step, behind, rate_at(stage, step, behind))
        if (step + 1) * looks // steps > step * looks // steps:
            stepper.check(step + 1)
            stepper.movers.average.swap()
            quarter = row.length > 1 and len(figures) % 2 == 1 and step + 1 < steps
            told = {"step": step + 1, "loss": scored(objective, held)}
            figures.append(told | (pictured(objective, bench) if quarter else {}))
            stepper.movers.average.swap()
    trained = time.perf_counter()
    stepper.movers.average.swap()
    return {
        "name": row.name,
        "what": row.what,
        "loss_of": "latents" if row.kind == "planner" else "v",
        "steps": steps,
        "moving": sum(p.numel() for p in stepper.movers.parameters),
        **facts,
        "loss": figures[-1]["loss"],
        **pictured(objective, bench, bounds=row.name in ("both", "pictures")),
        "curve": figures,
        "seconds": {
            "ready": round(ready - began, 1),
            "trained": round(trained - ready, 1),
            "measured": round(time.perf_counter() - trained, 1),
        },
    }


def stepping(row: Row, model: MarDini, words: argparse.Namespace, steps: int) -> Stepper:
    """The training steps of a row, and what moves in them."""
    stage = _sized(RECIPES[row.recipe][0], words, steps)
    stage = replace(stage, kind=row.kind, rate=8e-4, name=row.name)
    torch.manual_seed(words.seed)
    made = PlannedObjective if row.kind == "planner" else KINDS[row.kind]
    objective = made(model, stage).train()
    return Stepper(objective, Movers(objective, stage), Crew(), words.seed, 30.0)


def steps_in(seconds: float, bench: Bench) -> int:
    """Steps that the defaults take in so many seconds, to the nearest 50: all rows then take them.

    Told in the output: processes that share the rows out should have found the same number.
    """
    model, _ = start(ROWS[0], bench)
    part, *_ = bench.windows(ROWS[0].recipe, model)
    stepper, began = stepping(ROWS[0], model, bench.words, 100), 0.0
    for step in range(40):
        if step == 15:
            stepper.check(step)  # waits for the device
            began = time.perf_counter()
        stepper(part[step % len(part)], step, step / 100, 0.0)
    stepper.check(40)
    return max(50, 50 * round(seconds * 25 / (time.perf_counter() - began) / 50))


def start(row: Row, bench: Bench) -> tuple[MarDini, dict[str, Any]]:
    """The model of a row, fresh but for its autoencoder; facts on that, where it is new."""
    words, device = bench.words, bench.device
    source = words.init
    if source in PRESETS:  # for a trial of the script
        torch.manual_seed(words.seed)
        origin = MarDini(preset(source)).to(device)
    else:
        origin = weights.load(source, device, torch.float32)
    config = row.change(origin.config)
    torch.manual_seed(words.seed)
    model = MarDini(config).to(device)
    if not isinstance(model.autoencoder, Guided):
        return model, picture_autoencoder(model, bench)
    model.autoencoder.load_state_dict(origin.autoencoder.state_dict())
    for parameter in model.autoencoder.planned.parameters():  # it knew another planner
        nn.init.zeros_(parameter)
    return model, {}


def picture_autoencoder(model: MarDini, bench: Bench) -> dict[str, Any]:
    """Train a VAE from nothing, and measure the statistics of its latents."""
    words = bench.words
    stage = StageConfig(
        name="vae", kind="vae", steps=words.vae_steps, batch=words.batch, photos=0.4, warmup=50,
        rate=1e-3,
    )  # fmt: skip
    objective = KINDS["vae"](model, stage).train()
    stepper = Stepper(objective, Movers(objective, stage), Crew(), words.seed, 30.0)
    ready, began = bench.supply.ready(stage), time.perf_counter()
    stepper.ready = ready
    for step, batch in enumerate(bench.drawn(stage)):
        behind = step / stage.steps
        stepper(batch, step, behind, rate_at(stage, step, behind))
    stepper.movers.average.swap()
    objective.settle(ready(batch) for batch in islice(bench.drawn(stage), 8))
    took = round(time.perf_counter() - began, 1)
    return {"vae": {"steps": stage.steps, "seconds": took}}


@torch.no_grad()
def scored(objective: Objective, held: Sequence[tuple[str, Seen]]) -> dict[str, float]:
    """Mean loss of each task on held-back windows."""
    found: dict[str, list[float]] = {}
    with autocast(next(objective.parameters()).device):
        for task, seen in held:
            found.setdefault(task, []).append(float(objective.score(seen)["loss"]))
    return {task: round(sum(each) / len(each), 5) for task, each in found.items()}


def pictured(objective: Objective, bench: Bench, *, bounds: bool = False) -> dict[str, Any]:
    """What ``shown`` tells, or why it tells nothing: losses that were measured stand without it."""
    try:
        return {"pictures": shown(objective, bench, bounds=bounds)}
    except Exception:  # noqa: BLE001  # told in the output, and on the screen by the tables
        return {"pictures": {}, "pictures_failed": traceback.format_exc()}


@torch.inference_mode()
def shown(objective: Objective, bench: Bench, *, bounds: bool = False) -> dict[str, Any]:
    """Figures of sampled frames, by protocol and method; with the decoder's own bounds beside."""
    model = objective.model.eval()
    dtype = torch.bfloat16 if bench.device.type == "cuda" else torch.float32
    maker = Maker(model=model, device=bench.device, dtype=dtype, seed=bench.words.seed)
    without = [0] if bounds and model.config.guided else []
    found: dict[str, Any] = {}
    for name in SHOWN:
        protocol = PROTOCOLS[name]
        values: dict[str, list[list[float]]] = {}
        for first in range(0, len(bench.excerpts), AT_ONCE):
            some = bench.excerpts[first : first + AT_ONCE]
            if isinstance(objective, PlannedObjective):
                made = {method_name(SAMPLING): planned(objective, maker, some, protocol)}
            else:
                made = maker.make(some, protocol, [*without, SAMPLING], ceiling=bounds)
            for method, frames in made.items():
                values.setdefault(method, []).extend(_figures(some, frames, protocol))
        clips = [one.clip for one in bench.excerpts]
        found[name] = {method: _means(each, clips) for method, each in values.items()}
    objective.train()
    return found


def planned(
    objective: PlannedObjective, maker: Maker, excerpts: Sequence[Excerpt], protocol: Protocol
) -> Tensor:
    """Frames of the latents that the planner tells, ``b m 3 h w``."""
    true = torch.stack([one.frames for one in excerpts]).to(maker.device)
    b = len(true)
    mask = torch.tensor(protocol.mask, device=maker.device).expand(b, -1)
    times = torch.arange(SLOTS, dtype=torch.float32, device=maker.device).expand(b, -1)
    low = maker.dtype != torch.float32
    with torch.autocast(maker.device.type, dtype=maker.dtype, enabled=low):
        given = maker.model.look(true[:, list(protocol.given)], mask, times)
        level = torch.zeros(b, device=maker.device)
        made = maker.model.decode(objective.told(given).float(), level, given, None)
    return made.float().clamp(0, 1)


def _figures(excerpts: Sequence[Excerpt], made: Tensor, protocol: Protocol) -> list[list[float]]:
    """PSNR, SSIM, sharpness and motion of each window."""
    true = torch.stack([one.frames for one in excerpts]).to(made.device)
    windows, slots = whole_windows(true, made, protocol), list(protocol.made)
    ours, truth = windows[:, slots], true[:, slots]
    columns = (
        metrics.psnr(ours, truth).mean(1),
        metrics.ssim(ours, truth).mean(1),
        temporal.sharpness(ours, true[:, list(protocol.given)]),
        temporal.motion(windows, true, protocol.mask),
    )
    rows: list[list[float]] = torch.stack(columns, 1).tolist()
    return rows


def _means(rows: list[list[float]], clips: Sequence[str]) -> dict[str, Any]:
    """Means with half an interval; of motion the median: still windows would rule its mean."""
    values = np.array(rows, np.float64)
    named = zip(("psnr", "ssim", "sharpness"), bootstrap(values[:, :3], clips), strict=True)
    told: dict[str, Any] = {
        n: [round(m.value, 4), round((m.high - m.low) / 2, 4)] for n, m in named
    }
    return told | {"motion": round(float(np.median(values[:, 3])), 4), "windows": len(rows)}


# Tables -------------------------------------------------------------------------------------------


def tables(outputs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Everything that was measured, in Markdown."""
    rows = [row for output in outputs for row in output["rows"]]
    yield "| run | what | steps | v-loss x8 | v-loss animate | v-loss, all tasks |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in rows:
        loss = row["loss"]
        ends, one, every = loss["ends"], loss["animate"], sum(loss.values()) / len(loss)
        mark = " (latents)" if row["loss_of"] == "latents" else ""
        cells = f"{ends:.3f}{mark} | {one:.3f}{mark} | {every:.3f}{mark}"
        yield f"| `{row['name']}` | {row['what']} | {row['steps']} | {cells} |"
    for name in SHOWN:
        yield f"\n{name}, {SAMPLING} steps:\n"
        yield "| run | method | PSNR | SSIM | sharpness | motion |"
        yield "| --- | --- | --- | --- | --- | --- |"
        for row in rows:
            for method, figures in row["pictures"].get(name, {}).items():
                told = " | ".join(
                    f"{figures[key][0]:.{digits}f} ±{figures[key][1]:.{digits}f}"
                    for key, digits in (("psnr", 2), ("ssim", 4), ("sharpness", 2))
                )
                yield f"| `{row['name']}` | {method} | {told} | {figures['motion']:.2f} |"
    yield "\nOver training, v-loss of x8 and animate:\n"
    for row in rows:
        curve = (
            f"{at['step']}: {at['loss']['ends']:.3f} {at['loss']['animate']:.3f}"
            for at in row["curve"]
        )
        yield f"- `{row['name']}`: {'; '.join(curve)}"
        for at in row["curve"]:
            for name, methods in at.get("pictures", {}).items():
                figures = methods[method_name(SAMPLING)]
                yield (
                    f"    - step {at['step']}, {name}: {figures['psnr'][0]:.2f} dB, SSIM "
                    f"{figures['ssim'][0]:.4f}, sharpness {figures['sharpness'][0]:.2f}, motion "
                    f"{figures['motion']:.2f}"
                )
    for row in (row for row in rows if "pictures_failed" in row):
        yield f"- `{row['name']}` without pictures: {_last(row['pictures_failed'])}"
    for output in outputs:
        for name, why in output["left_out"].items():
            yield f"- `{name}` left out: {_last(why)}"


def _last(trace: str) -> str:
    """The line of a trace that says what went wrong: the first that is not indented, after it."""
    lines = [line for line in trace.splitlines() if line and not line.startswith((" ", "Trace"))]
    return lines[0] if lines else trace


# Command line -------------------------------------------------------------------------------------


def main() -> None:
    """Measure, or show what was measured."""
    words = _words()
    if words.tables:
        print("\n".join(tables([json.loads(Path(one).read_text()) for one in words.output])))
        return
    began = time.monotonic()
    torch.backends.cudnn.benchmark = True  # shapes are few and come back
    cv2.setNumThreads(1)  # processes that are forked later would wait for threads they lack
    names = words.only.split(",") if words.only else [row.name for row in ROWS]
    if unknown := set(names) - {row.name for row in ROWS}:
        raise SystemExit(
            f"no row {', '.join(unknown)}; there are {', '.join(r.name for r in ROWS)}"
        )
    output = Path(words.output[0])
    output.parent.mkdir(parents=True, exist_ok=True)
    bench = Bench.of(words)
    if words.seconds:
        words.steps = steps_in(words.seconds, bench)
        print(f"{words.steps} steps a row", flush=True)
    result: dict[str, Any] = {
        "settings": vars(words),
        "device": name_of(bench.device),
        "torch": torch.__version__,
        "clips": len(bench.supply.clips),
        "photos": len(bench.supply.photos),
        "windows": len(bench.excerpts),
        "rows": [],
        "left_out": {},
    }
    longest = 0.0  # of the rows so far, in those of length 1
    for row in (one for one in ROWS if one.name in names):
        now = time.monotonic()
        if words.limit and now - began + longest * row.length > words.limit:
            result["left_out"][row.name] = f"no time: {now - began:.0f} of {words.limit:.0f} s gone"
        else:
            try:
                result["rows"].append(run(row, bench))
            except Exception:  # noqa: BLE001  # the rows after it stand for themselves
                result["left_out"][row.name] = traceback.format_exc()
            longest = max(longest, (time.monotonic() - now) / row.length)
        result["elapsed"] = round(time.monotonic() - began, 1)
        part = output.with_name(f".{output.name}.part")
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        part.replace(output)
        told = result["rows"][-1]["seconds"] if row.name not in result["left_out"] else "left out"
        print(f"{result['elapsed']:6.1f} s  {row.name}: {told}", flush=True)
    print("\n".join(tables([result])))


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("output", nargs="+", help="JSON file; with --tables, all to be shown")
    parser.add_argument("--tables", action="store_true", help="show what was measured")
    parser.add_argument("--data", help="clips to train on")
    parser.add_argument("--photos", help="photographs to train on")
    parser.add_argument("--clips", help="clips that nothing has seen")
    parser.add_argument("--only", default="", help=f"of {', '.join(row.name for row in ROWS)}")
    root = Path(__file__).parents[1]
    parser.add_argument("--init", default=str(root / "weights" / "mardini-tiny"))
    parser.add_argument("--steps", type=int, default=500, help="of a run")
    parser.add_argument("--seconds", type=float, default=0.0, help="for steps, by a short trial")
    parser.add_argument("--batches", type=int, default=200, help="drawn, gone through repeatedly")
    parser.add_argument("--batch", type=int, default=24, help="windows a step")
    parser.add_argument("--vae-steps", type=int, default=500, help="of the picture autoencoder")
    parser.add_argument("--limit", type=float, default=530.0, help="seconds for all; 0: no limit")
    parser.add_argument("--workers", type=int, default=max(0, min(15, (os.cpu_count() or 1) - 1)))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
