"""Rows of figures to means with confidence intervals, and those to Markdown.

Room: evaluation. Plain numbers: no tensors, no files.

Windows of one clip resemble each other, so the bootstrap draws clips, not windows. Motion splits
the windows of a protocol into three thirds of equal size, the same for every method.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

BOOTSTRAPS: Final = 1000
BOOTSTRAP_SEED: Final = 20240901
THIRDS: Final = ("small", "medium", "large")
"""Motion: thirds of the windows by mean DIS flow between the window's ends."""

METRICS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "psnr": "PSNR",
        "ssim": "SSIM",
        "gmsd": "GMSD",
        "haarpsi": "HaarPSI",
        "sharpness": "sharpness",
        "flicker": "flicker",
        "motion": "motion",
    }
)
"""Field of a row to its title."""
DECIMALS: Final[Mapping[str, int]] = MappingProxyType({"psnr": 2, "sharpness": 2, "motion": 2})


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
    psnr: float
    """dB over RGB."""
    ssim: float
    gmsd: float
    """Less is better."""
    haarpsi: float
    sharpness: float
    """Gradient energy of made frames over that of given ones; 1 is right."""
    flicker: float
    """Relative step of gradient energy between given and made neighbours; 0 is none."""
    motion: float
    """Motion energy over the true one; 1 is right."""

    @property
    def window(self) -> tuple[str, int, int]:
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
    """By field of ``Row``."""
    over_dis: dict[str, Mean]
    """Paired difference to the ``dis`` rows of the same windows; empty without them."""


def as_data(item: Row | Line) -> dict[str, Any]:
    """Plain data for JSON."""
    return asdict(item)


def thirds(rows: Iterable[Row]) -> dict[tuple[str, int, int], str]:
    """Sort the windows of one protocol by motion into three sets of equal size."""
    flows = {row.window: row.flow for row in rows}
    ordered = sorted(flows, key=lambda window: (flows[window], window))
    return {
        window: THIRDS[place * len(THIRDS) // len(ordered)] for place, window in enumerate(ordered)
    }


def summarise(rows: Sequence[Row]) -> list[Line]:
    """Mean figures of every protocol and method, over all windows and over each third."""
    lines = []
    for protocol in _unique(row.protocol for row in rows):
        mine = [row for row in rows if row.protocol == protocol]
        third_of = thirds(mine)
        for third in ("all", *THIRDS):
            inside = [row for row in mine if third in ("all", third_of[row.window])]
            dis = {row.window: row for row in inside if row.method == "dis"}
            for method in _unique(row.method for row in inside):
                lines.append(_line(third, [r for r in inside if r.method == method], dis))
    return lines


def _line(third: str, rows: Sequence[Row], dis: Mapping[tuple[str, int, int], Row]) -> Line:
    clips = [row.clip for row in rows]
    paired = [(row, dis[row.window]) for row in rows if row.window in dis]
    whole = len(paired) == len(rows) and rows[0].method != "dis"
    return Line(
        protocol=rows[0].protocol,
        third=third,
        method=rows[0].method,
        windows=len(rows),
        clips=len(set(clips)),
        means={name: bootstrap([getattr(row, name) for row in rows], clips) for name in METRICS},
        over_dis={
            name: bootstrap([getattr(a, name) - getattr(b, name) for a, b in paired], clips)
            for name in METRICS
        }
        if whole
        else {},
    )


def bootstrap(values: Sequence[float], clips: Sequence[str]) -> Mean:
    """Mean over windows, and the 2.5 and 97.5 % points when the clips are drawn anew.

    Args:
        values: a figure a window.
        clips: the clip of each window.
    """
    names = {clip: place for place, clip in enumerate(_unique(clips))}
    places = [names[clip] for clip in clips]
    sums = np.bincount(places, weights=values)
    counts = np.bincount(places)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = rng.integers(0, len(names), (BOOTSTRAPS, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Mean(value=float(sums.sum() / counts.sum()), low=float(low), high=float(high))


def shown(name: str, value: float) -> str:
    """A figure at the precision of its metric."""
    return f"{value:.{DECIMALS.get(name, 4)}f}"


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


def _table(title: str, lines: Sequence[Line], titles: Mapping[str, str]) -> str:
    head = ["method", *METRICS.values()]
    body = [
        [titles.get(line.method, line.method), *(cell(n, line.means[n]) for n in METRICS)]
        for line in lines
    ]
    rule = ["---"] * len(head)
    rows = "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *body])
    return f"### {title}\n\n{rows}\n"


def cell(name: str, mean: Mean) -> str:
    """Mean, and half of the interval behind it."""
    return f"{shown(name, mean.value)} ±{shown(name, (mean.high - mean.low) / 2)}"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
