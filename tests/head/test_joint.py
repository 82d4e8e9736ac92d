from __future__ import annotations

import pytest
import torch

from tunesmith.backbone.transformers.transformers import Transformers
from tunesmith.contract.features import Features
from tunesmith.errors import ConfigError
from tunesmith.head.joint import Joint


def test_it_has_an_output_a_sample_and_beside_it_one_a_token(small_text):
    lm_head = Transformers(small_text("bert"), weights=None).lm_head()
    head = Joint(16, 3, lm_head)
    tokens = torch.randn(2, 5, 16)
    features = Features(pooled=tokens[:, 0], tokens=tokens)
    assert head(features).shape == (2, 3) and torch.equal(head(features), head.linear(features))
    assert torch.equal(head.language(features), lm_head(tokens)) and not hasattr(head, "output_per")
    assert any(name.startswith("language.") for name, _ in head.named_parameters())


def test_a_backbone_without_a_language_models_head():
    with pytest.raises(ConfigError, match=r"^Expected a language model [^\n]*$"):
        Joint(16, 3, None)
