"""Experiments beside each other: a column for what was swept, and one for which it was."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tunesmith.compare.group import group
from tunesmith.compare.page import as_html
from tunesmith.compare.plot import draw_all
from tunesmith.compare.runs import find, read_all
from tunesmith.compare.table import WIDE, on_terminal

ONE = {"data": "digits", "backbone": "tiny", "policy": "full", "trainer": "cpu"}
OTHER = {"data": "solar_cells", "backbone": "timm", "policy": "first_frozen", "trainer": "auto"}
LONG = "package:a_name_that_is_longer_than_any_table"


@pytest.fixture
def compared(tmp_path):
    return lambda: group(read_all(find([str(tmp_path / "logs")])), None, None)


@pytest.fixture
def two(add, compared):
    """Two experiments that differ in much; in one of them a rate was swept."""
    for seed in (0, 1, 2):
        for lr in (0.1, 0.2):
            add(0.9 - lr + seed / 100, seed, (f"optimizer.lr={lr}",), name="one", choices=ONE)
        add(0.5 + seed / 100, seed, (f"backbone.weights={LONG}",), name="other", choices=OTHER)
    return compared()


def test_what_differs_between_names_alone_stands_under_the_name(two):
    assert two.keys == ("name", "optimizer.lr")
    settings = [tuple(g.settings.values()) for g in two.groups]
    assert settings == [("one", "0.1"), ("one", "0.2"), ("other", "default")]
    assert [len(g.runs) for g in two.groups] == [3, 3, 3]
    assert "The name stands for what differs between names alone: backbone, backbone.weights, data" in two.notes[0]


def test_it_fits_on_a_terminal_of_80_columns(two):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(*on_terminal(two), sep="\n")
    lines = [line for line in console.export_text().splitlines() if "│" in line]
    assert any("optimizer" in line or "one" in line for line in lines)
    for value in ("0.8100 ± 0.0100", "0.5100 ± 0.0100"):
        assert any(value in line for line in lines)


def test_pages_and_images_have_the_same_columns(two):
    figures = draw_all(two)
    assert "parallel_coordinates" in figures
    page = as_html(two, figures)
    assert "<th>name</th><th>optimizer.lr</th><th>n</th>" in page and "backbone.weights" in page


def test_few_keys_keep_their_columns(add, compared):
    add(0.5, name="one", choices={"head": "mlp"}), add(0.6, name="other", choices={"head": "linear"})
    assert compared().keys == ("head",)


def test_names_with_equal_settings_stay_one_group(add, compared):
    for seed, name in enumerate(("one", "again", "other")):
        add(0.5 + seed / 10, seed, name=name, choices=OTHER if name == "other" else ONE)
    found = compared()
    assert [(g.settings["name"], len(g.runs)) for g in found.groups] == [("other", 1), ("one = again", 2)]


def test_a_long_value_is_shortened_on_the_terminal_alone(add, compared):
    add(0.5, 0, (f"backbone.weights={LONG}",)), add(0.6, 0, ("backbone.weights=null",))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(on_terminal(compared())[0])
    text = console.export_text()
    assert LONG not in text and f"{LONG[: WIDE - 1]}…" in text
    assert compared().groups[1].settings["backbone.weights"] == LONG
