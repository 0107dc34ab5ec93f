"""``docs/measure_numbers.py`` and ``docs/measure_fp8.py``: what they count is what is so."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from docs import measure_fp8 as fp8
from docs import measure_numbers as numbers
from docs.measure_fp8 import off
from mardini_cli.bench.cells import Cell, between
from mardini_cli.bench.measuring import subject_of
from mardini_cli.config import SamplerConfig, nano
from mardini_cli.model.mardini import MarDini

CPU, FLOAT = torch.device("cpu"), torch.float32


def test_eight_bits_answer_nearly_what_the_layer_does_and_in_its_type() -> None:
    layer, x = nn.Linear(48, 32).requires_grad_(False), torch.randn(2, 5, 48)
    short = numbers.Int8Linear(layer)

    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = short(x.bfloat16())

    assert 0 < off(short(x), layer(x)) < 0.04
    assert short(x).dtype == FLOAT
    assert off(short(x[0, 0]), layer(x[0, 0])) < 0.04  # without a batch, as the null signal
    assert under_autocast.dtype == torch.bfloat16
    assert off(under_autocast, layer(x)) < 0.05


def test_float8_keeps_four_binary_places_of_what_is_near_a_rows_largest() -> None:
    x = torch.rand(4, 200) + 1
    x *= torch.tensor([[1e-3], [1.0], [50.0], [1e6]])  # rows of any size

    assert ((numbers.rounded(x) - x).abs() / x).max() <= 2**-4
    assert numbers.rounded(torch.zeros(1, 3)).tolist() == [[0.0] * 3]
    scaled, scale = fp8.rows_short(x)
    torch.testing.assert_close(scaled.float() * scale, numbers.rounded(x))
    whole, one = fp8.whole_short(x)
    assert one.dim() == 0
    assert (whole[3].float() * one / x[3] - 1).abs().max() <= 2**-4


def test_models_of_other_numbers_are_set_beside_float32() -> None:
    model = MarDini(nano()).eval().requires_grad_(False)
    models = {kind: numbers.replaced(model, kind) for kind in numbers.NUMBERS}
    mask, sampler = between(2, 5), SamplerConfig(steps=1, guidance=2.5)
    cell = Cell(name="x2", config=nano(), size=(48, 64), mask=mask, sampler=sampler)

    rows = numbers.made(cell, models, [torch.rand(5, 3, 48, 64) for _ in range(2)])

    assert [row.numbers for row in rows] == [kind.name for kind in numbers.NUMBERS]
    assert rows[0].cost == 0
    assert rows[0].like == pytest.approx(100)  # the most that is told
    assert all(row.cost == pytest.approx(rows[0].psnr - row.psnr) for row in rows)
    assert [bool(row.seconds) for row in rows] == [kind.timed for kind in numbers.NUMBERS]
    replaced = [type(m) for m in models[numbers.NUMBERS[2]].modules()]
    assert replaced.count(numbers.Int8Linear) > 20
    assert numbers.Int8Linear not in [type(m) for m in model.modules()]
    told = numbers.table(rows).splitlines()
    assert len(told) == 2 + len(rows)
    assert {line.count("|") for line in told} == {10}


def test_products_that_are_counted_are_those_of_a_window() -> None:
    subject = subject_of(fp8.cell_of(small=True), CPU, FLOAT)

    shapes = fp8.shapes_of(subject)

    found, aten = list[int](), torch.ops.aten

    @contextmanager
    def counting(stage: str) -> Iterator[None]:
        with FlopCounterMode(display=False) as mode:
            yield
        if stage in fp8.NETWORKS:  # the VAE's attention has linear layers too
            by_kind: dict[Any, int] = mode.get_flop_counts()["Global"]
            found.extend(by_kind.get(kind, 0) for kind in (aten.mm, aten.addmm, aten.bmm))

    subject.run(counting)
    assert sum(2 * s.m * s.k * s.n * s.calls for s in shapes) == sum(found) > 0


def test_a_loop_whose_products_are_no_quicker_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("no such kernel\nand more")

    cell = fp8.cell_of(small=True)
    shape = fp8.shapes_of(subject_of(cell, CPU, FLOAT))[0]
    monkeypatch.setattr(torch, "_scaled_mm", refuses)

    fp8.fill(shape, CPU)
    loop = fp8.loop_of(cell, [shape], CPU)

    assert shape.failed == dict.fromkeys(fp8.SHORT, "RuntimeError: no such kernel")
    assert loop.linear == pytest.approx(shape.calls * shape.long)
    assert all(seconds == pytest.approx(loop.seconds) for seconds in loop.could.values())
    shape.product, shape.whole = {"row": shape.long / 2}, {"row": shape.long * 2}
    again = fp8.loop_of(cell, [shape], CPU)
    assert again.could["product"] == pytest.approx(again.seconds - again.linear / 2)
    assert again.could["row"] == pytest.approx(again.seconds + again.linear)
    assert again.could["best"] == pytest.approx(again.seconds)


def test_the_script_for_float8_tells_every_product_and_the_loop(tmp_path: Path) -> None:
    fp8.main([str(tmp_path / "out.json"), "small", "100"])

    found = json.loads((tmp_path / "out.json").read_text())
    assert not [shape["failed"] for shape in found["shapes"] if shape["failed"]]
    assert all(0.01 < error < 0.1 for shape in found["shapes"] for error in shape["error"].values()
               if error != shape["error"]["bfloat16"])  # fmt: skip
    assert 0 < found["loops"][0]["linear"] < 10
    assert (tmp_path / "out.md").read_text().count("\n| nano-vae, eager |") == 1


def test_a_float8_product_is_that_of_the_numbers() -> None:
    shape = fp8.Shape(m=32, k=64, n=48, calls=1)

    fp8.fill(shape, CPU)

    assert shape.error["bfloat16"] < 0.01
    assert all(0.01 < shape.error[name] < 0.06 for name in fp8.SHORT)
    x, w = torch.randn(32, 64), torch.randn(48, 64)
    assert off(F.linear(numbers.rounded(x), numbers.rounded(w)), F.linear(x, w)) < 0.06
