import pytest
import torch
from torch import nn
from torch.nn import functional

from tunesmith.backbone.mnist_cnn import MnistCnn
from tunesmith.errors import ConfigError, WeightsError
from tunesmith.modality.image import ImagePreprocess


class Classic(nn.Module):
    """The network as the example writes it, with its classifier."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        return functional.relu(self.fc1(functional.max_pool2d(x, 2).flatten(1)))


@torch.no_grad()
def test_weights_of_the_classic_network_give_its_features(tmp_path):
    classic, images = Classic().eval(), torch.randn(2, 1, 28, 28)
    torch.save(classic.state_dict(), tmp_path / "w.pth")
    backbone = MnistCnn(weights=str(tmp_path / "w.pth")).eval()
    assert torch.equal(backbone(images).pooled, classic(images))
    assert backbone.weights.ignored == ("fc2.weight", "fc2.bias")


def test_it_is_for_mnist():
    backbone = MnistCnn()
    assert backbone.preprocess == ImagePreprocess(size=28, mean=(0.1307,), std=(0.3081,))
    assert [s.name for s in backbone.stages] == ["conv1", "conv2", "fc1"]
    assert sum(p.numel() for p in backbone.parameters()) == 1_198_592
    assert [m.p for m in backbone.modules() if isinstance(m, nn.Dropout)] == [0.25, 0.5]


@pytest.mark.parametrize(("size", "channels"), [(6, 1), (32, 3)])
def test_other_images_are_taken(size, channels):
    backbone = MnistCnn(image_size=size, in_channels=channels)
    assert backbone(torch.zeros(2, channels, size, size)).pooled.shape == (2, 128)
    assert backbone.preprocess.channels == channels


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"image_size": 5}, "at least 6 pixels but got 5"),
        ({"image_size": 0}, "at least 1 pixel but got 0"),
        ({"in_channels": 0}, "at least 1 channel but got 0"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        MnistCnn(**options)


def test_weights_for_another_size_are_refused(tmp_path):
    torch.save(MnistCnn(image_size=32).net.state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"1 of another shape \(fc1.weight"):
        MnistCnn(weights=str(tmp_path / "w.pth"))
