import pytest
import torch
from torch import nn

from tunesmith.backbone.adapt import adapt_filters, adapt_input, adapt_preprocess, adapt_source
from tunesmith.errors import ConfigError
from tunesmith.modality.image import ImagePreprocess

FILTERS = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def respond(filters, image):
    return nn.functional.conv2d(image, filters)


def test_one_channel_responds_to_grey_as_three_did():
    grey = torch.randn(1, 1, 8, 8)
    assert torch.allclose(
        respond(adapt_filters(FILTERS, 1), grey), respond(FILTERS, grey.expand(1, 3, 8, 8)), atol=1e-4
    )


@pytest.mark.parametrize("channels", [3, 6, 9])
def test_multiples_of_three_respond_to_grey_alike(channels):
    grey = torch.randn(1, 1, 8, 8)
    adapted = adapt_filters(FILTERS, channels)
    assert adapted.shape == (4, channels, 5, 5)
    expected = respond(FILTERS, grey.expand(1, 3, 8, 8))
    assert torch.allclose(respond(adapted, grey.expand(1, channels, 8, 8)), expected, atol=1e-4)


def test_other_counts_repeat_red_green_blue():
    adapted = adapt_filters(FILTERS, 4)
    assert torch.equal(adapted[:, 3], adapted[:, 0])
    assert torch.equal(adapted[:, 1], FILTERS[:, 1] * 0.75)


def make_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Conv2d(4, 3, 1))


def test_only_the_first_convolution_is_adapted():
    net, same = make_net(), make_net()
    adapt_input(net, 1)
    assert torch.equal(net[0][0].weight, adapt_filters(same[0][0].weight, 1))
    assert torch.equal(net[1].weight, same[1].weight)
    assert net[0][0].in_channels == 1
    assert net(torch.zeros(1, 1, 8, 8)).shape == (1, 3, 6, 6)
    assert net[0][0].weight.requires_grad


def test_weights_for_colour_are_adapted_and_others_left():
    net, colour = make_net(), make_net().state_dict()
    assert all(torch.equal(colour[n], t) for n, t in adapt_source(net, colour).items())
    adapt_input(net, 2)
    adapted = adapt_source(net, colour)
    net.load_state_dict(adapted)
    assert adapted["0.0.weight"].shape == (4, 2, 3, 3)
    assert adapt_source(net, adapted)["0.0.weight"] is adapted["0.0.weight"]


def test_a_network_without_a_convolution_is_refused():
    with pytest.raises(ConfigError, match=r"begins with a convolution"):
        adapt_input(nn.Linear(2, 2), 1)


def test_preprocess_follows():
    colour = ImagePreprocess(224, "bicubic", (0.1, 0.2, 0.6), (0.2, 0.3, 0.4))
    assert adapt_preprocess(colour, None, 3) == colour
    assert adapt_preprocess(colour, 96, 3).size == 96
    assert adapt_preprocess(colour, None, 1) == ImagePreprocess(224, "bicubic", (0.3,), (0.3,))
    assert adapt_preprocess(colour, None, 4).mean == (0.1, 0.2, 0.6, 0.1)


@pytest.mark.parametrize(
    ("size", "channels", "sentence"),
    [
        (0, 3, r"image_size to be at least 1 pixel but got 0"),
        (32, 0, r"in_channels to be at least 1 channel but got 0"),
    ],
)
def test_numbers_that_are_not_positive_are_refused(size, channels, sentence):
    with pytest.raises(ConfigError, match=sentence):
        adapt_preprocess(ImagePreprocess(), size, channels)
