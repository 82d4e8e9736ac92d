import pytest

from tunesmith.errors import PolicyError
from tunesmith.policy.lora import LoRA


def test_what_peft_is_told():
    config = LoRA(rank=3, alpha=5, dropout=0.1, dora=True).config("a|b")
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_dora) == (3, 5, 0.1, True)
    assert config.target_modules == "a|b"


@pytest.mark.parametrize("options", [{"rank": 0}, {"alpha": 0}, {"dropout": 1.0}, {"dropout": -0.1}, {"stages": 0}])
def test_out_of_range(options):
    with pytest.raises(PolicyError, match=f"policy.{next(iter(options))} to be"):
        LoRA(**options)
