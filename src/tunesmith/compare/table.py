"""Write the table of groups, for the terminal, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tunesmith.compare.doubts import NOT_COMPARABLE
from tunesmith.compare.group import Comparison, Group
from tunesmith.compare.runs import place

SHOWN = 40
"""Number of groups printed on the terminal; files hold all."""

WIDE = 24
"""Number of characters of a setting's value printed on the terminal; files hold all."""

Row = dict[str, object]


def rows(found: Comparison) -> list[Row]:
    """Return one row per group, best first: rank, settings, metric, seconds, metrics of all folds, best run."""
    return [_row(rank, group, found.mode) for rank, group in enumerate(found.groups, 1)]


def _row(rank: int, group: Group, mode: str) -> Row:
    return {
        "rank": rank,
        **group.settings,
        "replicates": len(group.values),
        "mean": group.mean,
        "sd": group.spread,
        "best": _best(group, mode),
        "seconds": group.seconds,
        **{f"out_of_fold_{name}": value for name, value in group.out_of_fold.items()},
        "best_run": place(group.best),
    }


def _best(group: Group, mode: str) -> float:
    return float(group.values.max() if mode == "max" else group.values.min())


def as_csv(found: Comparison) -> str:
    """Write the rows with all digits; unknown values are empty."""
    listed = rows(found)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(dict.fromkeys(name for row in listed for name in row)), lineterminator="\n")
    writer.writeheader()
    for row in listed:
        writer.writerow({name: "" if isinstance(v, float) and math.isnan(v) else v for name, v in row.items()})
    return file.getvalue()


def columns(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of the readable table, with mean and spread in one cell."""
    over = list(dict.fromkeys(name for group in found.groups for name in group.out_of_fold))
    header = [
        "rank",
        *found.keys,
        "n",
        f"{found.metric}, mean ± sd",
        "best",
        "seconds",
        *(f"all folds: {n}" for n in over),
    ]
    cells = []
    for rank, group in enumerate(found.groups, 1):
        spread = "–" if math.isnan(group.spread) else f"{group.spread:.4f}"
        said = [str(rank), *group.settings.values(), str(len(group.values)), f"{group.mean:.4f} ± {spread}"]
        said += [f"{_best(group, found.mode):.4f}", f"{group.seconds:.1f}"]
        cells.append(said + [f"{group.out_of_fold[n]:.4f}" if n in group.out_of_fold else "–" for n in over])
    return header, cells


def sentences(found: Comparison) -> list[str]:
    """Return the sentences below the table: the best group, the test, importance and notes."""
    best = found.groups[0]
    said = [f"Best: {best.label}; its best run is {place(best.best)}.", found.verdict]
    if found.importance:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in found.importance.items())
        said.append(f"Share of the variance over all runs that each key explains (epsilon²): {shares}.")
    return [*said, *found.notes]


def left_out(found: Comparison) -> list[tuple[str, str, str]]:
    """List place, status and reason of the runs that are in no mean."""
    return [(place(run), run.status, reason) for run, reason in found.left_out]


def as_markdown(found: Comparison) -> str:
    """Write tables and sentences as Markdown."""
    header, cells = columns(found)
    parts = [f"# Comparison by {found.metric}", *(f"> **{text}**" for text in found.doubts)]
    parts += [_markdown_table(header, cells), *sentences(found)]
    if found.left_out:
        parts += ["## Left out", _markdown_table(["run", "status", "reason"], left_out(found))]
    return "\n\n".join(parts) + "\n"


def _markdown_table(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def on_terminal(found: Comparison) -> list[RenderableType]:
    """Return what to print: doubts first, then tables and sentences."""
    header, cells = columns(found)
    title = f"{sum(len(g.runs) for g in found.groups)} runs by {found.metric}, {found.mode} is best"
    table = Table(title=title)
    for name in header:
        number = name not in found.keys
        heading = Text(name.replace(".", ".\n").replace(": ", ":\n").replace(", ", ",\n"))
        table.add_column(heading, justify="right" if number else "left", overflow="fold", no_wrap=number)
    for place_, line in enumerate(cells[:SHOWN]):
        short = [_shortened(text) if name in found.keys else text for name, text in zip(header, line, strict=True)]
        table.add_row(*map(Text, short), style="bold" if place_ == 0 else "")
    if len(cells) > SHOWN:
        table.add_row(f"… {len(cells) - SHOWN} more", *[""] * (len(header) - 1))
    said: list[RenderableType] = [Text(text, style=_style(text)) for text in found.doubts]
    said += [table, *map(Text, sentences(found))]
    if found.left_out:
        others = Table("run", "status", "reason", title=f"Left out: {len(found.left_out)} runs")
        for run in left_out(found)[:SHOWN]:
            others.add_row(*map(Text, run))
        said.append(others)
    return said


def _shortened(value: str) -> str:
    """Shorten a value to its distinctive part: the end of a path, the beginning of anything else."""
    if len(value) <= WIDE:
        return value
    return f"…{value[1 - WIDE :]}" if "/" in value else f"{value[: WIDE - 1]}…"


def _style(doubt: str) -> str:
    return "bold white on red" if doubt.startswith(NOT_COMPARABLE) else "yellow"
