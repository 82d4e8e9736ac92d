"""Define how timm's architectures are cut into stages, and what their features are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeAlias

from torch import Tensor, nn

from tunesmith.compat.timm import embed
from tunesmith.contract.features import Stage
from tunesmith.errors import ConfigError

Library: TypeAlias = Any
"""A model of timm, whose architectures share no declared attributes."""

EMBEDDING = "patch_embed"
"""Name of a transformer's first stage."""

HEAD_CONV = "head_conv"
"""Name of the convolution after the blocks of EfficientNets and MobileNets."""

AFTER_POOLING = ("fc_norm", "attn_pool", "head.norm", "head.pre_logits")
"""Modules that a model may run for or after pooling: members of the deepest stage, run by the pooling."""


class Family(ABC):
    """One of timm's architectures: how its models are cut into stages.

    By default stages run their submodules in order on maps ``(B, C, H, W)``. Pooling is always the library's own.

    Attributes:
        title: Its name in messages.
        modules: Modules of ``timm.models`` that contain only this architecture.
        sized: Whether a model is built for one image size.
    """

    title: ClassVar[str]
    modules: ClassVar[tuple[str, ...]]
    sized: ClassVar[bool] = False

    @abstractmethod
    def stages(self, net: Library) -> list[Stage]:
        """Return the stages of a model, shallow to deep."""

    def check_size(self, net: Library, size: int) -> None:  # noqa: B027  # most architectures take any size
        """Check that the model accepts an image size in pixels.

        Raises:
            ConfigError: It does not.
        """

    def run(self, net: Library, stage: Stage, x: Tensor) -> Tensor:
        """Run one stage, without pooling."""
        for name in _before_pooling(stage):
            x = net.get_submodule(name)(x)
        return x

    def pool(self, net: Library, x: Tensor) -> Tensor:
        """Pool the last stage's output as the model does."""
        pooled: Tensor = net.forward_head(x, pre_logits=True)
        return pooled

    def tokens(self, x: Tensor) -> Tensor | None:
        """Return the last stage's tokens ``(B, T, D)``, if it has any."""
        return None

    def map_of(self, net: Library, stage: Stage, x: Tensor) -> Tensor | None:
        """Return a stage's output as a map ``(B, C, H, W)``, if it is one."""
        return x

    def pool_stage(self, net: Library, x: Tensor) -> Tensor:
        """Pool a stage's output to ``(B, D_i)``."""
        return x.mean((2, 3))


class EfficientNets(Family):
    """EfficientNet v1 and v2, MobileNet v1 and v2, MnasNet, MixNet, TinyNet."""

    title = "EfficientNet"
    modules = ("efficientnet",)

    def stages(self, net: Library) -> list[Stage]:
        """Return the stem, one stage per group of blocks, and the last convolution if there is one."""
        # A few models end with their blocks: a stage without parameters would be a name that selects nothing.
        head = [Stage(HEAD_CONV, ("conv_head", "bn2"))] if _has_parameters(net.conv_head) else []
        return [Stage("stem", ("conv_stem", "bn1")), *_each(net, "blocks"), *head]


class MobileNets(Family):
    """MobileNet v3 and v4, LCNet, FBNet v3, HardCoRe-NAS; their last convolution runs after pooling."""

    title = "MobileNet"
    modules = ("mobilenetv3", "hardcorenas")

    def stages(self, net: Library) -> list[Stage]:
        """Return the stem, one stage per group of blocks, and the last convolution."""
        head = Stage(HEAD_CONV, ("global_pool", "conv_head", "norm_head", "act2"))
        return [Stage("stem", ("conv_stem", "bn1")), *_each(net, "blocks"), head]

    def pool(self, net: Library, x: Tensor) -> Tensor:
        """Flatten what is pooled already, ``(B, D, 1, 1)``."""
        return x.flatten(1)

    def map_of(self, net: Library, stage: Stage, x: Tensor) -> Tensor | None:
        """Return a stage's output as a map; there is none of width D, which comes after pooling."""
        return None if stage.name == HEAD_CONV else x


class ResNets(Family):
    """ResNet, ResNeXt, SE-, ECA- and SK-ResNet, ResNeSt."""

    title = "ResNet"
    modules = ("resnet", "resnest", "sknet")

    def stages(self, net: Library) -> list[Stage]:
        """Return the stem and ``layer1`` to ``layer4``."""
        layers = [Stage(name, (name,)) for name in ("layer1", "layer2", "layer3", "layer4")]
        return [Stage("stem", ("conv1", "bn1", "act1", "maxpool")), *layers]


class RegNets(Family):
    """RegNet X, Y, Z and V."""

    title = "RegNet"
    modules = ("regnet",)

    def stages(self, net: Library) -> list[Stage]:
        """Return the stem and ``s1`` to ``s4``; a final convolution is a stage, a bare activation belongs to ``s4``."""
        stages = [Stage(name, (name,)) for name in ("stem", "s1", "s2", "s3", "s4")]
        if _has_parameters(net.final_conv):
            return [*stages, Stage("final_conv", ("final_conv",))]
        return [*stages[:-1], Stage("s4", ("s4", "final_conv"))]


class ConvNeXts(Family):
    """ConvNeXt v1 and v2; the last normalisation belongs to the deepest stage, although it runs after pooling."""

    title = "ConvNeXt"
    modules = ("convnext",)

    def stages(self, net: Library) -> list[Stage]:
        """Return the stem and four groups of blocks."""
        return [Stage("stem", ("stem",)), *_each(net, "stages", "norm_pre", "head.norm", "head.pre_logits")]

    def check_size(self, net: Library, size: int) -> None:
        """Reject images too small for the last map, usually 32 times smaller, to have a pixel."""
        least = net.feature_info[-1]["reduction"]
        if size < least:
            raise ConfigError(f"Expected backbone.image_size to be at least {least} pixels but got {size}.")


class VisionTransformers(Family):
    """ViT, DeiT, DINO, the image towers of CLIP and SigLIP and, with rotary positions, EVA and DINOv3.

    They run on tokens ``(B, T, D)``.
    """

    title = "ViT (DeiT, DINO, CLIP, EVA)"
    modules = ("vision_transformer", "deit", "eva")
    sized = True

    def stages(self, net: Library) -> list[Stage]:
        """Return the embedding with everything added to it, and one stage per block, the last with the final norm.

        Raises:
            ConfigError: Blocks share trained frequencies of rotary positions, so the model cannot be cut.
        """
        if getattr(net, "rope_mixed", False):
            raise ConfigError(
                "Expected a vision transformer that can be cut between its blocks but got one whose blocks share "
                "trained rotary positions ('rope_mixed'): choose another, such as 'vit_small_patch16_rope_224'."
            )
        tokens = (EMBEDDING, "cls_token", "dist_token", "reg_token", "pos_embed", "pos_drop", "rope", "norm_pre")
        return [Stage(EMBEDDING, _there(net, *tokens)), *_each(net, "blocks", "norm", "fc_norm", "attn_pool")]

    def check_size(self, net: Library, size: int) -> None:
        """Reject image sizes that are not a multiple of the patch size."""
        _check_patches(net, size)

    def run(self, net: Library, stage: Stage, x: Tensor) -> Tensor:
        """Run one stage, without pooling."""
        if stage.name == EMBEDDING:
            tokens: Tensor = net.norm_pre(embed(net, x))
            return tokens
        rotary = {} if getattr(net, "rope", None) is None else {"rope": net.rope.get_embed()}
        for name in _before_pooling(stage):
            x = net.get_submodule(name)(x, **(rotary if name.startswith("blocks.") else {}))
        return x

    def tokens(self, x: Tensor) -> Tensor | None:
        """Return the tokens, including those in front of the patches."""
        return x

    def map_of(self, net: Library, stage: Stage, x: Tensor) -> Tensor | None:
        """Arrange the patch tokens in rows and columns."""
        return x[:, net.num_prefix_tokens :].mT.reshape(len(x), x.shape[2], *net.patch_embed.grid_size)

    def pool_stage(self, net: Library, x: Tensor) -> Tensor:
        """Average the patch tokens: in the first stage, a class token is the same for every image."""
        return x[:, net.num_prefix_tokens :].mean(1)


class Swins(Family):
    """Swin Transformer v1 and v2, which store maps as ``(B, H, W, C)``."""

    title = "Swin"
    modules = ("swin_transformer", "swin_transformer_v2")
    sized = True

    def stages(self, net: Library) -> list[Stage]:
        """Return the embedding and four groups of blocks, the last with the final norm."""
        return [Stage(EMBEDDING, (EMBEDDING,)), *_each(net, "layers", "norm")]

    def check_size(self, net: Library, size: int) -> None:
        """Reject image sizes that are not a multiple of the patch size."""
        _check_patches(net, size)

    def map_of(self, net: Library, stage: Stage, x: Tensor) -> Tensor | None:
        """Permute a stage's output to ``(B, C, H, W)``."""
        return x.permute(0, 3, 1, 2)

    def pool_stage(self, net: Library, x: Tensor) -> Tensor:
        """Average the map over its pixels."""
        return x.mean((1, 2))


FAMILIES: tuple[Family, ...] = (
    ResNets(),
    EfficientNets(),
    MobileNets(),
    RegNets(),
    ConvNeXts(),
    VisionTransformers(),
    Swins(),
)
"""All supported families."""


def _each(net: Library, name: str, *last: str) -> list[Stage]:
    """Return one stage per child of a container; the deepest one also gets those of ``last`` that the model has."""
    names = [f"{name}.{i}" for i in range(len(net.get_submodule(name)))]
    stages = [Stage(n, (n,)) for n in names[:-1]]
    return [*stages, Stage(names[-1], (names[-1], *_there(net, *last)))]


def _there(net: Library, *names: str) -> tuple[str, ...]:
    """Return those of the names that are submodules or parameters of a model."""
    found = {**dict(net.named_parameters()), **dict(net.named_modules())}
    return tuple(name for name in names if name in found)


def _before_pooling(stage: Stage) -> list[str]:
    return [name for name in stage.members if name not in AFTER_POOLING]


def _has_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _check_patches(net: Library, size: int) -> None:
    patch = net.patch_embed.patch_size[0]
    if size % patch:
        raise ConfigError(
            f"Expected backbone.image_size to be a multiple of the model's patches, {patch} pixels, but got {size}."
        )
