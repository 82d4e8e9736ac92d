import pytest

from tunesmith.errors import ConfigError
from tunesmith.sweep.protocol import Job
from tunesmith.sweep.search.grid import Grid


def test_every_combination_once_the_last_key_fastest(pretend, tmp_path):
    grid = Grid(pretend.space("a=1,2", "b=range(0,2)", "c=5"), tmp_path)
    changes = [("a=1", "b=0"), ("a=1", "b=1"), ("a=2", "b=0"), ("a=2", "b=1")]
    assert [job.changes for job in grid.listed] == changes and grid.total == 4
    assert [job.number for job in grid.ask(3)] == [0, 1, 2]
    assert [job.number for job in grid.ask(3)] == [3] and grid.ask(1) == []


def test_what_was_told_is_not_given_again(pretend, tmp_path):
    grid = Grid(pretend.space("a=1,2,3"), tmp_path)
    grid.tell(Job(1, ("a=2",)), None)
    assert [job.number for job in grid.ask(5)] == [0, 2]


def test_equal_values_are_one_job_and_no_values_are_one_too(pretend, tmp_path):
    assert Grid(pretend.space("a=1,1"), tmp_path).total == 1
    assert Grid(pretend.space("c=5"), tmp_path).listed == [Job(0, ())]


def test_a_range_without_a_step_is_refused(pretend, tmp_path):
    with pytest.raises(ConfigError, match=r"'a=interval\(0,1\)'.*sweep=random"):
        Grid(pretend.space("a=interval(0,1)"), tmp_path)
