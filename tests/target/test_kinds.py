"""What depends on the kind of target, or on the modality, stands in the two rooms and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunesmith.modality.base import modalities
from tunesmith.target.base import kinds

SOURCE = Path(__file__).parents[2] / "src" / "tunesmith"
ROOMS = ("target", "modality")
MODULES = [p for p in sorted(SOURCE.rglob("*.py")) if p.relative_to(SOURCE).parts[0] not in ROOMS]
NAMES = {*kinds(), *modalities()}
ASKED = {"target", "targets", "kind", "input", "modality"}
"""What a kind or a modality is called where it is held."""
GONE = {"RAGGED", "ragged"}
FORMS = {"Preprocess", "ImagePreprocess", "TextPreprocess", "Sequences", "SamplePredictions"}
"""Classes that only one kind or modality has."""


def branches(tree: ast.AST) -> Iterator[str]:
    """Lines that ask which kind of target or which modality it is."""
    for node in ast.walk(tree):
        if any(
            (
                isinstance(node, ast.Compare) and _compares(node),
                isinstance(node, ast.Match) and _held(node.subject) and any(_named(case) for case in node.cases),
                isinstance(node, ast.Dict)
                and len(node.keys) > 1
                and all(k is not None and _names(k) for k in node.keys),
                isinstance(node, ast.Call) and _of_a_form(node),
                isinstance(node, ast.If | ast.IfExp) and _ends(node.test) == "channels",
                isinstance(node, ast.Name | ast.Attribute) and _ends(node) in GONE,
            )
        ):
            yield f"{node.lineno}: {ast.unparse(node)[:80]}"


def _compares(node: ast.Compare) -> bool:
    sides = [node.left, *node.comparators]
    return any(_held(side) for side in sides) and any(_named(side) for side in sides)


def _held(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return node.slice.value in ASKED
    if isinstance(node, ast.Call) and _ends(node.func) == "get":
        return any(isinstance(own, ast.Constant) and own.value in ASKED for own in node.args)
    return _ends(node) in ASKED


def _named(node: ast.AST) -> bool:
    return any(_names(inner) for inner in ast.walk(node))


def _names(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value in NAMES


def _ends(node: ast.AST) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def _of_a_form(node: ast.Call) -> bool:
    return _ends(node.func) in ("isinstance", "issubclass") and any(_ends(inner) in FORMS for inner in ast.walk(node))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_nobody_else_asks_which_kind_or_modality_it_is(path):
    assert not list(branches(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    "line",
    [
        'if spec.target == "class": pass',
        'x = 1 if table.kind in ("tags", "span") else 2',
        'x = record["data"]["target"] != "value"',
        'x = "image" == spec.input',
        'x = record.get("target") in ("class", "value")',
        'x = {"class": f, "value": g}[name]',
        'match kind:\n    case "class": pass',
        "if spec.ragged: pass",
        "x = RAGGED",
        "x = isinstance(p, TextPreprocess)",
        "x = a if table.channels else b",
    ],
)
def test_a_branch_is_seen(line):
    assert list(branches(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    ['if mode == "value": pass', 'if target == "auto": pass', 'Table(kind="tags")', 'x = {"text": 1, "other": 2}'],
)
def test_other_lines_are_not(line):
    assert not list(branches(ast.parse(line)))
