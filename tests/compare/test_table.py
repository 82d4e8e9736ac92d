"""The table in its three forms."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from tunesmith.compare.group import group
from tunesmith.compare.runs import find, read_all
from tunesmith.compare.table import as_csv, as_markdown, on_terminal


@pytest.fixture
def found(add, tmp_path):
    for seed in (0, 1, 2):
        add(0.7 + seed / 100, seed, ("x=a|b",))
    add(0.9, 0, ("x=[red]c",))
    add(status="failed", error={"type": "DataError", "message": "no | file [bold]"})
    add(0.1, 0, ("x=d",), data={"fingerprint": "content:2"})
    return group(read_all(find([str(tmp_path / "logs")])), None, None)


def test_csv_has_all_digits_and_can_be_read_back(found):
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert [row["x"] for row in rows] == ["[red]c", "a|b", "d"]
    assert float(rows[1]["mean"]) == found.groups[1].mean and float(rows[1]["sd"]) == found.groups[1].spread
    assert rows[0]["sd"] == "" and rows[1]["best"] == "0.72" and rows[1]["replicates"] == "3"
    assert rows[1]["best_run"].endswith("run-002")


def test_markdown_says_loudly_what_is_not_comparable(found):
    text = as_markdown(found)
    assert text.index("> **NOT COMPARABLE") < text.index("| rank |")
    assert "0.7100 ± 0.0100" in text and "0.9000 ± –" in text
    assert r"a\|b" in text and r"no \| file [bold]" in text
    widths = [line.replace(r"\|", "").count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(widths[:5]) == {widths[0]}


def test_the_terminal_shows_text_as_it_is(found):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(*on_terminal(found), sep="\n")
    text = console.export_text()
    for said in ("[red]c", "no | file [bold]", "NOT COMPARABLE", "Too few replicates", "5 runs by test/accuracy"):
        assert said in text
    assert text.index("NOT COMPARABLE") < text.index("5 runs by")
