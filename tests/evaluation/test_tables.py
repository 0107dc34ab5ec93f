"""Rows to means, thirds, intervals and words."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli.evaluation.sheets import choose
from mardini_cli.evaluation.tables import (
    THIRDS,
    Row,
    bootstrap,
    cell,
    markdown,
    summarise,
    thirds,
)


def row(number: int, method: str = "dis", psnr: float = 20.0) -> Row:
    return Row(
        protocol="x8",
        method=method,
        clip=f"clip{number // 2}.mp4",
        stride=1 + number % 2,
        start=0,
        flow=float(number),
        figures={
            "psnr": psnr,
            "ssim": 0.5,
            "gmsd": 0.1,
            "haarpsi": 0.5,
            "sharpness": 0.9,
            "flicker": 0.1,
            "motion": 1.0,
            "frozen": float(method == "blend"),
        },
    )


def test_thirds_are_equal_and_ordered_by_motion_whatever_the_method() -> None:
    rows = [row(n, method) for method in ("blend", "dis") for n in range(9)]

    found = thirds(rows)

    assert [found[row(n).window] for n in range(9)] == [third for third in THIRDS for _ in "abc"]


def test_means_are_over_windows_and_thirds_add_up() -> None:
    rows = [row(n, psnr=float(n)) for n in range(6)]

    lines = {line.third: line for line in summarise(rows)}

    assert lines["all"].windows == 6
    assert lines["all"].clips == 3
    assert lines["all"].means["psnr"].value == pytest.approx(2.5)
    assert [lines[third].means["psnr"].value for third in THIRDS] == [0.5, 2.5, 4.5]


def test_a_method_that_gains_a_little_everywhere_gains_for_sure() -> None:
    """Clips differ by decibels; the paired difference does not see that."""
    rows = [row(n, psnr=3.0 * n) for n in range(8)]
    rows += [row(n, "ours-0", psnr=3.0 * n + 0.2 + 0.01 * (n // 2)) for n in range(8)]

    line = next(one for one in summarise(rows) if one.method == "ours-0")

    assert line.means["psnr"].high - line.means["psnr"].low > 5
    assert 0.2 <= line.over["dis"]["psnr"].low <= line.over["dis"]["psnr"].high <= 0.24
    dis = next(one for one in summarise(rows) if one.method == "dis")
    assert dis.over == {}


def test_windows_of_one_clip_do_not_narrow_the_interval() -> None:
    alone = bootstrap(np.array([[1.0], [2], [3], [4]]), ["a", "b", "c", "d"])[0]
    doubled = bootstrap(np.array([[1.0], [1], [2], [2], [3], [3], [4], [4]]), list("aabbccdd"))[0]

    assert (doubled.value, doubled.low, doubled.high) == (alone.value, alone.low, alone.high)
    assert alone.low < 2.5 < alone.high


@given(
    values=st.lists(st.floats(-100, 100), min_size=1, max_size=12),
    clips=st.integers(1, 5),
)
def test_the_interval_is_inside_the_values_and_the_same_every_time(
    values: list[float], clips: int
) -> None:
    names = [f"{place % clips}" for place in range(len(values))]

    table = np.array(values)[:, None]
    mean = bootstrap(table, names)[0]

    assert min(values) - 1e-9 <= mean.low <= mean.high <= max(values) + 1e-9
    assert bootstrap(table, names) == [mean]


def test_the_markdown_is_this() -> None:
    rows = [dataclasses.replace(row(0), clip="only.mp4"), row(0, "blend", psnr=19.5)]
    rows[1] = dataclasses.replace(rows[1], clip="only.mp4")
    whole = [line for line in summarise(rows) if line.third == "all"]

    text = markdown(whole, {"dis": "DIS flow"})

    assert text == (
        "### x8: 1 window of 1 clip\n"
        "\n"
        "| method | PSNR | SSIM | GMSD | HaarPSI | sharpness | flicker | motion |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| DIS flow | 20.00 ±0.00 | 0.5000 ±0.0000 | 0.1000 ±0.0000 | 0.5000 ±0.0000"
        " | 0.90 ±0.00 | 0.100 ±0.000 | 1.00 ±0.00 |\n"
        "| blend | 19.50 ±0.00 | 0.5000 ±0.0000 | 0.1000 ±0.0000 | 0.5000 ±0.0000"
        " | 0.90 ±0.00 | 0.100 ±0.000 | 1.00 ±0.00 |\n"
        "\n"
        "Windows that no one could use, of 1: blend 1 frozen.\n"
    )
    assert cell("psnr", whole[0].means["psnr"]) == "20.00 ±0.00"


def test_windows_to_look_at_follow_from_the_figures_of_a_baseline() -> None:
    psnr = [9.0, 1.0, 5.0, 3.0, 8.0, 7.0, 2.0, 4.0, 6.0]
    rows = [row(n, psnr=value) for n, value in enumerate(psnr)]
    rows += [row(n, "ours-0", psnr=-value - 1.5 * n) for n, value in enumerate(psnr)]

    chosen = choose(rows)

    assert [(c.why, c.window, c.gain) for c in chosen[:2]] == [
        ("best", row(1).window, -3.5),
        ("worst", row(8).window, -24.0),
    ]
    assert [(c.third, c.why, c.window) for c in chosen[2:]] == [
        ("small", "median", row(2).window),
        ("small", "hardest", row(1).window),
        ("medium", "median", row(5).window),
        ("medium", "hardest", row(3).window),
        ("large", "median", row(7).window),
        ("large", "hardest", row(6).window),
    ]
    assert len({c.file for c in chosen}) == len({c.player for c in chosen}) == 8
