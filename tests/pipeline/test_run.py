"""The walk over a plan, on real files: what comes out, and what is left when it stops."""

import gc
import threading
import tracemalloc
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mardini_cli import events
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import DamagedMediaError, EncoderError, MadeFrameError
from mardini_cli.events import Progress, Warned
from mardini_cli.media.encoders import EncodeSettings
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import Frame
from mardini_cli.media.source import ClipSource
from mardini_cli.media.timing import common_time_base
from mardini_cli.media.writer import Writer
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import Maker, MakeSettings, run
from mardini_cli.pipeline.memory import Fit
from mardini_cli.pipeline.walking import at_once
from mardini_cli.tasks.interpolate import interpolate
from mardini_cli.tasks.plan import Plan, Slot, Window
from tests.pipeline.clips import (
    even_times,
    nano_model,
    pixels,
    read_back,
    sound_packets,
    write_clip,
)

LOSSLESS = EncodeSettings(codec="ffv1")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """However a test ends the work, every thread of it ends too."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture(scope="module")
def model() -> MarDini:
    return nano_model()


def walk(
    source: Path,
    output: Path,
    model: MarDini,
    *,
    plan: Plan | None = None,
    factor: int = 2,
    settings: MakeSettings | None = None,
) -> Generator[Progress | Warned, None, None]:
    info = probe(source)
    plan = plan or interpolate(info.times, factor, size=model.config.window)
    base = common_time_base([*plan.times, info.end])
    with Writer(output, info, base, info.end, LOSSLESS) as writer:
        for event in run(plan, ClipSource(info), [model], settings or MakeSettings(), writer):
            assert isinstance(event, Progress | events.Window)  # no made frame is complained of
            if isinstance(event, Progress):
                yield event


def made(source: Path, output: Path, model: MarDini, **told: Any) -> Path:
    for _ in walk(source, output, model, **told):
        pass
    return output


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("factor", [2, 5, 10])
def test_given_frames_come_back_bit_equal_at_their_times(
    factor: int, tmp_path: Path, model: MarDini
) -> None:
    """Factor 10 shares a gap over two windows of nine."""
    source = write_clip(tmp_path / "in.mkv", even_times(4))

    output = made(source, tmp_path / "out.mkv", model, factor=factor)

    assert read_back(output)[::factor] == read_back(source)


@pytest.mark.parametrize("factor", [2, 4, 10])
def test_frames_are_as_many_and_where_the_plan_says(
    factor: int, tmp_path: Path, model: MarDini
) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(6))

    output = made(source, tmp_path / "out.mkv", model, factor=factor)

    times = [time for time, _ in read_back(output)]
    assert times == [Fraction(n, 25 * factor) for n in range(5 * factor + 1)]


def test_uneven_times_are_kept_and_divided(tmp_path: Path, model: MarDini) -> None:
    times = [Fraction(n, 1000) for n in (0, 40, 100, 400)]
    source = write_clip(tmp_path / "in.mkv", times)

    output = made(source, tmp_path / "out.mkv", model, factor=2)

    expected = [Fraction(n, 1000) for n in (0, 20, 40, 70, 100, 250, 400)]
    assert [time for time, _ in read_back(output)] == expected


def test_sound_is_copied_packet_by_packet(tmp_path: Path, model: MarDini) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(5), sound=True)

    output = made(source, tmp_path / "out.mkv", model)

    assert len(sound_packets(source)) > 1
    assert sound_packets(output) == sound_packets(source)


@pytest.mark.parametrize("steps", [0, 2])
def test_same_seed_same_file_content_at_any_batch_size(
    steps: int, tmp_path: Path, model: MarDini
) -> None:
    """Within one code value of eight bits: sums over a batch are taken in another order."""
    source = write_clip(tmp_path / "in.mkv", even_times(12))
    sampler = SamplerConfig(steps=steps, seed=4)

    first, again, batched = (
        made(
            source,
            tmp_path / f"{name}.mkv",
            model,
            factor=3,
            settings=MakeSettings(sampler=sampler, batch=batch),
        )
        for name, batch in (("first", 1), ("again", 1), ("batched", 4))
    )

    assert read_back(first) == read_back(again)
    difference = pixels(first).astype(int) - pixels(batched)
    assert np.abs(difference).max() <= 1


def test_progress_grows_and_ends_complete(tmp_path: Path, model: MarDini) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(20))

    told = [one for one in walk(source, tmp_path / "out.mkv", model) if isinstance(one, Progress)]

    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert (done[-1], {progress.total for progress in told}) == (39, {39})
    assert [p.elapsed for p in told] == sorted(p.elapsed for p in told)


def test_given_frames_are_let_go_after_their_last_window(tmp_path: Path, model: MarDini) -> None:
    """Alive at once: those of a window and those that wait in the channels."""
    source = write_clip(tmp_path / "in.mkv", even_times(60))

    alive = []
    for _ in walk(source, tmp_path / "out.mkv", model):
        alive.append(sum(type(thing) is Frame for thing in gc.get_objects()))

    assert len(alive) > 12
    assert max(alive) <= 5 + 4 + 10


def test_memory_does_not_grow_with_the_clip(tmp_path: Path, model: MarDini) -> None:
    """Arrays of pictures, in bytes; one given frame as the model sees it is 36 KiB."""
    source = write_clip(tmp_path / "in.mkv", even_times(60))
    picture_bytes = 48 * 64 * 3 * 4

    held = []
    tracemalloc.start()
    for _ in walk(source, tmp_path / "out.mkv", model):
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()

    early, late = max(held[2:5]), max(held[-6:-2])
    assert late - early < 16 * picture_bytes


def test_a_plan_may_need_only_some_given_frames(tmp_path: Path, model: MarDini) -> None:
    """As when one bad frame is filled in: the others pass untouched, in no window or in one."""
    source = write_clip(tmp_path / "in.mkv", even_times(12))
    slots = [Slot(n, time, None if n == 6 else n) for n, time in enumerate(even_times(12))]
    plan = Plan(task="fill", slots=tuple(slots), windows=(Window(tuple(slots[4:9])),))

    output = made(source, tmp_path / "out.mkv", model, plan=plan)

    before, after = read_back(source), read_back(output)
    assert len(after) == 12
    assert [n for n in range(12) if before[n] != after[n]] == [6]


def test_a_plan_without_windows_copies_the_given_frames(tmp_path: Path, model: MarDini) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(3))
    slots = tuple(Slot(n, time, n) for n, time in enumerate(even_times(3)))

    output = made(source, tmp_path / "out.mkv", model, plan=Plan("fill", slots, ()))

    assert read_back(output) == read_back(source)


def test_numbers_that_are_no_picture_stop_the_work_and_leave_no_file(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(9))
    broken = nano_model()
    with torch.no_grad():
        broken.autoencoder.get_parameter("residual.leave.bias")[0] = float("nan")

    with pytest.raises(MadeFrameError, match="window 0: NaN or infinity in made frames 1, 3, 5, 7"):
        made(source, tmp_path / "out.mkv", broken)

    assert names(tmp_path) == ["in.mkv"]


def test_a_writer_that_refuses_a_frame_stops_the_work(tmp_path: Path, model: MarDini) -> None:
    """Matroska keeps whole milliseconds: sixty-four frames do not fit into forty of them."""
    source = write_clip(tmp_path / "in.mkv", even_times(9))

    with pytest.raises(EncoderError, match="ticks of 1/1000 s"):
        made(source, tmp_path / "out.mkv", model, factor=64)

    assert names(tmp_path) == ["in.mkv"]


@pytest.mark.parametrize("events", [0, 1, 3])
def test_closing_the_iterator_stops_all_of_it_and_leaves_no_file(
    events: int, tmp_path: Path, model: MarDini
) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(40))
    work = walk(source, tmp_path / "out.mkv", model)

    for _ in range(events):
        next(work)
    work.close()

    assert names(tmp_path) == ["in.mkv"]


def test_a_clip_that_changes_while_it_is_read_stops_the_work(
    tmp_path: Path, model: MarDini
) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(30))
    info = probe(source)
    plan = interpolate(info.times, factor=2, size=9)
    write_clip(source, even_times(12))

    with (
        pytest.raises(DamagedMediaError, match="probed"),
        Writer(tmp_path / "out.mkv", info, Fraction(1, 50), info.end, LOSSLESS) as writer,
    ):
        for _ in run(plan, ClipSource(info), [model], MakeSettings(), writer):
            pass

    assert names(tmp_path) == ["in.mkv"]


def slot_at(index: int, given: int | None, *, shown: bool = True) -> Slot:
    return Slot(index, Fraction(index, 25), given, shown)


def test_windows_see_what_earlier_ones_made_also_out_of_time_order(
    tmp_path: Path, model: MarDini
) -> None:
    """Four frames before the clip's first two: the later pair is made first and seen."""
    source = write_clip(tmp_path / "in.mkv", even_times(4))
    slots = (*(slot_at(n, None) for n in range(4)), *(slot_at(n + 4, n) for n in range(4)))
    windows = (Window(slots[2:6]), Window(slots[:4], earlier=frozenset({2, 3})))
    plan = Plan(task="extend", slots=slots, windows=windows)

    output = made(source, tmp_path / "out.mkv", model, plan=plan)

    assert [time for time, _ in read_back(output)] == even_times(8)
    assert [code for _, code in read_back(output)[4:]] == [code for _, code in read_back(source)]


@pytest.mark.parametrize("batch", [1, 4])
def test_a_batch_never_holds_a_window_and_what_it_sees(
    batch: int, tmp_path: Path, model: MarDini
) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(2))
    slots = (slot_at(0, 0), slot_at(1, 1), *(slot_at(n, None) for n in range(2, 8)))
    windows = tuple(
        Window(slots[n : n + 4], earlier=frozenset({n, n + 1} if n else ())) for n in (0, 2, 4)
    )
    plan = Plan(task="extend", slots=slots, windows=windows)
    settings = MakeSettings(sampler=SamplerConfig(steps=1), batch=batch)

    output = made(source, tmp_path / f"out{batch}.mkv", model, plan=plan, settings=settings)

    assert len(read_back(output)) == 8


@pytest.mark.parametrize("batch", [1, 2])
def test_several_devices_give_the_frames_of_one(batch: int, tmp_path: Path, model: MarDini) -> None:
    """Windows that see made frames (factor 12) and windows that do not, over three makers."""
    source = write_clip(tmp_path / "in.mkv", even_times(6))
    info = probe(source)
    plan = interpolate(info.times, 12, size=9)
    settings = MakeSettings(sampler=SamplerConfig(steps=1, seed=6), batch=batch)
    alone = made(source, tmp_path / "alone.mkv", model, plan=plan, settings=settings)

    with Writer(tmp_path / "shared.mkv", info, Fraction(1, 300), info.end, LOSSLESS) as writer:
        others = [nano_model(), nano_model()]
        for _ in run(plan, ClipSource(info), [model, *others], settings, writer):
            pass

    assert read_back(tmp_path / "shared.mkv") == read_back(alone)


@pytest.mark.parametrize(
    ("windows", "makers", "asked", "size"),
    [(100, 2, None, 16), (17, 2, None, 9), (3, 4, None, 1), (3, 4, 16, 16), (0, 2, None, 1)],
)
def test_a_batch_leaves_windows_for_every_maker_unless_it_was_asked_for(
    windows: int, makers: int, asked: int | None, size: int, model: MarDini
) -> None:
    crew = [Maker(model, MakeSettings(), fit=Fit(batch=16)) for _ in range(makers)]

    assert at_once(crew, windows, asked) == size


def test_what_goes_wrong_on_one_of_several_devices_stops_the_work(
    tmp_path: Path, model: MarDini
) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(30))
    info = probe(source)
    plan = interpolate(info.times, 2, size=9)
    broken = nano_model()
    with torch.no_grad():
        broken.autoencoder.get_parameter("residual.leave.bias")[0] = float("nan")

    with (
        pytest.raises(MadeFrameError, match="NaN or infinity"),
        Writer(tmp_path / "out.mkv", info, Fraction(1, 50), info.end, LOSSLESS) as writer,
    ):
        for _ in run(plan, ClipSource(info), [model, broken], MakeSettings(), writer):
            pass

    assert names(tmp_path) == ["in.mkv"]


def test_context_is_seen_and_not_shown(tmp_path: Path, model: MarDini) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(9))
    slots = (slot_at(2, 2, shown=False), slot_at(3, 3), slot_at(4, None), slot_at(5, 5))
    plan = Plan(task="fill", slots=slots, windows=(Window(slots),))

    output = made(source, tmp_path / "out.mkv", model, plan=plan)

    assert [time for time, _ in read_back(output)] == [Fraction(n, 25) for n in (3, 4, 5)]
    assert [read_back(output)[n] for n in (0, 2)] == [read_back(source)[n] for n in (3, 5)]


def test_one_frame_may_stand_in_several_slots_at_other_times_than_its_own(
    tmp_path: Path, model: MarDini
) -> None:
    """As in a loop, whose end sees its beginning again."""
    source = write_clip(tmp_path / "in.mkv", even_times(2))
    slots = (slot_at(0, 1), slot_at(1, None), slot_at(2, 0), slot_at(3, 1), slot_at(4, 1))
    plan = Plan(task="loop", slots=slots, windows=(Window(slots[:3]),))

    output = made(source, tmp_path / "out.mkv", model, plan=plan)

    codes = [code for _, code in read_back(source)]
    out = read_back(output)
    assert [time for time, _ in out] == even_times(5)
    assert [out[n][1] for n in (0, 2, 3, 4)] == [codes[n] for n in (1, 0, 1, 1)]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_part_of_a_plan_gives_the_frames_of_the_whole(
    batch: int, tmp_path: Path, model: MarDini
) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(12))
    plan = interpolate(even_times(12), factor=3, size=7)
    settings = MakeSettings(sampler=SamplerConfig(steps=1, seed=2), batch=batch)

    whole = made(source, tmp_path / "whole.mkv", model, plan=plan, settings=settings)
    part = plan.part(Fraction(10, 75), Fraction(17, 75))
    cut = made(source, tmp_path / "cut.mkv", model, plan=part, settings=settings)

    assert len(part.windows) < len(plan.windows)
    if batch == 1:
        assert read_back(cut) == read_back(whole)[10:18]
    difference = pixels(whole)[10:18].astype(int) - pixels(cut)
    assert np.abs(difference).max() <= 1
