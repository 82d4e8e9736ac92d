import pytest

from tunesmith.errors import ConfigError
from tunesmith.sweep.search.paired import Paired


def test_the_nth_values_go_together_and_with_every_seed(pretend, tmp_path):
    found = Paired(pretend.space("a=1,2", "seed=range(0,2)", "b=x,y"), tmp_path)
    assert [job.changes for job in found.listed] == [
        ("a=1", "b=x", "seed=0"),
        ("a=1", "b=x", "seed=1"),
        ("a=2", "b=y", "seed=0"),
        ("a=2", "b=y", "seed=1"),
    ]


def test_other_keys_can_be_crossed_and_seeds_alone_are_a_sweep(pretend, tmp_path):
    assert Paired(pretend.space("a=1,2", "b=x,y", "c=3,4,5"), tmp_path, ["c"]).total == 6
    assert Paired(pretend.space("seed=0,1,2"), tmp_path).total == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(("a=1,2", "b=x,y,z"), "but got 2 of a, 3 of b"), (("a=interval(0,1)",), "an interval for a")],
)
def test_what_cannot_be_paired_is_refused(pretend, tmp_path, words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Paired(pretend.space(*words), tmp_path)
