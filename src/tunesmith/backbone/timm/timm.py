"""Load backbones of timm by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import timm
from torch import Tensor

from tunesmith.backbone.adapt import adapt_preprocess
from tunesmith.backbone.base import Backbone
from tunesmith.backbone.timm.families import FAMILIES, Family, Library
from tunesmith.backbone.timm.weights import CLASSIFIERS, download, fit
from tunesmith.backbone.weights import load_weights
from tunesmith.contract.features import Stage
from tunesmith.errors import ConfigError, nearest
from tunesmith.modality.image import ImagePreprocess


class Timm(Backbone):
    """A timm model: ResNet, EfficientNet, MobileNet, RegNet, ConvNeXt, ViT, Swin, or one that is built like them.

    Convolutional models have the stages ``stem`` and one per group of blocks (``layer1``, ``blocks.0``, ``stages.0`` or
    ``s1``, …); a convolution after them is a stage of its own. Transformers have ``patch_embed``, with the class token
    and position embeddings, and one stage per block (ViT: ``blocks.0``, …) or group of blocks (Swin: ``layers.0``, …).
    A final normalisation belongs to the deepest stage.

    Args:
        name: timm's name of the model, with or without the tag of its weights.
        weights: ``pretrained`` (the tag's, downloaded on first use), ``package:efficientnet_lite0`` for
            ``tf_efficientnet_lite0``, a file, or ``None``.
        image_size: Height and width of the images in pixels; ``None`` for the size used in pretraining. Position
            embeddings are resampled to another size.
        in_channels: Channels of the images; the first convolution is adapted to numbers other than 3.
        drop_path_rate: Stochastic depth (Huang et al. 2016): probability, from 0 to below 1, of skipping the last
            block; it falls linearly towards the first.
        strict: Reject a weights file with unknown or missing tensors.

    Raises:
        ConfigError: The name is unknown or of another family, or a number is out of range.
        WeightsError: The weights cannot be found, read or matched.
    """

    def __init__(
        self,
        name: str = "resnet50",
        weights: str | None = "pretrained",
        image_size: int | None = None,
        in_channels: int = 3,
        drop_path_rate: float = 0.0,
        strict: bool = True,
    ) -> None:
        family = _find_family(name)
        if not 0 <= drop_path_rate < 1:
            raise ConfigError(f"Expected backbone.drop_path_rate to be from 0 to below 1 but got {drop_path_rate}.")
        preprocess = adapt_preprocess(_preprocess(name), image_size, in_channels)
        size = {"img_size": preprocess.size, "dynamic_img_size": False} if family.sized else {}
        make: Callable[..., Library] = timm.create_model
        net = make(name, pretrained=False, num_classes=0, in_chans=in_channels, drop_path_rate=drop_path_rate, **size)
        if image_size is not None:
            family.check_size(net, image_size)
        self._family = family
        super().__init__(
            net=net,
            stages=family.stages(net),
            feature_dim=net.head_hidden_size,
            preprocess=preprocess,
            weights=load_weights(
                net,
                weights,
                pretrained=partial(download, name),
                classifier=CLASSIFIERS,
                adapt=partial(fit, net),
                strict=strict,
            ),
        )

    def pool(self, x: Tensor) -> Tensor:
        """Pool the last stage's output as the model does."""
        return self._family.pool(self.net, x)

    def tokens(self, x: Tensor) -> tuple[Tensor | None, None]:
        """Return the last stage's tokens, for a ViT."""
        return self._family.tokens(x), None

    def map_of(self, stage: Stage, x: Tensor) -> Tensor | None:
        """Return a stage's output as a map; for a ViT, its patches in rows and columns."""
        return self._family.map_of(self.net, stage, x)

    def pool_stage(self, x: Tensor) -> Tensor:
        """Average a stage's output, a map or tokens, to ``(B, D_i)``."""
        return self._family.pool_stage(self.net, x)

    def run_stage(self, stage: Stage, x: Tensor) -> Tensor:
        """Run one stage as the model's own forward pass does."""
        return self._family.run(self.net, stage, x)


def _find_family(name: str) -> Family:
    for family in FAMILIES:
        if timm.models.is_model_in_modules(name, family.modules):
            tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
            if "." in name and name not in tags:
                raise ConfigError(
                    f"Expected backbone.name to be a model and a tag of timm but got '{name}'.{nearest(name, tags)}"
                )
            return family
    supported = [model for family in FAMILIES for module in family.modules for model in timm.list_models(module=module)]
    titles = ", ".join(family.title for family in FAMILIES)
    near = nearest(name, supported)
    hint = near if near.startswith(" Did") else " Names are found with timm.list_models('*convnext*')."
    what = "a model of a supported family of timm" if timm.is_model(name) else "a model of timm"
    raise ConfigError(f"Expected backbone.name to be {what} ({titles}) but got '{name}'.{hint}")


def _preprocess(name: str) -> ImagePreprocess:
    """Read what timm keeps with the weights.

    Its ``crop_pct`` (resize to more than the size, then crop) is ignored: the data's transforms resize the shorter side
    to the size itself and crop the centre, so that only the ends of the longer side are lost.
    """
    cfg: Library = timm.models.resolve_pretrained_cfg(name)
    return ImagePreprocess(cfg.input_size[-1], cfg.interpolation, tuple(cfg.mean), tuple(cfg.std))
