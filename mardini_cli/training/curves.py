"""Curves of a run as small SVG pictures inside a page.

Room: training. Numbers in, text out: no library to load, and a page that needs no network.
"""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 440, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 10, 14, 24
INKS = ("#2a6fbb", "#c2571a", "#2e7d32", "#8e44ad", "#b8860b", "#c2185b")
"""One a line, readable on white and on black."""
_TICKS = 4


def chart(title: str, lines: dict[str, Points]) -> str:
    """Draw lines over training steps.

    Args:
        title: above the picture.
        lines: name to points (step, value), rising steps; values that are no numbers are left out.

    Returns:
        A ``figure`` of HTML; empty if there is nothing to draw.
    """
    sound = {
        name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in lines.items()
    }
    sound = {name: points for name, points in sound.items() if points}
    if not sound:
        return ""
    xs = [x for points in sound.values() for x, _ in points]
    ys = [y for points in sound.values() for _, y in points]
    low, high = _span(min(ys), max(ys))
    first, last = min(xs), max(max(xs), min(xs) + 1)
    body = [_grid(low, high), _axis(first, last)]
    for ink, (_name, points) in zip(_inks(len(sound)), sound.items(), strict=True):
        placed = [(_x(x, first, last), _y(y, low, high)) for x, y in points]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        if len(placed) == 1:
            body.append(
                f'<circle cx="{placed[0][0]:.1f}" cy="{placed[0][1]:.1f}" r="3" fill="{ink}"/>'
            )
        else:
            body.append(
                f'<polyline points="{drawn}" fill="none" stroke="{ink}" stroke-width="1.6"/>'
            )
    words = " ".join(
        f'<span style="color:{ink}">{escape(name)} <b>{_number(points[-1][1])}</b></span>'
        for ink, (name, points) in zip(_inks(len(sound)), sound.items(), strict=True)
    )
    return (
        f'<figure class="curve"><figcaption>{escape(title)} <small>{words}</small></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(body)}</svg></figure>'
    )


def smoothed(points: Points, most: int = 200) -> Points:
    """Means of neighbours, so that at most so many points are left."""
    size = math.ceil(len(points) / most)
    parts = [points[at : at + size] for at in range(0, len(points), size)]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def _span(low: float, high: float) -> tuple[float, float]:
    """A little room above and below; a flat line lies in the middle."""
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def _x(value: float, first: float, last: float) -> float:
    return _LEFT + (value - first) / (last - first) * (WIDTH - _LEFT - _RIGHT)


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)


def _grid(low: float, high: float) -> str:
    lines = []
    for tick in ticks(low, high):
        y = _y(tick, low, high)
        lines.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="rule"/>'
            f'<text x="{_LEFT - 6}" y="{y + 3:.1f}" text-anchor="end">{_number(tick)}</text>'
        )
    return "".join(lines)


def _axis(first: float, last: float) -> str:
    y = HEIGHT - 8
    return (
        f'<text x="{_LEFT}" y="{y}">{first:,.0f}</text>'
        f'<text x="{WIDTH - _RIGHT}" y="{y}" text-anchor="end">step {last:,.0f}</text>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two others, about ``_TICKS`` of them."""
    rough = (high - low) / _TICKS
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * nice for nice in (1, 2, 5, 10) if size * nice >= rough)
    start = math.ceil(low / step)
    found = [n * step for n in range(start, start + 2 * _TICKS) if n * step <= high]
    assert all(b > a for a, b in pairwise(found))
    return found


def _number(value: float) -> str:
    """Four signs that count; no ``-0``."""
    return f"{value + 0.0:.4g}".replace("-0", "0", 1) if value == 0 else f"{value:.4g}"


def _inks(count: int) -> list[str]:
    return [INKS[number % len(INKS)] for number in range(count)]
