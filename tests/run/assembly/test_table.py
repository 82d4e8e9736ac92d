from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from tunesmith.backbone.tiny import Tiny
from tunesmith.contract.parameters import HEAD
from tunesmith.head.ridge import Ridge
from tunesmith.modality.text import TextPreprocess
from tunesmith.policy.chain import Chain
from tunesmith.policy.gradual import Gradual
from tunesmith.policy.phases import Phases
from tunesmith.rates.head_multiplier import HeadMultiplier
from tunesmith.rates.layer_decay import LayerDecay
from tunesmith.rates.ramp import Ramp
from tunesmith.rates.rules import Rules
from tunesmith.rates.uniform import Uniform
from tunesmith.run.assembly.table import make_table
from tunesmith.task.optimization.freeze import freeze_modes


def test_every_parameter_has_one_row_and_the_head_is_last():
    backbone, head = Tiny(), nn.Linear(64, 2)
    rows = make_table(backbone, head, Phases([{"train": ["norm", "head"]}]), Uniform(), 0.1).rows
    names = [row.parameter.name for row in rows]
    assert sorted(names) == sorted(
        [f"backbone.{n}" for n, _ in backbone.named_parameters()] + ["head.weight", "head.bias"]
    )
    assert rows[-1].parameter.stage == HEAD
    assert {row.parameter.name for row in rows if row.first_epoch is None} == {
        f"backbone.net.stage{i}.0.weight" for i in (1, 2, 3)
    }


POLICIES = [
    Phases([{"train": ["all"]}]),
    Phases([{"train": ["head"], "epochs": 2}, {"train": ["bias", "head"], "epochs": 1}, {"train": ["all"]}]),
    Phases([{"train": ["head", "stage: -1:"]}]),
    Gradual(),
    Chain(),
]
RATES = [
    Uniform(),
    HeadMultiplier(),
    LayerDecay(0.7, thaw_warmup=1.5),
    Ramp(0.7),
    Rules([{"match": "^head", "multiplier": 9}]),
]


def test_every_parameter_is_in_one_group_with_a_name_of_its_own_for_each_policy_and_rates(small_backbone):
    head = nn.Linear(2, 2)
    expected = sorted([f"backbone.{n}" for n, _ in small_backbone.named_parameters()] + ["head.weight", "head.bias"])
    for policy in POLICIES:
        for rates in RATES:
            groups = make_table(small_backbone, head, policy, rates).groups()
            assert sorted(name for group in groups for name in group.parameters) == expected
            assert len({group.name for group in groups}) == len(groups)


def test_a_head_that_is_fitted_takes_no_step():
    table = make_table(Tiny(), Ridge(64, 2), Phases([{"train": ["head"]}]), Uniform())
    assert {row.multiplier for row in table.rows if row.parameter.stage == HEAD} <= {0.0}


def test_what_is_added_or_scales_has_no_decay(small_backbone):
    """Position embeddings, tokens, bias tables, scales: what the library says of itself, and all that is no weight."""
    net = small_backbone.net
    rows = make_table(small_backbone, nn.Linear(2, 2), Phases([{"train": ["all"]}]), Uniform(), 0.1).rows
    decays = {row.parameter.name.removeprefix("backbone.net.") for row in rows if row.weight_decay}
    assert {name for name in decays if not name.endswith("weight")} == set()
    own = getattr(net, "no_weight_decay", set)()  # of timm's networks
    assert not decays & {name for name, _ in net.named_parameters() if name in own}
    matrices = {f"{n}.weight" for n, m in net.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    assert matrices - decays == {name for name in matrices if "cpb_mlp" in name}


@pytest.mark.parametrize("rates", [LayerDecay(0.7), Ramp(0.7)], ids=["layer_decay", "ramp"])
def test_rates_rise_with_depth_in_every_family(small_backbone, rates):
    """A decay that silently did nothing would be a constant."""
    table = make_table(small_backbone, nn.Linear(2, 2), Phases([{"train": ["all"]}]), rates)
    by_depth = {row.parameter.depth: row.rate.multiplier * row.rate.gate(0, 9, None) for row in table.rows}
    assert len({(r.parameter.depth, r.rate.multiplier, r.rate.start) for r in table.rows}) == len(by_depth)
    assert all(by_depth[a] < by_depth[b] for a, b in pairwise(sorted(by_depth)))
    assert by_depth[len(small_backbone.stages)] == 1


def test_what_is_frozen_gives_each_sample_the_same_features_in_any_company(small_backbone):
    """With batch normalisation, dropout and stochastic depth in it, after a call of train."""
    small_backbone.requires_grad_(False).train()
    for stage in small_backbone.stages:
        freeze_modes([m for m in small_backbone.members(stage).values() if isinstance(m, nn.Module)])
    seen, drawn = small_backbone.preprocess, torch.Generator().manual_seed(0)
    if isinstance(seen, TextPreprocess):
        ids = torch.randint(5, 16, (4, 7), generator=drawn)
        x, two = ({"input_ids": i, "attention_mask": torch.ones_like(i)} for i in (ids, ids[:2]))
    else:
        x = torch.randn(4, seen.channels, seen.size, seen.size, generator=drawn)
        two = x[:2]
    together, alone = small_backbone(x).pooled, small_backbone(two).pooled
    assert torch.allclose(together[:2], alone, rtol=1e-4, atol=1e-4)
    assert torch.equal(small_backbone(x).pooled, together)
