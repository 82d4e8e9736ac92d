"""Run a library's network as named stages: the base class of all backbones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Generic, cast

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from tunesmith.backbone.aside import MAP, POOLED, STAGE, Aside
from tunesmith.contract.batch import Activations, Inputs
from tunesmith.contract.features import Features, MapInfo, Needs, Stage
from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.protocols import Weights
from tunesmith.contract.tree import flatten, unflatten

DEFAULT = Needs(pooled=True)

X = TypeVar("X", bound="Inputs", default=Tensor)
"""Type of the values that flow between the stages of a backbone."""

R = TypeVar("R")


class Backbone(nn.Module, ABC, Generic[X]):
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
        preprocess: Preprocess,
        weights: Weights,
    ) -> None:
        super().__init__()
        preprocess.check()
        self.net = net
        self.stages = tuple(stages)
        self.feature_dim = feature_dim
        self.preprocess = preprocess
        self.weights = weights
        self._map_table: tuple[tuple[int, MapInfo], ...] | None = None
        _check_cover(net, self.stages)

    @property
    def files(self) -> Sequence[Path]:
        """Small files, besides weights, needed to rebuild the backbone, such as a tokenizer's; usually none."""
        return ()

    @property
    def apart(self) -> bool:
        """Whether every stage uses weights of its own alone."""
        return True

    def lm_head(self) -> nn.Module | None:
        """Make the head that a language model was pretrained with; by default there is none."""
        return None

    @abstractmethod
    def pool(self, x: X) -> Tensor:
        """Pool the last stage's output, such as ``(B, C, H, W)``, to ``(B, D)``."""

    def tokens(self, x: X) -> tuple[Tensor | None, Tensor | None]:
        """Return the tokens ``(B, T, D)`` in the last stage's output, and their mask; by default none."""
        return None, None

    def map_of(self, stage: Stage, x: X) -> Tensor | None:
        """Return a stage's output as a map ``(B, C, H, W)``, unpooled; ``None`` if it is none."""
        return x if isinstance(x, Tensor) and x.ndim == 4 else None

    def pool_stage(self, x: X) -> Tensor:
        """Average a stage's output, a map ``(B, C, H, W)`` or tokens ``(B, T, C)``; ``(B, C)`` stays unchanged."""
        assert isinstance(x, Tensor)  # backbones with other outputs override it
        return x if x.ndim == 2 else x.flatten(2).mean(2) if x.ndim == 4 else x.mean(1)

    def blank(self, count: int = 1) -> Inputs:
        """Return a blank input on the backbone's device: ``count`` black images, or texts of two tokens."""
        return self.preprocess.blank(count, next(self.parameters()))

    def members(self, stage: Stage) -> dict[str, nn.Module | nn.Parameter]:
        """Return the submodules and parameters that a stage owns, by their names in ``net``, in execution order."""
        # Resolved on each call, since an adapter may have replaced a member by another module.
        return {name: _resolve(self.net, name) for name in stage.members}

    def run_stage(self, stage: Stage, x: X) -> X:
        """Run one stage on the previous stage's output, the first on the input; by default, its submodules in order."""
        for member in self.members(stage).values():
            if isinstance(member, nn.Module):
                x = member(x)
        return x

    def forward(self, x: Inputs | Activations, frozen: int = 0, needs: Needs = DEFAULT) -> Features:
        """Map images or texts to features.

        Args:
            x: Prepared as `preprocess` describes, such as ``(B, C, H, W)``; or the result of `activations`, to continue
                from.
            frozen: Number of stages, from the shallowest, that run without gradients.
            needs: Which features are wanted.
        """
        aside = Aside(needs.stage_features, self._mapped(needs))
        begin, pooled, state = self._resumed(x)
        if isinstance(x, Mapping):
            aside.take(x)
        if state is not None:
            if begin:
                self._note(begin - 1, state, aside)
            if frozen > begin:
                with torch.no_grad():
                    state = self._run(state, begin, frozen, aside)
            state = self._run(state, max(begin, frozen), len(self.stages), aside)
        # Pooling may have parameters, which belong to the last stage and are frozen with it.
        with torch.set_grad_enabled(torch.is_grad_enabled() and frozen < len(self.stages)):
            return self._finish(state, needs, aside, pooled)

    def activations(self, x: Inputs, k: int, needs: Needs = DEFAULT) -> dict[str, Tensor]:
        """Run the first ``k`` stages, at least one, on an input; `forward` goes on from it, bit for bit.

        Returns:
            The output of the last of them under its stage's name, and what is wanted of those in front of it.
        """
        aside = Aside(needs.stage_features, self._mapped(needs))
        state = self._run(cast(X, x), 0, self._checked(k), aside)
        aside.maps.pop(k - 1, None)  # contained in the output of the last stage
        return flatten(state, self.stages[k - 1].name) | aside.given()

    def _resumed(self, x: Inputs | Activations) -> tuple[int, Tensor | None, X | None]:
        """Return the number of stages that have run, the pooled features, and the last output or the input."""
        tensors = {n: t for n, t in x.items() if isinstance(t, Tensor)} if isinstance(x, Mapping) else {}
        for i, stage in enumerate(self.stages, 1):
            output = unflatten(tensors, stage.name)
            if output is not None:
                return i, None, cast(X, output)  # as `activations` flattened it
        if any(name == POOLED or name.startswith((STAGE, MAP)) for name in tensors):
            return len(self.stages), tensors.get(POOLED), None
        return 0, None, cast(X, x)  # the first stage takes the input

    def map_info(self) -> tuple[MapInfo, ...]:
        """Return channels and stride of the unpooled maps, shallow to deep."""
        return tuple(info for _, info in self._maps())

    def _maps(self) -> tuple[tuple[int, MapInfo], ...]:
        """Return number and shape of the stages whose output is a map, from one forward pass on a blank input."""
        if self._map_table is None:
            side = self.preprocess.map_side()
            found = {} if side is None else self._on_a_blank(self._all_maps)
            self._map_table = tuple((i, MapInfo(x.shape[1], (side or 0) / x.shape[-1])) for i, x in found.items())
        return self._map_table

    def maps_within(self, needs: Needs, end: int) -> tuple[int, ...]:
        """Return which of the needed maps the first ``end`` stages produce, as indices into `map_info`."""
        wanted = self._mapped(needs)
        return tuple(place for place, (number, _) in enumerate(self._maps()) if number in wanted and number < end)

    def _all_maps(self, x: Inputs) -> dict[int, Tensor]:
        aside = Aside(False, tuple(range(len(self.stages))))
        self._run(cast(X, x), 0, len(self.stages), aside)
        return aside.maps

    def _mapped(self, needs: Needs) -> tuple[int, ...]:
        """Return the numbers of the stages whose maps are needed, in the order of the needs."""
        if not needs.maps:
            return ()
        there = [number for number, _ in self._maps()]
        return tuple(there[place] for place in needs.maps if -len(there) <= place < len(there))

    def stage_dims(self) -> tuple[int, ...]:
        """Return the widths ``D_i`` of the stage features, from a forward pass on one blank input."""
        features = self._on_a_blank(lambda blank: self.forward(blank, needs=Needs(stage_features=True)))
        return tuple(pooled.shape[1] for pooled in features.stage_features)

    def called(self) -> set[str]:
        """Return the names of the modules of ``net`` that a forward pass calls, from one blank input."""
        called: set[str] = set()
        hooks = [m.register_forward_hook(lambda *_, name=n: called.add(name)) for n, m in self.net.named_modules()]
        self._on_a_blank(self)
        for hook in hooks:
            hook.remove()
        return called

    def _on_a_blank(self, run: Callable[[Inputs], R]) -> R:
        modes = {module: module.training for module in self.modules()}
        with torch.no_grad():
            self.eval()
            found = run(self.blank())
        for module, training in modes.items():
            module.training = training
        return found

    def prefix(self, k: int) -> Callable[[X], X]:
        """Return the function that runs the first ``k`` stages on an input, with k from 0 to the number of stages."""
        return partial(self._run, begin=0, end=self._checked(k))

    def suffix(self, k: int, needs: Needs = DEFAULT) -> Callable[[X], Features]:
        """Return the function that runs the other stages and pools; after `prefix` it equals `forward`, bit for bit.

        It returns no maps or pooled outputs of the first ``k`` stages.
        """
        return partial(self._suffix, begin=self._checked(k), needs=needs)

    def _suffix(self, x: X, begin: int, needs: Needs) -> Features:
        return self._finish(self._run(x, begin, len(self.stages)), needs, Aside(False, ()), None)

    def _run(self, x: X, begin: int, end: int, aside: Aside | None = None) -> X:
        for number, stage in enumerate(self.stages[begin:end], begin):
            x = self.run_stage(stage, x)
            if aside is not None:
                self._note(number, x, aside)
        return x

    def _note(self, number: int, x: X, aside: Aside) -> None:
        """Keep what is needed of a stage's output."""
        if aside.stage_features and number not in aside.pooled:
            aside.pooled[number] = self.pool_stage(x)
        if number in aside.wanted and number not in aside.maps:
            found = self.map_of(self.stages[number], x)
            if found is not None:
                aside.maps[number] = found

    def _finish(self, x: X | None, needs: Needs, aside: Aside, pooled: Tensor | None) -> Features:
        """Return the features needed of the last output, or those cached in its place."""
        if x is not None and needs.pooled:
            pooled = self.pool(x)
        tokens, mask = self.tokens(x) if x is not None and needs.tokens else (None, None)
        maps = tuple(aside.maps[number] for number in aside.wanted)
        return Features(pooled, tokens, mask, maps, tuple(aside.pooled[i] for i in sorted(aside.pooled)))

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


def _check_cover(net: nn.Module, stages: Sequence[Stage]) -> None:
    left, doubled = cover(net, stages)
    if left or doubled:
        raise ValueError(
            "Expected the stages to own every parameter and buffer exactly once but got "
            f"{len(left)} in no stage {left[:5]} and {len(doubled)} in more than one {doubled[:5]}: "
            "correct the stages' members."
        )
