import pytest

from tunesmith.errors import PolicyError
from tunesmith.policy.ia3 import IA3


def test_what_peft_is_told():
    assert IA3().config("a|b").target_modules == "a|b"


def test_out_of_range():
    with pytest.raises(PolicyError, match=r"policy.stages to be at least 1"):
        IA3(stages=0)
