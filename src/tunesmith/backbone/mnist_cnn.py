"""Provide the classic network for handwritten digits: two convolutions and a hidden layer."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from tunesmith.backbone.adapt import adapt_preprocess
from tunesmith.backbone.base import Backbone
from tunesmith.backbone.weights import load_weights
from tunesmith.contract.features import Stage
from tunesmith.errors import ConfigError
from tunesmith.modality.image import ImagePreprocess

SMALLEST = 6
"""Smallest image side in pixels that leaves a map after two convolutions and the pooling."""


class MnistCnn(Backbone):
    """Two 3×3 convolutions (32 and 64 channels), max-pooling, dropout, and a hidden layer of 128 units with dropout.

    This is the network of PyTorch's own MNIST example; its weights fit, since the layers have the same names. The
    stages are ``conv1``, ``conv2`` (with pool and dropout) and ``fc1``.

    Args:
        weights: A file of weights saved from the same network, or ``None``.
        image_size: Height and width of the images in pixels.
        in_channels: Channels of the images.
        strict: Reject a weights file with unknown or missing tensors.

    Raises:
        ConfigError: A number is out of range.
        WeightsError: The weights cannot be read or do not fit.
    """

    def __init__(
        self, weights: str | None = None, image_size: int = 28, in_channels: int = 1, strict: bool = True
    ) -> None:
        mnist = ImagePreprocess(size=28, mean=(0.1307,), std=(0.3081,))
        preprocess = adapt_preprocess(mnist, image_size, in_channels)
        if image_size < SMALLEST:
            raise ConfigError(f"Expected backbone.image_size to be at least {SMALLEST} pixels but got {image_size}.")
        side = (image_size - 4) // 2
        net = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(in_channels, 32, kernel_size=3),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(32, 64, kernel_size=3),
                relu2=nn.ReLU(),
                pool=nn.MaxPool2d(2),
                dropout1=nn.Dropout(0.25),
                flatten=nn.Flatten(),
                fc1=nn.Linear(64 * side**2, 128),
                relu3=nn.ReLU(),
                dropout2=nn.Dropout(0.5),
            )
        )
        super().__init__(
            net=net,
            stages=(
                Stage("conv1", ("conv1", "relu1")),
                Stage("conv2", ("conv2", "relu2", "pool", "dropout1")),
                Stage("fc1", ("flatten", "fc1", "relu3", "dropout2")),
            ),
            feature_dim=128,
            preprocess=preprocess,
            weights=load_weights(net, weights, classifier=("fc2.",), strict=strict),
        )

    def pool(self, x: Tensor) -> Tensor:
        """Return the hidden layer ``(B, 128)`` unchanged."""
        return x
