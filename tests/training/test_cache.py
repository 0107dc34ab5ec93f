"""What was kept of batches is what they are."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mardini_cli.errors import ConfigError, OutputExistsError, WeightsError
from mardini_cli.events import Cached, Event, Progress, Trained, Warned
from mardini_cli.training import cache, caching
from mardini_cli.training.seen import look, see
from mardini_cli.training.stages import StageConfig, TrainConfig
from tests.training.runs import (
    batch,
    model,
    photo_folder,
    run,
    run_until_save,
    saved,
    settings,
    stage,
)


def filled(config: TrainConfig, stage: str = "", steps: int = 0) -> list[Event]:
    return list(caching.fill(config, stage, steps))


def test_a_run_at_its_end_has_no_stage_to_keep_for(tmp_path: Path) -> None:
    config = settings(tmp_path, stage("planner", steps=1))
    run(config)

    with pytest.raises(ConfigError, match="is at its end; needs stages to come"):
        filled(config)


def test_a_cache_that_is_not_there_is_told(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    stages = (stage("guided", steps=1), stage("planner", steps=1))

    events = run(settings(tmp_path, *stages, cache=nowhere))

    (told,) = [event for event in events if isinstance(event, Warned)]
    assert (told.code, told.message.split(":")[0]) == (
        "no-cache",
        f"{nowhere} keeps nothing for planner",
    )


def other(config: TrainConfig, name: str, **changes: object) -> TrainConfig:
    out = Path(config.out).with_name(name)
    return replace(config, out=str(out), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", ["nano", "nano-vae"])
def test_training_from_a_cache_equals_training_from_pixels_to_the_bit(
    preset: str, tmp_path: Path
) -> None:
    """Clips and photographs, all three kinds; the cache stands alone: its run finds no clips."""
    photos = str(photo_folder(tmp_path / "photos"))
    stages = [stage(kind, photos=0.5, slots=5) for kind in ("planner", "denoiser", "joint")]
    pixels = settings(tmp_path, *stages, preset=preset, photos=(photos,), sheets=0)
    run(pixels)

    events = filled(replace(other(pixels, "maker"), cache=str(tmp_path / "kept")))
    kept = other(pixels, "kept-run", cache=str(tmp_path / "kept"), data=("nowhere",), photos=())
    *_, trained = run(kept)

    assert [e.steps for e in events if isinstance(e, Cached)] == [4, 4, 4]
    assert isinstance(trained, Trained)
    wanted, found = saved(pixels.out), saved(kept.out)
    assert all(torch.equal(wanted[name], value) for name, value in found.items())
    rows = [
        [json.loads(line) for line in (Path(one.out) / "log.jsonl").read_text().splitlines()]
        for one in (pixels, kept)
    ]
    for mine, theirs in zip(*rows, strict=True):
        assert {key: mine[key] for key in mine.keys() - {"seconds", "took"}} == {
            key: theirs[key] for key in theirs.keys() - {"seconds", "took"}
        }


@pytest.mark.parametrize("preset", ["nano", "nano-vae"])
def test_windows_that_were_kept_are_those_that_the_model_looks_at(preset: str) -> None:
    config, net = stage("joint"), model(preset)
    one = batch(config)
    given, seen = look(net, one), see(net, one, "joint")
    again = seen.given(net)

    latent = torch.randn(seen.tensors["mean"].shape, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([500, 20])
    for a, b in (
        (net.plan(given), net.plan(again)),
        (net.velocity(latent, t, given, None), net.velocity(latent, t, again, None)),
    ):
        assert torch.equal(a, b)


def test_a_stage_longer_than_its_cache_begins_it_anew(tmp_path: Path) -> None:
    config = settings(tmp_path, stage("denoiser", steps=5), cache=str(tmp_path / "kept"))
    events = filled(config, steps=2)

    *_, trained = run(config)

    assert isinstance(events[-1], Cached)
    assert [(e.done, e.total) for e in events if isinstance(e, Progress)] == [(1, 2), (2, 2)]
    assert isinstance(trained, Trained)
    assert trained.steps == 5


def test_a_run_from_a_cache_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path, stage("joint"), cache=str(tmp_path / "kept"))
    filled(config, steps=3)
    run(other(config, "unbroken"))
    run_until_save(config, 1, monkeypatch)
    run(config)

    wanted, found = saved(other(config, "unbroken").out), saved(config.out)
    assert all(torch.equal(wanted[name], value) for name, value in found.items())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch": 4}, "was made with batch = 2; needs batch = 4"),
        ({"side": 48}, "was made with side = 64; needs side = 48"),
        ({"kind": "planner"}, "was made with asks = latents; needs asks = planner"),
    ],
)
def test_a_cache_of_other_windows_is_one_line(
    changes: dict[str, object], told: str, tmp_path: Path
) -> None:
    config = settings(tmp_path, stage("denoiser"), cache=str(tmp_path / "kept"))
    filled(config, steps=1)
    wanted: StageConfig = replace(config.stages[0], **changes)  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match=told):
        run(replace(config, stages=(wanted,)))


def test_a_cache_of_another_autoencoder_is_one_line(tmp_path: Path) -> None:
    config = settings(tmp_path, stage("denoiser"), cache=str(tmp_path / "kept"))
    filled(config, steps=1)

    with pytest.raises(ConfigError, match="made with other weights; needs the run's own"):
        run(other(config, "b", stages=(stage("guided", rate=1e-2), *config.stages)))


def test_a_cache_that_stands_is_kept_unless_asked(tmp_path: Path) -> None:
    config = settings(tmp_path, stage("denoiser"))
    filled(config, steps=1)

    with pytest.raises(OutputExistsError, match="stands already"):
        filled(config, steps=1)
    assert list(caching.fill(config, steps=2, overwrite=True))
    assert cache.stands(Path(config.out) / "cache" / "denoiser")


def test_a_stop_leaves_no_half_cache(tmp_path: Path) -> None:
    config = settings(tmp_path, stage("denoiser"))
    filling = caching.fill(config)
    next(filling)
    filling.close()  # type: ignore[attr-defined]

    assert list((Path(config.out) / "cache").iterdir()) == []


def test_what_moves_the_autoencoder_comes_first(tmp_path: Path) -> None:
    config = settings(tmp_path, stage("guided"), stage("joint"))

    with pytest.raises(ConfigError, match=r"no stage can be kept for; needs .*: none yet"):
        filled(config)
    run(replace(config, stages=config.stages[:1]))
    (told,) = [event for event in filled(config, steps=1) if isinstance(event, Cached)]

    assert told.stage == "joint"


def test_a_damaged_cache_is_one_line(tmp_path: Path) -> None:
    config = settings(tmp_path, stage("denoiser"), cache=str(tmp_path / "kept"))
    filled(config, steps=1)
    shard = tmp_path / "kept" / "denoiser" / "00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:300])

    with pytest.raises(WeightsError, match="is damaged"):
        run(config)


def test_shards_are_closed_when_they_are_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SHARD", 1)
    config = settings(tmp_path, stage("denoiser"), cache=str(tmp_path / "kept"))

    filled(config, steps=3)
    *_, trained = run(config)

    assert len(list((tmp_path / "kept" / "denoiser").glob("*.safetensors"))) > 3
    assert isinstance(trained, Trained)
