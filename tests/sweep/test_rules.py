import pytest

from tunesmith.errors import ConfigError
from tunesmith.sweep.rules import Rules


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"retries": -2}, "Expected sweep.retries to be a whole number of at least 0 but got -2."),
        ({"timeout": -1}, "Expected sweep.timeout to be null or seconds above 0 but got -1."),
        ({"timeout": 0}, "above 0 but got 0"),
        ({"max_failures": 0}, "Expected sweep.max_failures to be null or a whole number of at least 1 but got 0."),
        ({"on_failure": "halt"}, "Expected sweep.on_failure to be continue or stop but got halt."),
        ({"retries": "many"}, "but got many"),
        ({"retries": True}, "but got True"),
    ],
)
def test_what_means_nothing_is_refused(rules, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Rules(**rules)


def test_the_least_that_means_something():
    assert Rules("stop", 1, 0, 0.1).end(1) and not Rules().end(99)
