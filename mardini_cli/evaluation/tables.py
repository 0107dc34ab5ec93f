"""Rows of figures to means with confidence intervals, and those to Markdown.

Room: evaluation. Plain numbers: no tensors, no files.

Windows of one clip resemble each other, so the bootstrap draws clips, not windows. Motion splits
the windows of a protocol into three thirds of equal size, the same for every method.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mardini_cli.evaluation.measures import DRIFT, FLAGS, MEASURES, SETS, drift_key

BOOTSTRAPS: Final = 1000
BOOTSTRAP_SEED: Final = 20240901
THIRDS: Final = ("small", "medium", "large")
"""Motion: thirds of the windows by mean DIS flow between the window's ends."""
Where = tuple[str, int, int]
"""A window: clip, stride, start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One window made by one method; per-frame figures are means over its made frames."""

    protocol: str
    method: str
    clip: str
    stride: int
    start: int
    flow: float
    """Mean DIS flow between the window's first and last true frame, pixels."""
    figures: Mapping[str, float]
    """By name: those of ``measures.MEASURES`` that could be measured, and ``FLAGS``."""

    @property
    def window(self) -> Where:
        """Which window it is, whatever the method."""
        return self.clip, self.stride, self.start


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """Mean of one figure and where the middle 95 % of the bootstrap lies."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One method over one set of windows."""

    protocol: str
    third: str
    """``all``, or one of ``THIRDS``."""
    method: str
    windows: int
    clips: int
    means: dict[str, Mean]
    """By name of a measure."""
    over: dict[str, dict[str, Mean]] = field(default_factory=dict)
    """Method to the paired differences to it, over the same windows."""
    flags: dict[str, int] = field(default_factory=dict)
    """How many windows are frozen, blank, exploding."""
    drift: dict[str, Mean] = field(default_factory=dict)
    """By ``measures.drift_key``: how figures change with the distance from the given frames."""
    sets: dict[str, float] = field(default_factory=dict)
    """By name of ``measures.SETS``: all of the method's windows together against the truth's."""


def row_data(row: Row) -> dict[str, Any]:
    """Plain data of one row, flat."""
    told = asdict(row)
    figures = told.pop("figures")
    return {**told, **figures}


def thirds(rows: Iterable[Row]) -> dict[Where, str]:
    """Sort the windows of one protocol by motion into three sets of equal size."""
    flows = {row.window: row.flow for row in rows}
    ordered = sorted(flows, key=lambda window: (flows[window], window))
    return {
        window: THIRDS[place * len(THIRDS) // len(ordered)] for place, window in enumerate(ordered)
    }


def summarise(rows: Sequence[Row], against: Sequence[str] = ("dis",)) -> list[Line]:
    """Mean figures of every protocol and method, over all windows and over each third.

    Args:
        rows: of any protocols.
        against: methods to whom the others' paired differences are told.
    """
    lines = []
    for protocol in _unique(row.protocol for row in rows):
        mine = [row for row in rows if row.protocol == protocol]
        third_of = thirds(mine)
        for third in ("all", *THIRDS):
            inside = [row for row in mine if third in ("all", third_of[row.window])]
            by_method = {
                method: [row for row in inside if row.method == method]
                for method in _unique(row.method for row in inside)
            }
            rivals = {name: by_method[name] for name in against if name in by_method}
            lines += [_line(third, found, rivals) for found in by_method.values()]
    return lines


def _line(third: str, rows: Sequence[Row], rivals: Mapping[str, Sequence[Row]]) -> Line:
    clips = [row.clip for row in rows]
    names = [name for name in MEASURES if all(name in row.figures for row in rows)]
    keys = [key for key in rows[0].figures if "@" in key]
    values = _values(rows, names)
    over = {}
    for rival, others in rivals.items():
        theirs = {row.window: row for row in others}
        if rival != rows[0].method and all(row.window in theirs for row in rows):
            paired = _values([theirs[row.window] for row in rows], names)
            over[rival] = dict(zip(names, bootstrap(values - paired, clips), strict=True))
    return Line(
        protocol=rows[0].protocol,
        third=third,
        method=rows[0].method,
        windows=len(rows),
        clips=len(set(clips)),
        means=dict(zip(names, bootstrap(values, clips), strict=True)),
        over=over,
        drift=dict(zip(keys, bootstrap(_values(rows, keys), clips), strict=True)),
        flags={flag: round(sum(row.figures.get(flag, 0) for row in rows)) for flag in FLAGS},
    )


def _values(rows: Sequence[Row], names: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[row.figures[name] for name in names] for row in rows], np.float64)


def bootstrap(values: NDArray[np.float64], clips: Sequence[str]) -> list[Mean]:
    """Means over windows, and their 2.5 and 97.5 % points when the clips are drawn anew.

    Args:
        values: a row a window, a column a figure.
        clips: the clip of each window.

    Returns:
        One a column. The draws are the same whenever there are as many clips.
    """
    names = {clip: place for place, clip in enumerate(_unique(clips))}
    member = np.zeros((len(names), len(clips)))  # clips windows
    member[[names[clip] for clip in clips], range(len(clips))] = 1
    sums, counts = member @ values, member.sum(1)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = rng.integers(0, len(names), (BOOTSTRAPS, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)[:, None]
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    whole = sums.sum(0) / counts.sum()
    return [
        Mean(value=float(value), low=float(a), high=float(b))
        for value, a, b in zip(whole, low, high, strict=True)
    ]


def markdown(lines: Sequence[Line], titles: Mapping[str, str]) -> str:
    """All tables as Markdown: a protocol after the other, all windows first, then the thirds.

    Args:
        lines: what ``summarise`` gave.
        titles: methods' names for the reader.
    """
    parts = []
    for protocol in _unique(line.protocol for line in lines):
        for third in ("all", *THIRDS):
            inside = [line for line in lines if (line.protocol, line.third) == (protocol, third)]
            if inside:
                parts.append(_table(heading(inside[0]), inside, titles))
    return "\n".join(parts)


def heading(line: Line) -> str:
    """What a table covers, in words."""
    which = "" if line.third == "all" else f", third of {line.third} motion"
    windows, clips = (
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((line.windows, "window"), (line.clips, "clip"))
    )
    return f"{line.protocol}{which}: {windows} of {clips}"


def columns_of(lines: Sequence[Line]) -> list[str]:
    """Measures that every line has."""
    return [name for name in MEASURES if all(name in line.means for line in lines)]


def sets_of(lines: Sequence[Line]) -> list[str]:
    """Measures of sets that every line has."""
    return [name for name in SETS if all(name in line.sets for line in lines)]


def flagged(lines: Sequence[Line], titles: Mapping[str, str]) -> str:
    """Which methods left windows that no one could use, in words; empty if none did."""
    found = [
        f"{titles.get(line.method, line.method)} {count} {flag}"
        for line in lines
        for flag, count in line.flags.items()
        if count
    ]
    if not found:
        return ""
    return f"Windows that no one could use, of {lines[0].windows}: {', '.join(found)}."


def _table(title: str, lines: Sequence[Line], titles: Mapping[str, str]) -> str:
    names, sets = columns_of(lines), sets_of(lines)
    head = ["method", *(MEASURES[name].title for name in names), *(SETS[s].title for s in sets)]
    body = [
        [
            titles.get(line.method, line.method),
            *(cell(n, line.means[n]) for n in names),
            *(SETS[s].shown(line.sets[s]) for s in sets),
        ]
        for line in lines
    ]
    rows = _rows(head, body)
    told = flagged(lines, titles)
    drifts = "".join(
        f"\n{name}:\n\n{_rows(drift_head(ends), drift_body(name, ends, lines, titles))}\n"
        for name, ends in stretches(lines).items()
    )
    return f"### {title}\n\n{rows}\n" + (f"\n{told}\n" if told else "") + drifts


def _rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *body])


def stretches(lines: Sequence[Line]) -> dict[str, list[int]]:
    """Measures that are told by distance, and where their stretches end."""
    found: dict[str, list[int]] = {}
    for key in lines[0].drift:
        name, _, last = key.partition("@")
        found.setdefault(name, []).append(int(last))
    return found


def drift_head(ends: Sequence[int]) -> list[str]:
    """Titles of a table by distance: frames from the last given one."""
    return ["frames away", *(f"{a + 1}-{b}" for a, b in pairwise([0, *ends]))]


def drift_body(
    name: str, ends: Sequence[int], lines: Sequence[Line], titles: Mapping[str, str]
) -> list[list[str]]:
    """Its rows: a method, and the mean of each stretch with half of its interval."""
    measure = DRIFT[name]

    def told(mean: Mean) -> str:
        return f"{measure.shown(mean.value)} ±{measure.shown((mean.high - mean.low) / 2)}"

    return [
        [
            titles.get(line.method, line.method),
            *(told(line.drift[drift_key(name, last)]) for last in ends),
        ]
        for line in lines
    ]


def cell(name: str, mean: Mean) -> str:
    """Mean, and half of the interval behind it."""
    measure = MEASURES[name]
    return f"{measure.shown(mean.value)} ±{measure.shown((mean.high - mean.low) / 2)}"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
