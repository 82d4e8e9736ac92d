"""The README names what there is; `test_docs.py` runs its commands."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_file_tree_names_every_folder():
    tree = README.partition("## Where things are")[2]
    rooms = [p.parent.name for p in (ROOT / "src" / "tunesmith").glob("*/__init__.py")]
    for name in [*rooms, "conf", "tests", "errors.py", "signals.py", "__main__.py"]:
        assert name in tree, name


@pytest.mark.parametrize("group", sorted(p.name for p in (ROOT / "conf").iterdir() if p.is_dir() and p.name != "paths"))
def test_the_table_names_every_group(group):
    assert [line for line in README.splitlines() if line.startswith((f"| `{group}` |", f"| [`{group}`]"))]
