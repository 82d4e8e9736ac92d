from __future__ import annotations

import sys

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from tunesmith.backbone.base import Backbone
from tunesmith.backbone.tiny import Tiny
from tunesmith.config import find
from tunesmith.config.build import build
from tunesmith.contract.features import Stage
from tunesmith.contract.protocols import Weights
from tunesmith.errors import MissingExtraError, PolicyError
from tunesmith.modality.image import ImagePreprocess
from tunesmith.policy.adapter import merge
from tunesmith.policy.ia3 import IA3
from tunesmith.policy.lora import LoRA

KINDS = {"lora": lambda **o: LoRA(rank=2, **o), "dora": lambda **o: LoRA(rank=2, dora=True, **o), "ia3": IA3}


def adapters(net):
    return {name for name, _ in net.named_parameters() if ".lora_" in name or ".ia3_" in name}


@pytest.mark.parametrize("kind", KINDS)
def test_they_change_nothing_at_first_and_merge_into_what_they_learned(kind):
    torch.manual_seed(0)
    backbone = Tiny(width=4).eval()
    before = {k: v.clone() for k, v in backbone.net.state_dict().items()}
    x = torch.randn(2, 3, 32, 32)
    plain = backbone(x).pooled
    KINDS[kind]().adapt(backbone)
    assert torch.equal(backbone(x).pooled, plain)
    kept = {
        k.replace(".base_layer", ""): v for k, v in backbone.net.state_dict().items() if k not in adapters(backbone.net)
    }
    assert kept.keys() == before.keys() and all(torch.equal(kept[k], before[k]) for k in before)
    with torch.no_grad():
        for name in adapters(backbone.net):
            backbone.net.get_parameter(name).add_(0.1 * torch.randn_like(backbone.net.get_parameter(name)))
    learned = backbone(x).pooled
    assert not torch.allclose(learned, plain, atol=1e-3)
    assert merge(backbone.net) == 3
    assert torch.allclose(backbone(x).pooled, learned, atol=1e-5)
    assert backbone.net.state_dict().keys() == before.keys()


def test_only_the_chosen_stages_and_the_same_name_elsewhere_is_not_meant():
    backbone = Tiny(width=4)
    LoRA(stages=1).adapt(backbone)
    assert {name.partition(".")[0] for name in adapters(backbone.net)} == {"stage3"}


class Mixed(Backbone):
    """A backbone with what is left out."""

    def __init__(self) -> None:
        net = nn.Module()
        net.token = nn.Parameter(torch.zeros(4))
        net.grouped = nn.Conv2d(4, 4, 3, groups=4)
        net.attention = nn.MultiheadAttention(4, 2)
        net.linear = nn.Linear(4, 4)
        stages = [Stage("bare", ("token",)), Stage("one", ("grouped", "attention")), Stage("two", ("linear",))]
        super().__init__(net, stages, 4, ImagePreprocess(size=4), Weights())

    def pool(self, x):
        x = self.net.token.view(1, 4, 1, 1) + self.net.grouped(x.mean(1, keepdim=True).expand(-1, 4, -1, -1))
        x = x.flatten(2).mT
        return self.net.linear(self.net.attention(x, x, x)[0]).mean(1)

    def run_stage(self, stage, x):
        return x


def test_grouped_convolutions_bare_parameters_and_torchs_attention_are_left_out():
    backbone = Mixed()
    LoRA().adapt(backbone)
    assert {name.partition(".")[0] for name in adapters(backbone.net)} == {"linear"}
    backbone = Mixed()
    backbone.stages = backbone.stages[:2]
    with pytest.raises(PolicyError, match=r"in the stages bare, one but got none"):
        LoRA().adapt(backbone)


def test_more_stages_than_there_are():
    with pytest.raises(PolicyError, match=r"policy.stages to be at most 3.*got 4"):
        IA3(stages=4).adapt(Tiny())


def test_without_the_library_the_way_out_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"tunesmith\[peft\]"):
        LoRA().adapt(Tiny())


def test_nothing_to_merge():
    assert merge(Tiny().net) == 0


def test_every_family_takes_them_and_gives_them_back(family, random_input):
    """Where a library reads weights past its layers, an adapter would train and change nothing."""
    option, overrides = family
    torch.manual_seed(0)
    node = OmegaConf.load(find.package_conf() / "backbone" / f"{option}.yaml")
    node.update({"weights": None} if "weights" in node else {})
    backbone = build(OmegaConf.merge(node, overrides)).eval()
    x = random_input(backbone)
    for norm in (m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.ones_(norm.weight)  # some families begin with 0, behind which nothing is felt
    plain = backbone(x).pooled
    LoRA(rank=2).adapt(backbone)
    assert torch.allclose(backbone(x).pooled, plain, atol=1e-6)
    own = [backbone.net.get_parameter(name) for name in sorted(adapters(backbone.net))]
    with torch.no_grad():
        for parameter in own:
            parameter.add_(0.02 * torch.randn_like(parameter))
    learned = backbone(x).pooled
    gradients = torch.autograd.grad(learned.square().sum(), own, allow_unused=True)
    assert all(g is not None for g in gradients)
    assert merge(backbone.net) == len(own) // 2
    scale = learned.detach().abs().max().clamp(min=1.0)
    assert torch.allclose(backbone(x).pooled / scale, learned / scale, atol=1e-5)
