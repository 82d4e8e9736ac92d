import pytest
import timm
import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from tunesmith.compat import timm as ours


@pytest.mark.parametrize("owner", [VisionTransformer, Eva])
def test_a_version_without_the_name_is_refused(refused, owner):
    refused(ours, "timm", owner, "_pos_embed")


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "eva02_tiny_patch14_224"])
def test_tokens_are_what_the_blocks_get(name):
    net = timm.create_model(name, img_size=28 if "patch14" in name else 32, depth=1).eval()
    x, seen = torch.randn(1, 3, *net.patch_embed.img_size), []
    net.norm_pre.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        tokens = ours.embed(net, x)
        net.forward_features(x)
    assert torch.equal(tokens, seen[0])
    assert tokens.shape == (1, net.num_prefix_tokens + 4, net.embed_dim)
