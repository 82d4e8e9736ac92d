"""Run a library's network as named stages: the base class of all backbones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.contract.batch import Activations, Inputs
from tunesmith.contract.features import Features, Stage
from tunesmith.contract.preprocess import Preprocess, TextPreprocess
from tunesmith.contract.protocols import Weights
from tunesmith.errors import ConfigError

POOLED, STAGE = "pooled", "stage_features."
"""Names in `Activations` besides stages: the pooled features, and the stage features, followed by their number."""


class Backbone(nn.Module, ABC):
    """A pretrained network without its classifier, run stage by stage.

    Stages run one after another and own every parameter and buffer exactly once, so the network can be cut between any
    two of them.

    Args:
        net: The library's module, without its classifier; parameters and state dict keys keep the library's names.
        stages: The stages, shallow to deep.
        feature_dim: Width D of the pooled features.
        preprocess: How to prepare images or texts.
        weights: Where the weights came from.

    Raises:
        ConfigError: The image size is not positive.
        ValueError: The stages do not cover every parameter and buffer exactly once (a bug in the adapter).
    """

    def __init__(
        self,
        net: nn.Module,
        stages: Sequence[Stage],
        feature_dim: int,
        preprocess: Preprocess | TextPreprocess,
        weights: Weights,
    ) -> None:
        super().__init__()
        if isinstance(preprocess, Preprocess) and preprocess.size < 1:
            raise ConfigError(f"Expected backbone.image_size to be at least 1 pixel but got {preprocess.size}.")
        self.net = net
        self.stages = tuple(stages)
        self.feature_dim = feature_dim
        self.preprocess = preprocess
        self.weights = weights
        _check_cover(self)

    @property
    def files(self) -> Sequence[Path]:
        """Small files, besides weights, needed to rebuild the backbone, such as a tokenizer's; usually none."""
        return ()

    @abstractmethod
    def pool(self, x: Any) -> Features:
        """Convert the last stage's output, such as ``(B, C, H, W)``, to features, with ``pooled`` of ``(B, D)``."""

    def pool_stage(self, x: Any) -> Tensor:
        """Average a stage's output, a map ``(B, C, H, W)`` or tokens ``(B, T, C)``; ``(B, C)`` stays unchanged."""
        pooled: Tensor = x if x.ndim == 2 else x.flatten(2).mean(2) if x.ndim == 4 else x.mean(1)
        return pooled

    def blank(self, count: int = 1) -> Any:
        """Return blank `Inputs` on the backbone's device: ``count`` black images ``(B, C, H, W)``."""
        assert isinstance(self.preprocess, Preprocess)
        size = self.preprocess.size
        return next(self.parameters()).new_zeros(count, self.preprocess.channels, size, size)

    def members(self, stage: Stage) -> dict[str, nn.Module | nn.Parameter]:
        """Return the submodules and parameters that a stage owns, by their names in ``net``, in execution order."""
        # Resolved on each call, since an adapter may have replaced a member by another module.
        return {name: _resolve(self.net, name) for name in stage.members}

    def run_stage(self, stage: Stage, x: Any) -> Any:
        """Run one stage on `Inputs` and return `Inputs`; by default, run its submodules in order."""
        for member in self.members(stage).values():
            if isinstance(member, nn.Module):
                x = member(x)
        return x

    def forward(self, x: Inputs | Activations, frozen: int = 0, stage_features: bool = False) -> Features:
        """Map images or texts to features.

        Args:
            x: Prepared as `preprocess` describes, such as ``(B, C, H, W)``; or the result of `activations`, to continue
                from.
            frozen: Number of stages, from the shallowest, that run without gradients.
            stage_features: Whether to return the pooled output of every stage too.

        Returns:
            The pooled features ``(B, D)``, the last map or tokens, and the stage features if requested.
        """
        begin, found = 0, list[Tensor]()
        if isinstance(x, Mapping):
            # By number: files sort tensors by name, where stage_features.10 precedes stage_features.2.
            found = [x[f"{STAGE}{i}"] for i in range(sum(name.startswith(STAGE) for name in x))]
            if POOLED in x:
                return Features(x[POOLED], stage_features=tuple(found))
            begin, x = self._resumed(x)
        wanted = found if stage_features else None
        if frozen > begin:
            with torch.no_grad():
                x = self._run(x, begin, frozen, wanted)
        x = self._run(x, max(begin, frozen), len(self.stages), wanted)
        # Pooling may have parameters; they belong to the last stage and are frozen with it.
        with torch.set_grad_enabled(torch.is_grad_enabled() and frozen < len(self.stages)):
            return self.pool(x)._replace(stage_features=tuple(wanted or ()))

    def activations(self, x: Inputs, k: int, stage_features: bool = False) -> dict[str, Tensor]:
        """Run the first ``k`` stages, at least one, on an input; `forward` continues from there, bit for bit.

        Returns:
            The last stage's output under its name, and the stage features so far if requested.
        """
        found: list[Tensor] = []
        x = self._run(x, 0, self._checked(k), found if stage_features else None)
        name = self.stages[k - 1].name
        last = {f"{name}/{part}": tensor for part, tensor in x.items()} if isinstance(x, Mapping) else {name: x}
        return last | {f"{STAGE}{i}": pooled for i, pooled in enumerate(found)}

    def _resumed(self, x: Activations) -> tuple[int, Inputs]:
        """Return the number of stages that have run, and the last one's output; for a raw input, 0 and the input."""
        for i, stage in enumerate(self.stages, 1):
            if stage.name in x:
                return i, x[stage.name]
            parts = {n.removeprefix(f"{stage.name}/"): t for n, t in x.items() if n.startswith(f"{stage.name}/")}
            if parts:
                return i, parts
        return 0, x

    def stage_dims(self) -> tuple[int, ...]:
        """Return the widths ``D_i`` of the stage features, from a forward pass on one blank input."""
        return tuple(pooled.shape[1] for pooled in self._on_a_blank(stage_features=True).stage_features)

    def called(self) -> set[str]:
        """Return the names of the modules of ``net`` that a forward pass calls, from one blank input."""
        called: set[str] = set()
        hooks = [m.register_forward_hook(lambda *_, name=n: called.add(name)) for n, m in self.net.named_modules()]
        self._on_a_blank(stage_features=False)
        for hook in hooks:
            hook.remove()
        return called

    def _on_a_blank(self, stage_features: bool) -> Features:
        modes = {module: module.training for module in self.modules()}
        with torch.no_grad():
            features: Features = self.eval()(self.blank(), stage_features=stage_features)
        for module, training in modes.items():
            module.training = training
        return features

    def prefix(self, k: int) -> Callable[[Inputs], Inputs]:
        """Return the function that runs the first ``k`` stages on an input, with k from 0 to the number of stages."""
        return partial(self._run, begin=0, end=self._checked(k))

    def suffix(self, k: int) -> Callable[[Inputs], Features]:
        """Return the function that runs the other stages and pools; after `prefix` it equals `forward`, bit for bit."""
        return partial(self._finish, begin=self._checked(k))

    def _run(self, x: Inputs, begin: int, end: int, stage_features: list[Tensor] | None = None) -> Inputs:
        for stage in self.stages[begin:end]:
            x = self.run_stage(stage, x)
            if stage_features is not None:
                stage_features.append(self.pool_stage(x))
        return x

    def _finish(self, x: Inputs, begin: int) -> Features:
        return self.pool(self._run(x, begin, len(self.stages)))

    def _checked(self, k: int) -> int:
        if not 0 <= k <= len(self.stages):
            raise ValueError(f"Expected a cut between 0 and {len(self.stages)} but got {k}.")
        return k


def _resolve(net: nn.Module, name: str) -> nn.Module | nn.Parameter:
    owner, _, leaf = name.rpartition(".")
    found = getattr(net.get_submodule(owner), leaf, None)
    if not isinstance(found, nn.Module | nn.Parameter):
        raise ValueError(f"Expected '{name}' to be a submodule or a parameter of the network but got {found!r}.")
    return found


def cover(net: nn.Module, stages: Sequence[Stage]) -> tuple[list[str], list[str]]:
    """List the parameters and buffers that no stage owns, and those that several own.

    Compares by identity, so that tensors shared between stages are found too.
    """
    members = [_resolve(net, name) for stage in stages for name in stage.members]
    owned = Counter(
        id(tensor)
        for member in members
        for tensor in (chain(member.parameters(), member.buffers()) if isinstance(member, nn.Module) else (member,))
    )
    names = {id(tensor): name for name, tensor in chain(net.named_parameters(), net.named_buffers())}
    return [n for key, n in names.items() if not owned[key]], [n for key, n in names.items() if owned[key] > 1]


def _check_cover(backbone: Backbone) -> None:
    left, doubled = cover(backbone.net, backbone.stages)
    if left or doubled:
        raise ValueError(
            "Expected the stages to own every parameter and buffer exactly once but got "
            f"{len(left)} in no stage {left[:5]} and {len(doubled)} in more than one {doubled[:5]}: "
            "mend the stages' members."
        )
