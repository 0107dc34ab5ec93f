"""One page that holds the tables and the contact sheets, with nothing to load from elsewhere.

Room: evaluation. Text in, HTML out; reads the sheets it is told of.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from mardini_cli.evaluation.tables import METRICS, THIRDS, Line, heading, shown

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
       color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd;
         font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td small { color: #666; }
.wide { overflow-x: auto; }
figure { margin: 1rem 0 2rem; }
figure img { max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e6e6; background: #161616; } th, td { border-color: #333; }
  td small { color: #999; }
}
"""
WORDS: Final = (
    "Means over windows. Small figures: the middle 95 % when the clips are drawn anew "
    f"(bootstrap). GMSD and flicker: less is better. {METRICS['sharpness'].capitalize()} and "
    f"{METRICS['motion']}: 1 is right. Thirds: windows by mean flow between their ends."
)


def page(
    settings: Mapping[str, Any],
    lines: Sequence[Line],
    titles: Mapping[str, str],
    sheets: Mapping[str, Path],
) -> str:
    """Put the page together.

    Args:
        settings: what was run, on what.
        lines: the means.
        titles: methods' names for the reader.
        sheets: caption to picture (JPEG or PNG).
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>mardini: evaluation</title><style>{STYLE}</style>",
        "<h1>Evaluation</h1>",
        f"<p>{_facts(settings)}</p><p>{escape(WORDS)}</p>",
        *_tables(lines, titles),
        *(_figure(caption, path) for caption, path in sheets.items()),
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _facts(settings: Mapping[str, Any]) -> str:
    def words(value: Any) -> str:
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    told = [(k, words(v)) for k, v in settings.items() if v not in (None, [])]
    return " · ".join(f"{escape(key)} <b>{escape(value)}</b>" for key, value in told)


def _tables(lines: Sequence[Line], titles: Mapping[str, str]) -> list[str]:
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line.protocol, line.third), []).append(line)
    return [_table(third, inside, titles) for (_, third), inside in found.items()]


def _table(third: str, lines: Sequence[Line], titles: Mapping[str, str]) -> str:
    level = 3 if third in THIRDS else 2
    head = "".join(f"<th>{escape(title)}" for title in ("method", *METRICS.values()))
    body = "".join(f"<tr><td>{_row(line, titles)}" for line in lines)
    return (
        f"<h{level}>{escape(heading(lines[0]))}</h{level}>"
        f'<div class="wide"><table><tr>{head}{body}</table></div>'
    )


def _row(line: Line, titles: Mapping[str, str]) -> str:
    cells = [escape(titles.get(line.method, line.method))]
    for name in METRICS:
        mean = line.means[name]
        low, high = shown(name, mean.low), shown(name, mean.high)
        cells.append(f"{shown(name, mean.value)} <small>{low} to {high}</small>")
    return "<td>".join(cells)


def _figure(caption: str, path: Path) -> str:
    kind = "png" if path.suffix == ".png" else "jpeg"
    picture = b64encode(path.read_bytes()).decode()
    words = escape(caption)
    return (
        f'<figure><figcaption>{words}</figcaption><img alt="{words}" loading="lazy" '
        f'src="data:image/{kind};base64,{picture}"></figure>'
    )
