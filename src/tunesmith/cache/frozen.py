"""Run the frozen part of a task on samples, with the bits that training would compute."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor, nn

from tunesmith.backbone.aside import MAP, POOLED, STAGE
from tunesmith.contract.batch import Inputs
from tunesmith.contract.features import Needs
from tunesmith.contract.protocols import Task
from tunesmith.errors import PolicyError

BATCH = 32
"""Samples per batch, always this many: a short batch is padded.

A CPU's libraries choose their kernels by the shape, and with it the last bit. Measured with Tiny, ResNet-18 and
EfficientNet-Lite0 on 1 and 2 threads (AMD Zen 4, torch 2.15): a sample's outputs were bit-equal in batches of 16, 31,
32 and 64 with any other samples, and differed by up to 2e-5 in batches of 1 to 5.
"""


PLAIN = (bool, int, float, str, type(None))
"""Types of attributes that determine what a module does, and are the same in every process."""


@dataclass(frozen=True)
class Cut:
    """Where a backbone is cut, and which outputs are kept.

    Attributes:
        stages: Number of stages in front.
        last: Whether the output of the last of them is kept.
        needs: Features that are kept beside or instead of it; of the maps, those that come before it.
    """

    stages: int
    last: bool
    needs: Needs


class Frozen:
    """Runs the stages before a cut on batches of samples.

    Args:
        task: The task, on its device.
        precision: The trainer's precision plug-in.
        prepare: Converts samples as the data store them, such as uint8 images ``(C, H, W)``, to the backbone's input,
            as the data modules' ``prepare`` does: on a device and, if requested, with the same shape for all batches.
    """

    def __init__(
        self, task: Task, precision: Precision, prepare: Callable[[Sequence[Tensor], torch.device, bool], Inputs]
    ) -> None:
        self.task = task
        self.backbone = task.backbone
        self.precision = precision
        self.prepare = prepare

    @torch.no_grad()
    def run(self, samples: Sequence[Tensor], cut: Cut) -> dict[str, Tensor]:
        """Run samples, at most `BATCH`, and return `Activations` on the CPU.

        Raises:
            PolicyError: Something before the cut trains.
        """
        self._check(cut.stages)
        with self.precision.forward_context():
            found = dict(self.backbone.activations(self._input(samples, cut.last), cut.stages, cut.needs))
            if not cut.last:
                found = self._in_place(found, cut)
        return {name: tensor[: len(samples)].contiguous().cpu() for name, tensor in found.items()}

    def _in_place(self, found: dict[str, Tensor], cut: Cut) -> dict[str, Tensor]:
        """Return the features from before the last stage and, instead of its output, the pooled features if needed."""
        kept = {name: tensor for name, tensor in found.items() if name.startswith((STAGE, MAP))}
        if cut.needs.pooled:
            pooled = self.backbone(found, needs=Needs(pooled=True)).pooled
            assert pooled is not None
            kept[POOLED] = pooled
        return kept

    def seconds(self, samples: Sequence[Tensor], cut: Cut) -> float:
        """Measure the seconds per sample."""
        start = time.perf_counter()
        self.run(samples, cut)
        return (time.perf_counter() - start) / len(samples)

    def cut(self, stages: int) -> Cut:
        """Return the cut after a number of stages: it keeps what the head needs, and nothing else."""
        needs: Needs = self.task.needs
        whole = len(self.backbone.stages)
        # The last stage's output is kept if the head needs its tokens or a map of its own.
        last = stages < whole or needs.tokens or self._maps(needs, whole) != self._maps(needs, whole - 1)
        maps = self._maps(needs, stages - last)
        return Cut(stages, last, Needs(needs.pooled and not last, maps=maps, stage_features=needs.stage_features))

    def _maps(self, needs: Needs, end: int) -> tuple[int, ...]:
        found: tuple[int, ...] = self.backbone.maps_within(needs, end) if needs.maps else ()
        return found

    def tensors(self, stages: int) -> dict[str, Tensor]:
        """Return the parameters and buffers before a cut, by name."""
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
        """Describe everything before a cut that is not a tensor, as far as it is visible."""
        members = [(name, repr(module), _settings(module)) for name, module in self._members(stages)]
        return f"{type(self.backbone)} {members}"

    def classes(self, stages: int) -> set[type]:
        """Return every class whose code runs before a cut: modules and backbone, with their base classes."""
        parts = [part for _, unit in self._members(stages) if isinstance(unit, nn.Module) for part in unit.modules()]
        return {base for module in (self.backbone, *parts) for base in type(module).__mro__}

    def _members(self, stages: int) -> list[tuple[str, nn.Module | Tensor]]:
        return [pair for stage in self.backbone.stages[:stages] for pair in self.backbone.members(stage).items()]

    def _input(self, samples: Sequence[Tensor], alike: bool = False) -> Inputs:
        filled = [*samples, *[samples[-1]] * (BATCH - len(samples))]
        inputs: Inputs = self.task.laid_out(self.precision.convert_input(self.prepare(filled, self.task.device, alike)))
        return inputs

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


def _settings(module: nn.Module | Tensor) -> list[tuple[str, dict[str, object]]]:
    """Return the plain attributes of a module and its submodules, such as a scale, which its repr may omit."""
    parts = module.named_modules() if isinstance(module, nn.Module) else ()
    return [
        (name, {k: v for k, v in sorted(vars(part).items()) if k != "training" and _is_plain(v)})
        for name, part in parts
    ]


def _is_plain(value: object) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, tuple) else isinstance(value, PLAIN)
