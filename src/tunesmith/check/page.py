"""Write the report as Markdown, and as one HTML file with the images."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from tunesmith import __version__
from tunesmith.check.finding import Finding, Item
from tunesmith.check.image import Seen
from tunesmith.check.label import said
from tunesmith.data.image.decode import FORMATS
from tunesmith.data.table import Table

SHOWN = 24
"""Items per finding shown on the page; the Markdown lists all."""

SIDE = 120
"""Longer side of an image on the page, in pixels."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; } th, td { padding: .3em .8em; border-bottom: 1px solid #ddd; text-align: left; }
h2 span { font-size: .7em; font-weight: normal; padding: .1em .6em; border-radius: 1em; margin-left: .5em; }
.error { background: #f9d7d4; } .warning { background: #fff3cd; } .note { background: #e3ecf7; }
div.items { display: flex; flex-wrap: wrap; gap: 1em; align-items: flex-end; }
figure { margin: 0; max-width: 260px; overflow-wrap: anywhere; } figcaption { font-size: .8em; }
img { margin-right: 4px; }
"""


@dataclass(frozen=True)
class Report:
    """A report on data.

    Attributes:
        title: What was checked.
        sentences: Remarks on all images together.
        balance: Header, then one row per class.
        findings: Findings, the most serious first.
        table: The images.
        seen: Properties of each image.
    """

    title: str
    sentences: tuple[str, ...]
    balance: list[tuple[str, ...]]
    findings: tuple[Finding, ...]
    table: Table
    seen: Sequence[Seen]

    def named(self, item: Item) -> str:
        """Return the names of an item's images."""
        names = self.table.names
        return " = ".join(str(names[row]) for row in item.rows[:4]) + (" = …" if len(item.rows) > 4 else "")


def as_markdown(report: Report) -> str:
    """Write the full report, with every image by name."""
    header, *rows = report.balance
    lines = [f"# {report.title}", "", *report.sentences, "", _line(header), _line(["---"] * len(header))]
    lines += [_line(row) for row in rows]
    for finding in report.findings:
        lines += ["", f"## {finding.kind.capitalize()}: {len(finding.items)} ({finding.level})", "", finding.text, ""]
        lines += [f"- `{report.named(item)}`: {item.detail}" for item in finding.items]
    return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def as_html(report: Report) -> str:
    """Write one self-contained page with the first images of each finding."""
    header, *rows = report.balance
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(report.title)}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{escape(report.title)}</h1>",
        *(f"<p>{escape(sentence)}</p>" for sentence in report.sentences),
        "<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in header) + "</tr>",
        *("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows),
        "</table>",
    ]
    for finding in report.findings:
        level = f'<span class="{finding.level}">{finding.level}</span>'
        parts.append(f"<h2>{escape(finding.kind.capitalize())}: {len(finding.items)}{level}</h2>")
        parts.append(f'<p>{escape(finding.text)}</p><div class="items">')
        parts += [_figure(report, item) for item in finding.items[:SHOWN]]
        parts.append("</div>")
        if len(finding.items) > SHOWN:
            parts.append(f"<p>… and {len(finding.items) - SHOWN} more, named in the Markdown beside this page.</p>")
    return "\n".join([*parts, f"<p><small>tunesmith {__version__}</small></p></body></html>", ""])


def _figure(report: Report, item: Item) -> str:
    labels = dict.fromkeys(said(report.table, row) for row in item.rows)
    caption = f"{report.named(item)}: {item.detail} [{' / '.join(labels)}]"
    images = "".join(_image(report, row) for row in item.rows[:2])
    return f"<figure>{images}<figcaption>{escape(caption)}</figcaption></figure>"


def _image(report: Report, row: int) -> str:
    """Return a small image, reread from the source; its thumbnail if that fails, else an empty string."""
    thumbnail = report.seen[row].thumbnail
    if thumbnail is None:
        return ""
    source = report.table.samples[row]
    try:
        with (
            Image.open(source, formats=tuple(FORMATS))
            if isinstance(source, Path)
            else Image.fromarray(np.asarray(source)) as image
        ):
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            image.thumbnail((SIDE, SIDE))
            shown = image.convert("RGB")
    except (OSError, ValueError):
        shown = Image.fromarray(thumbnail).resize((SIDE, SIDE))
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=80)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'
