from __future__ import annotations

import pytest
import torch

from tunesmith.backbone.transformers.transformers import Transformers
from tunesmith.contract.features import Features
from tunesmith.errors import ConfigError
from tunesmith.head.language_model import LanguageModel


def test_it_gives_an_output_for_each_word_at_each_token(small_text):
    backbone = Transformers(small_text("bert"), weights=None)
    head = LanguageModel(backbone.lm_head())
    tokens = torch.randn(2, 5, 16)
    outputs = head(Features(pooled=tokens[:, 0], tokens=tokens))
    assert outputs.shape == (2, 5, 18) and head.output_per == "token"
    assert torch.equal(outputs, head.lm_head(tokens))


def test_a_backbone_without_words():
    with pytest.raises(ConfigError, match=r"^Expected a language model for head=language_model, such as [^\n]*$"):
        LanguageModel(None)
