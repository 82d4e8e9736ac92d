from types import SimpleNamespace

import pytest
import torch

from tunesmith.backbone.transformers.family import bidirectional, causal, shared_from

CONFIG = SimpleNamespace(config=SimpleNamespace(_attn_implementation="sdpa", sliding_window=2, is_causal=True))


def seen(mask):
    return mask.squeeze().int().tolist()


def test_who_sees_whom():
    hidden, mask = torch.zeros(1, 3, 4), torch.tensor([[1, 1, 0]])
    assert seen(bidirectional(CONFIG, hidden, mask)) in ([[1, 1, 0]] * 3, [1, 1, 0])
    assert [row[:2] for row in seen(causal(CONFIG, hidden, mask))][:2] == [[1, 0], [1, 1]]
    windowed = causal(CONFIG, torch.zeros(1, 4, 4), torch.ones(1, 4, dtype=torch.long), windowed=True)
    assert seen(windowed) == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]


@pytest.mark.parametrize("frozen", [(), ("embeddings",)])
def test_what_a_frozen_stage_shares_gets_no_gradient(frozen):
    tensor = torch.ones(2, requires_grad=True)
    assert shared_from(tensor, "embeddings", frozen).requires_grad is not bool(frozen)
    assert shared_from(None, "embeddings", frozen) is None
