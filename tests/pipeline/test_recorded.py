"""Recorded sampling steps in the pipeline: same frames, and memory and failures are told of.

The recorder is a stand-in that runs anywhere (``tests/model/tape.py``).
"""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import Tensor

from mardini_cli.config import SamplerConfig, tiny
from mardini_cli.errors import MemoryLimitError
from mardini_cli.events import Warned
from mardini_cli.media.encoders import EncodeSettings
from mardini_cli.media.probe import probe
from mardini_cli.media.source import ClipSource
from mardini_cli.media.timing import common_time_base
from mardini_cli.media.writer import Writer
from mardini_cli.model.graphs import MOST, Graphs
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import Maker, MakeSettings, Picture, memory, run
from mardini_cli.pipeline.memory import Fit, fitted, needed
from mardini_cli.pipeline.settling import record_steps
from mardini_cli.pipeline.walking import makers_for
from mardini_cli.tasks.interpolate import interpolate
from tests.model.tape import Tape
from tests.pipeline.clips import even_times, nano_model, picture, read_back, write_clip
from tests.pipeline.test_memory import PAPER

SAMPLED = MakeSettings(sampler=SamplerConfig(steps=3, guidance=2.0))
PLAN = interpolate([Fraction(n, 25) for n in range(8)], factor=3, size=7)
GIVEN = [
    [(picture(slot.index, (36, 50)) / 255).astype(np.float32) for slot in window.given]
    for window in PLAN.windows
]
JOB = replace(PAPER, signals=2, graphs=True)


def recorded_model(tape: Tape) -> MarDini:
    model = nano_model()
    model.graphs = Graphs(tape)
    return model


def make(model: MarDini, settings: MakeSettings = SAMPLED, fit: Fit | None = None) -> Maker:
    return Maker(model, settings, fit=fit)


def frames(maker: Maker) -> dict[int, Picture]:
    """Every window by itself."""
    return {
        slot.index: made
        for window, given in zip(PLAN.windows, GIVEN, strict=True)
        for slot, made in maker([window], [given])
    }


def test_recorded_steps_make_the_same_frames_and_each_shape_is_recorded_once() -> None:
    tape = Tape()
    maker = make(recorded_model(tape))
    plain = frames(make(nano_model()))

    for made in (frames(maker), frames(maker)):
        assert made.keys() == plain.keys()
        for index, frame in plain.items():
            assert_array_equal(made[index], frame)

    assert tape.tried == len({window.mask for window in PLAN.windows}) == 2
    assert maker.notices == []


def test_without_steps_nothing_is_recorded() -> None:
    tape = Tape()

    frames(make(recorded_model(tape), MakeSettings()))

    assert tape.tried == 0


def test_what_cannot_be_recorded_is_told_once_and_the_frames_are_the_plain_ones() -> None:
    plain = frames(make(nano_model()))
    maker = make(recorded_model(Tape(RuntimeError("operation not permitted"))))

    made = frames(maker)

    assert maker.notices == [
        Warned(
            code="compile",
            message="CUDA graphs are left out: operation not permitted; frames stay the same, and"
            " take longer",
        )
    ]
    for index, frame in plain.items():
        assert_array_equal(made[index], frame)


def test_when_memory_runs_out_graphs_give_theirs_back_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tape = Tape()
    maker = make(recorded_model(tape), fit=Fit(batch=2, graphs=True))
    decode = MarDini.decode

    def tight(model: MarDini, latent: Tensor, *rest: object) -> Tensor:
        if len(latent) > 1:
            raise torch.OutOfMemoryError("tried to allocate 9 GiB")
        return decode(model, latent, *rest)  # type: ignore[arg-type] # what the pipeline passes

    monkeypatch.setattr(MarDini, "decode", tight)
    two = [PLAN.windows[0]] * 2

    made = maker(two, [GIVEN[0]] * 2)

    assert len(made) == 2 * len(PLAN.windows[0].made)
    assert [recorded.forgotten for recorded in tape.recorded] == [True, False]
    assert maker.fit == Fit(batch=1, graphs=True)
    assert [notice.code for notice in maker.notices] == ["memory"]


def test_two_makers_share_graphs_and_the_file_is_the_plain_one(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", even_times(41))
    info = probe(source)
    plan = interpolate(info.times, 2, size=9)
    assert len(plan.windows) > 4
    tape = Tape()
    models = {"plain": [nano_model()], "recorded": [recorded_model(tape)] * 2}
    files = {name: tmp_path / f"{name}.mkv" for name in models}
    lossless = EncodeSettings(codec="ffv1", lossless=True)

    for name, shared in models.items():
        base = common_time_base([*plan.times, info.end])
        with Writer(files[name], info, base, info.end, lossless, plan.times) as writer:
            settings = replace(SAMPLED, batch=1)
            told = list(run(plan, ClipSource(info), shared, settings, writer))
            assert not [event for event in told if isinstance(event, Warned)]

    assert read_back(files["recorded"]) == read_back(files["plain"])
    assert tape.tried == len({len(window.slots) for window in plan.windows})


# Memory ---------------------------------------------------------------------------------------


def test_what_graphs_hold_comes_on_top_of_every_stage() -> None:
    for job in (JOB, replace(JOB, config=tiny(), given=5, made=4, bytes_a_number=4)):
        plain, recorded = (needed(job, Fit(batch=2, graphs=graphs)) for graphs in (False, True))
        at_work, kept = memory._network(job, Fit(batch=2), 512 * 512)

        assert recorded == plain + at_work + MOST * kept


def test_graphs_are_given_up_before_frames_are_cut_and_after_the_batch() -> None:
    wish, one = Fit(batch=4, graphs=True), Fit(graphs=True)

    with_graphs = fitted(JOB, wish, needed(JOB, one))
    without = fitted(JOB, wish, needed(JOB, one) - 1)

    assert with_graphs == one
    assert without == Fit()


def test_a_job_that_leaves_no_memory_for_graphs_goes_without_and_says_so() -> None:
    tape = Tape()
    maker = make(recorded_model(tape), fit=Fit())

    made = frames(maker)

    assert made.keys() == frames(make(nano_model())).keys()
    assert tape.tried == 0
    assert [notice.message for notice in maker.notices] == [
        "CUDA graphs are left out: there is too little memory for them; frames stay the same, and"
        " take longer"
    ]


def test_a_job_knows_whether_its_steps_may_be_recorded() -> None:
    model = recorded_model(Tape())

    told = [
        memory.job_of(memory.largest_of(PLAN), one, (36, 50), settings).graphs
        for one in (model, nano_model())
        for settings in (SAMPLED, MakeSettings())
    ]

    assert told == [True, False, False, False]
    job = memory.job_of(memory.largest_of(PLAN), model, (36, 50), SAMPLED)
    assert memory.wish_of(job, SAMPLED, torch.device("cpu")).graphs
    with pytest.raises(MemoryLimitError):
        fitted(job, Fit(graphs=True), 100)


def test_on_a_cpu_compiling_records_nothing() -> None:
    model = nano_model()

    assert record_steps(model) is model
    assert model.graphs is None


def test_a_job_begins_without_the_graphs_of_the_one_before() -> None:
    tape = Tape()
    model = recorded_model(tape)
    frames(make(model))

    makers = makers_for(model, SAMPLED, PLAN, (36, 50))

    assert {recorded.forgotten for recorded in tape.recorded} == {True}
    tried = tape.tried
    frames(makers[0])
    assert tape.tried == 2 * tried
