"""The faults of `make mutants`: what they are, that each is a program, and that the lists name what there is."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "tools"))
from mutation import mutants

sys.path.pop()
ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tools"


def names(source):
    return [mutant.name for mutant in mutants(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", ["a < b -> (a <= b)", "a < b -> (a >= b)"]),
        ("x = a is None", ["a is None -> (a is not None)"]),
        ("x = a in b == c", ["a in b == c -> (a in b != c)", "a in b == c -> (a not in b == c)"]),
        ("x = a and b", ["a and b -> (a or b)", "a and b -> (a)", "a and b -> (b)"]),
        ("x = not a", ["not a -> (a)"]),
        ("if a: x()", ["a -> (not a)", "x() -> pass"]),
        ("x = [i for i in a if i]", ["[i for i in a if i] -> ([i for i in a])", "i -> (not i)"]),
        ("x = True", ["True -> False"]),
        ("x = 0", ["0 -> 1"]),
        ("x = 1", ["1 -> 0", "1 -> 2"]),
        ("x = -y", ["-y -> (y)"]),
        ("x = 0.5", ["0.5 -> 1.5"]),
        ("x = a - b", ["a - b -> (a + b)"]),
        ("x = folder / name", []),
        ("x = a + 'b'", []),
        ("x += y", ["x += y -> pass", "x += y -> x -= y"]),
        ("x.y = z", ["x.y = z -> pass"]),
        ("x = y", []),
        ("x = {'a': b}", ["{'a': b} -> ({})"]),
        ("x = ('a', 'b')", ["('a', 'b') -> (('a',))", "('a', 'b') -> (('b',))"]),
        ("x = max(y, key=z)", ["max(y, key=z) -> (max(y))", "max(y, key=z) -> (min(y, key=z))"]),
        ("x = y.strip()", ["y.strip() -> (y)"]),
        ("x = zip(a, b, strict=True)", []),
        ("raise A(b < 1)", ["raise A(b < 1) -> pass"]),
        ("log.info(1)", ["log.info(1) -> pass"]),
        ("x = f'{1}'", []),
        ("'Say 1.'", []),
        ("x: Literal[1] = y[Literal['a', 'b']]", []),
    ],
)
def test_what_may_stand_in_the_place_of_what(source, expected):
    assert names(source) == [f"module: {name}" for name in expected]


def test_functions_are_named_and_equal_faults_of_one_are_counted():
    source = '@cache\nclass A:\n    """Be 1."""\n\n    def b(self, c: int = 0, *, d=1) -> None:\n        return c + 0\n'
    assert names(source) == [
        "A.b: 0 -> 1",
        "A.b: 1 -> 0",
        "A.b: 1 -> 2",
        "A.b: return c + 0 -> return None",
        "A.b: c + 0 -> (c - 0)",
        "A.b: 0 -> 1 (2)",
    ]
    last = mutants(source)[-1]
    assert last.applied(source) == source.replace("c + 0", "c + 1")


def test_places_are_counted_in_bytes():
    source = "x = 'äöü', 3 < y\n"
    assert mutants(source)[0].applied(source).startswith("x = 'äöü', ")
    assert {mutant.applied(source) for mutant in mutants(source)} == {
        "x = 'äöü', (3 <= y)\n",
        "x = 'äöü', (3 >= y)\n",
        "x = 'äöü', 4 < y\n",
        "x = 'äöü', 2 < y\n",
    }


def lines(name):
    found = (TOOLS / name).read_text(encoding="utf-8").splitlines()
    return [line for line in found if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def every():
    """All mutants, by the line that names each."""
    modules = [line.split()[0] for line in lines("mutants_modules.txt")]
    sources = {module: (ROOT / "src" / "tunesmith" / module).read_text(encoding="utf-8") for module in modules}
    return {
        f"{module} {mutant.name}": (mutant, source) for module, source in sources.items() for mutant in mutants(source)
    }


def test_every_mutant_is_another_program(every):
    assert len(every) > 2000
    for name, (mutant, source) in list(every.items())[::29]:
        changed = ast.parse(mutant.applied(source))
        assert ast.dump(changed) != ast.dump(ast.parse(source)), name


def test_what_is_called_equivalent_is_a_mutant_with_a_reason(every):
    assert set(lines("mutants_equivalent.txt")) - every.keys() == set()
    before = "#"
    for line in (TOOLS / "mutants_equivalent.txt").read_text(encoding="utf-8").splitlines():
        assert before or not line or line.startswith("#"), line
        before = line


def test_every_module_has_tests():
    for line in lines("mutants_modules.txt"):
        module, *more = line.split()
        mirrored = (ROOT / "tests" / module).with_name(f"test_{Path(module).name}")
        assert mirrored.is_file(), module
        assert all((ROOT / word.partition("=")[2].partition("::")[0]).is_file() for word in more if word[0] == "-")
        assert all((ROOT / word).is_file() for word in more if word[0] != "-")


def test_a_larger_sample_holds_every_smaller_one_and_some_of_every_module(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    cases = runpy.run_path(str(TOOLS / "mutants.py"))["cases"]
    small, large = ({case.name for case in cases([], count, seed=1)} for count in (100, 200))
    assert len(small) == 100 and len(large) == 200 and small < large
    assert small != {case.name for case in cases([], 100, seed=2)}
    modules = [line.split()[0] for line in lines("mutants_modules.txt")]
    assert len({case.module for case in cases([], 250, seed=1)}) >= len(modules) - 2
    assert {case.module for case in cases(["rates"], None, 0)} == {m for m in modules if m.startswith("rates/")}
