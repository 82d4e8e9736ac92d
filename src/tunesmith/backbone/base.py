"""The backbone that all adapters derive from: a library's network, cut into named stages."""

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
"""Names in `Activations` that are no stage's: the pooled features, and the stage_features with their number behind."""


class Backbone(nn.Module, ABC):
    """A pretrained network without its classifier, run stage by stage.

    Stages run one after another and own every parameter and buffer exactly once, so the network can be cut between any
    two of them.

    Args:
        net: The library's module, its classifier removed; parameter names and state dict keys stay the library's own.
        stages: The stages, shallow to deep.
        feature_dim: Width D of the pooled features.
        preprocess: How images, or texts, must be prepared.
        weights: Where the weights came from.

    Raises:
        ConfigError: The image size is not positive.
        ValueError: The stages do not cover every parameter and buffer exactly once (a mistake in the adapter).
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
        """Small files without which it cannot be built, besides weights, such as a tokenizer's; none of most."""
        return ()

    @property
    def apart(self) -> bool:
        """Whether every stage uses weights of its own alone."""
        return True

    def lm_head(self) -> nn.Module | None:
        """Make the head that a language model was pretrained with; by default there is none."""
        return None

    @abstractmethod
    def pool(self, x: Any) -> Features:
        """Turn the last stage's output, such as ``(B, C, H, W)``, into features, with ``pooled`` of ``(B, D)``."""

    def pool_stage(self, x: Any) -> Tensor:
        """Pool a stage's output, a map ``(B, C, H, W)`` or tokens ``(B, T, C)``, by its mean; ``(B, C)`` stays."""
        pooled: Tensor = x if x.ndim == 2 else x.flatten(2).mean(2) if x.ndim == 4 else x.mean(1)
        return pooled

    def blank(self, count: int = 1) -> Any:
        """`Inputs` of nothing, on the backbone's device: so many black images ``(B, C, H, W)``."""
        assert isinstance(self.preprocess, Preprocess)
        size = self.preprocess.size
        return next(self.parameters()).new_zeros(count, self.preprocess.channels, size, size)

    def members(self, stage: Stage) -> dict[str, nn.Module | nn.Parameter]:
        """The submodules, or parameters, that a stage owns, by their names in ``net``, in the order they run."""
        # Resolved at each call: an adapter may have put another module in a member's place.
        return {name: _resolve(self.net, name) for name in stage.members}

    def run_stage(self, stage: Stage, x: Any) -> Any:
        """Run one stage; by default its submodules, in order. Takes and gives `Inputs`."""
        for member in self.members(stage).values():
            if isinstance(member, nn.Module):
                x = member(x)
        return x

    def forward(self, x: Inputs | Activations, frozen: int = 0, stage_features: bool = False) -> Features:
        """Map images or texts to features.

        Args:
            x: As `preprocess` says, such as ``(B, C, H, W)``; or what `activations` made of it, to go on from.
            frozen: Number of stages, from the shallowest, that run without gradients.
            stage_features: Whether the pooled output of every stage is wanted too.

        Returns:
            The pooled features ``(B, D)``, the last map or tokens, and the stage_features if wanted.
        """
        begin, found = 0, list[Tensor]()
        if isinstance(x, Mapping):
            # By number: files keep their tensors in the order of the names, where stage_features.10 precedes level.2.
            found = [x[f"{STAGE}{i}"] for i in range(sum(name.startswith(STAGE) for name in x))]
            if POOLED in x:
                return Features(x[POOLED], stage_features=tuple(found))
            begin, x = self._resumed(x)
        wanted = found if stage_features else None
        if frozen > begin:
            with torch.no_grad():
                x = self._run(x, begin, frozen, wanted)
        x = self._run(x, max(begin, frozen), len(self.stages), wanted)
        # Pooling may have parameters, which belong to the last stage and are frozen with it.
        with torch.set_grad_enabled(torch.is_grad_enabled() and frozen < len(self.stages)):
            return self.pool(x)._replace(stage_features=tuple(wanted or ()))

    def activations(self, x: Inputs, k: int, stage_features: bool = False) -> dict[str, Tensor]:
        """Run the first ``k`` stages, at least one, on an input; `forward` goes on from it, bit for bit.

        Returns:
            The output of the last of them under its stage's name, and the stage_features so far if wanted.
        """
        found: list[Tensor] = []
        x = self._run(x, 0, self._checked(k), found if stage_features else None)
        name = self.stages[k - 1].name
        last = {f"{name}/{part}": tensor for part, tensor in x.items()} if isinstance(x, Mapping) else {name: x}
        return last | {f"{STAGE}{i}": pooled for i, pooled in enumerate(found)}

    def _resumed(self, x: Activations) -> tuple[int, Inputs]:
        """Number of stages that have run, and what the last of them gave; of an input itself, none have."""
        for i, stage in enumerate(self.stages, 1):
            if stage.name in x:
                return i, x[stage.name]
            parts = {n.removeprefix(f"{stage.name}/"): t for n, t in x.items() if n.startswith(f"{stage.name}/")}
            if parts:
                return i, parts
        return 0, x

    def stage_dims(self) -> tuple[int, ...]:
        """Widths ``D_i`` of the stage_features, found by a forward pass on one blank input."""
        return tuple(pooled.shape[1] for pooled in self._on_a_blank(stage_features=True).stage_features)

    def called(self) -> set[str]:
        """Names of the modules of ``net`` that a forward pass calls, found with one blank input."""
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
        """Give the function that runs the first ``k`` stages, 0 to the number of stages, on an input."""
        return partial(self._run, begin=0, end=self._checked(k))

    def suffix(self, k: int) -> Callable[[Inputs], Features]:
        """Give the function that runs the other stages and pools; after `prefix` they equal `forward`, bit for bit."""
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
    """Name the parameters and buffers that no stage owns, and those that several own.

    By identity, so that tensors shared between stages are found too.
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
