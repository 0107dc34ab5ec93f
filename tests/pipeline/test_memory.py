"""Memory: what is chosen so that a window fits, and what happens when it does not after all."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch import Tensor

from mardini_cli.config import SamplerConfig, l_t, nano_vae, tiny
from mardini_cli.errors import MemoryLimitError
from mardini_cli.events import Warned
from mardini_cli.media.encoders import EncodeSettings
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import read, rgb
from mardini_cli.media.source import ClipSource
from mardini_cli.media.timing import common_time_base
from mardini_cli.media.writer import Writer
from mardini_cli.model.mardini import MarDini
from mardini_cli.model.vae import Vae
from mardini_cli.pipeline import Maker, MakeSettings, memory, run
from mardini_cli.pipeline.memory import Fit, Job, fitted, frugal, needed
from mardini_cli.tasks.interpolate import interpolate
from tests.pipeline.clips import even_times, nano_model, write_clip

GIB = 2**30
PAPER = Job(
    config=l_t(),
    given=1,
    made=16,
    size=(512, 512),
    work=(512, 512),
    signals=1,
    bytes_a_number=2,
    planner_bytes=6 * GIB,
)
WIDE = Job(
    config=tiny(),
    given=5,
    made=4,
    size=(1080, 1920),
    work=(512, 910),
    signals=0,
    bytes_a_number=4,
    planner_bytes=10**7,
)


@pytest.mark.parametrize("job", [PAPER, WIDE], ids=["picture latents", "motion latents"])
def test_the_quickest_way_that_fits_is_taken(job: Job) -> None:
    wish = Fit(batch=16)

    ways = [fitted(job, wish, needed(job, Fit(batch=batch))) for batch in (16, 8, 1)]

    assert [way.batch for way in ways] == [16, 8, 1]
    assert all(way.tile is None and not way.offload for way in ways)


def test_pictures_pass_one_by_one_and_the_planner_steps_aside_before_frames_are_cut() -> None:
    single = replace(PAPER, size=(1024, 1024), work=(1024, 1024), planner_bytes=2**20)
    frugal_decoder = Fit(pixels_at_once=1)
    assert needed(single, frugal_decoder) <= needed(single, Fit())

    aside = fitted(single, Fit(), needed(single, frugal_decoder) - 1)
    cut = fitted(single, Fit(), needed(single, replace(frugal_decoder, offload=True)) - 1)

    assert aside == Fit(pixels_at_once=1, offload=True)
    assert cut.tile is not None


def test_tiles_that_were_asked_for_stay() -> None:
    least = needed(WIDE, Fit(tile=256))

    assert fitted(WIDE, Fit(), least).tile == 256
    with pytest.raises(MemoryLimitError, match="a window of 9 frames of 1920x1080 takes about"):
        fitted(WIDE, Fit(), least, fixed_tile=True)


def test_what_cannot_fit_is_said_with_both_sizes() -> None:
    with pytest.raises(MemoryLimitError, match=r"needs at most 0\.1 GiB.*smaller --resolution"):
        fitted(PAPER, Fit(batch=4), GIB // 10)
    with pytest.raises(MemoryLimitError, match=r"at most 0\.0 MiB"):
        fitted(PAPER, Fit(), -5)  # the weights alone are over the limit


@drawn(free=st.integers(2**25, 2**38), batch=st.integers(1, 16))
def test_whatever_is_free_what_is_chosen_fits_or_is_refused(free: int, batch: int) -> None:
    for job in (PAPER, WIDE):
        try:
            found = fitted(job, Fit(batch=batch), free)
        except MemoryLimitError:
            assert needed(job, Fit(tile=256, pixels_at_once=1, offload=True)) > free
        else:
            assert needed(job, found) <= free
            assert found.batch <= batch


def test_shrinking_halves_the_batch_and_then_the_tiles_until_nothing_is_left() -> None:
    fit: Fit | None = Fit(batch=4)
    seen = []
    while fit is not None:
        seen.append((fit.batch, fit.tile))
        fit = frugal(fit, fit.batch)

    assert seen == [(4, None), (2, None), (1, None), (1, 768), (1, 512), (1, 384), (1, 256)]


def test_the_estimate_covers_what_a_run_of_tiny_takes_on_this_machine() -> None:
    """Resident memory of one window, which is at its peak in the decoder."""
    from mardini_cli.bench.cells import Cell, between
    from mardini_cli.bench.measuring import peak_of, subject_of, unwatched

    cell = Cell(
        name="", config=tiny(), size=(256, 456), mask=between(2, 9), sampler=SamplerConfig()
    )
    subject = subject_of(cell, torch.device("cpu"), torch.float32)
    job = replace(WIDE, size=cell.size, work=cell.size)
    import psutil

    before = psutil.Process().memory_info().rss
    with peak_of(subject.device) as peak:
        subject.run(unwatched)

    taken = peak[0] - before
    assert taken <= needed(job, Fit()) <= 4 * max(taken, 2**27)


# When the memory is too small after all -------------------------------------------------------


def failing_above(
    model: MarDini, windows: int, error: RuntimeError, tile: int | None = None
) -> Callable[[], int]:
    """Let decoding fail for more windows at once, or without tiles so small; count its failures."""
    decode, failures = model.decode, [0]

    def tight(latent: Tensor | None, *rest: object) -> Tensor:
        given, side = rest[1], rest[3]
        too_large = tile is not None and (side is None or int(str(side)) > tile)
        if given.mask.shape[0] > windows or too_large:  # type: ignore[attr-defined] # a Given
            failures[0] += 1
            raise error
        return decode(latent, *rest)  # type: ignore[arg-type] # what the pipeline passes

    model.decode = tight  # type: ignore[method-assign, assignment] # a device that is full
    return lambda: failures[0]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
    ids=["cuda", "cpu"],
)
def test_out_of_memory_halves_the_batch_and_loses_no_frame(
    error: RuntimeError, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(17))
    info = probe(source)
    plan = interpolate(info.times, 4, size=9)
    files, told = [tmp_path / "plain.mkv", tmp_path / "tight.mkv"], list[str]()
    models = [nano_model(), nano_model()]
    failures = failing_above(models[1], 2, error)
    lossless = EncodeSettings(codec="ffv1", lossless=True)

    for model, output in zip(models, files, strict=True):
        base = common_time_base([*plan.times, info.end])
        with Writer(output, info, base, info.end, lossless, plan.times) as writer:
            settings = MakeSettings(batch=8)
            for event in run(plan, ClipSource(info), [model], settings, writer):
                told += [event.message] if isinstance(event, Warned) else []

    plain, tight = ([rgb(f, probe(p)) for f in read(probe(p))] for p in files)
    assert failures() == 2  # 8 windows, then 4; it does not try again what failed
    assert told == [
        "out of memory with 8 windows at once; going on with 4 windows at once",
        "out of memory with 4 windows at once; going on with 2 windows at once",
    ]
    assert len(plain) == len(tight) == len(plan.times)
    for one, other in zip(plain, tight, strict=True):
        np.testing.assert_allclose(one, other, atol=1.1 / 219)  # a code, sums in other order


def test_a_single_window_that_does_not_fit_goes_on_in_tiles() -> None:
    model = nano_model()
    failing_above(model, 1, torch.OutOfMemoryError("full"), tile=384)
    plan = interpolate([Fraction(0), Fraction(1, 25)], factor=2, size=9)
    pictures = [[np.full((32, 48, 3), shade, np.float32) for shade in (0.2, 0.6)]]
    maker = Maker(model, MakeSettings())

    ((slot, picture),) = maker(plan.windows, pictures)

    assert slot.index == 1
    assert picture.shape == (32, 48, 3)
    assert maker.notices[-1].message.endswith("going on with tiles of 384 pixels")


def test_what_never_fits_is_one_clear_line_and_other_errors_stay_what_they_are() -> None:
    plan = interpolate([Fraction(0), Fraction(1, 25)], factor=2, size=9)
    pictures = [[np.zeros((32, 48, 3), np.float32)] * 2]
    full, broken = nano_model(), nano_model()
    failing_above(full, 0, torch.OutOfMemoryError("full"))
    failing_above(broken, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))

    with pytest.raises(MemoryLimitError, match="tiles of 256 pixels does not fit into memory"):
        Maker(full, MakeSettings())(plan.windows, pictures)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        Maker(broken, MakeSettings())(plan.windows, pictures)


def test_a_limit_that_is_too_small_is_told_before_a_frame_is_made(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(3))
    info, model = probe(source), nano_model()
    plan, output = interpolate(info.times, 2, size=9), tmp_path / "out.mkv"
    settings = MakeSettings(memory=memory.weight_bytes(model) + 1000)

    with (
        pytest.raises(MemoryLimitError, match="a window of 5 frames of 64x48"),
        Writer(output, info, Fraction(1, 1000), info.end) as writer,
    ):
        list(run(plan, ClipSource(info), [model], settings, writer))

    assert not list(tmp_path.glob("*out*"))


def test_what_is_free_on_a_gpu_is_judged_before_weights_are_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What this process holds there counts as free: models are used again, or let go."""
    card, model, free = torch.device("cuda", 0), memory.sketch(tiny(), torch.float32), [0]
    weights, held, size = memory.weight_bytes(model), 2**20, (256, 456)
    window = needed(memory.job_of((1, 1), model, size, MakeSettings()), Fit(batch=1))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free[0], 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: held)

    free[0] = weights - held
    with pytest.raises(MemoryLimitError, match=r"the weights take 76\.7 MiB on cuda:0"):
        memory.check(model, card, size, MakeSettings())
    free[0] += int(window / memory.SPARE) - 1000
    with pytest.raises(MemoryLimitError, match="a window of 2 frames of 456x256"):
        memory.check(model, card, size, MakeSettings(tile=None))
    free[0] += 2000
    memory.check(model, card, size, MakeSettings(tile=None))


def test_a_limit_decides_how_a_cpu_works() -> None:
    model, plan = nano_model(), interpolate(even_times(9), 4, size=9)
    settings = MakeSettings(batch=4)
    job = memory.job_of(memory.largest_of(plan), model, (640, 1280), settings)
    two = needed(job, Fit(batch=2)) + memory.weight_bytes(model)
    from mardini_cli.pipeline.walking import makers_for

    (free,) = makers_for(model, settings, plan, (640, 1280))
    (tight,) = makers_for(model, replace(settings, memory=two), plan, (640, 1280))

    assert free.fit == Fit(batch=4)
    assert tight.fit == Fit(batch=2)


@torch.no_grad()
def test_a_planner_that_steps_aside_is_back_for_the_next_window() -> None:
    plan = interpolate([Fraction(n, 25) for n in range(3)], factor=2, size=3)
    pictures = [[np.full((32, 48, 3), n / 4, np.float32) for n in (0, 1)] for _ in plan.windows]
    model = nano_model()
    plain = Maker(model, MakeSettings(), fit=Fit())(plan.windows, pictures)

    aside = Maker(model, MakeSettings(), fit=Fit(offload=True))(plan.windows, pictures)

    for (slot, one), (same, other) in zip(plain, aside, strict=True):
        assert slot == same
        np.testing.assert_array_equal(one, other)


def test_what_passes_the_vae_at_once_is_what_fits() -> None:
    model = MarDini(nano_vae())
    maker = Maker(model, MakeSettings(), fit=Fit(batch=1, pixels_at_once=5000))
    assert isinstance(model.autoencoder, Vae)
    assert model.autoencoder.pixels_at_once == 5000

    maker._shrink(1)

    assert model.autoencoder.pixels_at_once == 1
    large = replace(PAPER, size=(2160, 3840), work=(2160, 3840), planner_bytes=0)
    frame = 2160 * 3840
    strips, whole = (needed(large, Fit(tile=256, pixels_at_once=pixels)) for pixels in (1, frame))
    assert strips < whole / 2
