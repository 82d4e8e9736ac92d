"""Whether values fit annotations."""

import ast

import pytest

from tunesmith.config.check import annotation, source


def parsed(text):
    return ast.parse(text, mode="eval").body


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("int", [1, -1], [1.5, "a", True, None]),
        ("float", [1, 1.5, float("inf")], ["1e-3x", True, None]),
        ("bool", [True], [1, "true"]),
        ("str", ["a"], [1, None]),
        ("None", [None], [0, ""]),
        ("int | None", [1, None], ["a"]),
        ("Optional[int]", [1, None], ["a"]),
        ("typing.Union[int, str]", [1, "a"], [1.5, None]),
        ("'int | None'", [1, None], ["a"]),
        ("Literal['a', 'b', 3]", ["a", 3], ["c", 3.5, None]),
        ("Literal[True]", [True], [1]),
        ("list[int]", [[], [1, 2]], [[1, "a"], 1, "ab"]),
        ("Sequence[str]", [["a"]], ["a", [1]]),
        ("tuple[float, float]", [[0.9, 1]], [[0.9], [0.9, "a"]]),
        ("tuple[int, ...]", [[], [1, 2, 3]], [["a"], 1]),
        ("dict[str, int]", [{"a": 1}], [{"a": "b"}, 1]),
        ("Mapping", [{"a": "b"}], [[1]]),
        ("Path", ["a/b"], [1]),
        ("Any", [1, "a", None, []], []),
        ("Unknown", [1, "a", None, []], []),
        ("Annotated[int, 'x']", [1], ["a"]),
        ("Tensor", [[1.0]], [1.0, "a", None]),
        ("nn.Module", [], [1.0, "a"]),
        ("float | Tensor", [1.0], ["a"]),
    ],
)
def test_fits(text, good, bad):
    for value in [*good, annotation.OBJECT] if text not in ("None",) else good:
        assert annotation.fits(value, parsed(text), None), value
    for value in bad:
        assert not annotation.fits(value, parsed(text), None), value


ALIASES = """
from typing import Literal, TypeVar, Union
from enum import Enum
Mode = Literal["min", "max"]
Either = Union[Mode, int]
T = TypeVar("T")
class Colour(Enum):
    red = 1
class Thing: ...
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "alias_sample.py").write_text(ALIASES)
    (tmp_path / "alias_user.py").write_text("from alias_sample import Mode as M, Thing\n")
    monkeypatch.syspath_prepend(tmp_path)
    source.load.cache_clear()
    return source.load("alias_sample")


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("Mode", ["min"], ["mix", 1, None]),
        ("Either | None", ["max", 3, None], ["mix", 1.5]),
        ("T", [1, "a"], []),
        ("Colour", ["red", 1], []),
        ("Thing", [{"a": 1}, annotation.OBJECT], [1, "a"]),
    ],
)
def test_aliases_are_followed(module, text, good, bad):
    assert all(annotation.fits(v, parsed(text), module) for v in good)
    assert not any(annotation.fits(v, parsed(text), module) for v in bad)


def test_aliases_are_followed_over_imports(module):
    user = source.load("alias_user")
    assert not annotation.fits("mix", parsed("M"), user)
    assert annotation.describe(parsed("M | None"), user) == "one of 'min', 'max' or null"
    assert annotation.suggestion("mix", parsed("M"), user) == " Did you mean 'min' or 'max'?" or "min"


def test_a_number_meant_as_text():
    assert "Quote it" in annotation.suggestion(2026, parsed("str"), None)
    assert annotation.suggestion("a", parsed("int"), None) == ""
