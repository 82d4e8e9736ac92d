import random

import pytest

from tunesmith.errors import ConfigError
from tunesmith.sweep.search.dimension import dimensions


@pytest.mark.parametrize(
    ("word", "values", "low", "high", "whole", "log", "count"),
    [
        ("a=x,y", ("x", "y"), 0, 0, False, False, 2),
        ("a=choice('b c',[1,2])", ("b\\ c", "[1,2]"), 0, 0, False, False, 2),
        ("a=range(0,10,3)", ("0", "3", "6", "9"), 0, 9, True, False, 4),
        ("a=range(0,1,0.5)", ("0.0", "0.5"), 0, 0, False, False, 2),
        ("a=interval(1,3)", (), 1, 3, False, False, float("inf")),
        ("a=int(interval(1,3))", (), 1, 3, True, False, 3),
        ("a=tag(log,interval(1e-4,1e-1))", (), 1e-4, 1e-1, False, True, float("inf")),
        ("a=tag(log,int(interval(1,100)))", (), 1, 100, True, True, 100),
    ],
)
def test_hydras_grammar_is_read(pretend, word, values, low, high, whole, log, count):
    (found,) = dimensions(pretend.space(word))
    assert (found.key, found.values, found.whole, found.log, found.count) == ("a", values, whole, log, count)
    assert (found.low, found.high) == (low, high)


@pytest.mark.parametrize("word", ["a=interval(3,1)", "a=tag(log,interval(0,1))", "a=int(interval(2,2))"])
def test_an_interval_without_content_is_refused(pretend, word):
    with pytest.raises(ConfigError, match="Expected an interval"):
        dimensions(pretend.space(word))


@pytest.mark.parametrize(
    ("word", "below", "share"),
    [
        ("a=interval(0,1)", 0.1, 0.1),
        ("a=tag(log,interval(1e-4,1e-1))", 1e-3, 1 / 3),
        ("a=int(interval(1,4))", 1.5, 0.25),
    ],
)
def test_draws_fill_the_interval_as_they_should(pretend, word, below, share):
    (found,) = dimensions(pretend.space(word))
    generator = random.Random(0)
    drawn = [float(found.draw(generator)) for _ in range(4000)]
    assert sum(value < below for value in drawn) / 4000 == pytest.approx(share, abs=0.03)
    assert found.low <= min(drawn) and max(drawn) <= found.high
