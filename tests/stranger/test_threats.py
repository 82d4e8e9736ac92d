"""The table of attacks names a test in each row, and each is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    line for line in (ROOT / "docs" / "safety.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")
][1:]


@pytest.mark.parametrize("row", ROWS, ids=[row[2:40] for row in ROWS])
def test_every_attack_has_its_test(row):
    named = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", row.split("|")[3])
    assert named, "a row without a test"
    for file, function in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
        assert function in tests if function else tests


def test_the_table_is_whole():
    assert len(ROWS) >= 16
    assert "docs/safety.md" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
