import pytest
import torch

from tunesmith.contract.features import Features, MapInfo
from tunesmith.errors import ConfigError
from tunesmith.head.pixel_linear import PixelLinear

MAPS = (MapInfo(4, 4.0), MapInfo(6, 28 / 4))


def test_every_pixel_of_the_image_gets_outputs_and_equal_ones_of_an_equal_map():
    head = PixelLinear(3, MAPS)
    pixel = torch.randn(6)
    outputs = head(Features(maps=(pixel.view(1, 6, 1, 1).expand(2, 6, 4, 5),)))
    assert outputs.shape == (2, 3, 28, 35) and head.output_per == "pixel"
    expected = head.output.weight[:, :, 0, 0] @ pixel
    assert torch.allclose(outputs, expected.view(1, 3, 1, 1).expand_as(outputs), atol=1e-6)


def test_the_middle_of_a_pixel_of_the_map_has_its_outputs():
    head = PixelLinear(3, [MapInfo(6, 3.0)])
    maps = torch.randn(1, 6, 4, 4)
    assert torch.allclose(head(Features(maps=(maps,)))[:, :, 1::3, 1::3], head.output(maps), atol=1e-6)


def test_dropout_is_active_in_training_alone():
    head, features = PixelLinear(3, MAPS, dropout=0.5), Features(maps=(torch.ones(8, 6, 4, 4),))
    assert not torch.equal(head(features), head(features))
    assert torch.equal(head.eval()(features), head(features))


def test_mistakes():
    with pytest.raises(ConfigError, match=r"head.dropout to be from 0 to below 1 but got 1"):
        PixelLinear(3, MAPS, dropout=1)
    with pytest.raises(ConfigError, match=r"a backbone with maps for head=pixel_linear .* use backbone=timm"):
        PixelLinear(3, ())
