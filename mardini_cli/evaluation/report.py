"""One page that holds the tables, pictures and films, with nothing to load from elsewhere.

Room: evaluation. Text in, HTML out; reads the sheets it is told of. Pictures are made smaller for
the page; the full ones lie beside it.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from mardini_cli.evaluation.measures import MEASURES, SETS, signed
from mardini_cli.evaluation.sheets import Chosen
from mardini_cli.evaluation.tables import (
    Line,
    Mean,
    Row,
    Where,
    columns_of,
    drift_body,
    drift_head,
    flagged,
    heading,
    sets_of,
    stretches,
)
from mardini_cli.media.sheet import smaller

WIDTH: Final = 1400
"""Columns of a sheet on the page, pixels."""
STYLE: Final = """
:root { --ink: #1a1a1a; --paper: #fff; --rule: #ddd; --dim: #666; --good: #0a6b2d; --bad: #a51d1d;
        --best: #e8f3ea; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #161616; --rule: #333; --dim: #999; --good: #6fcf8e;
          --bad: #ff8f8f; --best: #1d2f22; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 92rem; padding: 0 1rem;
       color: var(--ink); background: var(--paper); }
a { color: inherit; }
h2 { margin-top: 2.5rem; border-bottom: 2px solid var(--rule); }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--rule);
         white-space: nowrap; vertical-align: top; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
                                 background: var(--paper); }
td small { display: block; color: var(--dim); font-size: 11px; line-height: 1.2; font-weight: 400; }
td.best { background: var(--best); font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); }
.wide { overflow-x: auto; } .dim { color: var(--dim); }
.facts { color: var(--dim); font-size: 13px; }
details { margin: .5rem 0; } summary { cursor: pointer; }
figure { margin: 1rem 0 2.5rem; } figcaption { font-weight: 600; margin-bottom: .4rem; }
figure img, figure video { display: block; max-width: 100%; height: auto; margin-bottom: .5rem; }
"""
READING: Final = """
<details><summary>How to read this page</summary><ul>
<li>Figures are means over windows of 9 frames; small figures are the middle 95 % when the clips
are drawn anew (bootstrap, seeded). Green ground: the best line, the ceiling left out.</li>
<li>PSNR, SSIM, MS-SSIM, HaarPSI: more is better. GMSD, LPIPS, flicker, FID, FVD: less is better.
Sharpness, motion, warp error: 1 is right.</li>
<li>Averages raise PSNR and SSIM and cost sharpness: the mean of DIS and blend shows how much.</li>
<li>Where one side is free (extend, animate) a good continuation need not be the true one:
look at sharpness, motion, and the films.</li>
<li>The ceiling decodes the true frames' own latents: no sample can do better with this decoder.
</li></ul></details>
"""


def page(
    settings: Mapping[str, Any],
    lines: Sequence[Line],
    rows: Sequence[Row],
    titles: Mapping[str, str],
    figures: Sequence[str],
    notices: Sequence[str],
) -> str:
    """Put the page together.

    Args:
        settings: what was run, on what.
        lines: the means.
        rows: every window.
        titles: methods' names for the reader.
        figures: windows that were drawn, as ``figure`` gave them.
        notices: what is missing, and why.
    """
    parts = [
        *head("mardini: evaluation"),
        f'<h1>Evaluation</h1><p class="facts">{facts(settings)}</p>{READING}',
        *(f'<p class="dim">{escape(notice)}</p>' for notice in notices),
    ]
    for protocol in dict.fromkeys(line.protocol for line in lines):
        parts += _protocol(
            [line for line in lines if line.protocol == protocol],
            [row for row in rows if row.protocol == protocol],
            titles,
        )
    if figures:
        parts += ["<h2>Windows to look at</h2>", *figures]
    return "\n".join([*parts, "</html>"]) + "\n"


def head(title: str) -> tuple[str, ...]:
    """How every page of ours begins."""
    return (
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
    )


def figure(one: Chosen, folder: Path) -> str:
    """A window as a film and a picture, with their content inside.

    Args:
        one: the window.
        folder: where its files are.
    """
    film = b64encode((folder / one.player).read_bytes()).decode()
    words = escape(one.name)
    return (
        f'<figure><figcaption>{words} · <a href="{escape(one.file)}">full size</a></figcaption>'
        f'<video controls loop muted autoplay playsinline src="data:video/webm;base64,{film}">'
        f"</video><details><summary>Frame by frame</summary>"
        f"{image(folder / one.file, one.name)}</details></figure>"
    )


def image(picture: Path, words: str) -> str:
    """A picture with its content inside the page."""
    content = b64encode(smaller(picture, WIDTH)).decode()
    return f'<img alt="{escape(words)}" loading="lazy" src="data:image/jpeg;base64,{content}">'


def facts(settings: Mapping[str, Any]) -> str:
    """Names and values in one line; what is empty is left out."""

    def words(value: Any) -> str:
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    told = [(k, words(v)) for k, v in settings.items() if v not in (None, [], {})]
    return " · ".join(f"{escape(key)} <b>{escape(value)}</b>" for key, value in told)


def _protocol(
    lines: Sequence[Line], rows: Sequence[Row], titles: Mapping[str, str]
) -> Iterator[str]:
    whole = [line for line in lines if line.third == "all"]
    yield f"<h2>{escape(heading(whole[0]))}</h2>"
    yield _table(whole, titles)
    if told := flagged(whole, titles):
        yield f"<p>{escape(told)}</p>"
    for name, ends in stretches(whole).items():
        cells = drift_body(name, ends, whole, titles)
        body = ["<tr>" + "".join(f"<td>{escape(text)}" for text in row) for row in cells]
        yield f"<h3>{escape(name)}, by distance</h3>{wide(drift_head(ends), body)}"
    yield from _against(whole, titles)
    yield "<details><summary>By motion: thirds of the windows</summary>"
    for third in dict.fromkeys(line.third for line in lines if line.third != "all"):
        inside = [line for line in lines if line.third == third]
        yield f"<h3>{escape(heading(inside[0]))}</h3>{_table(inside, titles)}"
    yield "</details>"
    yield _by_window(rows, titles)


def _table(lines: Sequence[Line], titles: Mapping[str, str]) -> str:
    names = columns_of(lines)
    rivals = [line for line in lines if line.method != "ceiling"]
    best = {name: _best(rivals, name) for name in names} if len(rivals) > 1 else {}
    sets = sets_of(lines)
    nearest = {s: min((line.sets[s] for line in rivals), default=None) for s in sets}
    heads = ("method", *(MEASURES[n].title for n in names), *(SETS[s].title for s in sets))
    body = []
    for line in lines:
        cells = [f"<td>{escape(titles.get(line.method, line.method))}"]
        for name in names:
            measure, mean = MEASURES[name], line.means[name]
            mark = ' class="best"' if best.get(name) == line.method else ""
            spread = f"{measure.shown(mean.low)} to {measure.shown(mean.high)}"
            cells.append(f"<td{mark}>{measure.shown(mean.value)}<small>{spread}</small>")
        for name in sets:
            mark = ' class="best"' if best and line.sets[name] == nearest[name] else ""
            cells.append(f"<td{mark}>{SETS[name].shown(line.sets[name])}")
        body.append("<tr>" + "".join(cells))
    return wide(heads, body)


def wide(heads: Sequence[str], body: Sequence[str]) -> str:
    """A table that scrolls where it is too wide: titles, and rows of cells as HTML."""
    first = "".join(f"<th>{escape(title)}" for title in heads)
    return f'<div class="wide"><table><tr>{first}{"".join(body)}</table></div>'


def _best(lines: Sequence[Line], name: str) -> str:
    measure = MEASURES[name]
    leader = lines[0]
    for line in lines[1:]:
        if measure.gain(line.means[name].value, leader.means[name].value) > 0:
            leader = line
    return leader.method


def _against(lines: Sequence[Line], titles: Mapping[str, str]) -> Iterator[str]:
    """Paired differences of the model's lines to every baseline, with what they mean."""
    names = [name for name in columns_of(lines) if MEASURES[name].good != "one"]
    for line in lines:
        others = {k: v for k, v in line.over.items() if not k.startswith(("ours-", "ceiling"))}
        if not others or not line.method.startswith("ours-"):
            continue
        title = titles.get(line.method, line.method)
        body = [
            f"<tr><td>over {escape(titles.get(rival, rival))}"
            + "".join(_difference(name, means[name]) for name in names)
            for rival, means in others.items()
        ]
        table = wide((title, *(MEASURES[name].title for name in names)), body)
        yield (
            f"<details open><summary>{escape(title)}: paired differences to each baseline"
            f"</summary>{table}"
            '<p class="dim">Green: better, red: worse, in 97.5 % of the draws.</p></details>'
        )


def _difference(name: str, mean: Mean) -> str:
    measure = MEASURES[name]
    better = (mean.value > 0) == (measure.good == "more")
    sure = mean.low > 0 or mean.high < 0
    mark = f' class="{"good" if better else "bad"}"' if sure else ""
    spread = f"{signed(measure, mean.low)} to {signed(measure, mean.high)}"
    return f"<td{mark}>{signed(measure, mean.value)}<small>{spread}</small>"


def _by_window(rows: Sequence[Row], titles: Mapping[str, str]) -> str:
    methods = list(dict.fromkeys(row.method for row in rows))
    table: dict[Where, dict[str, Row]] = {}
    for row in rows:
        table.setdefault(row.window, {})[row.method] = row
    body = []
    for (clip, stride, start), found in sorted(table.items()):
        psnr = {name: row.figures["psnr"] for name, row in found.items() if name != "ceiling"}
        leader = max(psnr, key=lambda name: psnr[name]) if psnr else ""
        flow = next(iter(found.values())).flow
        cells = "".join(_window_cell(found.get(name), name == leader) for name in methods)
        body.append(f"<tr><td>{escape(clip)}<td>{start}<td>{stride}<td>{flow:.1f}{cells}")
    heads = ("clip", "from", "stride", "motion, px", *(titles.get(name, name) for name in methods))
    return (
        "<details><summary>By window: PSNR, and SSIM below it</summary>"
        f"{wide(heads, body)}</details>"
    )


def _window_cell(row: Row | None, best: bool) -> str:
    if row is None:
        return "<td>"
    mark = ' class="best"' if best else ""
    psnr, ssim = (MEASURES[name].shown(row.figures[name]) for name in ("psnr", "ssim"))
    return f"<td{mark}>{psnr}<small>{ssim}</small>"
