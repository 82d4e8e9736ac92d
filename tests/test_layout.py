"""The house keeps its order: one map for configuration, code and tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tunesmith"
PLUG_INS = ("data", "backbone", "policy", "rates", "head", "task")
MODULES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("room", PLUG_INS)
def test_a_room_has_one_name_in_configuration_code_and_tests(room):
    assert all((ROOT / place / room).is_dir() for place in ("conf", "src/tunesmith", "tests"))


@pytest.mark.parametrize("room", [*PLUG_INS, "target", "modality"])
def test_tests_mirror_the_room(room):
    modules = {p.relative_to(SOURCE) for p in (SOURCE / room).rglob("*.py") if p.stem != "__init__"}
    found = (p.relative_to(ROOT / "tests") for p in (ROOT / "tests" / room).rglob("test_*.py"))
    assert modules - {p.with_name(p.name.removeprefix("test_")) for p in found} == set()


@pytest.mark.parametrize("place", ["src/tunesmith", "tests"])
def test_a_folder_has_at_most_fifteen_modules(place):
    """Of tests one may have a few more than the room: tests of several of its modules together."""
    most = 15 if place.startswith("src") else 18
    folders = {p.parent for p in (ROOT / place).rglob("*.py")}
    modules = {str(f): [p for p in f.glob("*.py") if p.stem not in ("__init__", "conftest")] for f in folders}
    assert {name: len(found) for name, found in modules.items() if len(found) > most} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_and_functions_are_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name
    assert path.stem not in ("utils", "helpers", "common")
    if path.name == "__init__.py" and path.parent != SOURCE:
        assert not text


def test_names_become_objects_in_one_place_behind_the_gate():
    marks = r"\b(get_object|get_class|get_method|_locate|instantiate)\("
    users = [p.relative_to(SOURCE).as_posix() for p in MODULES if re.search(marks, p.read_text())]
    assert users == ["config/build.py"]


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "experiment").glob("*.yaml")), ids=lambda p: p.stem)
def test_an_experiment_is_short_under_a_header_that_says_what_to_expect(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    header = [line for line in lines if line.startswith("#") and "@package" not in line]
    body = [line for line in lines if line.strip() and not line.startswith("#")]
    assert len(body) <= 15
    for word in ("Question", "Command", "Time", "Expect"):
        assert any(line.startswith(f"# {word}") for line in header), word


def test_every_shipped_option_begins_by_saying_what_it_is():
    for path in (ROOT / "conf").rglob("*.yaml"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "@package" not in line]
        assert lines[0].startswith("# "), path


def test_no_placeholder_is_left():
    marks = ("@" + "@", "TB" + "D")
    for path in [*ROOT.glob("*.md"), *(ROOT / "conf").rglob("*.yaml")]:
        assert not any(mark in path.read_text(encoding="utf-8") for mark in marks), path
