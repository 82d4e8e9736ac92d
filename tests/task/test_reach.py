"""Tasks and heads get what they need of the data by batches, the spec and arguments."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "tunesmith"


def named(tree):
    """All names, attributes, arguments and imports of a syntax tree."""
    for node in ast.walk(tree):
        yield from (
            getattr(node, name)
            for name in ("id", "attr", "arg", "module")
            if isinstance(getattr(node, name, None), str)
        )
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("room", ["task", "head"])
def test_no_module_reaches_into_the_data_module(room):
    files = sorted((SOURCE / room).rglob("*.py"))
    assert files
    for file in files:
        found = {name for name in named(ast.parse(file.read_text())) if "datamodule" in name.lower()}
        assert not found, (file.name, found)


def test_a_reach_into_the_data_module_is_found():
    assert "datamodule" in set(named(ast.parse("data = self.trainer.datamodule.tokenizer")))
