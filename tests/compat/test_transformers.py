import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM, PreTrainedModel

from tunesmith.compat import transformers as ours


def test_a_version_without_the_name_is_refused(refused):
    refused(ours, "transformers", PreTrainedModel, "_init_weights")


def test_a_part_gets_the_models_own_kind_of_weights():
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=16)
    config.initializer_range = 0.5
    model = BertForMaskedLM(config)
    part = nn.Sequential(nn.Linear(200, 200))
    ours.init_weights(model, part)
    assert torch.equal(part[0].bias, torch.zeros(200))
    assert 0.48 < part[0].weight.std() < 0.52
