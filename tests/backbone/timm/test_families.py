import pytest
import timm
import torch
from torch import nn

from tunesmith.backbone.timm.families import FAMILIES
from tunesmith.backbone.timm.timm import Timm
from tunesmith.contract.features import Needs
from tunesmith.policy.phases import Phases
from tunesmith.rates.uniform import Uniform
from tunesmith.run.assembly.table import make_table


@pytest.mark.parametrize("module", [m for family in FAMILIES for m in family.modules])
def test_every_model_of_a_supported_module_is_cut(module):
    """One in 80; all 500 take 6 minutes, and were seen to pass with timm 1.0.31."""
    names = [n for n in timm.list_models(module=module) if "rope_mixed" not in n and not n.startswith("small_")]
    for name in names[::80]:
        with torch.device("meta"):
            backbone = Timm(name, weights=None)
        assert backbone.preprocess.channels == 3, name


@torch.no_grad()
def test_the_level_of_tokens_is_the_mean_of_the_patches():
    """The class token, the same for every image in the shallowest stage, and registers are left out."""
    backbone = Timm("small_dino_v3", weights=None, image_size=32).eval()
    images = torch.randn(2, 3, 32, 32)
    shallow = backbone(images, needs=Needs(stage_features=True)).stage_features[0]
    tokens = backbone.prefix(1)(images)
    assert tokens.shape == (2, 1 + 4 + 4, 48)  # class token, registers, patches
    assert torch.equal(shallow, tokens[:, 5:].mean(1))
    assert not torch.equal(shallow[0], shallow[1])


@torch.no_grad()
def test_maps_of_a_swin_have_their_channels_in_front():
    backbone = Timm("small_timm_swin", weights=None, image_size=64).eval()
    images = torch.randn(2, 3, 64, 64)
    features = backbone(images, needs=Needs(pooled=True, maps=(-1,), stage_features=True))
    assert features.maps[0].shape == (2, 96, 2, 2)
    assert torch.allclose(features.maps[0].mean((2, 3)), features.pooled, atol=1e-6)
    assert backbone.prefix(1)(images).shape == (2, 16, 16, 12)
    assert torch.equal(features.stage_features[0], backbone.prefix(1)(images).mean((1, 2)))


@torch.no_grad()
def test_a_mobilenet_v3_ends_behind_its_pooling():
    backbone = Timm("mobilenetv3_small_050", weights=None).eval()
    features = backbone(torch.randn(2, 3, 64, 64), needs=Needs(pooled=True, maps=(-1,), stage_features=True))
    assert features.maps[0].shape[1] != backbone.feature_dim  # of the last blocks
    assert torch.equal(features.stage_features[-1], features.pooled)


def test_class_token_and_positions_belong_to_the_shallowest_stage():
    stage = Timm("small_deit", weights=None).stages[0]
    assert {"patch_embed", "cls_token", "dist_token", "pos_embed"} <= set(stage.members)


def test_normalisations_of_the_librarys_own_count_as_norms():
    """Of no class of torch's: what the selector `norm` finds is their scales and shifts, and nothing else."""
    backbone = Timm("test_efficientnet_evos", weights=None)
    table = make_table(backbone, nn.Linear(1, 1), Phases([{"train": ["norm"]}]), Uniform())
    norms = {r.parameter.name for r in table.rows if r.first_epoch == 0}
    assert "backbone.net.bn1.weight" in norms
    assert all(r.parameter.ndim == 1 for r in table.rows if r.parameter.name in norms)
