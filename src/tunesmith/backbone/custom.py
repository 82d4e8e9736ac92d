"""Use any module of the user's as a backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from tunesmith.backbone.aside import MAP, POOLED, STAGE
from tunesmith.backbone.base import Backbone, cover
from tunesmith.backbone.weights import load_weights
from tunesmith.contract.features import Stage
from tunesmith.contract.parameters import HEAD
from tunesmith.errors import ConfigError, nearest
from tunesmith.modality.image import ImagePreprocess


class Custom(Backbone):
    """A user's module, cut into stages by the names of its parts.

    The parts run one after another, stage by stage: anything that happens between them in the module's own ``forward``,
    such as an activation or a skip connection, must be a part too. The result is compared with that of ``forward`` on
    one image, as far as the shapes can be compared.

    Args:
        net: The network without its classifier, an instance of the class that ``net._target_`` names.
        stages: The stages by name, shallow to deep; each lists submodules or bare parameters in execution order.
        image_size: Height and width of the images in pixels.
        mean: Mean per channel, on the scale 0 to 1; one for each channel of the network's input.
        std: Standard deviation per channel, on the scale 0 to 1.
        interpolation: How to resize images.
        pool: ``auto`` averages a map ``(B, D, H, W)`` or tokens ``(B, T, D)`` and keeps vectors ``(B, D)``;
            ``class_token`` takes the first token.
        weights: A file of weights by the network's own names, or ``None`` to keep those it was built with.
        strict: Reject a weights file with unknown or missing tensors.

    Raises:
        ConfigError: The stages do not own every parameter and buffer exactly once, cannot run in sequence, or do not
            give the network's output.
        WeightsError: The weights cannot be read or do not fit.
    """

    def __init__(
        self,
        net: nn.Module,
        stages: Mapping[str, Sequence[str]],
        image_size: int,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear",
        pool: Literal["auto", "class_token"] = "auto",
        weights: str | None = None,
        strict: bool = True,
    ) -> None:
        if not isinstance(net, nn.Module):
            raise ConfigError(f"Expected backbone.net to be a torch.nn.Module but got {type(net).__name__}.")
        if len(mean) != len(std) or not mean:
            raise ConfigError(
                f"Expected as many numbers in backbone.std as in backbone.mean, one per channel, "
                f"but got {len(std)} and {len(mean)}."
            )
        cut = tuple(Stage(str(name), tuple(members)) for name, members in stages.items())
        _check_stages(net, cut)
        self._class_token = pool == "class_token"
        super().__init__(
            net=net,
            stages=cut,
            feature_dim=0,  # found by the probe below
            preprocess=ImagePreprocess(image_size, interpolation, tuple(mean), tuple(std)),
            weights=load_weights(net, weights, strict=strict),
        )
        self.feature_dim = self._probe()

    def pool(self, x: Tensor) -> Tensor:
        """Pool a map ``(B, D, H, W)`` or tokens ``(B, T, D)``; vectors ``(B, D)`` stay unchanged."""
        if x.ndim == 4:
            return x.mean((2, 3))
        if x.ndim == 3:
            return x[:, 0] if self._class_token else x.mean(1)
        return x

    def tokens(self, x: Tensor) -> tuple[Tensor | None, None]:
        """Return the last stage's output if it is tokens."""
        return (x if x.ndim == 3 else None), None

    def _probe(self) -> int:
        """Run one image stage by stage and through the network's own forward pass; return the features' width."""
        modes = {module: module.training for module in self.modules()}
        image = self.blank()
        assert isinstance(image, Tensor)
        image = torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
        self.eval()
        with torch.no_grad():
            last = self._staged(image)
            pooled = self.pool(last)
            _compare(self.net, image, (last, pooled))
        for module, training in modes.items():
            module.training = training
        return pooled.shape[1]

    def _staged(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            before = tuple(x.shape)
            try:
                x = self.run_stage(stage, x)
            except Exception as error:  # the user's module may raise anything
                raise ConfigError(
                    f"Expected the parts of stage '{stage.name}' to run one after another but failed on an input of "
                    f"shape {before} ({_first_line(error)}): check their order, backbone.image_size and the channels "
                    "(backbone.mean); what forward does between the parts must be a part too."
                ) from error
            if not isinstance(x, Tensor):
                raise ConfigError(f"Expected stage '{stage.name}' to give a tensor but got {type(x).__name__}.")
        kinds = "tokens (B, T, D)" if self._class_token else "a map (B, D, H, W), tokens (B, T, D) or vectors (B, D)"
        if x.ndim not in ((3,) if self._class_token else (2, 3, 4)):
            raise ConfigError(f"Expected the last stage to give {kinds} but got the shape {tuple(x.shape)}.")
        return x


def _compare(net: nn.Module, image: Tensor, outputs: Sequence[Tensor]) -> None:
    """Compare the stages' outputs with the network's own of the same shape; skip it if there is none."""
    try:
        whole = net(image)
    except Exception:  # a container without a forward pass of its own, or one that takes more arguments
        return
    for output in outputs:
        if isinstance(whole, Tensor) and whole.shape == output.shape:
            if not torch.allclose(whole, output, rtol=1e-3, atol=1e-5):
                raise ConfigError(
                    "Expected the parts in backbone.stages, one after another, to compute what the network's forward "
                    f"does, but the outputs differ by up to {float((whole - output).abs().max()):.3g}: what happens "
                    "between the parts, such as an activation, must be a part too, and in its place."
                )
            return


def _check_stages(net: nn.Module, stages: Sequence[Stage]) -> None:
    """Check that the user's stages satisfy `cover` and the policies; each error says the way out."""
    if not stages:
        raise ConfigError("Expected backbone.stages to name at least one stage but got none.")
    _check_names(net, stages)
    left, doubled = cover(net, stages)
    wanted = f"Expected backbone.stages to own every parameter and buffer of {type(net).__name__}"
    if left:
        owners = sorted({name.rpartition(".")[0] or name for name in left})
        raise ConfigError(
            f"{wanted} but {len(left)} are in no stage ({_some(left)}): add {_some(owners)} to a stage, "
            "or give a network without it."
        )
    if doubled:
        raise ConfigError(f"{wanted} once but {len(doubled)} are in more than one stage ({_some(doubled)}).")
    for stage in stages:
        if not any(n == m or n.startswith(f"{m}.") for n, _ in net.named_parameters() for m in stage.members):
            raise ConfigError(
                f"Expected every stage to have parameters but '{stage.name}' has none: join it to the one before it."
            )


def _check_names(net: nn.Module, stages: Sequence[Stage]) -> None:
    names = [name for name, _ in (*net.named_modules(), *net.named_parameters()) if name]
    for stage in stages:
        if stage.name == HEAD:
            raise ConfigError(f"Expected backbone.stages to leave the name '{HEAD}' to the head: choose another name.")
        if stage.name == POOLED or stage.name.startswith((STAGE, MAP)):
            raise ConfigError(f"Expected a stage name other than '{stage.name}', which is reserved for features.")
        for member in stage.members:
            if member not in names:
                near = nearest(member, names)
                hint = near if near.startswith(" Did") else nearest(member, (n for n, _ in net.named_children()))
                raise ConfigError(
                    f"Expected backbone.stages.{stage.name} to name parts of {type(net).__name__} "
                    f"but got '{member}'.{hint}"
                )


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"'{n}'" for n in names[:3]) + (", …" if len(names) > 3 else "")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
