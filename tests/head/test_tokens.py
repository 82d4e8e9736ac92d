import pytest
import torch

from tunesmith.contract.features import Features
from tunesmith.errors import ConfigError
from tunesmith.head.tokens import Tokens


def test_each_token_gets_outputs_of_its_own():
    head = Tokens(6, 3, dropout=0)
    tokens = torch.randn(2, 4, 6)
    outputs = head(Features(tokens.mean(1), tokens=tokens))
    assert outputs.shape == (2, 4, 3)
    assert torch.allclose(outputs[1, 2], head.output(tokens[1, 2]))
    assert head.output_per == "token"


def test_dropout_is_active_in_training_alone():
    head = Tokens(6, 3, dropout=0.5)
    features = Features(torch.zeros(1, 6), tokens=torch.ones(1, 4, 6))
    assert not torch.equal(head(features), head(features))
    assert torch.equal(head.eval()(features), head(features))


def test_mistakes():
    with pytest.raises(ConfigError, match=r"head.dropout to be from 0 to below 1 but got 1"):
        Tokens(6, 3, dropout=1)
    with pytest.raises(ConfigError, match=r"backbone with tokens for head=tokens .* use backbone=transformers"):
        Tokens(6, 3)(Features(torch.zeros(1, 6)))
