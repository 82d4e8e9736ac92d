"""Write a comparison as one self-contained HTML file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

from matplotlib.figure import Figure

from tunesmith import __version__
from tunesmith.compare.doubts import NOT_COMPARABLE
from tunesmith.compare.group import Comparison
from tunesmith.compare.table import columns, left_out, sentences

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3em .8em; border-bottom: 1px solid #ddd; text-align: left; }
th { border-bottom: 2px solid #888; }
td.number { text-align: right; }
tbody tr.best { font-weight: bold; background: #f1f6ee; }
p.doubt { background: #fff3cd; padding: .6em 1em; }
p.worthless { background: #b3261e; color: white; font-weight: bold; padding: .6em 1em; }
img { max-width: 100%; height: auto; }
figure { margin: 2em 0; }
div.wide { overflow-x: auto; }
"""


def as_html(found: Comparison, figures: Mapping[str, Figure]) -> str:
    """Write tables, sentences and plots as one page.

    Args:
        found: The comparison.
        figures: Plots by name, embedded as PNG.
    """
    runs = sum(len(group.runs) for group in found.groups)
    header, cells = columns(found)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{runs} runs by {escape(found.metric)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{runs} runs by {escape(found.metric)}</h1>",
        *(_doubt(text) for text in found.doubts),
        _table(header, cells, found.keys, best=True),
        *(f"<p>{escape(text)}</p>" for text in sentences(found)),
        *(_image(name, figure) for name, figure in figures.items()),
    ]
    if found.left_out:
        parts += [
            "<h2>Left out</h2>",
            _table(["run", "status", "reason"], left_out(found), ("run", "status", "reason")),
        ]
    return "\n".join([*parts, f"<p><small>tunesmith {__version__}</small></p>", "</body></html>"]) + "\n"


def png(figure: Figure) -> bytes:
    """Render a figure as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


def _doubt(text: str) -> str:
    kind = "worthless" if text.startswith(NOT_COMPARABLE) else "doubt"
    return f'<p class="{kind}">{escape(text)}</p>'


def _table(header: Sequence[str], cells: Sequence[Sequence[str]], words: Sequence[str], best: bool = False) -> str:
    lines = ['<div class="wide"><table><thead><tr>', *(f"<th>{escape(name)}</th>" for name in header)]
    lines.append("</tr></thead><tbody>")
    for number, line in enumerate(cells):
        lines.append('<tr class="best">' if best and number == 0 else "<tr>")
        for name, cell in zip(header, line, strict=True):
            lines.append(f"<td{'' if name in words else ' class=number'}>{escape(cell)}</td>")
        lines.append("</tr>")
    return "".join([*lines, "</tbody></table></div>"])


def _image(name: str, figure: Figure) -> str:
    data = base64.b64encode(png(figure)).decode()
    title = name.replace("_", " ")
    return f'<figure><h2>{title.capitalize()}</h2><img alt="{title}" src="data:image/png;base64,{data}"></figure>'
