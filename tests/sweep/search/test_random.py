import pytest

from tunesmith.errors import ConfigError
from tunesmith.sweep.search.random import Random

WORDS = ("a=tag(log,interval(1e-4,1e-1))", "b=x,y")


def test_more_jobs_begin_with_those_of_fewer(pretend, tmp_path):
    few, many = (Random(pretend.space(*WORDS), tmp_path, jobs).listed for jobs in (5, 50))
    assert many[:5] == few and len({job.changes for job in many}) == 50
    assert {job.changes[1] for job in many} == {"b=x", "b=y"}
    assert Random(pretend.space(*WORDS), tmp_path, 5, seed=1).listed != few


def test_no_combination_is_drawn_twice(pretend, tmp_path):
    assert Random(pretend.space("a=int(interval(1,3))", "b=x,y"), tmp_path, 100).total == 6


def test_an_interval_with_too_few_numbers_is_refused(pretend, tmp_path):
    with pytest.raises(ConfigError, match=r"jobs to be at most 1, since no more combinations of a were found.*got 3"):
        Random(pretend.space("a=interval(0.1,0.1000001)"), tmp_path, 3)


@pytest.mark.parametrize("words", [(WORDS, 0), (("c=5",), 3)])
def test_nothing_to_draw_is_refused(pretend, tmp_path, words):
    with pytest.raises(ConfigError, match="Expected"):
        Random(pretend.space(*words[0]), tmp_path, words[1])


def test_as_a_sweep(pretend, tmp_path):
    launcher = pretend.launch(
        tmp_path / "s", "seed=range(0,9)", searcher=Random(pretend.space("seed=range(0,9)"), tmp_path, 4)
    )
    assert [r.status for r in pretend.results(launcher).values()] == ["completed"] * 4
