import pytest
import timm
import torch

from tunesmith.backbone.timm.timm import Timm
from tunesmith.backbone.timm.weights import fit
from tunesmith.errors import WeightsError

SIZED = ("test_vit", "test_vit4", "small_deit", "small_eva")


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("name", [*SIZED, "test_resnet", "test_convnext"])
def test_a_file_is_fitted_as_timm_fits_its_downloads(name, channels, tmp_path):
    """To the bit: the tensors of a file for RGB at the usual size, loaded for other channels at 64 px."""
    torch.manual_seed(1)
    torch.save(timm.create_model(name).state_dict(), tmp_path / "w.pth")
    size = {"img_size": 64} if name in SIZED else {}
    first = next(n for n, m in timm.create_model(name).named_modules() if isinstance(m, torch.nn.Conv2d))
    overlay = {"file": str(tmp_path / "w.pth"), "first_conv": first}
    library = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, in_chans=channels, **size)
    backbone = Timm(name, weights=str(tmp_path / "w.pth"), image_size=64, in_channels=channels)
    own = backbone.net.state_dict()
    theirs = library.state_dict()
    assert backbone.weights.matched == len(own)
    assert all(torch.equal(own[n], theirs[n]) for n in own)


def test_relative_positions_of_another_window_are_resampled(tmp_path):
    tensors = timm.create_model("small_timm_swin").state_dict()
    table = "layers.2.blocks.0.attn.relative_position_bias_table"
    side = torch.linspace(-1, 1, 13)
    tensors[table] = (side[:, None] + 2 * side).flatten()[:, None].repeat(1, 3)
    torch.save(tensors, tmp_path / "w.pth")
    fitted = Timm("small_timm_swin", weights=str(tmp_path / "w.pth"), image_size=64).net.state_dict()[table]
    assert fitted.shape == (49, 3)  # at 64 px the third stage has 4×4 pixels, and that is its window
    grid = fitted[:, 0].view(7, 7)
    assert torch.allclose(grid[3, 3], torch.zeros(()), atol=1e-6)
    assert (grid.diff(dim=0) > 0).all() and (grid.diff(dim=1) > 0).all()  # a slope stays a slope


def test_what_fits_stays_as_it_is():
    net = Timm("test_vit", weights=None, image_size=32).net
    tensors = dict(net.state_dict())
    fitted = fit(net, tensors)
    assert all(fitted[n] is tensors[n] for n in tensors)


@pytest.mark.parametrize("shape", [(1, 12, 64), (1, 5, 32), (5, 64)])
def test_positions_that_cannot_be_fitted_are_refused_by_name(shape, tmp_path):
    """No square grid, another width, no batch of one."""
    tensors = Timm("test_vit", weights=None, image_size=64).net.state_dict()
    torch.save({**tensors, "pos_embed": torch.zeros(shape)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"1 of another shape \(pos_embed"):
        Timm("test_vit", weights=str(tmp_path / "w.pth"), image_size=64)


def test_the_package_fits_other_channels():
    colour = Timm("tf_efficientnet_lite0", weights="package:efficientnet_lite0")
    grey = Timm("tf_efficientnet_lite0", weights="package:efficientnet_lite0", in_channels=1)
    assert torch.equal(grey.net.conv_stem.weight, colour.net.conv_stem.weight.sum(1, keepdim=True))
    assert grey.weights.matched == colour.weights.matched
