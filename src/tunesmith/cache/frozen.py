"""The frozen part of a task: samples in, what is worth keeping out, with the bits that training would compute."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.backbone.base import LEVEL, POOLED
from tunesmith.contract.batch import Inputs
from tunesmith.contract.features import Features
from tunesmith.errors import PolicyError

BATCH = 32
"""Samples that run together, always so many: a short batch is filled up.

A CPU's libraries choose their way by the shape, and with it the last bit. Measured with Tiny, ResNet-18 and
EfficientNet-Lite0 on 1 and 2 threads (AMD Zen 4, torch 2.15): the outputs of a sample were bit-equal in batches of 16,
31, 32 and 64 in whatever company, and differed by up to 2e-5 in batches of 1 to 5.
"""


PLAIN = (bool, int, float, str, type(None))
"""Types of attributes that say what a module does, and say it the same in every process."""


@dataclass(frozen=True)
class Cut:
    """Where a backbone is cut, and what is kept of what comes out.

    Attributes:
        stages: Number of stages in front.
        pooled: Whether the pooled features are all that is wanted of the last stage's output.
        levels: Whether the levels are wanted too.
    """

    stages: int
    pooled: bool
    levels: bool


class Frozen:
    """Runs the stages in front of a cut on batches of samples.

    Args:
        task: The task, on its device.
        trainer: Its trainer, for the precision.
        prepare: Makes the backbone's input of samples as the data hold them, such as uint8 pictures ``(C, H, W)``, as
            the data modules' ``prepare`` does: on a device, and with one shape for all batches where that is asked for.
    """

    def __init__(
        self, task: Any, trainer: Any, prepare: Callable[[Sequence[Tensor], torch.device, bool], Inputs]
    ) -> None:
        self.task = task
        self.backbone = task.backbone
        self.precision = trainer.precision_plugin
        self.prepare = prepare

    @torch.no_grad()
    def run(self, samples: Sequence[Tensor], cut: Cut) -> dict[str, Tensor]:
        """Run samples, at most `BATCH`; give `contracts.Activations` on the CPU.

        Raises:
            PolicyError: Something in front of the cut trains.
        """
        self._check(cut.stages)
        with self.precision.forward_context():
            found = self.backbone.activations(self._input(samples, not cut.pooled), cut.stages, cut.levels)
            if cut.pooled:
                found = self._pooled(found, self.backbone(found).pooled)
        return {name: tensor[: len(samples)].contiguous().cpu() for name, tensor in found.items()}

    @staticmethod
    def _pooled(found: dict[str, Tensor], pooled: Tensor) -> dict[str, Tensor]:
        """The levels that were found, and in place of the last stage's output the pooled features."""
        return {name: tensor for name, tensor in found.items() if name.startswith(LEVEL)} | {POOLED: pooled}

    def seconds(self, samples: Sequence[Tensor], cut: Cut) -> float:
        """Seconds that a sample takes."""
        start = time.perf_counter()
        self.run(samples, cut)
        return (time.perf_counter() - start) / len(samples)

    @torch.no_grad()
    def look(self, samples: Sequence[Tensor], stages: int) -> tuple[Cut, dict[str, Tensor]]:
        """See what the head takes of a few samples: all of the last map is kept only where it looks at it.

        Returns:
            What to keep, and what that is of these samples, but for the last bits.
        """
        head = self.task.head
        levels = self.task.wants_levels
        whole = Cut(stages, pooled=False, levels=levels)
        found = self.run(samples, whole)
        if stages < len(self.backbone.stages):
            return whole, found
        there = self.task.laid_out({name: tensor.to(self.task.device) for name, tensor in found.items()})
        modes = [(module, module.training) for module in head.modules()]
        with self.precision.forward_context():
            features = self.backbone(there, stages, levels)
            watched = _Watched(features)
            try:
                head.eval().forward(watched)
            except Exception:
                watched.seen.update(() if watched.seen else Features._fields)
            finally:
                for module, mode in modes:
                    module.training = mode
        if not watched.seen <= {"pooled", "levels"}:
            return whole, found
        return Cut(stages, pooled=True, levels=levels), self._pooled(found, features.pooled.cpu())

    def tensors(self, stages: int) -> dict[str, Tensor]:
        """Parameters and buffers in front of a cut, by name."""
        return {
            name: tensor
            for unit, module in self._members(stages)
            for name, tensor in (
                ((f"{unit}.{n}", t) for n, t in chain(module.named_parameters(), module.named_buffers()))
                if isinstance(module, nn.Module)
                else ((unit, module),)
            )
        }

    def structure(self, stages: int) -> str:
        """Everything in front of a cut that is no tensor, as far as it can be seen."""
        members = [(name, repr(module), _settings(module)) for name, module in self._members(stages)]
        return f"{type(self.backbone)} {members}"

    def classes(self, stages: int) -> set[type]:
        """Every class whose code runs in front of a cut: of the modules and of the backbone, with those they extend."""
        parts = [part for _, unit in self._members(stages) if isinstance(unit, nn.Module) for part in unit.modules()]
        return {base for module in (self.backbone, *parts) for base in type(module).__mro__}

    def _members(self, stages: int) -> list[tuple[str, Any]]:
        return [pair for stage in self.backbone.stages[:stages] for pair in self.backbone.members(stage).items()]

    def _input(self, samples: Sequence[Tensor], alike: bool = False) -> Inputs:
        filled = [*samples, *[samples[-1]] * (BATCH - len(samples))]
        x = self.precision.convert_input(self.prepare(filled, self.task.device, alike))
        laid_out: Inputs = self.task.laid_out(x)
        return laid_out

    def _check(self, stages: int) -> None:
        names = [name for name, tensor in self.tensors(stages).items() if tensor.requires_grad]
        for unit, module in self._members(stages):
            if isinstance(module, nn.Module):
                names += [f"{unit}.{name}" for name, part in module.named_modules() if part.training]
        if names:
            raise PolicyError(
                f"Expected nothing to train in front of a cut through the backbone but got {len(names)} parts that do, "
                f"such as {names[0]}; use cache=off."
            )


def _settings(module: Any) -> list[tuple[str, dict[str, Any]]]:
    """Plain attributes of a module and of all in it, such as a scale, which its text need not show."""
    parts = module.named_modules() if isinstance(module, nn.Module) else ()
    return [
        (name, {k: v for k, v in sorted(vars(part).items()) if k != "training" and _is_plain(v)})
        for name, part in parts
    ]


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, tuple) else isinstance(value, PLAIN)


class _Watched:
    """Features that note which of them are looked at."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self.seen: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.seen.update({name} if name in Features._fields else Features._fields)
        return getattr(self._features, name)

    def __getitem__(self, item: int) -> Any:
        self.seen.add(Features._fields[item])
        return self._features[item]

    def __iter__(self) -> Any:
        self.seen.update(Features._fields)
        return iter(self._features)
